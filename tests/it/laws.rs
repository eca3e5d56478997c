//! Properties of the matching that hold for signals in any order and with duplicates. Each
//! exception has a test in `matching`.

use std::collections::BTreeSet;

use heardback::domain::message::Basis;
use heardback::domain::sid::MessageSid;
use heardback::domain::signal::{MessageUpdate, Signal};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::given::{
    DAY, HOUR, Hands, SENDER, acted, direct, person, reference, registered, reply, shared, sid,
    sled, status,
};
use crate::reference_store::ReferenceStore;

const SENDERS: [&str; 2] = [SENDER, "+15550008888"];

/// One signal. All facts about message `n` follow from `n`.
#[derive(Debug, Clone)]
enum Step {
    Register(u32),
    Status(u32, &'static str),
    Direct(u32),
    Shared { at: i64, id: u32 },
    Reply { id: u32, who: u32, sender: usize, at: i64 },
}

/// Messages are five minutes apart, so that some are older than the reply window.
fn created(n: u32) -> i64 {
    i64::from(n) * 300
}

fn sender(number: usize) -> &'static str {
    SENDERS.get(number).copied().expect("one of two")
}

fn truth(n: u32) -> MessageUpdate {
    MessageUpdate {
        recipient: Some(person(n % 2)),
        from: Some(sender((n / 2 % 2) as usize).to_owned()),
        reference: (n.is_multiple_of(3)).then(|| reference("x")),
        ..registered(n, created(n))
    }
}

impl Step {
    fn sighting(&self) -> Option<MessageUpdate> {
        match self {
            Self::Register(n) => Some(truth(*n)),
            Self::Status(n, word) => Some(MessageUpdate {
                recipient: truth(*n).recipient,
                from: truth(*n).from,
                ..status(*n, word, created(*n) + 1)
            }),
            Self::Direct(_) | Self::Shared { .. } | Self::Reply { .. } => None,
        }
    }

    /// Evidence has its own label, so that a test can see what it confirmed.
    fn signal(&self) -> Option<Signal> {
        let (mut signal, label) = match self {
            Self::Register(_) | Self::Status(..) => return None,
            Self::Direct(n) => (direct(*n, created(*n) + 2), format!("direct {n}")),
            Self::Shared { at, id } => {
                let once = reply(5000 + id, 0).dedup_ids;
                (Signal { dedup_ids: once, ..shared("x", *at) }, format!("shared {id}"))
            }
            Self::Reply { id, who, sender: number, at } => {
                let acted = acted(person(*who), Some(sender(*number)), *at);
                (Signal { dedup_ids: reply(*id, 0).dedup_ids, ..acted }, format!("reply {id}"))
            }
        };
        signal.evidence.as_mut().expect("evidence").label = label;
        Some(signal)
    }

    /// The time that the signal states.
    fn moment(&self) -> i64 {
        match self {
            Self::Register(n) | Self::Status(n, _) | Self::Direct(n) => created(*n),
            Self::Shared { at, .. } | Self::Reply { at, .. } => *at,
        }
    }

    fn is_update(&self) -> bool {
        matches!(self, Self::Register(_) | Self::Status(..))
    }
}

fn sightings() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=14_u32).prop_map(Step::Register),
        1 => (1..=14_u32, prop::sample::select(vec!["sent", "delivered", "failed"]))
            .prop_map(|(n, word)| Step::Status(n, word)),
    ]
}

fn anything() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => sightings(),
        1 => (1..=14_u32).prop_map(Step::Direct),
        1 => (300..5000_i64).prop_map(|at| Step::Shared { at, id: u32::try_from(at).expect("small") }),
        3 => (0..8_u32, 0..2_u32, 0..2_usize, 300..5000_i64)
            .prop_map(|(id, who, sender, at)| Step::Reply { id, who, sender, at }),
    ]
}

/// No two texts under one inbound SID.
fn once_each(mut steps: Vec<Step>) -> Vec<Step> {
    let mut ids = BTreeSet::new();
    steps.retain(|step| match step {
        Step::Reply { id, .. } | Step::Shared { id, .. } => ids.insert(*id),
        Step::Register(_) | Step::Status(..) | Step::Direct(_) => true,
    });
    steps
}

