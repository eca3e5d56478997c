//! The contract of every store. A new backend joins with one line in [`backends`] and must pass all
//! tests here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::address::{Address, RecipientHashKey, RecipientNames};
use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::feedback::{Claim, Lease, Settlement};
use heardback::domain::matching::{ObserveOutcome, Policy, Reason, Resend};
use heardback::domain::message::{Basis, LastAttempt, Message, Refusal, State};
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{Evidence, EvidenceTarget, MessageUpdate, SenderHint, Signal};
use heardback::store::sled::{Options, SledStore};
use heardback::store::{
    Filter, ListEntry, Quota, Quotas, RecordCounts, RequeueFrom, Requeued, SettleOutcome, Store,
    StoreError, Swept,
};
use tempfile::TempDir;

use crate::given::{
    DAY, HOUR, Hands, MINUTE, SENDER, account, acted, address, at, direct, evidence, in_state,
    options, person, policy, reference, registered, reply, shared, sid, status, superseded,
};
use crate::overview::seen;
use crate::postgres::{Pooled, Postgres};

const LEASE: Duration = Duration::from_secs(30);

/// A backend, and the place of its store while the store is closed.
pub(crate) trait Backend {
    fn open(&self, hands: &Hands, policy: Policy, max_messages: u64) -> Arc<dyn Store>;

    fn usual(&self, hands: &Hands) -> Arc<dyn Store> {
        self.open(hands, policy(), 1_000_000)
    }
}

/// All backends, and PostgreSQL once more behind a pooler.
fn every_backend() -> Vec<Box<dyn Backend>> {
    let pooled = Pooled::new().map(|pooled| Box::new(pooled) as Box<dyn Backend>);
    backends().into_iter().chain(pooled).collect()
}

pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    let sled: Box<dyn Backend> = Box::new(Sled(tempfile::tempdir().expect("a folder")));
    let postgres = Postgres::new().map(|postgres| Box::new(postgres) as Box<dyn Backend>);
    std::iter::once(sled).chain(postgres).collect()
}

struct Sled(TempDir);

impl Backend for Sled {
    fn open(&self, hands: &Hands, policy: Policy, max_messages: u64) -> Arc<dyn Store> {
        let given = options(self.0.path(), hands.clock());
        Arc::new(SledStore::open(Options { policy, max_messages, ..given }).expect("it opens"))
    }
}

/// Registers message `n` and confirms it, both at that second.
async fn confirmed(store: &Arc<dyn Store>, n: u32, seconds: i64) -> MessageSid {
    store.remember(registered(n, seconds)).await.expect("remembered");
    store.observe(direct(n, seconds)).await.expect("observed");
    sid(n)
}

async fn state(store: &Arc<dyn Store>, n: u32) -> Option<State> {
    store.show(sid(n)).await.expect("looked up").map(|message| message.state)
}

async fn claim(store: &Arc<dyn Store>) -> Vec<Claim> {
    store.claim(10, LEASE, &Quotas::default()).await.expect("claimed")
}

/// Claims until no message is due.
async fn claim_each(store: &Arc<dyn Store>) -> Vec<Claim> {
    let mut all = Vec::new();
    loop {
        let claims = claim(store).await;
        if claims.is_empty() {
            return all;
        }
        all.extend(claims);
    }
}

async fn refuse(store: &Arc<dyn Store>, n: u32) {
    let claims = claim(store).await;
    let lease = claims.iter().find(|c| c.feedback.message == sid(n)).expect("claimed").lease;
    let refusal = Refusal { status: Some(404), code: Some(20404), message: "no".to_owned() };
    let settled = store.settle(lease, Settlement::Refused(refusal), None).await.expect("settled");
    assert_eq!(settled, SettleOutcome::Applied);
}

async fn sweep(store: &Arc<dyn Store>) -> Swept {
    let mut all = Swept::default();
    loop {
        let step = store.expire(7).await.expect("swept");
        all += step;
        if all.complete {
            return all;
        }
    }
}

async fn entries(store: &Arc<dyn Store>, filter: Filter, page_of: usize) -> Vec<ListEntry> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(filter, cursor, page_of).await.expect("listed");
        assert!(page.entries.len() <= page_of);
        all.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// Counts all records by listing them.
async fn recount(store: &Arc<dyn Store>) -> RecordCounts {
    let mut counts = RecordCounts::default();
    for entry in entries(store, Filter::messages(), 1000).await {
        if let ListEntry::Message(message) = entry {
            let place = State::ALL.iter().position(|state| *state == message.state);
            counts.messages[place.expect("a state")] += 1;
        }
    }
    counts.parked = entries(store, Filter::Parked, 1000).await.len() as u64;
    counts.orphaned = entries(store, Filter::Orphaned, 1000).await.len() as u64;
    // No store method lists links; `links.rs` tests their count.
    let known = store.counts();
    counts.links = known.links;
    (counts.parked_fullest, counts.parked_share) = (known.parked_fullest, known.parked_share);
    counts
}

fn label<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Unavailable { label, .. }) => label,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_remembered_once_and_a_repeat_fills_what_was_unknown() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        let mut first = registered(1, 0);
        first.recipient = None;
        assert!(store.remember(first).await.expect("remembered").new);
        let second = store.remember(registered(1, 0)).await.expect("remembered");
        assert!(!second.new);
        assert_eq!(second.message.recipient, Some(person(1)));
        assert_eq!(store.show(sid(1)).await.expect("looked up"), Some(second.message));
        assert_eq!(store.show(sid(2)).await.expect("looked up"), None);
    }
}

#[tokio::test]
async fn the_apps_contradiction_is_refused_and_changes_nothing() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        let known = store.remember(registered(1, 0)).await.expect("remembered").message;
        let mut other = registered(1, 0);
        other.recipient = Some(person(2));
        let error = store.remember(other).await.expect_err("refused");
        assert!(matches!(error, StoreError::Contradiction(found) if found.field == "To"));
        assert_eq!(store.show(sid(1)).await.expect("looked up"), Some(known));
    }
}

#[tokio::test]
async fn every_acknowledged_record_is_there_after_closing_and_opening_again() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        confirmed(&store, 1, 0).await;
        store.remember(registered(2, 0)).await.expect("remembered");
        store.observe(reply(1, 1)).await.expect("observed");
        store.observe(direct(77, 1)).await.expect("observed");
        let (messages, counts) = (entries(&store, Filter::messages(), 10).await, store.counts());
        let recipient = store.recipient_hash_key().fingerprint();
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(entries(&store, Filter::messages(), 10).await, messages);
        assert_eq!(store.counts(), counts);
        assert_eq!(
            store.recipient_hash_key().fingerprint(),
            recipient,
            "the key is the store's own"
        );
        let again = store.observe(reply(1, 9)).await.expect("observed");
        assert_eq!(
            again,
            ObserveOutcome::NotConfirmed(Reason::Duplicate),
            "the reply stays counted"
        );
        let late = store.remember(registered(77, 0)).await.expect("remembered");
        assert_eq!(late.confirmed, [sid(77)], "parked evidence stays parked");
    }
}

