//! The order of arrival changes no result in a history in which each message is registered within
//! the parking time and no confirmation was posted yet. Shared evidence confirms no message that a
//! receipt denies.

use std::time::Duration;

use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::matching::{Policy, Resend};
use heardback::domain::message::{Basis, State};
use heardback::domain::signal::{
    EvidenceTarget, MessageUpdate, SenderHint, Signal, SignalSource, TimeSource,
};
use proptest::prelude::*;

use crate::given::{
    SENDER, acted, address, at, clicked, direct, link, person, policy, reference, registered,
    shared, sid, signal, status, texted, timed, token,
};
use crate::laws::shuffled;
use crate::reference_store::ReferenceStore;

const KEY: &[u8] = b"the app's key";
const MESSAGES: u32 = 6;
const SENDERS: [&str; 2] = [SENDER, "+15550008888"];
const REFERENCES: [&str; 2] = ["x", "y"];
const WORDS: [&str; 7] =
    ["scheduled", "sent", "delivered", "read", "undelivered", "failed", "canceled"];

/// An event of the history. All facts about message `n` follow from `n` and [`Truth`]. The last field of a status is its
/// delay in seconds.
#[derive(Debug, Clone)]
enum Fact {
    Register(u32),
    Status(u32, usize, i64),
    Direct(u32, i64),
    Shared { which: usize, at: i64, time: usize, code: Option<u32> },
    Event { who: u32, sender: Option<usize>, at: i64, time: usize, code: Option<u32> },
    Reply { who: u32, sender: usize, at: i64, code: Option<u32> },
    Call { who: u32, sender: usize, at: i64 },
    Click(i64),
}

#[derive(Debug, Clone)]
struct Truth {
    created: Vec<i64>,
    is_said: Vec<bool>,
    codes: Vec<bool>,
}

const TIMES: [TimeSource; 3] = [TimeSource::Exact, TimeSource::App, TimeSource::Unknown];

impl Truth {
    fn message(&self, n: u32) -> MessageUpdate {
        let at = n as usize - 1;
        let created = self.created[at];
        let is_whatsapp = n.is_multiple_of(5);
        let recipient = if is_whatsapp { address("whatsapp:+15550000001") } else { person(n % 2) };
        MessageUpdate {
            recipient: Some(recipient),
            number: is_whatsapp.then(|| person(1).person),
            from: Some(SENDERS[(n / 2 % 2) as usize].to_owned()),
            reference: (!n.is_multiple_of(3)).then(|| reference(REFERENCES[(n % 2) as usize])),
            code: self.codes[at].then(|| CodeKey::new(KEY).hmac(sid(n), &code(n))),
            link: (n == 3).then(|| token(1).id()),
            created_at: self.is_said[at].then(|| crate::given::at(created)),
            ..registered(n, created + 1)
        }
    }

    fn sighting(&self, fact: &Fact) -> Option<MessageUpdate> {
        match fact {
            Fact::Register(n) => Some(self.message(*n)),
            Fact::Status(n, word, late) => {
                let truth = self.message(*n);
                // Message 3 has the link and is never scheduled: for a scheduled message, the allowed error of its
                // time differs.
                let word = if *n == 3 { &(*word).max(1) } else { word };
                let after = 2 + i64::try_from(*word).expect("small") + late;
                let seen_at = self.created[*n as usize - 1] + after;
                Some(MessageUpdate {
                    recipient: truth.recipient,
                    number: truth.number,
                    from: truth.from,
                    ..status(*n, WORDS[*word], seen_at)
                })
            }
            Fact::Direct(..)
            | Fact::Shared { .. }
            | Fact::Event { .. }
            | Fact::Reply { .. }
            | Fact::Call { .. }
            | Fact::Click(_) => None,
        }
    }
}

/// Message 4 repeats the code of message 2.
fn code(n: u32) -> String {
    let n = if n == 4 { 2 } else { n };
    format!("{n}{n}{n}{n}{n}{n}")
}

