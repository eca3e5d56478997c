//! The judge: each confirmation, held against what truly happened.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use heardback::domain::matching::{Policy, later};
use heardback::domain::message::{Basis, Message as Record, Proof};

use crate::requests::{moment, owner};
use crate::runner::Played;
use crate::world::{Act, Cause, Message, Road, Word, World};

/// Right and wrong, of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Score {
    /// Confirmations of messages that had arrived before the act.
    pub(crate) right: u64,
    /// Confirmations of messages that had not.
    pub(crate) wrong: u64,
    /// Messages that had arrived, and of which this kind of evidence truly was given.
    pub(crate) given: u64,
    /// Those of them that were confirmed, by whatever evidence.
    pub(crate) heard: u64,
}

impl Score {
    /// Adds another's.
    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.given += other.given;
        self.heard += other.heard;
    }
}

/// The longest that a call rings, in milliseconds.
const RINGS: i64 = 20_000;

/// What a play comes to.
#[derive(Default)]
pub(crate) struct Judgement {
    /// By kind of evidence and basis.
    pub(crate) scores: BTreeMap<(&'static str, Option<Basis>), Score>,
    /// All kinds together.
    pub(crate) overall: Score,
    /// Wrong confirmations that follow from a wrong statement of the app itself, by kind of evidence.
    pub(crate) said_wrongly: BTreeMap<&'static str, u64>,
    /// Wrong confirmations that only inferred or shared, by what was truly behind them.
    pub(crate) misled: BTreeMap<&'static str, u64>,
    /// What must not happen, with its history.
    pub(crate) broken: Vec<String>,
    /// A number that any difference between two plays changes.
    pub(crate) digest: u64,
}

impl Judgement {
    /// The score of a basis, the status `read` left out: it is no act.
    pub(crate) fn of(&self, basis: Basis) -> Score {
        let mut sum = Score::default();
        for ((kind, of), score) in &self.scores {
            if *of == Some(basis) && *kind != READ {
                sum.add(*score);
            }
        }
        sum
    }

    /// Adds another world's.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, score) in other.scores {
            self.scores.entry(kind).or_default().add(score);
        }
        for (kind, count) in other.said_wrongly {
            *self.said_wrongly.entry(kind).or_default() += count;
        }
        for (cause, count) in other.misled {
            *self.misled.entry(cause).or_default() += count;
        }
        self.overall.add(other.overall);
        self.broken.extend(other.broken);
        self.digest = self.digest.rotate_left(7) ^ other.digest;
    }
}

/// The kind of the status `read`.
pub(crate) const READ: &str = "status read";

/// What a kind of evidence is called.
pub(crate) fn word(road: Road) -> &'static str {
    match road {
        Road::CodeBySid => "code, by SID",
        Road::CodeByReference => "code, by reference",
        Road::CodeWithCode => "code, by reference and code",
        Road::CodeByTo => "code, by To",
        Road::CodeWithCodeByTo => "code, by To and code",
        Road::Reply => "reply",
        Road::ReplyQuoted => "reply that quotes",
        Road::ReplyWithCode => "reply with the code",
        Road::ReplyByHandset => "automatic reply",
        Road::Call => "call",
        Road::Click => "click (Twilio)",
        Road::Link => "own link",
    }
}

/// What was behind an act.
fn behind(cause: Cause) -> &'static str {
    match cause {
        Cause::Message(_) => "an act upon another message",
        Cause::Unrelated => "a reply or call about something else",
        Cause::Carrier(_) => "a carrier that answered for a number",
        Cause::OptOut => "an opt-out",
        Cause::Scanner => "a scanner",
        Cause::Replay => "a captured request, sent again",
        Cause::Stranger => "another account's request",
        Cause::Sibling => "a sibling account's request",
    }
}

/// Judges a play.
pub(crate) fn judge(world: &World, played: &Played, policy: &Policy) -> Judgement {
    let mut judgement = Judgement { broken: played.broken.clone(), ..Judgement::default() };
    let mut confirmed = HashMap::new();
    for record in &played.records {
        let Some(number) = World::number(record.sid.as_str()) else { continue };
        let (Some(proof), Some(message)) = (&record.proof, world.messages.get(number)) else {
            continue;
        };
        // An account of ours may make a message up, and says so to Twilio in its own name only.
        if record.account.as_str() != owner(message) {
            continue;
        }
        let key = (proof.occurred_at.as_millisecond(), message.line);
        let act = played.evidence.get(&key).and_then(|act| world.acts.get(*act));
        let right =
            judgement.confirmation(&Case { world, played, policy, number, message, act, proof });
        confirmed.insert(number, right);
        let seed = key.0.cast_unsigned() ^ (proof.basis as u64);
        let told = record
            .sid
            .as_str()
            .bytes()
            .fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        judgement.digest = judgement.digest.wrapping_add(told);
    }
    judgement.recall(world, &confirmed);
    judgement.losses(played);
    judgement
}

/// One confirmation, and what it is held against.
struct Case<'a> {
    world: &'a World,
    played: &'a Played,
    policy: &'a Policy,
    number: usize,
    message: &'a Message,
    act: Option<&'a Act>,
    proof: &'a Proof,
}