#[tokio::test]
async fn confirmed_messages_are_claimed_in_order_of_due_time_up_to_the_limit() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for (n, second) in [(3, 0), (1, 1), (2, 2)] {
            hands.set(second);
            confirmed(&store, n, second).await;
        }
        let first = store.claim(2, LEASE, &Quotas::default()).await.expect("claimed");
        let sids: Vec<_> = first.iter().map(|claim| claim.feedback.message).collect();
        assert_eq!(sids, [sid(3), sid(1)]);
        assert!(first.iter().all(|claim| claim.attempts == 1 && claim.spent.is_zero()));
        assert_eq!(claim(&store).await.len(), 1, "a claimed message is not claimed again");
        assert!(claim(&store).await.is_empty());
    }
}

/// [`confirmed`] for another account.
async fn confirmed_for(store: &Arc<dyn Store>, account: AccountSid, n: u32, seconds: i64) {
    store.remember(MessageUpdate { account, ..registered(n, seconds) }).await.expect("remembered");
    let evidence = Evidence { account, ..evidence(EvidenceTarget::Message(sid(n)), seconds) };
    let signal = Signal { evidence: Ok(evidence), ..direct(n, seconds) };
    let observed = store.observe(signal).await.expect("observed");
    assert_eq!(observed, ObserveOutcome::Confirmed(sid(n)));
}

fn accounts() -> [AccountSid; 3] {
    // Some SIDs are stored in their original case, so they are longer in a key.
    let other = ["AC1123456789abcdef0123456789abcdef", "AC0123456789ABCDEF0123456789abcdef"];
    let [second, third] = other.map(|text| AccountSid::parse(text).expect("valid"));
    [account(), second, third]
}

async fn claimed(store: &Arc<dyn Store>, limit: usize, quotas: &Quotas) -> Vec<MessageSid> {
    let claims = store.claim(limit, LEASE, quotas).await.expect("claimed");
    claims.iter().map(|claim| claim.feedback.message).collect()
}

#[tokio::test]
async fn claims_are_in_order_of_due_time_and_no_account_exceeds_its_quota() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let [one, two, three] = accounts();
        for (n, account) in [(1, one), (2, one), (3, two), (4, one), (5, three), (6, two)] {
            let second = i64::from(n);
            hands.set(second);
            confirmed_for(&store, account, n, second).await;
        }
        let quotas = Quotas::from([(one, 1)]);
        assert_eq!(claimed(&store, 3, &quotas).await, [sid(1), sid(3), sid(5)]);
        let quotas = Quotas::from([(one, 2), (two, 0)]);
        assert_eq!(claimed(&store, 10, &quotas).await, [sid(2), sid(4)]);
        assert_eq!(claimed(&store, 10, &Quotas::default()).await, [sid(6)]);
    }
}

#[tokio::test]
async fn the_slots_of_a_claim_go_to_the_accounts_with_the_fewest_attempts_under_way() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let [one, two, three] = accounts();
        for n in 1..=100 {
            confirmed_for(&store, one, n, 0).await;
        }
        hands.set(10);
        for n in 201..=204 {
            confirmed_for(&store, two, n, 10).await;
        }
        confirmed_for(&store, three, 301, 10).await;
        let quota = |under_way| Quota { under_way, free: 100, missing: 100, begun: 0, limit: 100 };
        let by_account = [(one, quota(3)), (two, quota(1))].into();
        let quotas = Quotas { by_account, ..Quotas::default() };
        let expected = [sid(301), sid(201), sid(202)];
        assert_eq!(claimed(&store, 3, &quotas).await, expected, "up to three for each");
        let usual = Quotas::default();
        assert_eq!(claimed(&store, 4, &usual).await, [1, 2, 203, 204].map(sid), "two for each");
        assert_eq!(claimed(&store, 2, &usual).await, [sid(3), sid(4)], "all for a single account");
    }
}

#[tokio::test]
async fn an_account_without_an_attempt_under_way_may_have_one_beyond_the_limit() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let [one, two, three] = accounts();
        for n in 1..=10 {
            confirmed_for(&store, one, n, 0).await;
            confirmed_for(&store, two, 200 + n, 0).await;
            confirmed_for(&store, three, 300 + n, 0).await;
        }
        let busy = Quota { under_way: 4, free: 4, missing: 4, begun: 0, limit: 100 };
        let closed = Quota { under_way: 0, free: 0, missing: 0, begun: 0, limit: 100 };
        let by_account = [(one, busy), (three, closed)].into();
        let mut quotas = Quotas { own_slots: 2, by_account, account_limit: None };
        assert_eq!(claimed(&store, 0, &quotas).await, [sid(201)]);
        quotas.own_slots = 0;
        assert_eq!(claimed(&store, 0, &quotas).await, []);
    }
}

#[tokio::test]
async fn a_message_with_a_404_is_claimed_after_the_others_and_within_its_quota() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let [one, ..] = accounts();
        for n in 1..=4 {
            confirmed_for(&store, one, n, 0).await;
        }
        for claim in store.claim(3, LEASE, &Quotas::default()).await.expect("claimed") {
            assert!(!claim.missing);
            // A 404 without Twilio's error code comes from a proxy.
            let code = (claim.feedback.message != sid(3)).then_some(20404);
            let attempt = LastAttempt {
                number: 1,
                ended_at: at(0),
                took_ms: 1,
                status: Some(404),
                code,
                message: String::new(),
            };
            let retry = Settlement::Retry { after: Duration::ZERO, spent: Duration::ZERO };
            store.settle(claim.lease, retry, Some(attempt)).await.expect("settled");
        }
        hands.set(10);
        confirmed_for(&store, one, 5, 10).await;
        let quota = |missing| Quota { under_way: 0, free: 9, missing, begun: 0, limit: 9 };
        let quotas =
            |missing| Quotas { by_account: [(one, quota(missing))].into(), ..Quotas::default() };
        let due = store.next_due(&quotas(0)).await.expect("known");
        assert_eq!(due, Some(Duration::ZERO));
        assert_eq!(claimed(&store, 1, &quotas(9)).await, [sid(3)]);
        assert_eq!(claimed(&store, 9, &quotas(0)).await, [sid(4), sid(5)]);
        let leased = store.next_due(&quotas(0)).await.expect("known");
        assert_eq!(leased, Some(LEASE), "only the others count");
        let claims = store.claim(9, LEASE, &quotas(1)).await.expect("claimed");
        assert_eq!(claims.iter().map(|claim| claim.feedback.message).collect::<Vec<_>>(), [sid(1)]);
        assert!(claims[0].missing && !claims[0].named_by_twilio);
        assert_eq!(claimed(&store, 9, &Quotas::default()).await, [sid(2)]);
    }
}

#[tokio::test]
async fn a_paused_accounts_backlog_is_not_claimed_and_delays_no_other_account() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let [one, two, three] = accounts();
        for n in 1..=140 {
            confirmed_for(&store, one, n, 0).await;
        }
        hands.set(10);
        confirmed_for(&store, two, 200, 10).await;
        let closed = Quotas::from([(one, 0), (three, 0)]);
        let due = |quotas: Quotas| {
            let store = Arc::clone(&store);
            async move { store.next_due(&quotas).await.expect("known") }
        };
        assert_eq!(due(closed.clone()).await, Some(Duration::ZERO));
        assert_eq!(claimed(&store, 4, &closed).await, [sid(200)]);
        let leased = due(closed.clone()).await;
        assert_eq!(leased, Some(LEASE), "only the open account's lease counts");
        assert_eq!(due(Quotas::from([(one, 0), (two, 0)])).await, None);
        assert_eq!(due(Quotas::from([(two, 0)])).await, Some(Duration::ZERO));
        let attempts = |message: Option<Message>| message.expect("there").delivery.attempts;
        assert_eq!(
            attempts(store.show(sid(1)).await.expect("looked up")),
            0,
            "no attempt is counted"
        );
        drop(store);
        let store = backend.usual(&hands);
        // With several receivers, only the end of the lease returns the attempt of one that ended.
        hands.set(10 + i64::try_from(LEASE.as_secs()).expect("seconds"));
        assert_eq!(claimed(&store, 4, &closed).await, [sid(200)], "and after a restart");
        assert_eq!(claimed(&store, 140, &Quotas::default()).await.len(), 100, "in groups");
    }
}

