//! The life cycles of messages: one of each kind that the store has, so that every kind of entry is
//! created and removed.

use std::time::Duration;

use heardback::domain::click_link::{LinkToken, TOKEN_BYTES};
use heardback::domain::feedback::{Claim, Settlement};
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::message::Refusal;
use heardback::domain::signal::{DedupId, EvidenceTarget, MessageUpdate, Signal, SignalSource};
use heardback::store::sled::SledStore;
use heardback::store::{SettleOutcome, Store};

use crate::given::{
    SENDER, acted, direct, link, person, reference, registered, service, shared, sid, signal,
    status,
};

/// Stages of a message: sent, status received, act of the recipient.
pub(super) const STAGES: u32 = 3;
/// Senders whose Messaging Service is learned: the app's own, and the only entries that are kept.
pub(super) const SENDERS: u64 = 3;

/// The course of a message, with its share of twenty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Confirmed by the app: nine.
    Typed,
    /// Confirmed by a click on its own link: three.
    Clicked,
    /// Confirmed by a reply: two.
    Replied,
    /// Confirmed before its registration: one.
    Early,
    /// Never registered, though there is evidence for it: one.
    Orphan,
    /// Registered without feedback: one.
    Untracked,
    /// Undelivered: one.
    Lost,
    /// Never confirmed, with a link that is never opened: one.
    Ignored,
    /// Never confirmed, and its link is in no message: one.
    Forgotten,
}

impl Life {
    fn of(n: u32) -> Self {
        match n % 20 {
            0..=8 => Self::Typed,
            9..=11 => Self::Clicked,
            12 | 13 => Self::Replied,
            14 => Self::Early,
            15 => Self::Orphan,
            16 => Self::Untracked,
            17 => Self::Lost,
            18 => Self::Ignored,
            _ => Self::Forgotten,
        }
    }
}

/// One stage of message `n`'s life.
pub(super) async fn live(store: &SledStore, n: u32, stage: u32, second: i64) {
    match (Life::of(n), stage) {
        (Life::Clicked | Life::Ignored | Life::Forgotten, 0) => keep(store, n, second).await,
        (Life::Typed | Life::Replied | Life::Lost, 0) => remember(store, told(n, second)).await,
        (Life::Clicked | Life::Ignored, 1) => {
            let link = Some(token(n).id());
            remember(store, MessageUpdate { link, ..told(n, second) }).await;
        }
        (Life::Forgotten, 1) => {
            // Under a MessageSid of its own; otherwise it would match the link's message.
            let name = Some(reference(&format!("other-{n}")));
            remember(store, MessageUpdate { reference: name, ..told(n, second) }).await;
        }
        (Life::Early, 0) => {
            let observed = observe(store, once(n, direct(scattered(n), second))).await;
            assert!(matches!(observed, ObserveOutcome::Parked { .. }), "{observed:?}");
        }
        (Life::Early, 1) => {
            let remembered = store.remember(told(n, second)).await.expect("remembered");
            assert_eq!(remembered.confirmed, [sid(scattered(n))], "by its parked evidence");
        }
        (Life::Orphan, 0) => {
            let observed = observe(store, once(n, shared(&name(n), second))).await;
            assert!(matches!(observed, ObserveOutcome::Parked { .. }), "{observed:?}");
        }
        (Life::Typed | Life::Replied, 1) => remember(store, word(n, "delivered", second)).await,
        (Life::Lost, 1) => remember(store, word(n, "undelivered", second)).await,
        (Life::Untracked, 0) => remember(store, word(n, "sent", second)).await,
        (Life::Typed, 2) => confirmed(store, n, once(n, direct(scattered(n), second))).await,
        (Life::Clicked, 2) => {
            let clicked = signal(EvidenceTarget::Link(token(n).id()), second);
            confirmed(store, n, Signal { source: SignalSource::Link, ..clicked }).await;
        }
        (Life::Replied, 2) => {
            let mut reply = acted(person(n), Some(SENDER), second);
            reply.evidence.as_mut().expect("evidence").source = SignalSource::Reply;
            let once = vec![DedupId::Message(sid(scattered(n)))];
            confirmed(store, n, Signal { source: SignalSource::Reply, dedup_ids: once, ..reply })
                .await;
        }
        _ => {}
    }
}

/// Ends an attempt.
pub(super) async fn settle(store: &SledStore, claim: Claim) {
    let settled = store.settle(claim.lease, settlement(&claim), None).await.expect("settled");
    assert_eq!(settled, SettleOutcome::Applied);
}

/// Most are reported at once, some at the second attempt, and some are refused.
fn settlement(claim: &Claim) -> Settlement {
    let bytes = claim.feedback.message.as_str().bytes();
    match bytes.last() {
        Some(b'0') => {
            let message = "not found".to_owned();
            Settlement::Refused(Refusal { status: Some(404), code: Some(20404), message })
        }
        Some(b'1') if claim.attempts < 2 => {
            let minute = Duration::from_mins(1);
            Settlement::Retry { after: minute, spent: minute }
        }
        _ => Settlement::Reported,
    }
}

/// A `MessageSid` for message `n`. Twilio's SIDs come in no order, so records that expire together
/// are not neighbours on disk. No two SIDs are equal, because the factor is odd.
fn scattered(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b1)
}

fn name(n: u32) -> String {
    format!("order-{n}")
}

/// The app's report about message `n`.
fn told(n: u32, second: i64) -> MessageUpdate {
    MessageUpdate {
        recipient: Some(person(n)),
        reference: Some(reference(&name(n))),
        ..registered(scattered(n), second)
    }
}

/// Twilio's report about message `n`.
fn word(n: u32, word: &str, second: i64) -> MessageUpdate {
    let sender = u32::try_from(SENDERS).map_or(0, |senders| n % senders);
    let (recipient, from) = (Some(person(n)), Some(format!("+1555000000{sender}")));
    MessageUpdate {
        recipient,
        from,
        service: Some(service(sender)),
        ..status(scattered(n), word, second)
    }
}

fn token(n: u32) -> LinkToken {
    let mut bytes = [7; TOKEN_BYTES];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    LinkToken::from_random(bytes)
}

/// Twilio and the app send duplicates: an id of the evidence identifies them.
fn once(n: u32, signal: Signal) -> Signal {
    Signal { dedup_ids: vec![DedupId::Event(format!("event-{n}"))], ..signal }
}

async fn remember(store: &SledStore, sighting: MessageUpdate) {
    store.remember(sighting).await.expect("remembered");
}

async fn observe(store: &SledStore, signal: Signal) -> ObserveOutcome {
    store.observe(signal).await.expect("observed")
}

async fn keep(store: &SledStore, n: u32, second: i64) {
    let id = token(n).id();
    store.keep_link(id, link(Some(&name(n)), second)).await.expect("kept");
}

async fn confirmed(store: &SledStore, n: u32, signal: Signal) {
    assert_eq!(observe(store, signal).await, ObserveOutcome::Confirmed(sid(scattered(n))));
}
