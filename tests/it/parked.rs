//! Parked evidence is bounded by `HEARDBACK_MAX_PARKED`, fairly among accounts, and refused
//! evidence is never acknowledged.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use heardback::domain::matching::{DEFAULT_MAX_PARKED, INFERRED_PARKED_FOR, ObserveOutcome};
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::Signal;
use heardback::store::sled::{Options, SledStore, usage};
use heardback::store::{Filter, Store, StoreError};
use serde_json::Value;

use crate::given::{
    DAY, Hands, MINUTE, SENDER, acted, direct, options, person, reference, registered, shared, sid,
    texted,
};
use crate::harness::{Harness, LONG, eventually, form};

fn opened(folder: &std::path::Path, hands: &Hands, max_parked: u64) -> Arc<dyn Store> {
    let given = options(folder, hands.clock());
    Arc::new(SledStore::open(Options { max_parked, ..given }).expect("it opens"))
}

fn of_account(n: u32, signal: Signal) -> Signal {
    let account = AccountSid::parse(&format!("AC{n:032x}")).expect("valid");
    let evidence =
        signal.evidence.map(|evidence| heardback::domain::signal::Evidence { account, ..evidence });
    Signal { evidence, ..signal }
}

fn is_refused(observed: &Result<ObserveOutcome, StoreError>) -> bool {
    matches!(observed, Err(StoreError::Unavailable { label: "max_parked", .. }))
}

async fn parked(store: &Arc<dyn Store>, signal: Signal) -> bool {
    match store.observe(signal).await {
        Ok(ObserveOutcome::Parked { .. }) => true,
        Ok(other) => panic!("{other:?}"),
        refused => {
            assert!(is_refused(&refused), "{refused:?}");
            false
        }
    }
}

#[tokio::test]
async fn an_account_at_its_share_of_parked_evidence_is_refused_and_no_other_account_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let hands = Hands::default();
    let store = opened(folder.path(), &hands, 10);
    let mut taken = Vec::new();
    for number in 1..=20 {
        if parked(&store, of_account(1, shared(&format!("r{number}"), 0))).await {
            taken.push(number);
        }
    }
    assert_eq!(taken, [1, 2, 3, 4, 5], "alone an account gets half");
    let counts = store.counts();
    assert_eq!((counts.parked, counts.parked_fullest, counts.parked_share), (5, 5, 5));
    assert!(parked(&store, of_account(2, shared("other", 0))).await, "a second account has room");
    assert!(parked(&store, of_account(3, shared("third", 0))).await, "and a third");
    assert!(!parked(&store, of_account(1, shared("r6", 0))).await);
    // Evidence that is parked already needs no further row.
    assert!(parked(&store, of_account(1, shared("r5", 0))).await);
    drop(store);
    let store = opened(folder.path(), &hands, 10);
    assert!(!parked(&store, of_account(1, shared("r6", 0))).await, "a restart forgets no row");
    assert_eq!(store.counts().parked_fullest, 5);
}

#[tokio::test]
async fn evidence_refused_for_the_limit_leaves_nothing_and_counts_when_it_is_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path(), &Hands::default(), 2);
    assert!(parked(&store, shared("first", 0)).await);
    let reply = || texted(7, acted(person(7), None, 0));
    assert!(is_refused(&store.observe(reply()).await));
    // Evidence about known messages is not parked, so the limit does not concern it.
    store.remember(registered(1, 0)).await.expect("remembered");
    assert_eq!(store.observe(direct(1, 0)).await, Ok(ObserveOutcome::Confirmed(sid(1))));
    // A registration settles the parked evidence, and so makes room.
    let mut of = registered(2, 0);
    (of.recipient, of.reference) = (Some(person(2)), Some(reference("first")));
    let remembered = store.remember(of).await.expect("remembered");
    assert_eq!(remembered.confirmed, [sid(2)]);
    assert!(parked(&store, reply()).await, "the refused reply was not counted as seen");
    let known = texted(8, acted(person(1), Some(SENDER), 30));
    assert_eq!(store.observe(known).await, Ok(ObserveOutcome::AlreadyConfirmed(sid(1))));
}