#[tokio::test]
async fn an_expired_lease_is_claimed_again_and_the_old_claim_cannot_settle_it() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        confirmed(&store, 1, 0).await;
        let stale = claim(&store).await[0];
        hands.set(29);
        assert!(claim(&store).await.is_empty());
        assert_eq!(
            store.next_due(&Quotas::default()).await.expect("known"),
            Some(Duration::from_secs(1))
        );
        hands.set(30);
        let fresh = claim(&store).await[0];
        assert_eq!(fresh.attempts, 2, "the attempt of the crash counts");
        let lost = store.settle(stale.lease, Settlement::Reported, None).await.expect("settled");
        assert_eq!(lost, SettleOutcome::LeaseLost);
        assert_eq!(state(&store, 1).await, Some(State::Confirmed));
        let won = store.settle(fresh.lease, Settlement::Reported, None).await.expect("settled");
        assert_eq!(won, SettleOutcome::Applied);
        assert_eq!(state(&store, 1).await, Some(State::Reported));
        let twice = store.settle(fresh.lease, Settlement::Reported, None).await.expect("settled");
        assert_eq!(twice, SettleOutcome::LeaseLost);
        let unknown = Lease { message: sid(9), token: 1 };
        let nobody = store.settle(unknown, Settlement::Reported, None).await.expect("settled");
        assert_eq!(nobody, SettleOutcome::LeaseLost);
    }
}

#[tokio::test]
async fn a_failing_receipt_undoes_a_confirmation_that_twilio_has_only_declined() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        for (n, status_code, expected) in [
            (1, Some(503), State::Undelivered),
            (2, Some(429), State::Undelivered),
            // It may have reached Twilio.
            (3, None, State::Confirmed),
            (4, Some(200), State::Confirmed),
        ] {
            let message = MessageUpdate { recipient: Some(person(n)), ..registered(n, 0) };
            store.remember(message).await.expect("remembered");
            let observed = store.observe(acted(person(n), Some(SENDER), 0)).await;
            assert_eq!(observed.expect("observed"), ObserveOutcome::Confirmed(sid(n)));
            let claimed = claim(&store).await[0];
            let under_way = store.remember(status(n, "undelivered", 0)).await.expect("remembered");
            assert_eq!(under_way.withdrawn, [], "its post is under way");
            let attempt = LastAttempt {
                number: 1,
                ended_at: at(0),
                took_ms: 1,
                status: status_code,
                code: None,
                message: String::new(),
            };
            let retry = Settlement::Retry { after: Duration::from_mins(1), spent: Duration::ZERO };
            store.settle(claimed.lease, retry, Some(attempt)).await.expect("settled");
            store.remember(status(n, "undelivered", 1)).await.expect("remembered");
            assert_eq!(state(&store, n).await, Some(expected), "{status_code:?}");
            assert_eq!(store.counts(), recount(&store).await);
        }
    }
}

#[tokio::test]
async fn a_retry_keeps_its_due_time_whatever_else_is_known_about_its_message() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        confirmed(&store, 1, 0).await;
        let claimed = claim(&store).await[0];
        let attempt = LastAttempt {
            number: 1,
            ended_at: at(0),
            took_ms: 1,
            status: Some(503),
            code: None,
            message: String::new(),
        };
        let retry = Settlement::Retry { after: Duration::from_mins(1), spent: Duration::ZERO };
        store.settle(claimed.lease, retry, Some(attempt)).await.expect("settled");
        store.remember(status(1, "delivered", 1)).await.expect("remembered");
        let due = store.next_due(&Quotas::default()).await.expect("known");
        assert_eq!(due, Some(Duration::from_mins(1)));
    }
}

#[tokio::test]
async fn an_attempt_that_a_crash_interrupted_counts_and_is_repeated() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        confirmed(&store, 1, 0).await;
        let stale = claim(&store).await[0];
        drop(store);
        hands.set(31);
        let store = backend.usual(&hands);
        let again = claim(&store).await[0];
        assert_eq!(again.attempts, 2);
        let lost = store.settle(stale.lease, Settlement::Reported, None).await.expect("settled");
        assert_eq!(lost, SettleOutcome::LeaseLost);
    }
}

#[tokio::test]
async fn each_settlement_has_its_documented_effect() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        confirmed(&store, 1, 0).await;

        let lease = claim(&store).await[0].lease;
        let (after, spent) = (Duration::from_secs(5), Duration::from_secs(3));
        store.settle(lease, Settlement::Retry { after, spent }, None).await.expect("settled");
        assert_eq!(store.next_due(&Quotas::default()).await.expect("known"), Some(after));
        assert!(claim(&store).await.is_empty(), "not before its time");

        hands.set(5);
        let second = claim(&store).await[0];
        assert_eq!((second.attempts, second.spent), (2, spent));
        store.settle(second.lease, Settlement::Release { after }, None).await.expect("settled");

        hands.set(10);
        let third = claim(&store).await[0];
        assert_eq!((third.attempts, third.spent), (2, spent), "the message was returned");
        let refusal = Refusal { status: Some(400), code: None, message: "no".to_owned() };
        store
            .settle(third.lease, Settlement::Refused(refusal.clone()), None)
            .await
            .expect("settled");
        let refused = store.show(sid(1)).await.expect("looked up").expect("there");
        assert_eq!((refused.state, refused.refusal), (State::Refused, Some(refusal)));
        assert_eq!(store.next_due(&Quotas::default()).await.expect("known"), None);

        confirmed(&store, 2, 10).await;
        let lease = claim(&store).await[0].lease;
        store.settle(lease, Settlement::Reported, None).await.expect("settled");
        let reported = store.show(sid(2)).await.expect("looked up").expect("there");
        assert_eq!((reported.state, reported.reported_at), (State::Reported, Some(at(10))));
        assert_eq!(store.next_due(&Quotas::default()).await.expect("known"), None);
    }
}

#[tokio::test]
async fn only_a_refused_message_can_be_requeued_and_its_attempts_start_over() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        assert_eq!(
            store.requeue(sid(1), RequeueFrom::Refused).await.expect("answered"),
            Requeued::Unknown
        );
        confirmed(&store, 1, 0).await;
        let early = store.requeue(sid(1), RequeueFrom::Refused).await.expect("answered");
        assert_eq!(early, Requeued::NotQueued(State::Confirmed));
        refuse(&store, 1).await;
        let queued = store.requeue(sid(1), RequeueFrom::Refused).await.expect("answered");
        assert!(matches!(queued, Requeued::Queued(m) if m.state == State::Confirmed));
        let again = claim(&store).await[0];
        assert_eq!((again.attempts, again.spent), (1, Duration::ZERO));
    }
}

