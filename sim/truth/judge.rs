//! The judge: compares each confirmation with the truth of the world.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use heardback::domain::matching::{Policy, later};
use heardback::domain::message::{Basis, Message as Record, Proof};

use crate::requests::{owner, timestamp};
use crate::runner::RunResult;
use crate::world::{Act, Cause, Event, EvidenceKind, Message, World};

/// Correct and wrong confirmations of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Score {
    /// Confirmations of messages that had arrived before the act.
    pub(crate) right: u64,
    /// Confirmations of messages that had not.
    pub(crate) wrong: u64,
    /// Messages that had arrived, and for which this kind of evidence was sent.
    pub(crate) given: u64,
    /// Those of them that were confirmed, by any evidence.
    pub(crate) confirmed: u64,
}

impl Score {
    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.given += other.given;
        self.confirmed += other.confirmed;
    }
}

/// The longest time that a call rings, in milliseconds.
const MAX_RING_MS: i64 = 20_000;

/// The result of a run.
#[derive(Default)]
pub(crate) struct Judgement {
    /// By kind of evidence and basis.
    pub(crate) scores: BTreeMap<(&'static str, Option<Basis>), Score>,
    /// All kinds together.
    pub(crate) overall: Score,
    /// Wrong confirmations by evidence in which the app itself names a wrong message, by kind.
    pub(crate) app_errors: BTreeMap<&'static str, u64>,
    /// Wrong shared or inferred confirmations, by the true cause of the evidence.
    pub(crate) wrong_by_cause: BTreeMap<&'static str, u64>,
    /// Violations, each with the events that explain it.
    pub(crate) violations: Vec<String>,
    /// A hash that any difference between two runs changes.
    pub(crate) digest: u64,
}

impl Judgement {
    /// The score of a basis, without the status `read`, which is no act.
    pub(crate) fn of(&self, basis: Basis) -> Score {
        let mut sum = Score::default();
        for ((kind, of), score) in &self.scores {
            if *of == Some(basis) && *kind != READ {
                sum.add(*score);
            }
        }
        sum
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (kind, score) in other.scores {
            self.scores.entry(kind).or_default().add(score);
        }
        for (kind, count) in other.app_errors {
            *self.app_errors.entry(kind).or_default() += count;
        }
        for (cause, count) in other.wrong_by_cause {
            *self.wrong_by_cause.entry(cause).or_default() += count;
        }
        self.overall.add(other.overall);
        self.violations.extend(other.violations);
        self.digest = self.digest.rotate_left(7) ^ other.digest;
    }
}

/// The kind of evidence of the status `read`.
pub(crate) const READ: &str = "status read";

/// The name of a kind of evidence in the tables.
pub(crate) fn word(evidence: EvidenceKind) -> &'static str {
    match evidence {
        EvidenceKind::CodeBySid => "code, by SID",
        EvidenceKind::CodeByReference => "code, by reference",
        EvidenceKind::CodeWithCode => "code, by reference and code",
        EvidenceKind::CodeByTo => "code, by To",
        EvidenceKind::CodeWithCodeByTo => "code, by To and code",
        EvidenceKind::Reply => "reply",
        EvidenceKind::ReplyQuoted => "reply that quotes",
        EvidenceKind::ReplyWithCode => "reply with the code",
        EvidenceKind::ReplyByHandset => "automatic reply",
        EvidenceKind::Call => "call",
        EvidenceKind::Click => "click (Twilio)",
        EvidenceKind::Link => "own link",
    }
}

/// The name of a cause in the tables.
fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Message(_) => "an act upon another message",
        Cause::Unrelated => "a reply or call about add_interaction else",
        Cause::Carrier(_) => "a carrier that answered for a number",
        Cause::OptOut => "an opt-out",
        Cause::Scanner => "a scanner",
        Cause::Replay => "a captured request, sent again",
        Cause::UnknownAccount => "another account's request",
        Cause::OtherAccount => "a sibling account's request",
    }
}

/// Judges a run.
pub(crate) fn judge(world: &World, result: &RunResult, policy: &Policy) -> Judgement {
    let mut judgement = Judgement { violations: result.violations.clone(), ..Judgement::default() };
    let mut confirmed = HashMap::new();
    for record in &result.records {
        let Some(number) = World::number(record.sid.as_str()) else { continue };
        let (Some(proof), Some(message)) = (&record.proof, world.messages.get(number)) else {
            continue;
        };
        // An account of ours may invent a message, and confirm it in its own name only.
        if record.account.as_str() != owner(message) {
            continue;
        }
        let key = (proof.occurred_at.as_millisecond(), message.line);
        let act = result.evidence.get(&key).and_then(|act| world.acts.get(*act));
        let right =
            judgement.confirmation(&Case { world, result, policy, number, message, act, proof });
        confirmed.insert(number, right);
        let seed = key.0.cast_unsigned() ^ (proof.basis as u64);
        let hash = record
            .sid
            .as_str()
            .bytes()
            .fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        judgement.digest = judgement.digest.wrapping_add(hash);
    }
    judgement.recall(world, &confirmed);
    judgement.losses(result);
    judgement
}

/// A confirmation and the truth about it.
struct Case<'a> {
    world: &'a World,
    result: &'a RunResult,
    policy: &'a Policy,
    number: usize,
    message: &'a Message,
    act: Option<&'a Act>,
    proof: &'a Proof,
}

