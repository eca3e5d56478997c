//! The erasure of persons in every store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::address::{Address, Recipient};
use heardback::domain::click_link::Link;
use heardback::domain::feedback::Settlement;
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::message::State;
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{EvidenceTarget, MessageUpdate, SenderHint, Signal};
use heardback::store::{
    Filter, Forgotten, ListPage, Quotas, RecordCounts, RequeueFrom, Requeued, SettleOutcome, Store,
};

use crate::contract::backends;
use crate::given::{
    Hands, SENDER, account, acted, clicked, direct, link, reference, registered, reply, shared,
    sid, signal, superseded, token,
};

const LEASE: Duration = Duration::from_secs(30);
const ANNA: &str = "+15551230001";
const BERT: &str = "+15551230002";

fn address(text: &str) -> Address {
    Address::parse_recipient(text).expect("an address")
}

fn known(store: &Arc<dyn Store>, account: AccountSid, text: &str) -> Recipient {
    store.recipient_hash_key().recipient(account, &address(text))
}

/// Message `n` to that address, perhaps under a reference.
fn to(store: &Arc<dyn Store>, n: u32, text: &str, name: Option<&str>) -> MessageUpdate {
    MessageUpdate {
        recipient: Some(known(store, account(), text)),
        reference: name.map(reference),
        ..registered(n, i64::from(n))
    }
}

async fn remember(store: &Arc<dyn Store>, sighting: MessageUpdate) {
    store.remember(sighting).await.expect("remembered");
}

async fn observe(store: &Arc<dyn Store>, signal: Signal) -> ObserveOutcome {
    store.observe(signal).await.expect("observed")
}

async fn forget(store: &Arc<dyn Store>, texts: &[&str]) -> Forgotten {
    let addresses = texts.iter().map(|text| address(text)).collect();
    store.forget(addresses).await.expect("forgotten")
}

async fn states(store: &Arc<dyn Store>) -> Vec<(u32, State)> {
    let mut states = Vec::new();
    for n in 1..=40 {
        let message = store.show(sid(n)).await.expect("looked up");
        states.extend(message.map(|message| (n, message.state)));
    }
    states
}

async fn page(store: &Arc<dyn Store>, filter: Filter) -> ListPage {
    store.list(filter, None, 100).await.expect("listed")
}

#[tokio::test]
async fn their_messages_are_removed_in_every_state_and_no_other_messages() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for (n, text) in [
            (1, ANNA),
            (2, BERT),
            (3, "whatsapp:+1 (555) 123-0001"),
            (4, "rcs:+15551230001"),
            (5, "messenger:15551230001"),
            (6, ANNA),
            (7, BERT),
            (8, ANNA),
            (9, "whatsapp:+15551230002"),
        ] {
            remember(&store, to(&store, n, text, None)).await;
        }
        hands.set(20);
        // Reported, refused, claimed, and confirmed without a claim.
        for n in [1, 6, 7, 8] {
            observe(&store, direct(n, 15)).await;
        }
        let claims = store.claim(3, LEASE, &Quotas::default()).await.expect("claimed");
        let lease = |n| claims.iter().find(|c| c.feedback.message == sid(n)).expect("due").lease;
        store.settle(lease(1), Settlement::Reported, None).await.expect("settled");
        store.settle(lease(7), Settlement::Reported, None).await.expect("settled");

        let forgotten = forget(&store, &[ANNA]).await;
        let expected = Forgotten { messages: 5, unreported: 2, ..Forgotten::default() };
        assert_eq!(forgotten, expected);
        let left =
            [(2, State::Pending), (5, State::Pending), (7, State::Reported), (9, State::Pending)];
        assert_eq!(states(&store).await, left);
        assert_eq!(store.counts().total(), 4);
        assert_eq!(store.requeue(sid(8), RequeueFrom::Refused).await, Ok(Requeued::Unknown));
        let settled = store.settle(lease(6), Settlement::Reported, None).await;
        assert_eq!(settled, Ok(SettleOutcome::LeaseLost), "a removed message is not settled");
        assert_eq!(store.next_due(&Quotas::default()).await, Ok(None), "no message is due");
        assert_eq!(
            forget(&store, &[ANNA]).await,
            Forgotten::default(),
            "a second run finds no record"
        );

        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(states(&store).await, left, "the removal survives a restart");
    }
}

#[tokio::test]
async fn later_messages_of_a_forgotten_person_are_new() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let anna = known(&store, account(), ANNA);
        remember(&store, to(&store, 1, ANNA, None)).await;
        hands.set(5);
        let replied = Signal { evidence: acted(anna, Some(SENDER), 4).evidence, ..reply(1, 4) };
        assert_eq!(observe(&store, replied.clone()).await, ObserveOutcome::Confirmed(sid(1)));
        forget(&store, &[ANNA]).await;
        remember(&store, to(&store, 2, ANNA, None)).await;
        let again = observe(&store, replied).await;
        assert_eq!(again.as_str(), "none", "the counted reply is still known: {again:?}");
        hands.set(9);
        let newer = Signal { evidence: acted(anna, Some(SENDER), 8).evidence, ..reply(2, 8) };
        assert_eq!(observe(&store, newer).await, ObserveOutcome::Confirmed(sid(2)));
    }
}