#[tokio::test]
async fn a_message_is_requeued_only_if_reported_since_that_time_and_keeps_its_report() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let since = |second| RequeueFrom::ReportedSince(at(second));
        confirmed(&store, 1, 0).await;
        let early = store.requeue(sid(1), since(0)).await.expect("answered");
        assert_eq!(early, Requeued::NotQueued(State::Confirmed), "it is not reported yet");
        hands.set(10);
        let lease = claim(&store).await[0].lease;
        store.settle(lease, Settlement::Reported, None).await.expect("settled");
        for from in [since(11), RequeueFrom::Refused] {
            let other = store.requeue(sid(1), from).await.expect("answered");
            assert_eq!(other, Requeued::NotQueued(State::Reported));
        }
        hands.set(20);
        let queued = store.requeue(sid(1), since(10)).await.expect("answered");
        let Requeued::Queued(message) = queued else { panic!("{queued:?}") };
        assert_eq!((message.state, message.reported_at), (State::Confirmed, Some(at(10))));
        assert_eq!(message.requeued_at(), Some(at(20)));
        let again = claim(&store).await[0];
        assert_eq!((again.attempts, again.spent), (1, Duration::ZERO));
        store.settle(again.lease, Settlement::Reported, None).await.expect("settled");
        let reported = store.show(sid(1)).await.expect("looked up").expect("there");
        assert_eq!((reported.state, reported.reported_at), (State::Reported, Some(at(20))));
        let unknown = store.requeue(sid(2), since(0)).await.expect("answered");
        assert_eq!(unknown, Requeued::Unknown);
    }
}

#[tokio::test]
async fn a_post_that_is_returned_costs_no_attempt_and_is_counted_as_a_post() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        confirmed(&store, 1, 0).await;
        let attempt = |number| LastAttempt {
            number,
            ended_at: at(0),
            took_ms: 1,
            status: Some(401),
            code: Some(20003),
            message: "Authenticate".to_owned(),
        };
        for posts in 1..=3 {
            let claimed = claim(&store).await[0];
            assert_eq!(claimed.attempts, 1, "returned posts do not change its retry delay");
            let release = Settlement::Release { after: Duration::ZERO };
            let ended = Some(attempt(claimed.attempts));
            store.settle(claimed.lease, release, ended).await.expect("settled");
            let message = store.show(sid(1)).await.expect("looked up").expect("there");
            assert_eq!((message.delivery.attempts, message.posts_made()), (0, posts));
        }
        let claimed = claim(&store).await[0];
        let untried = Settlement::Release { after: Duration::ZERO };
        store.settle(claimed.lease, untried, None).await.expect("settled");
        let message = store.show(sid(1)).await.expect("looked up").expect("there");
        assert_eq!(message.posts_made(), 3, "nothing was posted");
    }
}

#[tokio::test]
async fn next_due_is_zero_for_an_overdue_message_and_none_without_a_due_message() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        assert_eq!(store.next_due(&Quotas::default()).await.expect("known"), None);
        store.remember(registered(1, 0)).await.expect("remembered");
        assert_eq!(
            store.next_due(&Quotas::default()).await.expect("known"),
            None,
            "pending is not due"
        );
        store.observe(direct(1, 0)).await.expect("observed");
        hands.set(500);
        assert_eq!(store.next_due(&Quotas::default()).await.expect("known"), Some(Duration::ZERO));
    }
}

#[tokio::test]
async fn a_due_time_from_a_clock_that_was_ahead_is_due_at_once() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        hands.set(2 * DAY);
        confirmed(&store, 1, 2 * DAY).await;
        let lease = claim(&store).await[0].lease;
        let retry = Settlement::Retry { after: Duration::from_secs(5), spent: LEASE };
        store.settle(lease, retry, None).await.expect("settled");
        confirmed(&store, 2, 2 * DAY).await;
        hands.set(0);
        let due = store.next_due(&Quotas::default()).await.expect("known");
        assert_eq!(due, Some(Duration::ZERO));
        assert_eq!(claimed(&store, 1, &Quotas::default()).await, [sid(2)]);
        assert_eq!(claimed(&store, 9, &Quotas::default()).await, [sid(1)]);
        let due = store.next_due(&Quotas::default()).await.expect("known");
        assert_eq!(due, Some(LEASE), "each lease counts from the current time");
    }
}

#[tokio::test]
async fn a_change_wakes_a_waiter_that_registered_before_it_and_one_that_registers_after() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        let waiter = Arc::clone(&store);
        let waiting = tokio::spawn(async move {
            let changed = waiter.changed();
            assert_eq!(waiter.next_due(&Quotas::default()).await.expect("known"), None);
            changed.await;
        });
        tokio::task::yield_now().await;
        confirmed(&store, 1, 0).await;
        tokio::time::timeout(LEASE, waiting).await.expect("woken").expect("no panic");
        // A change without a waiter wakes the next waiter.
        confirmed(&store, 2, 0).await;
        tokio::time::timeout(LEASE, store.changed()).await.expect("woken");
    }
}

#[tokio::test]
async fn a_sweep_expires_orphans_and_removes_in_bounded_steps() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for n in 1..=20 {
            store.remember(registered(n, 0)).await.expect("remembered");
        }
        store.observe(direct(100, 0)).await.expect("observed");
        store.observe(acted(person(5), Some(SENDER), 0)).await.expect("observed");
        let step = store.expire(5).await.expect("swept");
        assert_eq!(step, Swept { complete: false, ..Swept::default() });
        sweep(&store).await;

        hands.set(10 * MINUTE);
        assert_eq!(sweep(&store).await.orphaned, 1, "inferred evidence waits ten minutes");
        hands.set(7 * DAY);
        let swept = sweep(&store).await;
        assert_eq!((swept.expired, swept.orphaned), (20, 1), "{swept:?}");
        assert_eq!(store.counts().of(State::Expired), 20);
        assert_eq!(entries(&store, Filter::Orphaned, 2).await.len(), 1);

        hands.set(37 * DAY - 1);
        assert_eq!(sweep(&store).await.forgotten(), 0);
        hands.set(37 * DAY);
        assert_eq!(sweep(&store).await.forgotten(), 21);
        assert_eq!(store.counts(), RecordCounts::default());
    }
}

#[tokio::test]
async fn a_message_with_a_confirmed_sibling_is_listed_with_the_siblings_sid() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        for (n, name) in [(1, "x"), (2, "x"), (3, "y")] {
            let bearing =
                MessageUpdate { reference: Some(reference(name)), ..registered(n, i64::from(n)) };
            store.remember(bearing).await.expect("remembered");
        }
        let observed = store.observe(direct(2, 20)).await.expect("observed");
        assert_eq!(observed, ObserveOutcome::Confirmed(sid(2)));
        let listed = entries(&store, superseded(), 5).await;
        let [ListEntry::Message(only)] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((only.sid, only.superseded_by), (sid(1), Some(sid(2))));
    }
}

