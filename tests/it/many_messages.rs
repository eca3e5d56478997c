//! More messages to one recipient, or with one reference, than the store loads: no evidence is judged without a message
//! that it may be about.

use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::matching::{ObserveOutcome, Reason};
use heardback::domain::signal::{MessageUpdate, Signal};

use crate::given::{
    Hands, SENDER, acted, direct, person, reason, reference, registered, shared, sid, sled, status,
};

/// The number of messages that the store loads at most.
const LOADED: u32 = 64;

/// The results for message 1, which has a code, and for the newest of this many messages, when the
/// person acts.
async fn outcome(messages: u32, act: Signal) -> (ObserveOutcome, ObserveOutcome) {
    let hands = Hands::default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), hands.clock());
    let code = CodeKey::new(b"the app's key").hmac(sid(1), "111111");
    for n in 1..=messages {
        let of = MessageUpdate {
            code: (n == 1).then_some(code),
            recipient: Some(person(1)),
            reference: Some(reference("x")),
            ..registered(n, n.into())
        };
        store.remember(of).await.expect("remembered");
    }
    // So the older messages, which are pending, do not count.
    store.remember(status(messages, "delivered", messages.into())).await.expect("remembered");
    hands.set(messages.into());
    let acted = store.observe(act).await.expect("observed");
    let named = store.observe(direct(messages, messages.into())).await.expect("observed");
    (acted, named)
}

fn typed(act: Signal) -> Signal {
    Signal { code: Probe::entered("111111", &[CodeKey::new(b"the app's key")]), ..act }
}

#[tokio::test]
async fn an_entered_code_confirms_no_other_message_however_many_were_sent_since() {
    for messages in [2, LOADED, LOADED + 1, LOADED + 2, 3 * LOADED] {
        let now = i64::from(messages);
        for act in [acted(person(1), Some(SENDER), now), shared("x", now)] {
            let (outcome, named) = outcome(messages, typed(act)).await;
            assert_ne!(outcome, ObserveOutcome::Confirmed(sid(messages)), "{messages}");
            if messages > LOADED {
                assert_eq!(reason(&outcome), Some(Reason::Ambiguous), "{messages}: {outcome:?}");
            }
            assert_eq!(named, ObserveOutcome::Confirmed(sid(messages)), "by its SID, {messages}");
        }
    }
}

#[tokio::test]
async fn a_reply_selects_from_as_many_messages_as_are_loaded_and_from_no_more() {
    for messages in [LOADED, LOADED + 1] {
        let now = i64::from(messages);
        for act in [acted(person(1), Some(SENDER), now), shared("x", now)] {
            let (outcome, _) = outcome(messages, act).await;
            let is_complete = messages == LOADED;
            assert_eq!(
                outcome == ObserveOutcome::Confirmed(sid(messages)),
                is_complete,
                "{outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn old_evidence_and_new_evidence_leave_no_gap_between_their_loaded_messages() {
    let hands = Hands::default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), hands.clock());
    // Evidence from the time of the first messages is parked: its sender is unknown.
    for n in 1..=3 {
        let of = MessageUpdate { recipient: Some(person(1)), ..registered(n, n.into()) };
        store.remember(of).await.expect("remembered");
    }
    let late = acted(person(1), Some("+15550008888"), 5);
    store.observe(late).await.expect("observed");
    for n in 4..=100 {
        let of = MessageUpdate { recipient: Some(person(1)), ..registered(n, 600 + i64::from(n)) };
        store.remember(of).await.expect("remembered");
        store.remember(status(n, "delivered", 600 + i64::from(n))).await.expect("remembered");
    }
    hands.set(705);
    // Message 10 is the newest before this reply, and 36 newer ones hide it.
    let act = store.observe(acted(person(1), Some(SENDER), 610)).await.expect("observed");
    assert!(reason(&act).is_some(), "nothing is confirmed: {act:?}");
}