impl Judgement {
    /// Counts a confirmation; returns whether it is correct.
    fn confirmation(&mut self, case: &Case<'_>) -> bool {
        let (kind, right) = match case.act {
            Some(act) => (word(act.evidence), case.message.had_arrived(act.acted_at)),
            None if case.proof.label == "read" => (READ, case.message.arrived.is_some()),
            None => {
                self.violations.push(history(case, "has a proof without an act"));
                return false;
            }
        };
        if !right && case.act.is_some_and(|act| act.is_wrong || is_read_in_unknown(case, act)) {
            *self.app_errors.entry(kind).or_default() += 1;
            return false;
        }
        let score = self.scores.entry((kind, Some(case.proof.basis))).or_default();
        for count in [score, &mut self.overall] {
            *(if right { &mut count.right } else { &mut count.wrong }) += 1;
        }
        if let Some(act) = case.act {
            if !right && case.proof.basis != Basis::Direct {
                *self.wrong_by_cause.entry(cause_name(act.cause)).or_default() += 1;
            }
            if let Some(problem) = forbidden(case, act, right) {
                self.violations.push(history(case, problem));
            }
        }
        right
    }

    /// Counts the messages for which evidence was sent, and those of them that were confirmed.
    fn recall(&mut self, world: &World, confirmed: &HashMap<usize, bool>) {
        let mut given = HashMap::<(usize, EvidenceKind), bool>::new();
        for act in &world.acts {
            let Cause::Message(number) = act.cause else { continue };
            let Some(message) = world.messages.get(number) else { continue };
            if message.is_tracked() && message.had_arrived(act.acted_at) && !act.is_wrong {
                given.insert((number, act.evidence), confirmed.get(&number) == Some(&true));
            }
        }
        let mut dedup_number = HashMap::new();
        for ((number, evidence), confirmed) in given {
            let score = self.scores.entry((word(evidence), None)).or_default();
            score.given += 1;
            score.confirmed += u64::from(confirmed);
            dedup_number.insert(number, confirmed);
        }
        self.overall.given += dedup_number.len() as u64;
        self.overall.confirmed +=
            dedup_number.values().filter(|confirmed| **confirmed).count() as u64;
    }

    /// Every acknowledged record must still exist. A confirmation may be withdrawn, because nothing is posted.
    fn losses(&mut self, result: &RunResult) {
        let held: HashMap<_, &Record> =
            result.records.iter().map(|record| (record.sid, record)).collect();
        for sid in &result.confirmed {
            if !held.contains_key(sid) {
                self.violations.push(format!("{sid} was acknowledged as confirmed, and is gone"));
            }
        }
        let numbers: std::collections::HashSet<_> =
            held.keys().filter_map(|sid| World::number(sid.as_str())).collect();
        for number in &result.remembered {
            if !numbers.contains(number) {
                self.violations.push(format!("message {number} was acknowledged, and is gone"));
            }
        }
    }
}

/// Whether the app sent one code in two messages, and only the other one was known when the code was reported.
fn is_read_in_unknown(case: &Case<'_>, act: &Act) -> bool {
    let Cause::Message(read) = act.cause else { return false };
    let is_repeated =
        case.world.messages.get(read).is_some_and(|other| other.code == case.message.code);
    let is_known = case.world.timeline.iter().any(|(at, event)| {
        *at <= act.received
            && matches!(event, Event::Register(other) | Event::Status(other, _) if *other == read)
    });
    case.proof.basis == Basis::Direct && read != case.number && is_repeated && !is_known
}

/// The violation, if this confirmation is one.
fn forbidden(case: &Case<'_>, act: &Act, right: bool) -> Option<&'static str> {
    match act.cause {
        Cause::Replay => return Some("was confirmed by a captured request that was sent again"),
        Cause::UnknownAccount | Cause::OtherAccount => {
            return Some("was confirmed by another account");
        }
        Cause::Scanner => return Some("was confirmed by a scanner, a preview or a crawler"),
        Cause::OptOut => return Some("was confirmed by an opt-out"),
        Cause::Message(_) | Cause::Unrelated | Cause::Carrier(_) => {}
    }
    match case.proof.basis {
        Basis::Direct if !right => Some("was confirmed by direct evidence, and had not arrived"),
        Basis::Inferred => {
            let claim = case.result.claims.get(&case.number);
            let ends = claim.map(|created| later(*created, case.policy.reply_window));
            let outside = ends.is_some_and(|ends| case.proof.occurred_at > ends);
            // The status callback gives the time of the answer, not of the ringing.
            if act.evidence == EvidenceKind::Call
                && act.acted_at + MAX_RING_MS < case.message.created
            {
                return Some("was confirmed by a call that began before it was sent");
            }
            outside.then_some("was confirmed by inferred evidence outside the reply window")
        }
        Basis::Direct | Basis::Shared => None,
    }
}

/// The events that explain a violation.
fn history(case: &Case<'_>, problem: &str) -> String {
    let sid = case.world.sid(case.number);
    let mut text =
        format!("{sid} {problem}\n    truth: {:?}\n    proof: {:?}\n", case.message, case.proof);
    if let Some(act) = case.act {
        let _ = writeln!(text, "    act:   {act:?}");
    }
    for (at, event) in &case.world.timeline {
        let concerns = match event {
            Event::Register(number) | Event::Status(number, _) => {
                case.world.messages.get(*number).is_some_and(|other| {
                    other.line == case.message.line && other.brand == case.message.brand
                })
            }
            Event::Act(number) | Event::Streamed(number) => {
                case.world.acts.get(*number).is_some_and(|act| {
                    act.line == case.message.line && act.brand == case.message.brand
                })
            }
            Event::Link(number) => *number == case.number,
            Event::Restart | Event::Sweep => false,
        };
        let near =
            (case.proof.occurred_at.as_millisecond() - timestamp(*at).as_millisecond()).abs();
        if concerns && near < 2 * crate::world::HOUR {
            let _ = writeln!(text, "    {}  {event:?}", timestamp(*at));
        }
    }
    text
}