#[tokio::test]
async fn a_message_with_a_reference_is_kept_while_others_of_the_reference_may_be_confirmed() {
    for backend in every_backend() {
        let hands = Hands::default();
        let short = Duration::from_mins(1);
        let strict = Policy {
            retention: short,
            reply_window: short,
            resend: Resend::OnlyDeliverable,
            ..policy()
        };
        let store = backend.open(&hands, strict, 100);
        for n in [1, 2] {
            let bearing = MessageUpdate { reference: Some(reference("x")), ..registered(n, 0) };
            store.remember(bearing).await.expect("remembered");
        }
        let ambiguous = store.observe(shared("x", 5)).await.expect("observed");
        assert!(matches!(ambiguous, ObserveOutcome::Parked { .. }), "{ambiguous:?}");
        store.observe(direct(2, 6)).await.expect("observed");
        let lease = claim(&store).await.first().expect("claimed").lease;
        store.settle(lease, Settlement::Reported, None).await.expect("settled");
        hands.set(2 * DAY);
        sweep(&store).await;
        assert_eq!(state(&store, 2).await, Some(State::Reported), "it is still there");
        let sent = store.remember(status(1, "sent", 2 * DAY)).await.expect("remembered");
        assert!(sent.confirmed.is_empty(), "the first is not treated as the only one");
        assert_eq!(state(&store, 1).await, Some(State::Pending));
    }
}

#[tokio::test]
async fn a_code_entered_days_later_finds_its_message_among_those_to_the_person() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let key = CodeKey::new(b"the app's key");
        let coded = |n: u32, code: &str, at: i64| MessageUpdate {
            code: Some(key.hmac(sid(n), code)),
            ..registered(n, at)
        };
        store.remember(coded(1, "111111", 0)).await.expect("remembered");
        store.remember(coded(2, "222222", 10)).await.expect("remembered");
        hands.set(3 * DAY);
        let code = Probe::new("111111", std::slice::from_ref(&key));
        let typed = Signal { code, ..reply(1, 3 * DAY) };
        assert_eq!(
            store.observe(typed).await.expect("observed"),
            ObserveOutcome::Confirmed(sid(1))
        );
        let code = async |n| store.show(sid(n)).await.expect("shown").and_then(|m| m.code);
        assert!(code(1).await.is_some() && code(2).await.is_some());
        hands.set(7 * DAY);
        assert!(code(1).await.is_none() && code(2).await.is_none());
    }
}

#[tokio::test]
async fn a_message_expires_on_time_even_without_a_sweep() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        store.remember(registered(1, 0)).await.expect("remembered");
        hands.set(7 * DAY);
        assert_eq!(state(&store, 1).await, Some(State::Expired));
        assert!(entries(&store, in_state(State::Pending), 5).await.is_empty());
        assert_eq!(entries(&store, in_state(State::Expired), 5).await.len(), 1);
        let direct = store.observe(direct(1, 7 * DAY)).await.expect("observed");
        assert_eq!(direct, ObserveOutcome::Confirmed(sid(1)), "a late confirmation is wanted");
    }
}

#[tokio::test]
async fn unfinished_messages_are_never_removed_and_finished_ones_after_their_retention() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        confirmed(&store, 1, 0).await;
        confirmed(&store, 2, 0).await;
        refuse(&store, 2).await;
        store.remember(status(3, "failed", 0)).await.expect("remembered");
        let mut failed = registered(4, 0);
        failed.status = status(4, "failed", 0).status;
        store.remember(failed).await.expect("remembered");
        hands.set(30 * DAY - 1);
        store.remember(registered(5, 30 * DAY - 1)).await.expect("remembered");
        assert_eq!(sweep(&store).await.forgotten(), 1, "only the untracked one, after a day");
        assert_eq!(state(&store, 3).await, None);
        hands.set(30 * DAY);
        assert_eq!(sweep(&store).await.forgotten(), 2, "refused and undelivered");
        hands.set(1000 * DAY);
        sweep(&store).await;
        assert_eq!(state(&store, 1).await, Some(State::Confirmed));
    }
}

#[tokio::test]
async fn a_message_that_may_still_be_the_newest_is_kept_however_short_the_retention() {
    for backend in every_backend() {
        let hands = Hands::default();
        let short = Policy { retention: Duration::from_secs(1), ..policy() };
        let store = backend.open(&hands, short, 1_000_000);
        store.remember(registered(1, 0)).await.expect("remembered");
        confirmed(&store, 2, 10).await;
        refuse(&store, 2).await;
        hands.set(10 * MINUTE);
        sweep(&store).await;
        let replied = store.observe(reply(1, 10 * MINUTE)).await.expect("observed");
        assert_eq!(replied, ObserveOutcome::AlreadyConfirmed(sid(2)), "not the older one");
        hands.set(2 * HOUR);
        assert_eq!(sweep(&store).await.forgotten(), 1, "later it is removed");
        assert_eq!(state(&store, 1).await, Some(State::Pending));
    }
}

#[tokio::test]
async fn a_reply_stays_counted_longer_than_any_message_stays_pending() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        store.observe(reply(1, 0)).await.expect("observed");
        hands.set(7 * DAY + HOUR);
        store.remember(registered(1, 7 * DAY)).await.expect("remembered");
        sweep(&store).await;
        let replayed = store.observe(reply(1, 7 * DAY + 10)).await.expect("observed");
        assert_eq!(replayed, ObserveOutcome::NotConfirmed(Reason::Duplicate));
        hands.set(8 * DAY);
        assert_eq!(sweep(&store).await.forgotten(), 2, "later the reply and its orphan");
    }
}

#[tokio::test]
async fn pages_have_the_requested_length_and_contain_each_record_once() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for n in 1..=23 {
            store.remember(registered(n, 0)).await.expect("remembered");
            if n.is_multiple_of(4) {
                store.observe(direct(n, 0)).await.expect("observed");
            }
        }
        for n in 101..=106 {
            store.observe(direct(n, 0)).await.expect("observed");
        }
        for page_of in [1, 5, 23, 100] {
            let filter = |state: Option<State>| state.map_or(Filter::messages(), in_state);
            assert_eq!(entries(&store, filter(None), page_of).await.len(), 23);
            assert_eq!(entries(&store, filter(Some(State::Confirmed)), page_of).await.len(), 5);
            assert_eq!(entries(&store, filter(Some(State::Pending)), page_of).await.len(), 18);
            assert_eq!(entries(&store, Filter::Parked, page_of).await.len(), 6);
            assert_eq!(entries(&store, Filter::Orphaned, page_of).await.len(), 0);
        }
        let all = entries(&store, Filter::messages(), 4).await;
        let sids: BTreeSet<_> = all
            .iter()
            .map(|entry| match entry {
                ListEntry::Message(message) => message.sid,
                ListEntry::Parked(_) => panic!("not a message"),
            })
            .collect();
        assert_eq!(sids.len(), 23);
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_starts_over() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        store.remember(registered(1, 0)).await.expect("remembered");
        store.observe(direct(2, 0)).await.expect("observed");
        for cursor in [vec![], vec![0], vec![0xff; 40], b"!person-key".to_vec()] {
            for filter in [Filter::messages(), Filter::Parked] {
                let page = store.list(filter, Some(cursor.clone()), 5).await.expect("listed");
                assert_eq!(page.entries.len(), 1, "{cursor:?}");
            }
        }
    }
}

#[tokio::test]
async fn above_the_limit_new_messages_are_refused_and_known_ones_updated() {
    for backend in every_backend() {
        let store = backend.open(&Hands::default(), policy(), 2);
        store.remember(registered(1, 0)).await.expect("remembered");
        store.remember(status(2, "sent", 0)).await.expect("remembered");
        assert_eq!(label(store.remember(registered(3, 0)).await), "max_messages");
        let mut event = direct(3, 0);
        event.message_update = Some(registered(3, 0));
        assert_eq!(label(store.observe(event).await), "max_messages");
        assert_eq!(store.counts().total(), 2);
        assert_eq!(store.show(sid(3)).await.expect("looked up"), None);
        store.remember(registered(2, 0)).await.expect("known");
        let proven = store.observe(direct(1, 0)).await.expect("observed");
        assert_eq!(proven, ObserveOutcome::Confirmed(sid(1)));
    }
}

