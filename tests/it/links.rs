//! The effect of a click on a click link: judged in the [`ReferenceStore`], and by every store.

use std::sync::Arc;

use heardback::domain::click_link::Link;
use heardback::domain::matching::{ObserveOutcome, Reason, later};
use heardback::domain::message::{Basis, State};
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{MessageUpdate, Signal};
use heardback::store::{Filter, Store, StoreError};

use crate::contract::backends;
use crate::given::{
    DAY, Hands, clicked, direct, link, policy, reference, registered, shared, sid, status, token,
};
use crate::reference_store::ReferenceStore;

/// A book in which link 1 was created at second 0, perhaps for a reference.
fn book(name: Option<&str>) -> ReferenceStore {
    let mut book = ReferenceStore::default();
    book.links.insert(token(1).id(), link(name, 0));
    book
}

/// Message `n`, with link 1 in its text.
fn holding(n: u32, seconds: i64) -> MessageUpdate {
    MessageUpdate { link: Some(token(1).id()), ..registered(n, seconds) }
}

fn bearing(n: u32, name: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { reference: Some(reference(name)), ..registered(n, seconds) }
}

fn parked_because(observed: &ObserveOutcome) -> Option<Reason> {
    match observed {
        ObserveOutcome::Parked { reason, .. } => Some(*reason),
        ObserveOutcome::Confirmed(_)
        | ObserveOutcome::AlreadyConfirmed(_)
        | ObserveOutcome::NotConfirmed(_) => None,
    }
}

fn basis(book: &ReferenceStore, n: u32) -> Option<Basis> {
    book.messages[&sid(n)].proof.as_ref().map(|proof| proof.basis)
}

#[test]
fn a_click_is_direct_evidence_for_the_message_that_holds_the_link() {
    let mut book = book(None);
    book.remember(&holding(1, 1));
    book.remember(&registered(2, 2));
    assert_eq!(book.observe(&clicked(1, 3)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Direct));
    assert_eq!(book.observe(&clicked(1, 4)), ObserveOutcome::AlreadyConfirmed(sid(1)));
    assert_eq!(book.state(sid(2)), State::Pending, "the newest, but not the one with the link");
}