#[tokio::test]
async fn orphaned_evidence_is_bounded_too_and_takes_no_room_from_parked_evidence() {
    let folder = tempfile::tempdir().expect("a folder");
    let hands = Hands::default();
    let store = opened(folder.path(), &hands, 8);
    let wait = i64::try_from(INFERRED_PARKED_FOR.as_secs()).expect("minutes") + MINUTE;
    let mut rows = 0;
    for round in 0..6 {
        let now = i64::from(round) * 2 * wait;
        hands.set(now);
        for n in 0..4 {
            let number = round * 4 + n;
            let stray = texted(number, acted(person(100 + number), None, now));
            assert!(parked(&store, stray).await, "round {round}: orphans take no room");
        }
        hands.set(now + wait);
        let swept = store.expire(1000).await.expect("swept");
        assert_eq!(swept.orphaned, 4, "round {round}");
        rows = store.counts().parked + store.counts().orphaned;
        assert!(rows <= 8, "round {round}: {rows}");
    }
    assert_eq!(rows, 8);
    assert_eq!(store.counts().parked_fullest, 0);
    // A lowered limit applies to the existing orphans.
    drop(store);
    let store = opened(folder.path(), &hands, 3);
    store.expire(1000).await.expect("swept");
    let page = store.list(Filter::Orphaned, None, 100).await.expect("listed");
    assert_eq!((store.counts().orphaned, page.entries.len()), (3, 3));
    hands.set(40 * DAY);
    store.expire(1000).await.expect("swept");
    assert_eq!(store.counts().orphaned, 0);
}

#[tokio::test]
async fn the_default_limit_of_parked_evidence_leaves_half_of_a_volume_of_1_gib_free() {
    const ROWS: u32 = 20_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path(), &Hands::default(), u64::from(ROWS) * 2);
    let before = usage(folder.path()).expect("known").used;
    for part in 0..ROWS / 500 {
        let signals = (part * 500..(part + 1) * 500).map(|n| {
            // The longest reference and label that an app may give.
            let name = format!("{n:0>128}");
            let mut signal = shared(&name, i64::from(n));
            signal.evidence.as_mut().expect("evidence").label = "x".repeat(32);
            store.observe(signal)
        });
        for observed in join_all(signals).await {
            assert!(matches!(observed, Ok(ObserveOutcome::Parked { .. })), "{observed:?}");
        }
    }
    let row = (usage(folder.path()).expect("known").used - before) / u64::from(ROWS);
    println!("a parked row takes {row} bytes of the disk");
    // All accounts together may park the limit, and as many rows may be orphaned.
    let most = 2 * DEFAULT_MAX_PARKED * row;
    assert!(most < 500 << 20, "{most} bytes, {row} a row");
    tokio::time::timeout(Duration::from_mins(1), store.close()).await.expect("closed");
}

#[test]
fn parked_evidence_over_the_share_gets_503_and_is_counted_found_and_measured() {
    let harness = Harness::new(&[("HEARDBACK_MAX_PARKED", "20")]);
    let findings = || -> Vec<Value> {
        let ready = harness.service.operator("/readyz").json();
        ready["findings"].as_array().expect("a list").clone()
    };
    let has = || findings().iter().any(|finding| finding["id"] == "too_many_parked");
    let event = |n: u32| {
        let name = format!("nobody-{n}");
        harness.send(&form("/app/events", &[("Reference", &name), ("Type", "code_entered")])).status
    };
    for n in 1..=9 {
        assert_eq!(event(n), 202, "{n}");
    }
    assert!(!has(), "nine of ten is not over nine tenths");
    assert_eq!(event(10), 202);
    let refused = "heardback_refusals_total{reason=\"max_parked\"}";
    assert_eq!(harness.service.metric(refused), 0);
    assert_eq!(event(11), 503);
    assert_eq!(harness.service.metric(refused), 1);
    eventually("the finding is given", LONG, has);
    let metrics = harness.service.operator("/metrics").text();
    assert!(metrics.contains("heardback_parked_used_ratio 1.0"), "{metrics}");
    let found = findings().into_iter().find(|finding| finding["id"] == "too_many_parked");
    let found = found.expect("one");
    assert_eq!(found["severity"], "critical", "{found}");
    assert!(found["what"].as_str().is_some_and(|what| what.contains("HTTP 503")), "{found}");
    assert_eq!(harness.service.operator("/readyz").status, 200);
    assert_eq!(harness.confirm(1).status, 200, "evidence about a known message is accepted");
}