/// A registration for a recipient of no other message.
fn alone(n: u32, seconds: i64) -> MessageUpdate {
    MessageUpdate { recipient: Some(person(n)), ..registered(n, seconds) }
}

/// Registers message `n` for a recipient of its own and reports it, all at that second.
async fn reported(store: &Arc<dyn Store>, hands: &Hands, n: u32, seconds: i64) {
    hands.set(seconds);
    store.remember(alone(n, seconds)).await.expect("remembered");
    store.observe(direct(n, seconds)).await.expect("observed");
    for claim in claim(store).await {
        store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
    }
}

#[tokio::test]
async fn a_full_store_evicts_the_messages_that_finished_first_for_new_ones() {
    for backend in every_backend() {
        let hands = Hands::default();
        let mut store = backend.open(&hands, policy(), 3);
        for (n, second) in [(3, 0), (1, 1), (2, 2)] {
            reported(&store, &hands, n, second).await;
        }
        let after = HOUR + 11 * MINUTE;
        for (new, second, evicted) in [(10, after, 3), (11, after + 1, 1), (12, after + 2, 2)] {
            hands.set(second);
            drop(store);
            store = backend.open(&hands, policy(), 3);
            assert_eq!(store.evictable().await.expect("counted"), 13 - u64::from(new));
            let remembered = store.remember(alone(new, second)).await.expect("taken in");
            assert!(remembered.new);
            assert_eq!(state(&store, evicted).await, None, "{evicted} goes for {new}");
            assert_eq!(store.counts(), recount(&store).await);
            assert_eq!(store.counts().total(), 3);
        }
        assert_eq!(
            label(store.remember(alone(13, after)).await),
            "max_messages",
            "all are pending"
        );
        let swept = sweep(&store).await;
        assert_eq!((swept.evicted, swept.forgotten()), (1, 0), "since the store was opened");
        assert_eq!(sweep(&store).await.evicted, 0);
    }
}

#[tokio::test]
async fn no_pending_message_and_no_shield_is_evicted() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 4);
        // Message 2 shields message 1, an older one to the same person, from replies for an hour and ten minutes.
        store.remember(registered(1, 0)).await.expect("remembered");
        reported(&store, &hands, 9, 0).await;
        hands.set(10);
        confirmed(&store, 2, 10).await;
        let lease = claim(&store).await.first().expect("claimed").lease;
        store.settle(lease, Settlement::Reported, None).await.expect("settled");
        confirmed(&store, 3, 11).await;
        let full = HOUR + 10 * MINUTE;
        hands.set(full - 1);
        assert_eq!(label(store.remember(alone(20, full)).await), "max_messages");
        hands.set(full);
        assert!(store.remember(alone(20, full)).await.expect("taken in").new);
        assert_eq!(state(&store, 9).await, None);
        assert_eq!(label(store.remember(alone(21, full)).await), "max_messages");
        hands.set(full + 10);
        assert_eq!(label(store.remember(alone(21, full)).await), "max_messages", "1 is pending");
        store.observe(direct(1, full)).await.expect("observed");
        assert!(store.remember(alone(21, full)).await.expect("taken in").new);
        let states = [state(&store, 1).await, state(&store, 2).await, state(&store, 3).await];
        assert_eq!(states, [Some(State::Confirmed), None, Some(State::Confirmed)]);
    }
}

#[tokio::test]
async fn a_message_with_a_reference_is_not_evicted_while_others_of_it_may_be_confirmed() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 1);
        let bearing = MessageUpdate { reference: Some(reference("x")), ..registered(1, 0) };
        store.remember(bearing).await.expect("remembered");
        store.observe(direct(1, 0)).await.expect("observed");
        let lease = claim(&store).await.first().expect("claimed").lease;
        store.settle(lease, Settlement::Reported, None).await.expect("settled");
        hands.set(7 * DAY - 1);
        assert_eq!(label(store.remember(registered(2, 7 * DAY)).await), "max_messages");
        hands.set(7 * DAY);
        assert!(store.remember(registered(2, 7 * DAY)).await.expect("taken in").new);
    }
}

#[tokio::test]
async fn the_messages_of_a_reference_are_evicted_together_or_not_at_all() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 3);
        let bearing =
            |n, at| MessageUpdate { reference: Some(reference("x")), ..registered(n, at) };
        store.remember(bearing(1, 0)).await.expect("remembered");
        store.remember(bearing(2, 60)).await.expect("remembered");
        store.observe(direct(2, 70)).await.expect("observed");
        let lease = claim(&store).await.first().expect("claimed").lease;
        store.settle(lease, Settlement::Reported, None).await.expect("settled");
        // The older one expired a minute ago and was not swept yet.
        let week = 7 * DAY + 60;
        hands.set(week);
        for (n, total) in [(10, 3), (11, 2)] {
            store.remember(registered(n, week)).await.expect("taken in");
            assert_eq!(store.counts().total(), total, "at {n}");
        }
        let late = store.observe(shared("x", week)).await.expect("observed");
        assert!(
            matches!(late, ObserveOutcome::Parked { .. }),
            "nothing is left to confirm: {late:?}"
        );
        assert_eq!((state(&store, 1).await, state(&store, 2).await), (None, None));
    }
}

#[tokio::test]
async fn late_evidence_confirms_no_older_message_after_an_eviction() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 2);
        let theirs = |n, at| MessageUpdate { recipient: Some(person(9)), ..registered(n, at) };
        let since = 3 * HOUR;
        hands.set(since);
        store.remember(theirs(1, 0)).await.expect("remembered");
        store.remember(theirs(2, 10 * MINUTE)).await.expect("remembered");
        store.observe(direct(2, since)).await.expect("observed");
        for claim in claim(&store).await {
            store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
        }
        let other = alone(3, since);
        assert_eq!(
            label(store.remember(other.clone()).await),
            "max_messages",
            "2 stays because of 1"
        );
        let sender = SenderHint::default();
        let by_person = EvidenceTarget::Person { recipient: person(9), sender };
        let by_person = evidence(by_person, 15 * MINUTE);
        let late = store
            .observe(Signal { evidence: Ok(by_person), ..direct(1, 15 * MINUTE) })
            .await
            .expect("observed");
        assert!(matches!(late, ObserveOutcome::AlreadyConfirmed(of) if of == sid(2)), "{late:?}");
        // No evidence can confirm the older one any more.
        hands.set(since + 7 * DAY);
        assert!(store.remember(other).await.expect("taken in").new);
        assert_eq!(store.counts().total(), 2);
    }
}

