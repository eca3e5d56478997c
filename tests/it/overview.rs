//! The operator's queries to every store: next messages, refused ones, the messages of a reference,
//! accounts on hold, the timeline of a message. All results are the same after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::feedback::{Claim, Settlement};
use heardback::domain::message::{LastAttempt, Message, Refusal, State};
use heardback::domain::sid::MessageSid;
use heardback::domain::stats::{MessageStats, StatusBucket};
use heardback::domain::trace::TraceParent;
use heardback::store::{Filter, ListEntry, Quotas, RequeueFrom, Select, Store};
use jiff::Timestamp;

use crate::contract::backends;
use crate::given::{Hands, account, at, direct, reference, registered, shared, sid};

const LEASE: Duration = Duration::from_secs(30);

async fn confirmed(store: &Arc<dyn Store>, n: u32, seconds: i64) {
    store.remember(registered(n, seconds)).await.expect("remembered");
    store.observe(direct(n, seconds)).await.expect("observed");
}

async fn claim(store: &Arc<dyn Store>, limit: usize) -> Vec<Claim> {
    store.claim(limit, LEASE, &Quotas::default()).await.expect("claimed")
}

fn sids(messages: &[Message]) -> Vec<MessageSid> {
    messages.iter().map(|message| message.sid).collect()
}

fn trace() -> TraceParent {
    TraceParent::new([7; 16], [9; 8], 1).expect("known")
}

fn refused(code: u32) -> Settlement {
    let (status, message) = (Some(400), "no".to_owned());
    Settlement::Refused(Refusal { status, code: Some(code), message })
}

/// The view of a message that the API shows.
pub(crate) fn seen(stats: &MessageStats) -> String {
    let hours: Vec<_> = stats.by_hour(Timestamp::MIN, Timestamp::MAX).collect();
    let (codes, senders) = (stats.by_calling_code(Timestamp::MIN), stats.by_sender(Timestamp::MIN));
    let standing = State::ALL.map(StatusBucket::Message).into_iter();
    let standing = standing.chain([StatusBucket::Parked, StatusBucket::Orphaned]);
    let oldest: Vec<_> = standing.map(|standing| stats.oldest(standing)).collect();
    format!("{hours:?} {codes:?} {senders:?} {oldest:?}")
}

#[tokio::test]
async fn the_evidence_of_a_message_and_the_course_of_its_report_are_stored() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let mut event = direct(1, 1);
        event.trace = Some(trace());
        store.observe(event).await.expect("observed");
        hands.set(3);
        store.remember(registered(1, 0)).await.expect("remembered");
        let claims = claim(&store, 1).await;
        let attempt = LastAttempt {
            number: 1,
            ended_at: at(4),
            took_ms: 143,
            status: Some(200),
            code: None,
            message: String::new(),
        };
        let ended = Some(attempt.clone());
        store.settle(claims[0].lease, Settlement::Reported, ended).await.expect("settled");
        drop(store);
        let store = backend.usual(&hands);
        let message = store.show(sid(1)).await.expect("looked up").expect("there");
        assert_eq!(message.state, State::Reported);
        assert_eq!((message.parked_at, message.trace), (Some(at(0)), Some(trace())));
        assert_eq!(message.last_attempt, Some(attempt));
    }
}

#[tokio::test]
async fn the_outbox_is_in_order_of_posts_and_the_latest_refusal_comes_first() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for n in 1..=4 {
            hands.set(i64::from(n));
            confirmed(&store, n, i64::from(n)).await;
        }
        assert_eq!(sids(&store.outbox(3).await.expect("known")), [sid(1), sid(2), sid(3)]);
        for (claim, code) in claim(&store, 2).await.into_iter().zip([30001, 30002]) {
            hands.set(i64::from(code));
            store.settle(claim.lease, refused(code), None).await.expect("settled");
        }
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(sids(&store.refused(9).await.expect("known")), [sid(2), sid(1)]);
        assert_eq!(sids(&store.refused(1).await.expect("known")), [sid(2)]);
        assert_eq!(sids(&store.outbox(9).await.expect("known")), [sid(3), sid(4)]);
        store.requeue(sid(2), RequeueFrom::Refused).await.expect("requeued");
        assert_eq!(sids(&store.refused(9).await.expect("known")), [sid(1)]);
        let of_code = Select { code: Some(30001), ..Select::default() };
        let listed = store.list(Filter::Messages(of_code), None, 9).await.expect("listed");
        let [ListEntry::Message(message)] = &listed.entries[..] else { panic!("{listed:?}") };
        assert_eq!(message.sid, sid(1));
    }
}