impl Judgement {
    /// Counts a confirmation; returns whether it was right.
    fn confirmation(&mut self, case: &Case<'_>) -> bool {
        let (kind, right) = match case.act {
            Some(act) => (word(act.road), case.message.had_arrived(act.did)),
            None if case.proof.label == "read" => (READ, case.message.arrived.is_some()),
            None => {
                self.broken.push(history(case, "goes back to nothing that anybody did"));
                return false;
            }
        };
        if !right && case.act.is_some_and(|act| act.errs) {
            *self.said_wrongly.entry(kind).or_default() += 1;
            return false;
        }
        let score = self.scores.entry((kind, Some(case.proof.basis))).or_default();
        for count in [score, &mut self.overall] {
            *(if right { &mut count.right } else { &mut count.wrong }) += 1;
        }
        if let Some(act) = case.act {
            if !right && case.proof.basis != Basis::Direct {
                *self.misled.entry(behind(act.cause)).or_default() += 1;
            }
            if let Some(what) = forbidden(case, act, right) {
                self.broken.push(history(case, what));
            }
        }
        right
    }

    /// Who gave evidence of a message that they had, and was it heard?
    fn recall(&mut self, world: &World, confirmed: &HashMap<usize, bool>) {
        let mut given = HashMap::<(usize, Road), bool>::new();
        for act in &world.acts {
            let Cause::Message(number) = act.cause else { continue };
            let Some(message) = world.messages.get(number) else { continue };
            if message.is_tracked() && message.had_arrived(act.did) && !act.errs {
                given.insert((number, act.road), confirmed.get(&number) == Some(&true));
            }
        }
        let mut once = HashMap::new();
        for ((number, road), heard) in given {
            let score = self.scores.entry((word(road), None)).or_default();
            score.given += 1;
            score.heard += u64::from(heard);
            once.insert(number, heard);
        }
        self.overall.given += once.len() as u64;
        self.overall.heard += once.values().filter(|heard| **heard).count() as u64;
    }

    /// Every acknowledged record must be there in the end. A confirmation may be withdrawn, because nothing is posted.
    fn losses(&mut self, played: &Played) {
        let held: HashMap<_, &Record> =
            played.records.iter().map(|record| (record.sid, record)).collect();
        for sid in &played.confirmed {
            if !held.contains_key(sid) {
                self.broken.push(format!("{sid} was acknowledged as confirmed, and is gone"));
            }
        }
        let numbers: std::collections::HashSet<_> =
            held.keys().filter_map(|sid| World::number(sid.as_str())).collect();
        for number in &played.remembered {
            if !numbers.contains(number) {
                self.broken.push(format!("message {number} was acknowledged, and is gone"));
            }
        }
    }
}

/// Why a confirmation must not be, if it must not.
fn forbidden(case: &Case<'_>, act: &Act, right: bool) -> Option<&'static str> {
    match act.cause {
        Cause::Replay => return Some("was confirmed by a captured request that was sent again"),
        Cause::Stranger | Cause::Sibling => return Some("was confirmed by another account"),
        Cause::Scanner => return Some("was confirmed by a scanner, a preview or a crawler"),
        Cause::OptOut => return Some("was confirmed by an opt-out"),
        Cause::Message(_) | Cause::Unrelated | Cause::Carrier(_) => {}
    }
    match case.proof.basis {
        Basis::Direct if !right => Some("was confirmed by direct evidence, and had not arrived"),
        Basis::Inferred => {
            let claim = case.played.claims.get(&case.number);
            let ends = claim.map(|created| later(*created, case.policy.reply_window));
            let outside = ends.is_some_and(|ends| case.proof.occurred_at > ends);
            // A call's status callback counts from the answer: how long it rang is not known.
            if act.road == Road::Call && act.did + RINGS < case.message.created {
                return Some("was confirmed by a call that began before it was sent");
            }
            outside.then_some("was confirmed by inferred evidence outside the reply window")
        }
        Basis::Direct | Basis::Shared => None,
    }
}

/// Everything about a message, for whoever has to find out why.
fn history(case: &Case<'_>, what: &str) -> String {
    let sid = case.world.sid(case.number);
    let mut text =
        format!("{sid} {what}\n    truly: {:?}\n    proof: {:?}\n", case.message, case.proof);
    if let Some(act) = case.act {
        let _ = writeln!(text, "    act:   {act:?}");
    }
    for (at, told) in &case.world.timeline {
        let concerns = match told {
            Word::Register(number) | Word::Status(number, _) => {
                case.world.messages.get(*number).is_some_and(|other| {
                    other.line == case.message.line && other.brand == case.message.brand
                })
            }
            Word::Act(number) | Word::Streamed(number) => {
                case.world.acts.get(*number).is_some_and(|act| {
                    act.line == case.message.line && act.brand == case.message.brand
                })
            }
            Word::Link(number) => *number == case.number,
            Word::Restart | Word::Sweep => false,
        };
        let near = (case.proof.occurred_at.as_millisecond() - moment(*at).as_millisecond()).abs();
        if concerns && near < 2 * crate::world::HOUR {
            let _ = writeln!(text, "    {}  {told:?}", moment(*at));
        }
    }
    text
}