#[tokio::test]
async fn messages_that_must_stay_do_not_prevent_the_eviction_of_others() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 2 * 130 + 2);
        let of = |n: u32, at, user: u32| MessageUpdate {
            recipient: Some(person(5000 + user)),
            reference: Some(reference(&format!("user-{user}"))),
            ..registered(n, at)
        };
        for user in 0..130 {
            store.remember(of(1000 + user, 0, user)).await.expect("remembered");
            store.observe(direct(1000 + user, 0)).await.expect("observed");
        }
        for claim in claim_each(&store).await {
            store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
        }
        for n in [1, 2] {
            reported(&store, &hands, n, 6 * DAY).await;
        }
        for user in 0..130 {
            store.remember(of(2000 + user, 6 * DAY, user)).await.expect("remembered");
        }
        hands.set(7 * DAY);
        for n in [11, 12] {
            assert!(store.remember(alone(n, 7 * DAY)).await.expect("taken in").new, "{n}");
        }
        let new = alone(13, 7 * DAY);
        assert_eq!(label(store.remember(new.clone()).await), "max_messages");
        assert_eq!(store.evictable().await.expect("counted"), 0);
        // A message under one of the references is settled, so its whole group can be evicted once
        // no message shields another.
        store.observe(direct(2005, 7 * DAY)).await.expect("observed");
        for claim in claim(&store).await {
            store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
        }
        assert_eq!(label(store.remember(new.clone()).await), "max_messages", "it shields");
        hands.set(13 * DAY);
        assert!(store.remember(new).await.expect("taken in").new);
        assert_eq!(store.counts().total(), 2 * 130 + 1, "a group of two goes for one message");
    }
}

#[tokio::test]
async fn more_messages_under_one_reference_than_are_loaded_are_evicted_from_the_oldest_on() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 70);
        for n in 1..=70 {
            let at = i64::from(n);
            hands.set(at);
            let of = MessageUpdate { reference: Some(reference("signup")), ..alone(n, at) };
            store.remember(of).await.expect("remembered");
            store.observe(direct(n, at)).await.expect("observed");
        }
        for claim in claim_each(&store).await {
            store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
        }
        hands.set(8 * DAY);
        for n in 1..=7 {
            let new = 100 + n;
            assert!(store.remember(alone(new, 8 * DAY)).await.expect("taken in").new, "{n}");
            assert_eq!(state(&store, n).await, None, "{n}");
        }
        assert_eq!(store.counts().total(), 7, "the last 64 are evicted together");
    }
}

#[tokio::test]
async fn untracked_messages_are_evicted_first_and_refused_ones_last() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.open(&hands, policy(), 4);
        confirmed(&store, 1, 0).await;
        refuse(&store, 1).await;
        reported(&store, &hands, 2, 1).await;
        let failed = MessageUpdate { status: status(3, "failed", 2).status, ..alone(3, 2) };
        store.remember(failed).await.expect("remembered");
        hands.set(5);
        store
            .remember(MessageUpdate { recipient: Some(person(4)), ..status(4, "sent", 5) })
            .await
            .expect("remembered");
        hands.set(DAY / 2);
        for (new, evicted) in [(11, 4), (12, 2), (13, 3), (14, 1)] {
            assert!(store.remember(alone(new, DAY / 2)).await.expect("taken in").new);
            assert_eq!(state(&store, evicted).await, None, "{evicted} goes for {new}");
        }
        assert_eq!(store.counts().of(State::Pending), 4);
    }
}

#[tokio::test]
async fn a_store_above_a_lowered_limit_shrinks_a_little_with_each_new_message() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for n in 1..=10 {
            reported(&store, &hands, n, i64::from(n)).await;
        }
        drop(store);
        hands.set(2 * HOUR);
        let store = backend.open(&hands, policy(), 8);
        let mut totals = Vec::new();
        for n in 21..=24 {
            store.remember(registered(n, 2 * HOUR)).await.expect("taken in");
            totals.push(store.counts().total());
        }
        assert_eq!(totals, [9, 8, 8, 8]);
    }
}

#[tokio::test]
async fn a_full_store_confirms_no_message_that_a_store_with_room_would_not() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..12 {
        let hands = Hands::default();
        let [full, roomy] = [backends(), backends()].map(|mut all| all.remove(0));
        let (full, roomy) =
            (full.open(&hands, policy(), 30), roomy.open(&hands, policy(), 1_000_000));
        let (mut now, mut refused) = (0, 0);
        for step in 1..=250_u32 {
            now += i64::from(dice.n(30) * dice.n(600));
            hands.set(now);
            match dice.below(6) {
                0..=2 => {
                    let mut sighting = registered(step, now);
                    sighting.recipient = Some(person(1 + dice.n(3)));
                    sighting.reference =
                        dice.n(8).eq(&0).then(|| reference(&dice.n(3).to_string()));
                    match full.remember(sighting.clone()).await {
                        Ok(_) => drop(roomy.remember(sighting).await.expect("remembered")),
                        // The registration is repeated, to both stores.
                        Err(_) => refused += 1,
                    }
                }
                3 => {
                    let signal = acted(person(1 + dice.n(3)), Some(SENDER), now);
                    let room = roomy.observe(signal.clone()).await.expect("observed");
                    let tight = full.observe(signal).await.expect("observed");
                    if matches!(tight, ObserveOutcome::Confirmed(_)) {
                        assert_eq!(tight, room, "step {step}");
                    }
                }
                4 => {
                    let name = dice.n(3).to_string();
                    roomy.observe(shared(&name, now)).await.expect("observed");
                    let tight = full.observe(shared(&name, now)).await.expect("observed");
                    if let ObserveOutcome::Confirmed(sid) = tight {
                        let all = roomy
                            .messages_with_reference(reference(&name), 1)
                            .await
                            .expect("found");
                        assert_eq!(all.first().map(|newest| newest.sid), Some(sid), "step {step}");
                    }
                }
                _ => {
                    for store in [&full, &roomy] {
                        for claim in claim(store).await {
                            let lease = claim.lease;
                            store.settle(lease, Settlement::Reported, None).await.expect("settled");
                        }
                        sweep(store).await;
                    }
                }
            }
        }
        assert!(full.counts().total() <= 30 && roomy.counts().total() > 50, "{refused}");
        assert_eq!(full.counts(), recount(&full).await);
    }
}

#[tokio::test]
async fn a_closed_store_executes_no_command() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        store.health().await.expect("ready");
        store.close().await;
        store.close().await;
        assert_eq!(label(store.remember(registered(1, 0)).await), "closed");
        assert_eq!(label(store.observe(reply(1, 0)).await), "closed");
        assert_eq!(label(store.claim(1, LEASE, &Quotas::default()).await), "closed");
        let lease = Lease { message: sid(1), token: 1 };
        assert_eq!(label(store.settle(lease, Settlement::Reported, None).await), "closed");
        assert_eq!(label(store.next_due(&Quotas::default()).await), "closed");
        assert_eq!(label(store.expire(1).await), "closed");
        assert_eq!(label(store.list(Filter::Parked, None, 1).await), "closed");
        assert_eq!(label(store.show(sid(1)).await), "closed");
        assert_eq!(label(store.requeue(sid(1), RequeueFrom::Refused).await), "closed");
        assert_eq!(label(store.health().await), "closed");
    }
}

#[tokio::test]
async fn evidence_parked_again_beside_its_own_orphan_is_counted_once() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        store.observe(direct(1, 0)).await.expect("observed");
        hands.set(7 * DAY);
        store.observe(direct(1, 7 * DAY)).await.expect("observed");
        assert_eq!(store.counts(), recount(&store).await, "expired without a sweep");
        hands.set(14 * DAY);
        sweep(&store).await;
        store.observe(direct(1, 14 * DAY)).await.expect("observed");
        assert_eq!(store.counts(), recount(&store).await, "orphaned");
    }
}