/// Leaves out failure receipts that direct evidence may contradict. Whether such a message shields
/// older ones depends on which came first, the evidence or the reply (an exception).
fn none_proven_against_its_receipt(mut steps: Vec<Step>) -> Vec<Step> {
    let named: BTreeSet<u32> = steps.iter().filter_map(directly_named).collect();
    steps.retain(|step| match step {
        Step::Status(n, "failed") => !named.contains(n) && truth(*n).reference.is_none(),
        Step::Status(..)
        | Step::Register(_)
        | Step::Direct(_)
        | Step::Shared { .. }
        | Step::Reply { .. } => true,
    });
    steps
}

fn directly_named(step: &Step) -> Option<u32> {
    match step {
        Step::Direct(n) => Some(*n),
        Step::Register(_) | Step::Status(..) | Step::Shared { .. } | Step::Reply { .. } => None,
    }
}

fn played<'a>(steps: impl IntoIterator<Item = &'a Step>) -> ReferenceStore {
    // All signals arrive at one moment, an hour and a half later, so that no window but those of
    // the rules applies.
    let mut book = ReferenceStore::default();
    book.now = 2 * HOUR;
    for step in steps {
        play(&mut book, step);
    }
    book
}

fn play(book: &mut ReferenceStore, step: &Step) {
    if let Some(sighting) = step.sighting() {
        book.remember(&sighting);
    }
    if let Some(signal) = step.signal() {
        book.observe(&signal);
    }
}

fn repeated(steps: &[Step], again: &[(Index, Index)]) -> Vec<Step> {
    let mut all = steps.to_vec();
    for (which, after) in again.iter().filter(|_| !steps.is_empty()) {
        let from = which.index(steps.len());
        let step = steps.get(from).expect("an index of theirs");
        let first = all.iter().position(|s| format!("{s:?}") == format!("{step:?}"));
        let first = first.expect("it is there");
        let place = first + 1 + after.index(all.len() - first);
        all.insert(place, step.clone());
    }
    all
}