#[test]
fn a_link_opened_before_its_message_was_sent_proves_nothing() {
    let mut book = book(None);
    assert_eq!(parked_because(&book.observe(&clicked(1, 5))), Some(Reason::LinkUnknown));
    book.now = 3 * DAY;
    assert!(book.remember(&holding(1, 3 * DAY)).confirmed.is_empty());
    assert!(book.parked.is_empty(), "the click is not parked");
    assert_eq!(book.observe(&clicked(1, 3 * DAY + 5)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn a_click_overrules_a_receipt_that_says_undelivered_and_an_expired_message() {
    let mut book = book(None);
    book.remember(&holding(1, 1));
    book.remember(&status(1, "undelivered", 2));
    assert_eq!(book.observe(&clicked(1, 3)), ObserveOutcome::Confirmed(sid(1)));
    let mut book = self::book(None);
    book.remember(&holding(1, 1));
    book.now = 8 * DAY;
    assert_eq!(book.observe(&clicked(1, 8 * DAY)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn a_click_before_the_link_is_bound_waits_and_settles_when_it_is_bound() {
    let mut book = book(None);
    assert_eq!(parked_because(&book.observe(&clicked(1, 1))), Some(Reason::LinkUnknown));
    assert_eq!(book.observe(&clicked(1, 1)).as_str(), "parked");
    assert_eq!(book.parked.len(), 1, "two clicks count as one");
    assert!(book.remember(&registered(2, 2)).confirmed.is_empty(), "another message");
    assert_eq!(book.remember(&holding(1, 3)).confirmed, [sid(1)]);
    assert_eq!((basis(&book, 1), book.parked.len()), (Some(Basis::Direct), 0));
}

#[test]
fn a_link_is_bound_once_and_repeating_the_binding_is_no_error() {
    let mut book = book(None);
    book.remember(&holding(1, 1));
    assert!(!book.remember(&holding(1, 2)).new);
    let error = book.try_remember(&holding(2, 3)).expect_err("another message's");
    assert_eq!((error.field, error.sid), ("Link", sid(2)));
    assert!(!book.messages.contains_key(&sid(2)), "nothing of it was stored");
    assert_eq!(book.links[&token(1).id()].message, Some(sid(1)));
}

#[test]
fn an_unknown_link_an_expired_one_and_one_of_another_account_bind_to_nothing() {
    let field =
        |book: &mut ReferenceStore| book.try_remember(&holding(1, 1)).expect_err("refused").field;
    assert_eq!(field(&mut ReferenceStore::default()), "Link");
    let mut lapsed = book(None);
    lapsed.now = 37 * DAY;
    assert_eq!(field(&mut lapsed), "Link");
    let account = AccountSid::parse("AC1123456789abcdef0123456789abcdef").expect("valid");
    let mut others = ReferenceStore::default();
    others.links.insert(token(1).id(), Link { account, ..link(None, 0) });
    assert_eq!(field(&mut others), "Link");
}

#[test]
fn a_link_with_only_a_reference_counts_for_the_reference() {
    let mut book = book(Some("login-1"));
    book.remember(&bearing(1, "login-1", 1));
    assert_eq!(book.observe(&clicked(1, 2)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Shared));
}

#[test]
fn a_click_on_a_link_with_only_a_reference_waits_for_a_message_with_it() {
    let mut book = book(Some("login-1"));
    assert_eq!(parked_because(&book.observe(&clicked(1, 1))), Some(Reason::NoMessage));
    assert!(book.remember(&bearing(2, "login-2", 2)).confirmed.is_empty());
    assert_eq!(book.remember(&bearing(1, "login-1", 3)).confirmed, [sid(1)]);
    assert!(book.parked.is_empty());
}

#[test]
fn a_link_proves_nothing_about_a_message_that_was_known_before_the_link_was_created() {
    let mut book = ReferenceStore::default();
    book.remember(&bearing(1, "login-1", 0));
    book.links.insert(token(1).id(), link(Some("login-1"), 60));
    assert_eq!(parked_because(&book.observe(&clicked(1, 90))), Some(Reason::NoMessage));
    book.remember(&status(1, "delivered", 95));
    assert_eq!(book.state(sid(1)), State::Pending, "its text is older than the link");
    // The resend that the link was created for.
    let resend = MessageUpdate { reference: Some(reference("login-1")), ..holding(2, 100) };
    assert_eq!(book.remember(&resend).confirmed, [sid(2)]);
    assert_eq!((basis(&book, 2), book.state(sid(1))), (Some(Basis::Direct), State::Pending));
    assert_eq!(book.messages[&sid(1)].superseded_by, Some(sid(2)));
}

#[test]
fn a_click_by_reference_takes_no_message_from_a_click_on_the_messages_own_link() {
    let mut book = book(Some("login-1"));
    book.links.insert(token(2).id(), link(None, 0));
    book.observe(&clicked(1, 5));
    book.observe(&clicked(2, 6));
    let first = MessageUpdate { link: Some(token(2).id()), ..bearing(1, "login-1", 1) };
    assert_eq!(book.remember(&first).confirmed, [sid(1)]);
    assert_eq!(basis(&book, 1), Some(Basis::Direct));
    // The earlier click was about the message with its link, which is registered only now.
    assert_eq!(book.remember(&holding(2, 2)).confirmed, [sid(2)]);
    assert_eq!((basis(&book, 1), basis(&book, 2)), (Some(Basis::Direct), Some(Basis::Direct)));
}

#[test]
fn a_message_belongs_to_the_reference_of_its_link() {
    let mut book = book(Some("login-1"));
    let message = book.remember(&holding(1, 1)).message;
    assert_eq!(message.reference, Some(reference("login-1")));
    assert_eq!(book.observe(&shared("login-1", 2)), ObserveOutcome::Confirmed(sid(1)));
    let mut book = self::book(Some("login-1"));
    book.observe(&shared("login-1", 1));
    assert_eq!(book.remember(&holding(1, 0)).confirmed, [sid(1)], "parked evidence settles too");
    for said in [holding(1, 1), registered(1, 1)] {
        let mut book = self::book(Some("login-1"));
        book.remember(&MessageUpdate { link: None, reference: Some(reference("login-2")), ..said });
        let error = book.try_remember(&holding(1, 2)).expect_err("made for another login");
        assert_eq!(error.field, "Link");
    }
}

#[test]
fn a_click_after_its_message_was_removed_is_not_parked() {
    let mut book = book(None);
    book.remember(&holding(1, 1));
    book.messages.clear();
    assert_eq!(book.observe(&clicked(1, 2)), ObserveOutcome::NotConfirmed(Reason::NoMessage));
}

// The stores.

async fn keep(store: &Arc<dyn Store>, n: u8, link: Link) {
    let until = store.keep_link(token(n).id(), link.clone()).await.expect("kept");
    let policy = policy();
    assert_eq!(until, later(link.created_at, policy.pending_ttl + policy.retention));
}

async fn known(store: &Arc<dyn Store>, n: u8) -> Option<Link> {
    store.link(token(n).id()).await.expect("looked up")
}

async fn observed(store: &Arc<dyn Store>, signal: Signal) -> ObserveOutcome {
    store.observe(signal).await.expect("observed")
}

#[tokio::test]
async fn a_link_and_its_binding_survive_a_restart() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        keep(&store, 1, link(None, 0)).await;
        assert_eq!(known(&store, 1).await, Some(link(None, 0)));
        assert_eq!(known(&store, 2).await, None);
        assert_eq!(observed(&store, clicked(1, 1)).await.as_str(), "parked");
        drop(store);
        let store = backend.usual(&hands);
        let remembered = store.remember(holding(1, 2)).await.expect("bound");
        assert_eq!(remembered.confirmed, [sid(1)], "the earlier click still counts");
        assert_eq!(store.counts().parked, 0);
        drop(store);
        let store = backend.usual(&hands);
        assert_eq!(known(&store, 1).await.and_then(|link| link.message), Some(sid(1)));
        let error = store.remember(holding(2, 3)).await.expect_err("another message's");
        assert!(matches!(error, StoreError::Contradiction(found) if found.field == "Link"));
        assert_eq!(store.show(sid(2)).await.expect("looked up"), None);
        assert_eq!(observed(&store, clicked(1, 4)).await, ObserveOutcome::AlreadyConfirmed(sid(1)));
    }
}

#[tokio::test]
async fn a_link_of_a_reference_is_found_by_it_until_it_is_in_a_message() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        keep(&store, 1, link(Some("login-1"), 0)).await;
        keep(&store, 2, link(Some("login-1"), 0)).await;
        assert_eq!(observed(&store, clicked(1, 1)).await.as_str(), "parked");
        drop(store);
        let store = backend.usual(&hands);
        assert!(store.remember(bearing(3, "login-3", 1)).await.expect("new").confirmed.is_empty());
        let remembered = store.remember(bearing(1, "login-1", 2)).await.expect("new");
        assert_eq!(remembered.confirmed, [sid(1)]);
        assert_eq!(store.counts().parked, 0);
        // The other link is bound to a message of the same reference, and counts for that message
        // alone.
        let second = MessageUpdate { link: Some(token(2).id()), ..registered(2, 3) };
        let bound = store.remember(second).await.expect("bound").message;
        assert_eq!(bound.reference, Some(reference("login-1")));
        assert_eq!(observed(&store, clicked(2, 4)).await, ObserveOutcome::Confirmed(sid(2)));
    }
}

#[tokio::test]
async fn a_link_expires_at_its_time_and_is_removed_with_all_its_entries() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        keep(&store, 1, link(Some("login-1"), 0)).await;
        keep(&store, 2, link(None, 0)).await;
        hands.set(37 * DAY - 1);
        assert!(known(&store, 1).await.is_some());
        hands.set(37 * DAY);
        assert_eq!(known(&store, 1).await, None, "swept or not");
        assert_eq!(observed(&store, clicked(1, 37 * DAY)).await.as_str(), "parked");
        assert!(store.remember(holding(1, 37 * DAY)).await.is_err());
        let swept = store.expire(100).await.expect("swept");
        assert_eq!((swept.forgotten(), swept.complete), (2, true));
        drop(store);
        // The store opens again, so its seal matches the remaining records.
        let store = backend.usual(&hands);
        let parked = store.list(Filter::Parked, None, 10).await.expect("listed");
        assert_eq!(parked.entries.len(), 1);
        assert_eq!(store.expire(100).await.expect("swept").forgotten(), 0);
    }
}