#[tokio::test]
async fn every_account_forgets_and_several_persons_are_forgotten_together() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let other = AccountSid::parse("AC1123456789abcdef0123456789abcdef").expect("valid");
        let of_other = MessageUpdate {
            account: other,
            recipient: Some(known(&store, other, ANNA)),
            ..registered(1, 1)
        };
        remember(&store, of_other).await;
        remember(&store, to(&store, 2, ANNA, None)).await;
        remember(&store, to(&store, 3, BERT, None)).await;
        remember(&store, to(&store, 4, "+15551230003", None)).await;
        assert_eq!(forget(&store, &[ANNA, BERT]).await.messages, 3);
        assert_eq!(states(&store).await, [(4, State::Pending)]);
    }
}

/// The removed message may have been meant, so evidence by its reference does not prove another
/// one.
#[tokio::test]
async fn evidence_by_the_reference_of_a_removed_message_proves_no_remaining_message() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        remember(&store, to(&store, 1, BERT, Some("login-1"))).await;
        remember(&store, to(&store, 2, ANNA, Some("login-1"))).await;
        remember(&store, to(&store, 3, BERT, Some("login-2"))).await;
        hands.set(10);
        let forgotten = forget(&store, &[ANNA]).await;
        let expected = Forgotten { messages: 1, references: 1, ..Forgotten::default() };
        assert_eq!(forgotten, expected);
        let observed = observe(&store, shared("login-1", 10)).await;
        assert_eq!(observed.as_str(), "parked", "{observed:?}");
        assert_eq!(observe(&store, shared("login-2", 10)).await, ObserveOutcome::Confirmed(sid(3)));
        assert_eq!(observe(&store, direct(1, 10)).await, ObserveOutcome::Confirmed(sid(1)));
        for n in [1, 3] {
            let message = store.show(sid(n)).await.expect("looked up").expect("there");
            assert_eq!(message.reference.is_some(), n == 3);
        }
    }
}

#[tokio::test]
async fn a_message_does_not_name_a_removed_sibling_as_confirmed() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        remember(&store, to(&store, 1, BERT, Some("login-1"))).await;
        remember(&store, to(&store, 2, ANNA, Some("login-1"))).await;
        hands.set(10);
        assert_eq!(observe(&store, shared("login-1", 10)).await, ObserveOutcome::Confirmed(sid(2)));
        let listed = page(&store, superseded()).await;
        assert_eq!(listed.entries.len(), 1);
        forget(&store, &[ANNA]).await;
        assert_eq!(page(&store, superseded()).await.entries, []);
    }
}

#[tokio::test]
async fn their_links_and_parked_evidence_are_removed_and_no_others() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        // Links in Anna's message, in Bert's, for Anna's login, for Bert's, and without either.
        for (n, name) in
            [(1, None), (2, None), (3, Some("login-1")), (4, Some("login-2")), (5, None)]
        {
            let made: Link = link(name, 0);
            store.keep_link(token(n).id(), made).await.expect("kept");
        }
        let holding = |n: u32, text: &str, name: &str, held: u8| MessageUpdate {
            link: Some(token(held).id()),
            ..to(&store, n, text, Some(name))
        };
        remember(&store, holding(1, ANNA, "login-1", 1)).await;
        remember(&store, holding(2, BERT, "login-2", 2)).await;
        hands.set(10);
        let anna = known(&store, account(), ANNA);
        let bert = known(&store, account(), BERT);
        let (number, whatsapp) =
            store.recipient_hash_key().caller(account(), &address(ANNA)).expect("a number");
        let sender = SenderHint { address: Some("+15550007777".to_owned()), service: None };
        let called = EvidenceTarget::Caller { recipient: number, whatsapp, sender };
        let mut parked = 0;
        for signal in [
            acted(anna, Some("+15550007777"), 9),
            acted(bert, Some("+15550007777"), 9),
            signal(called, 9),
            clicked(5, 9),
            shared("login-3", 9),
            direct(9, 9),
        ] {
            let observed = observe(&store, signal).await;
            assert_eq!(observed.as_str(), "parked", "{observed:?}");
            parked += 1;
        }
        assert_eq!(store.counts().parked, parked);

        let forgotten = forget(&store, &[ANNA]).await;
        let expected = Forgotten { messages: 1, evidence: 2, links: 2, ..Forgotten::default() };
        assert_eq!(forgotten, expected);
        let mut kept = BTreeSet::new();
        for n in 1..=5 {
            let link = store.link(token(n).id()).await.expect("looked up");
            kept.extend(link.map(|_| n));
        }
        assert_eq!(kept, BTreeSet::from([2, 4, 5]));
        let RecordCounts { parked, links, .. } = store.counts();
        assert_eq!((parked, links), (4, 3));
        assert_eq!(page(&store, Filter::Parked).await.entries.len(), 4);
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(store.counts().links, 3, "the store opens");
    }
}

/// More messages than the writer erases at a time.
#[tokio::test]
async fn all_messages_of_a_person_with_many_are_removed() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        for n in 1..=400 {
            let text = if n % 2 == 0 { ANNA } else { BERT };
            remember(&store, to(&store, n, text, Some("campaign"))).await;
        }
        let forgotten = forget(&store, &[ANNA]).await;
        let expected = Forgotten { messages: 200, references: 200, ..Forgotten::default() };
        assert_eq!(forgotten, expected);
        assert_eq!(store.counts().total(), 200);
    }
}