fn direct_only() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => sightings(),
        1 => (1..=14_u32).prop_map(Step::Direct),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn direct_evidence_confirms_the_same_in_any_order_and_with_duplicates(
        steps in direct_only(),
        order in any::<u64>(),
        again in prop::collection::vec(any::<(Index, Index)>(), 0..20),
    ) {
        let registered: BTreeSet<MessageSid> = steps.iter().filter_map(|step| match step {
            Step::Register(n) => Some(sid(*n)),
            Step::Status(..) | Step::Direct(_) | Step::Shared { .. } | Step::Reply { .. } => None,
        }).collect();
        let named: BTreeSet<MessageSid> =
            steps.iter().filter_map(directly_named).map(sid).collect();
        // An unsent message cannot have arrived, unless a receipt contradicts that.
        let said = |n: MessageSid, word: &str| {
            steps.iter().any(|step| matches!(step, Step::Status(m, it) if sid(*m) == n && *it == word))
        };
        let never_sent = |n: &MessageSid| said(*n, "failed") && !said(*n, "delivered");
        let expected: BTreeSet<_> =
            registered.intersection(&named).copied().filter(|n| !never_sent(n)).collect();
        let shuffled = shuffled(&repeated(&steps, &again), order);
        prop_assert_eq!(played(&steps).confirmed(), expected.clone());
        prop_assert_eq!(played(&shuffled).confirmed(), expected);
    }

    #[test]
    fn duplicates_never_change_the_confirmed_messages(
        steps in prop::collection::vec(anything(), 0..40),
        again in prop::collection::vec(any::<(Index, Index)>(), 1..30),
    ) {
        let steps = none_proven_against_its_receipt(once_each(steps));
        let repeated = repeated(&steps, &again);
        prop_assert_eq!(played(&steps).confirmed(), played(&repeated).confirmed());
    }

    #[test]
    fn one_piece_of_inferred_or_shared_evidence_confirms_one_message_at_most_in_any_order(
        steps in prop::collection::vec(anything(), 0..40),
        order in any::<u64>(),
    ) {
        let book = played(&shuffled(&once_each(steps), order));
        let mut labels = BTreeSet::new();
        for proof in book.messages.values().filter_map(|message| message.proof.as_ref()) {
            if proof.basis != Basis::Direct {
                prop_assert!(labels.insert(proof.label.clone()), "{} twice", proof.label);
            }
        }
    }

    #[test]
    fn any_order_in_which_messages_are_seen_before_the_evidence_confirms_the_same(
        steps in prop::collection::vec(anything(), 0..40),
        one in any::<u64>(),
        other in any::<u64>(),
    ) {
        let steps = none_proven_against_its_receipt(once_each(steps));
        let one = updates_first(&shuffled(&steps, one));
        let other = updates_first(&shuffled(&steps, other));
        prop_assert_eq!(played(&one).confirmed(), played(&other).confirmed(), "{:?}\n{:?}", one, other);
    }

    #[test]
    fn replaying_old_replies_never_confirms_a_newer_message(
        replies in prop::collection::vec((0..6 * 24_i64, any::<bool>()), 1..12),
        replayed in prop::collection::vec(any::<Index>(), 1..20),
        when in 0..7 * 24_i64,
    ) {
        let mut hours: Vec<_> = replies;
        hours.sort_unstable();
        let mut book = ReferenceStore::default();
        for (n, (hour, written)) in (1..).zip(&hours) {
            book.now = hour * HOUR;
            if *written {
                book.remember(&registered(n, book.now));
            }
            book.observe(&reply(n, book.now + 1));
        }
        book.now = hours.last().expect("one").0 * HOUR + when * HOUR;
        book.remember(&registered(1000, book.now));
        let before = book.confirmed();
        for which in replayed {
            // A replayed reply has no time of its own, so it counts at the current time.
            let n = u32::try_from(which.index(hours.len()) + 1).expect("small");
            book.observe(&reply(n, book.now + 1));
        }
        prop_assert_eq!(book.confirmed(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_gives_the_same_results_as_the_reference_implementation_step_by_step(
        steps in prop::collection::vec((anything(), 0..400_i64), 1..60),
    ) {
        judged_alike(steps);
    }
}

/// The confirmation is stored on a sibling that is too old to be the subject of the reply.
#[test]
fn sled_stores_on_an_old_sibling_which_message_was_confirmed() {
    judged_alike(vec![
        (Step::Register(3), 0),
        (Step::Register(9), 0),
        (Step::Reply { id: 1, who: 1, sender: 0, at: created(3) + 3700 }, 0),
        (Step::Status(3, "failed"), 0),
    ]);
}

/// Each step comes this many seconds after the one before it.
fn judged_alike(steps: Vec<(Step, i64)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let folder = tempfile::tempdir().expect("a folder");
    let hands = Hands::default();
    let store = sled(folder.path(), hands.clock());
    let mut book = ReferenceStore::default();
    runtime.expect("a runtime").block_on(async {
        for (step, later) in steps {
            book.now += later;
            hands.set(book.now);
            if let Some(sighting) = step.sighting() {
                let kept = store.remember(sighting.clone()).await.expect("remembered");
                assert_eq!(kept, book.remember(&sighting), "{step:?}");
            }
            if let Some(signal) = step.signal() {
                let kept = store.observe(signal.clone()).await.expect("observed");
                assert_eq!(kept, book.observe(&signal), "{step:?}");
            }
        }
        for (sid, message) in &book.messages {
            let mut message = message.clone();
            message.apply_expiry(crate::given::at(book.now));
            assert_eq!(store.show(*sid).await.expect("looked up"), Some(message));
        }
    });
}

/// A shuffle that depends on its seed only.
pub(crate) fn shuffled<T: Clone>(steps: &[T], seed: u64) -> Vec<T> {
    let mut steps = steps.to_vec();
    let mut dice = seed | 1;
    for last in (1..steps.len()).rev() {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let bound = u64::try_from(last + 1).expect("small");
        steps.swap(last, usize::try_from(dice % bound).expect("small"));
    }
    steps
}

/// Moves the updates of older messages in front of each piece of evidence, and changes no other
/// order. The age of unregistered messages is unknown, so their updates until a while after the
/// evidence are moved too.
fn updates_first(steps: &[Step]) -> Vec<Step> {
    let mut order: Vec<Step> = Vec::new();
    for step in steps {
        let place = if step.is_update() {
            let held_up =
                |before: &Step| !before.is_update() && before.moment() + 600 >= step.moment();
            order.iter().position(held_up).unwrap_or(order.len())
        } else {
            order.len()
        };
        order.insert(place, step.clone());
    }
    order
}

#[test]
fn a_seen_reply_outlives_every_message_that_was_pending_with_it() {
    let policy = crate::given::policy();
    let seen = crate::given::at(0);
    assert!(policy.seen_until(seen) >= crate::given::at(8 * DAY));
}