fn signal_of(id: usize, fact: &Fact) -> Option<Signal> {
    let id = u32::try_from(id).expect("small");
    let probe = |of: &Option<u32>| of.and_then(|n| Probe::entered(&code(n), &[CodeKey::new(KEY)]));
    let (mut signal, typed) = match fact {
        Fact::Register(_) | Fact::Status(..) => return None,
        Fact::Direct(n, at) => (direct(*n, *at), None),
        Fact::Shared { which, at, time, code } => {
            (timed(shared(REFERENCES[*which], *at), TIMES[*time]), probe(code))
        }
        Fact::Event { who, sender, at, time, code } => {
            let act = acted(person(*who), sender.map(|it| SENDERS[it]), *at);
            (timed(act, TIMES[*time]), probe(code))
        }
        Fact::Reply { who, sender, at, code } => {
            (texted(id, acted(person(*who), Some(SENDERS[*sender]), *at)), probe(code))
        }
        Fact::Call { who, sender, at } => {
            let hint = SenderHint { address: Some(SENDERS[*sender].to_owned()), service: None };
            let whatsapp = address(&format!("whatsapp:+1555000000{who}")).person;
            let called = EvidenceTarget::Caller { recipient: person(*who), whatsapp, sender: hint };
            let mut called = signal(called, *at);
            called.evidence.as_mut().expect("evidence").source = SignalSource::Call;
            (called, None)
        }
        Fact::Click(at) => (clicked(1, *at), None),
    };
    signal.evidence.as_mut().expect("evidence").label = format!("{id}");
    signal.code = typed;
    Some(signal)
}

fn truths() -> impl Strategy<Value = Truth> {
    let many = MESSAGES as usize;
    (
        prop::collection::vec(-1200..400_i64, many),
        prop::collection::vec(prop::bool::weighted(0.8), many),
        prop::collection::vec(any::<bool>(), many),
    )
        .prop_map(|(created, is_said, codes)| Truth { created, is_said, codes })
}

fn facts() -> impl Strategy<Value = Fact> {
    let code = || prop::option::weighted(0.4, 1..=MESSAGES);
    prop_oneof![
        4 => (1..=MESSAGES, 0..WORDS.len(), prop::sample::select(vec![0, 20, 150]))
            .prop_map(|(n, word, late)| Fact::Status(n, word, late)),
        1 => (1..=MESSAGES, -100..500_i64).prop_map(|(n, at)| Fact::Direct(n, at)),
        3 => (0..2_usize, -100..500_i64, 0..3_usize, code())
            .prop_map(|(which, at, time, code)| Fact::Shared { which, at, time, code }),
        3 => (0..2_u32, prop::option::of(0..2_usize), -100..500_i64, 0..3_usize, code()).prop_map(
            |(who, sender, at, time, code)| Fact::Event { who, sender, at, time, code }
        ),
        3 => (0..2_u32, 0..2_usize, -100..500_i64, code())
            .prop_map(|(who, sender, at, code)| Fact::Reply { who, sender, at, code }),
        1 => (0..2_u32, 0..2_usize, -100..500_i64)
            .prop_map(|(who, sender, at)| Fact::Call { who, sender, at }),
        1 => (-100..500_i64).prop_map(Fact::Click),
    ]
}

fn histories() -> impl Strategy<Value = Vec<(usize, Fact)>> {
    prop::collection::vec(facts(), 0..14).prop_map(|more| {
        let registrations = (1..=MESSAGES).map(Fact::Register);
        registrations.chain(more).enumerate().collect()
    })
}

/// The settings that the matching depends on. Short windows exclude messages of the history.
fn policies() -> impl Strategy<Value = Policy> {
    let window = || prop::sample::select(vec![60, 400, 3600]).prop_map(Duration::from_secs);
    (prop::sample::select(Resend::ALL.to_vec()), window(), window()).prop_map(
        |(resend, reply_window, event_window)| Policy {
            resend,
            reply_window,
            event_window,
            ..policy()
        },
    )
}

fn played(truth: &Truth, policy: &Policy, facts: &[(usize, Fact)]) -> ReferenceStore {
    played_with(usize::MAX, truth, policy, facts)
}