#[tokio::test]
async fn the_number_of_links_is_bounded_by_the_message_limit_and_each_is_counted() {
    for backend in backends() {
        let hands = Hands::default();
        let mut store = backend.open(&hands, policy(), 2);
        keep(&store, 1, link(Some("login-1"), 0)).await;
        keep(&store, 2, link(None, DAY)).await;
        for reopened in [false, true] {
            if reopened {
                drop(store);
                store = backend.open(&hands, policy(), 2);
            }
            assert_eq!(store.counts().links, 2);
            let full = store.keep_link(token(3).id(), link(None, DAY)).await;
            let is_full =
                |error| matches!(error, StoreError::Unavailable { label: "max_messages", .. });
            assert!(full.is_err_and(is_full), "reopened: {reopened}");
            assert_eq!(known(&store, 3).await, None);
        }
        store.remember(holding(1, 1)).await.expect("a full store binds an existing link");
        assert_eq!(store.counts().links, 2, "bound or not");
        hands.set(37 * DAY);
        store.expire(100).await.expect("swept");
        assert_eq!(store.counts().links, 1);
        keep(&store, 3, link(None, 37 * DAY)).await;
        assert_eq!(store.counts().links, 2);
        drop(store);
        assert_eq!(backend.open(&hands, policy(), 2).counts().links, 2);
    }
}

#[tokio::test]
async fn a_closed_store_returns_no_link_and_an_error() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        keep(&store, 1, link(None, 0)).await;
        store.remember(holding(1, 0)).await.expect("bound");
        store.observe(direct(1, 0)).await.expect("observed");
        store.close().await;
        let unavailable = |error| matches!(error, StoreError::Unavailable { label: "closed", .. });
        assert!(store.link(token(1).id()).await.is_err_and(unavailable));
        assert!(store.keep_link(token(2).id(), link(None, 0)).await.is_err());
    }
}
