//! A full store compared with one that has room: no eviction makes evidence confirm another
//! message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use heardback::config::process_env;
use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::feedback::Settlement;
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::message::{Basis, Reference, State};
use heardback::domain::signal::{EvidenceTarget, MessageUpdate, SenderHint, Signal, TimeSource};
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Quotas, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::given::{
    DAY, Hands, MINUTE, acted, direct, evidence, options, person, reference, registered, sid, sled,
    status,
};

async fn settle(store: &Arc<dyn Store>) {
    let lease = Duration::from_mins(1);
    for claim in store.claim(50, lease, &Quotas::default()).await.expect("claimed") {
        store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
    }
}

/// Without a removed message, evidence could seem to prove another one.
#[tokio::test]
async fn the_sweep_removes_no_message_that_a_later_judgement_may_need() {
    let hands = Hands::default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), hands.clock());
    let code = Some(CodeKey::new(b"the app's key").hmac(sid(1), "111111"));
    store.remember(MessageUpdate { code, ..registered(1, 0) }).await.expect("remembered");
    // The app never registers this one, and it may contain the same code.
    let unregistered = status(2, "delivered", 10);
    store.remember(unregistered).await.expect("remembered");
    hands.set(30);
    let act = Signal {
        code: Probe::entered("111111", &[CodeKey::new(b"the app's key")]),
        ..acted(person(1), None, 30)
    };
    store.observe(act).await.expect("observed");
    let basis = || async {
        let shown = store.show(sid(1)).await.expect("shown").expect("there");
        shown.proof.map(|proof| proof.basis)
    };
    assert_eq!(basis().await, Some(Basis::Inferred));
    hands.set(2 * DAY);
    while !store.expire(100).await.expect("swept").complete {}
    assert!(store.show(sid(2)).await.expect("shown").is_some());
    store.remember(registered(3, 2 * DAY)).await.expect("remembered");
    assert_eq!(basis().await, Some(Basis::Inferred));
    settle(&store).await;
    while !store.expire(100).await.expect("swept").complete {}
    assert!(store.show(sid(2)).await.expect("shown").is_none(), "once it is posted");
}

/// This holds even if no other message to the person is known. An event that names only the person
/// could prove a message that is registered later, because the clocks of the app and of Twilio may
/// differ.
#[tokio::test]
async fn a_full_store_keeps_an_untracked_message_while_evidence_may_be_about_it() {
    let within = 11 * MINUTE;
    for is_known in [true, false] {
        let (hands, folder) = (Hands::default(), tempfile::tempdir().expect("a folder"));
        let given = options(folder.path(), hands.clock());
        let store = SledStore::open(Options { max_messages: 2, ..given }).expect("it opens");
        let recipient = Some(person(if is_known { 1 } else { 2 }));
        let untracked = MessageUpdate { recipient, ..status(1, "delivered", 0) };
        store.remember(untracked).await.expect("remembered");
        hands.set(within);
        let full = MessageUpdate { recipient: Some(person(3)), ..registered(2, within) };
        store.remember(full).await.expect("remembered");
        let later = MessageUpdate { recipient: Some(person(4)), ..registered(3, within) };
        let refused = store.remember(later).await.expect_err("the untracked message stays");
        assert!(matches!(refused, StoreError::Unavailable { label: "max_messages", .. }));
        // The store with room shows the confirmation that the message prevents.
        store.observe(direct(2, within)).await.expect("observed");
        let mut event = acted(person(1), None, within);
        event.evidence.as_mut().expect("evidence").time_source = TimeSource::App;
        store.observe(event).await.expect("observed");
        drop(store);
        let given = options(folder.path(), hands.clock());
        let store = SledStore::open(given).expect("it opens");
        hands.set(within + MINUTE);
        store.remember(registered(4, within + MINUTE)).await.expect("remembered");
        let state = store.show(sid(4)).await.expect("shown").map(|message| message.state);
        let expected = if is_known { State::Pending } else { State::Confirmed };
        assert_eq!(state, Some(expected), "known: {is_known}");
    }
}

/// The references of messages. If every message of a reference was evicted, the reference is not
/// used again, because the store no longer knows what it meant.
#[derive(Default)]
struct References {
    /// The number of replacements of each reference.
    epochs: BTreeMap<u32, u32>,
    /// The messages with the current references.
    bearing: BTreeMap<u32, Vec<u32>>,
}

