//! Stores of an older format: opened, made into today's, and nothing of them lost.
//!
//! Format 1 had no account in its due keys. What it looked like is put together here by hand, seal
//! included, for no release that writes it can be run here.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::message::State;
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{Evidence, Named, Sighting, Signal};
use heardback::store::{Filter, Quotas, Store};

use crate::given::{Hands, account, direct, evidence, registered, sid, sled, try_sled};

const LEASE: Duration = Duration::from_secs(30);

fn second_account() -> AccountSid {
    AccountSid::parse("AC0123456789ABCDEF0123456789abcdef").expect("valid")
}

/// A store with so many confirmed messages of two accounts by turns, and one that is under way.
async fn filled(folder: &Path, messages: u32) {
    let hands = Hands::default();
    let store = sled(folder, hands.clock());
    for n in 1..=messages {
        let seconds = i64::from(n);
        hands.set(seconds);
        let account = if n.is_multiple_of(2) { account() } else { second_account() };
        let sighting = Sighting { account, ..registered(n, seconds) };
        store.remember(sighting).await.expect("remembered");
        let evidence = Evidence { account, ..evidence(Named::Message(sid(n)), seconds) };
        let signal = Signal { evidence: Ok(evidence), ..direct(n, seconds) };
        store.observe(signal).await.expect("observed");
    }
    let claims = store.claim(1, LEASE, &Quotas::default()).await.expect("claimed");
    assert_eq!(claims.len(), 1);
    store.close().await;
}

/// FNV-1a over length, key and value, as the seal sums it up.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let length = u16::try_from(key.len()).expect("short").to_be_bytes();
    length.iter().chain(key).chain(value).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Today's due key as format 1 wrote it: `d`, the time, the message.
fn without_account(key: &[u8]) -> Vec<u8> {
    let account = if key[1] & 0x80 == 0 { 17 } else { 33 };
    [&key[..1], &key[1 + account..]].concat()
}

/// Takes today's store back to format 1; `some`: as far as an upgrade that was cut short had left it.
fn made_old(folder: &Path, some: impl Fn(usize) -> bool) {
    let db = ::sled::open(folder).expect("opens");
    let due: Vec<_> = db.scan_prefix(b"d").keys().collect::<Result<_, _>>().expect("read");
    assert!(!due.is_empty());
    for (at, key) in due.iter().enumerate().filter(|(at, _)| some(*at)) {
        assert!(key.len() > 42, "{at}");
        db.remove(key).expect("removed");
        db.insert(without_account(key), b"").expect("written");
    }
    let entries = db.iter().map(|entry| entry.expect("read"));
    let entries = entries.filter(|(key, _)| key.first() != Some(&b'!'));
    let sum = entries.fold(0_u64, |sum, (key, value)| sum.wrapping_add(hash(&key, &value)));
    let seal = db.get(b"!seal").expect("read").expect("there");
    db.insert(b"!seal", [&seal[..8], &sum.to_be_bytes()].concat()).expect("written");
    db.flush().expect("flushed");
    drop(db);
    fs::write(folder.join("FORMAT"), "1\n").expect("written");
}

fn due_keys(folder: &Path) -> Vec<Vec<u8>> {
    let db = ::sled::open(folder).expect("opens");
    db.scan_prefix(b"d").keys().map(|key| key.expect("read").to_vec()).collect()
}

async fn order(store: &Arc<dyn Store>) -> Vec<MessageSid> {
    let mut order = Vec::new();
    loop {
        let claims = store.claim(40, LEASE, &Quotas::default()).await.expect("claimed");
        if claims.is_empty() {
            return order;
        }
        order.extend(claims.iter().map(|claim| claim.feedback.message));
    }
}

#[tokio::test]
async fn a_store_of_format_1_is_opened_and_everything_due_is_handed_out_in_its_order() {
    const MESSAGES: u32 = 200;
    let cut_short = |at: usize| at.is_multiple_of(3);
    for some in [&|_| true, &cut_short as &dyn Fn(usize) -> bool] {
        let folder = tempfile::tempdir().expect("a folder");
        filled(folder.path(), MESSAGES).await;
        let whole = due_keys(folder.path());
        made_old(folder.path(), some);
        assert!(due_keys(folder.path()).iter().any(|key| key.len() == 26));

        let hands = Hands::default();
        hands.set(i64::from(MESSAGES));
        let store = sled(folder.path(), hands.clock());
        assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "2\n");
        assert_eq!(store.counts().of(State::Confirmed), u64::from(MESSAGES));
        let two = Quotas::from([(account(), 2), (second_account(), 0)]);
        let claims = store.claim(40, LEASE, &two).await.expect("claimed");
        let first: Vec<_> = claims.iter().map(|claim| claim.feedback.message).collect();
        assert_eq!(first, [sid(2), sid(4)], "its own account's alone");
        let rest = order(&store).await;
        assert_eq!(rest.len(), MESSAGES as usize - 2);
        // What was under way when the old process ended is due at once, and so it comes last.
        let expected = (3..=MESSAGES).filter(|n| *n != 4).chain([1]).map(sid);
        assert_eq!(rest, expected.collect::<Vec<_>>());
        store.close().await;
        drop(store);
        assert_eq!(due_keys(folder.path()).len(), whole.len(), "none is there twice");

        let again = try_sled(folder.path(), hands.clock()).expect("its seal adds up");
        let page = again.list(Filter::Messages(Some(State::Confirmed)), None, 1000).await;
        assert_eq!(page.expect("listed").entries.len(), MESSAGES as usize);
    }
}

#[tokio::test]
async fn a_store_of_format_1_in_which_nothing_waits_is_opened_too() {
    let folder = tempfile::tempdir().expect("a folder");
    sled(folder.path(), Hands::default().clock()).close().await;
    fs::write(folder.path().join("FORMAT"), "1\n").expect("written");
    let store = sled(folder.path(), Hands::default().clock());
    store.remember(registered(1, 0)).await.expect("remembered");
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "2\n");
}