#[tokio::test]
async fn a_list_is_filtered_by_age_calling_code_and_state() {
    for backend in backends() {
        let store = backend.usual(&Hands::default());
        for n in 1..=3 {
            store.remember(registered(n, i64::from(n) * 10)).await.expect("remembered");
        }
        store.observe(direct(2, 20)).await.expect("observed");
        let count = async |select: Select| {
            let page = store.list(Filter::Messages(select), None, 9).await.expect("listed");
            page.entries.len()
        };
        let all = Select::default();
        assert_eq!(count(Select { created_from: Some(at(20)), ..all }).await, 2);
        assert_eq!(count(Select { created_before: Some(at(20)), ..all }).await, 1);
        assert_eq!(count(Select { calling_code: Some(1), ..all }).await, 3);
        assert_eq!(count(Select { calling_code: Some(49), ..all }).await, 0);
        let confirmed = Some(State::Confirmed);
        assert_eq!(count(Select { state: confirmed, calling_code: Some(1), ..all }).await, 1);
    }
}

#[tokio::test]
async fn a_reference_lists_its_messages_newest_first() {
    for backend in backends() {
        let store = backend.usual(&Hands::default());
        for n in 1..=3 {
            let name = if n == 2 { "other" } else { "login" };
            let mut sighting = registered(n, i64::from(n));
            sighting.reference = Some(reference(name));
            store.remember(sighting).await.expect("remembered");
        }
        let found = store.messages_with_reference(reference("login"), 9).await.expect("known");
        assert_eq!(sids(&found), [sid(3), sid(1)]);
        assert_eq!(
            store.messages_with_reference(reference("login"), 1).await.expect("known").len(),
            1
        );
        assert_eq!(store.messages_with_reference(reference("nobody"), 9).await.expect("known"), []);
    }
}

#[tokio::test]
async fn no_message_of_an_account_on_hold_is_claimed_until_it_is_resumed() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        confirmed(&store, 1, 0).await;
        assert_eq!(store.hold(account()).await.expect("on hold"), at(0));
        hands.set(60);
        assert_eq!(store.hold(account()).await.expect("on hold"), at(0), "it was already");
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(store.on_hold().await, Ok(BTreeMap::from([(account(), at(0))])));
        assert!(claim(&store, 9).await.is_empty());
        assert_eq!(store.next_due(&Quotas::default()).await.expect("known"), None);
        assert_eq!(store.outbox(9).await.expect("known").len(), 1, "it still waits");

        assert_eq!(store.resume(account()).await, Ok(Some(at(0))));
        // Waiters for due messages are woken.
        store.changed().await;
        assert_eq!(claim(&store, 9).await.len(), 1);
        assert_eq!(store.resume(account()).await, Ok(None));
        assert_eq!(store.on_hold().await, Ok(BTreeMap::new()));
    }
}

#[tokio::test]
async fn the_statistics_are_the_same_after_a_restart() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for n in 1..=9 {
            let mut sighting = registered(n, i64::from(n) * 3_000);
            sighting.from = (n % 3 > 0).then(|| format!("+1501712266{}", n % 3));
            store.remember(sighting).await.expect("remembered");
        }
        store.observe(direct(2, 7_000)).await.expect("observed");
        store.observe(shared("nobody", 7_000)).await.expect("observed");
        for claim in claim(&store, 1).await {
            store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
        }
        let before = store.stats().await.expect("counted");
        let all = before.created(Timestamp::MIN, Timestamp::MAX);
        assert_eq!((all.sent, all.confirmed, all.reported), (9, 1, 1));
        assert_eq!(before.since_start().map(|(_, _, tally)| tally.sent).sum::<u64>(), 9);
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(seen(&store.stats().await.expect("counted")), seen(&before));
    }
}