#[tokio::test]
async fn evidence_that_is_parked_again_beside_an_equal_act_is_counted_once() {
    const NAMES: [&str; 2] = ["whatsapp:+15551230001", "whatsapp:US.13491208655302741918"];
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        let [number, id] = NAMES.map(address);
        let names = NAMES.map(|name| Address::parse(name).expect("valid"));
        let names = RecipientNames::of(&RecipientHashKey::new(b"test"), account(), &names);
        let to = |n, recipient| MessageUpdate { recipient: Some(recipient), ..registered(n, 0) };
        let act = acted(id, Some(SENDER), 0);
        store.remember(to(1, number)).await.expect("remembered");
        let key = CodeKey::new(b"the app's key");
        let code = Probe::new("111111", std::slice::from_ref(&key));
        store.observe(Signal { code, ..act.clone() }).await.expect("observed");
        let names = names.map(|names| (account(), names));
        let tied = store.observe(Signal { names, ..act }).await.expect("observed");
        assert_eq!(tied, ObserveOutcome::Confirmed(sid(1)));
        assert_eq!(store.counts(), recount(&store).await, "confirmed");
        // Either message may be the one, so the confirmation is withdrawn and its evidence is parked again.
        let newer = store.remember(to(2, number)).await.expect("remembered");
        assert_eq!(newer.withdrawn, [sid(1)]);
        assert_eq!(store.counts(), recount(&store).await, "withdrawn");
    }
}

/// A deterministic stream of numbers below `bound`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
    fn n(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).expect("small")
    }
}

#[tokio::test]
async fn counts_equal_a_recount_after_any_run_and_after_opening_again() {
    for backend in every_backend() {
        let hands = Hands::default();
        let mut store = backend.usual(&hands);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut now = 0;
        for step in 0..1200 {
            now += i64::from(dice.n(40) * dice.n(40) * dice.n(60));
            hands.set(now);
            let n = 1 + dice.n(60);
            match dice.below(10) {
                0 | 1 => {
                    let mut sighting = registered(n, now);
                    sighting.strict = false;
                    sighting.recipient = Some(person(1 + n % 4));
                    sighting.reference =
                        (n.is_multiple_of(3)).then(|| crate::given::reference("r"));
                    store.remember(sighting).await.expect("remembered");
                }
                2 => {
                    let word =
                        ["sent", "delivered", "failed"][usize::from(n.is_multiple_of(3)) * 2];
                    store.remember(status(n, word, now)).await.expect("remembered");
                }
                3 => drop(store.observe(direct(n, now)).await.expect("observed")),
                4 => drop(store.observe(shared("r", now)).await.expect("observed")),
                5 => {
                    let acted = acted(person(1 + n % 4), Some(SENDER), now);
                    store.observe(acted).await.expect("observed");
                }
                6 => drop(store.observe(reply(n, now)).await.expect("observed")),
                7 => {
                    for (nth, claim) in claim(&store).await.into_iter().enumerate() {
                        let settlement = match nth % 4 {
                            0 => Settlement::Reported,
                            1 => Settlement::Retry { after: LEASE, spent: LEASE },
                            2 => Settlement::Release { after: LEASE },
                            _ => Settlement::Refused(Refusal {
                                status: None,
                                code: None,
                                message: String::new(),
                            }),
                        };
                        store.settle(claim.lease, settlement, None).await.expect("settled");
                    }
                }
                8 => drop(store.requeue(sid(n), RequeueFrom::Refused).await.expect("answered")),
                _ => drop(store.expire(20).await.expect("swept")),
            }
            if step % 300 == 299 {
                sweep(&store).await;
                assert_eq!(store.counts(), recount(&store).await, "step {step}");
                let before = store.counts();
                let stats = seen(&store.stats().await.expect("counted"));
                drop(store);
                store = backend.usual(&hands);
                assert_eq!(store.counts(), before, "opened again at step {step}");
                assert_eq!(seen(&store.stats().await.expect("counted")), stats, "step {step}");
            }
        }
        assert!(store.counts().total() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_registration_that_races_its_evidence_is_confirmed_exactly_once() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        let mut tasks = Vec::new();
        for n in 1..=60 {
            let mut sighting = registered(n, 0);
            sighting.recipient = Some(person(n));
            sighting.reference = Some(crate::given::reference(&n.to_string()));
            let evidence = match n % 3 {
                0 => direct(n, 1),
                1 => shared(&n.to_string(), 1),
                _ => acted(person(n), Some(SENDER), 1),
            };
            for _ in 0..2 {
                let (registers, sighting) = (Arc::clone(&store), sighting.clone());
                tasks.push(tokio::spawn(async move {
                    registers.remember(sighting).await.expect("remembered").confirmed.len()
                }));
                let (witness, evidence) = (Arc::clone(&store), evidence.clone());
                tasks.push(tokio::spawn(async move {
                    let observed = witness.observe(evidence).await.expect("observed");
                    usize::from(matches!(observed, ObserveOutcome::Confirmed(_)))
                }));
            }
        }
        let mut confirmations = 0;
        for task in tasks {
            confirmations += task.await.expect("no panic");
        }
        assert_eq!(confirmations, 60);
        assert_eq!(store.counts().of(State::Confirmed), 60);
        assert_eq!(store.counts().parked, 0);
        let mut claimed = 0;
        // A backend may return fewer claims in one call than the limit.
        while let got @ 1.. =
            store.claim(20, LEASE, &Quotas::default()).await.expect("claimed").len()
        {
            claimed += got;
        }
        assert_eq!(claimed, 60);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_concurrent_writers_are_all_answered_and_all_durable() {
    for backend in every_backend() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let writers: Vec<_> = (0..64)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for n in 0..8 {
                        confirmed(&store, 1 + writer * 100 + n, 0).await;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("answered");
        }
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(store.counts().of(State::Confirmed), 512);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_attempt_is_claimed_twice_under_concurrent_claims() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        for n in 1..=40 {
            confirmed(&store, n, 0).await;
        }
        let askers: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    store.claim(5, LEASE, &Quotas::default()).await.expect("claimed")
                })
            })
            .collect();
        let mut all = Vec::new();
        for asker in askers {
            all.extend(asker.await.expect("no panic"));
        }
        assert_eq!(all.len(), 40);
        let sids: BTreeSet<_> = all.iter().map(|claim| claim.feedback.message).collect();
        assert_eq!(sids.len(), 40);
    }
}

#[tokio::test]
async fn stored_times_are_returned_with_full_precision() {
    for backend in every_backend() {
        let store = backend.usual(&Hands::default());
        let fine = Duration::from_nanos(700_900);
        let mut sighting = registered(1, 0);
        sighting.created_at = Some(at(0) + fine);
        sighting.seen_at = at(0) + fine;
        let returned = store.remember(sighting).await.expect("remembered").message;
        assert_eq!(store.show(sid(1)).await.expect("looked up"), Some(returned));
        let mut reply = reply(1, 0);
        reply.evidence.as_mut().expect("evidence").occurred_at = at(10) + fine;
        store.observe(reply).await.expect("observed");
        let kept = store.show(sid(1)).await.expect("looked up").expect("there");
        let proof = kept.proof.expect("confirmed");
        assert_eq!((proof.basis, proof.occurred_at), (Basis::Inferred, at(10)));
    }
}