impl References {
    fn name(&self, which: u32) -> Reference {
        let epoch = self.epochs.get(&which).copied().unwrap_or_default();
        reference(&format!("r{which}.{epoch}"))
    }

    /// The reference of a new message.
    async fn of(&mut self, which: u32, full: &Arc<dyn Store>) -> Reference {
        let bearing = self.bearing.entry(which).or_default();
        let mut is_there = bearing.is_empty();
        for number in &*bearing {
            is_there |= full.show(sid(*number)).await.expect("shown").is_some();
        }
        if !is_there {
            bearing.clear();
            *self.epochs.entry(which).or_default() += 1;
        }
        self.name(which)
    }
}

/// The kind of step, the message or person, and how many minutes ago.
type Step = (u8, u32, i64);

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let hands = Hands::default();
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [full, room]: [Arc<dyn Store>; 2] = [3, 1000].map(|max_messages| {
        let folder = folders.get(usize::from(max_messages > 3)).expect("two").path();
        let given = options(folder, hands.clock());
        Arc::new(SledStore::open(Options { max_messages, ..given }).expect("it opens"))
            as Arc<dyn Store>
    });
    let (mut now, mut last) = (0, 0);
    let mut references = References::default();
    for (kind, n, back) in steps {
        hands.set(now);
        let then = now - back * MINUTE;
        match kind {
            0..=2 => {
                last += 1;
                let which = (n % 4 < 2).then_some(n % 4);
                let reference = match which {
                    Some(which) => Some(references.of(which, &full).await),
                    None => None,
                };
                let of = MessageUpdate {
                    recipient: Some(person(n / 6)),
                    reference,
                    ..registered(last, now)
                };
                if full.remember(of.clone()).await.is_ok() {
                    room.remember(of).await.expect("room");
                    if let Some(which) = which {
                        references.bearing.entry(which).or_default().push(last);
                    }
                } else {
                    last -= 1;
                }
            }
            3 | 4 if last > 0 => {
                let number = last - n % last.min(2);
                if full.show(sid(number)).await.expect("shown").is_some() {
                    for store in [&full, &room] {
                        store.observe(direct(number, now)).await.expect("observed");
                        settle(store).await;
                    }
                }
            }
            5 => {
                now += match n {
                    0..4 => 10 * MINUTE,
                    4..10 => 75 * MINUTE,
                    10 => DAY,
                    _ => 8 * DAY,
                };
            }
            _ => {
                let sender = SenderHint::default();
                let named = if n % 3 == 0 {
                    EvidenceTarget::Reference(references.name(n / 3 % 2))
                } else {
                    EvidenceTarget::Person { recipient: person(n / 6), sender }
                };
                let late = Signal { evidence: Ok(evidence(named, then)), ..direct(1, then) };
                let in_full = full.observe(late.clone()).await.expect("observed");
                let in_room = room.observe(late).await.expect("observed");
                if let ObserveOutcome::Confirmed(sid) = in_full {
                    prop_assert_eq!(in_room, ObserveOutcome::Confirmed(sid));
                }
                settle(&full).await;
                settle(&room).await;
            }
        }
        now += 1;
    }
    Ok(())
}

/// `HEARDBACK_EVICTION_SEED` repeats a run; `HEARDBACK_EVICTION_CASES` makes it longer.
#[test]
fn a_full_store_confirms_only_messages_that_a_store_with_room_confirms() {
    let from_env = |name: &str| process_env(name).map(|text| text.parse().expect("a number"));
    let drawn = || getrandom::u64().expect("random bytes");
    let seed = from_env("HEARDBACK_EVICTION_SEED").unwrap_or_else(drawn);
    let cases = from_env("HEARDBACK_EVICTION_CASES").unwrap_or(60);
    println!("HEARDBACK_EVICTION_SEED={seed}");
    let config = ProptestConfig {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::with_cases(u32::try_from(cases).expect("fewer"))
    };
    let steps = prop::collection::vec((0_u8..8, 0_u32..12, 0_i64..130), 1..80);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let held = TestRunner::new(config).run(&steps, |steps| runtime.block_on(play(steps)));
    assert!(held.is_ok(), "{held:?}");
}