/// The same store with this many messages loaded at most for one person or reference.
fn played_with(
    limit: usize,
    truth: &Truth,
    policy: &Policy,
    facts: &[(usize, Fact)],
) -> ReferenceStore {
    let mut book = ReferenceStore::default();
    book.limit = limit;
    book.policy = *policy;
    book.links.insert(token(1).id(), link(None, -1300));
    // All facts arrive at one moment.
    book.now = 600;
    for (id, fact) in facts {
        if let Some(sighting) = truth.sighting(fact) {
            book.remember(&sighting);
        }
        if let Some(signal) = signal_of(*id, fact) {
            book.observe(&signal);
        }
    }
    book
}

fn has_code(fact: &Fact) -> bool {
    match fact {
        Fact::Shared { code, .. } | Fact::Event { code, .. } | Fact::Reply { code, .. } => {
            code.is_some()
        }
        Fact::Register(_)
        | Fact::Status(..)
        | Fact::Direct(..)
        | Fact::Call { .. }
        | Fact::Click(_) => false,
    }
}

/// An entered code is never stored, so it is compared only with the codes that are known when it
/// arrives.
fn codes_after_registrations(mut facts: Vec<(usize, Fact)>) -> Vec<(usize, Fact)> {
    facts.sort_by_key(|(_, fact)| has_code(fact));
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_never_changes_the_confirmed_messages(
        truth in truths(),
        facts in histories(),
        policy in policies(),
        one in any::<u64>(),
        other in any::<u64>(),
    ) {
        let one = codes_after_registrations(shuffled(&facts, one));
        let other = codes_after_registrations(shuffled(&facts, other));
        let (first, second) = (played(&truth, &policy, &one), played(&truth, &policy, &other));
        prop_assert_eq!(
            first.confirmed(), second.confirmed(), "{:?}\n{:#?}\n{:#?}", truth, one, other
        );
    }

    #[test]
    fn repetition_never_changes_the_confirmed_messages(
        truth in truths(),
        facts in histories(),
        policy in policies(),
        again in any::<u64>(),
    ) {
        let facts = codes_after_registrations(facts);
        let twice: Vec<_> = facts.iter().cloned().chain(shuffled(&facts, again)).collect();
        let (once, twice) = (played(&truth, &policy, &facts), played(&truth, &policy, &twice));
        prop_assert_eq!(once.confirmed(), twice.confirmed());
    }

    #[test]
    fn with_too_many_messages_to_load_only_messages_are_confirmed_that_are_with_all_of_them(
        truth in truths(),
        facts in histories(),
        policy in policies(),
        order in any::<u64>(),
        limit in 1..4_usize,
    ) {
        // One piece of evidence: a second, parked one could correct the first.
        let mut facts = codes_after_registrations(shuffled(&facts, order));
        let mut evidence = 0;
        facts.retain(|(_, fact)| {
            evidence += u32::from(!matches!(fact, Fact::Register(_) | Fact::Status(..)));
            evidence <= 1 || matches!(fact, Fact::Register(_) | Fact::Status(..))
        });
        let (all, few) =
            (played(&truth, &policy, &facts), played_with(limit, &truth, &policy, &facts));
        prop_assert!(
            few.confirmed().is_subset(&all.confirmed()),
            "{:?} of {:?}\n{:?}\n{:#?}", few.confirmed(), all.confirmed(), truth, facts
        );
    }

    #[test]
    fn no_shared_evidence_confirms_a_message_that_a_receipt_denies(
        truth in truths(),
        facts in histories(),
        order in any::<u64>(),
    ) {
        let book = played(&truth, &Policy { resend: Resend::All, ..policy() }, &shuffled(&facts, order));
        for message in book.messages.values() {
            let Some(proof) = &message.proof else { continue };
            prop_assert!(proof.basis == Basis::Direct || !message.receipts.deny(), "{:?}", message);
            prop_assert!(!message.receipts.deny_sending(), "{:?}", message);
            prop_assert_eq!(message.state, State::Confirmed);
        }
    }
}

/// Checks the inputs of the properties above.
#[test]
fn the_generated_facts_are_as_intended() {
    let truth = Truth { created: vec![0; 6], is_said: vec![true; 6], codes: vec![true; 6] };
    assert_eq!(truth.message(1).created_at, Some(at(0)));
    assert_eq!(code(4), code(2));
}
