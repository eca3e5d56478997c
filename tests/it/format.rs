//! Stores of an older format: opened, made into today's, and nothing of them lost.
//!
//! Formats 1 and 2 had entries by due time, of which 1 named no account in its own, and by recipient. What that
//! looked like with many messages is put together here by hand, seal included; a small one that the first
//! release wrote itself lies in `tests/fixtures/stores/`.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::address::{Address, Recipient};
use heardback::domain::matching::{Observed, Reason};
use heardback::domain::message::{Message, State};
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{Evidence, Named, Once, Sighting, Signal};
use heardback::store::sled::{Options, SledStore, backup};
use heardback::store::{Clock, Entry, Filter, Forgotten, Quotas, Store};
use jiff::Timestamp;

use crate::given::{
    Hands, account, direct, evidence, options, raw_sled, reference, registered, sid, sled, try_sled,
};

const LEASE: Duration = Duration::from_secs(30);

fn second_account() -> AccountSid {
    AccountSid::parse("AC0123456789ABCDEF0123456789abcdef").expect("valid")
}

/// A store with so many confirmed messages of two accounts by turns, and one that is under way.
async fn filled(folder: &Path, messages: u32) -> Vec<Message> {
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
    let page = store.list(Filter::messages(), None, 1000).await.expect("listed");
    store.close().await;
    let messages = page.entries.into_iter().map(|entry| match entry {
        Entry::Message(message) => *message,
        Entry::Parked(parked) => panic!("{parked:?}"),
    });
    messages.collect()
}

/// FNV-1a over length, key and value, as the seal sums it up.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let length = u16::try_from(key.len()).expect("short").to_be_bytes();
    length.iter().chain(key).chain(value).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What an older format had besides: entries by due time, in format 2 with the account, and by recipient.
fn former(message: &Message, format: u32) -> Vec<Vec<u8>> {
    let moment = |at: Timestamp| (at.as_millisecond().cast_unsigned() ^ (1 << 63)).to_be_bytes();
    let (mut account, mut sid) = (Vec::new(), Vec::new());
    message.account.pack_into(&mut account);
    message.sid.pack_into(&mut sid);
    let of_account = if format == 1 { &[][..] } else { &account };
    let due = message.delivery.due_at.expect("due");
    let to = message.recipient.expect("known").person;
    let created = moment(message.created_at);
    vec![
        [b"d", of_account, &moment(due), &sid].concat(),
        [&b"p"[..], to.as_bytes(), &created, &sid].concat(),
    ]
}

/// Takes today's store back to an older format; `some`: as far as an upgrade that was cut short had left
/// it, which is one of today's then.
fn made_old(folder: &Path, messages: &[Message], format: u32, some: impl Fn(usize) -> bool) {
    let db = raw_sled(folder);
    for (at, message) in messages.iter().enumerate().filter(|(at, _)| some(*at)) {
        for key in former(message, format) {
            assert_eq!(db.insert(key, b"").expect("written"), None, "{at}");
        }
    }
    let entries = db.iter().map(|entry| entry.expect("read"));
    let entries = entries.filter(|(key, _)| key.first() != Some(&b'!'));
    let sum = entries.fold(0_u64, |sum, (key, value)| sum.wrapping_add(hash(&key, &value)));
    let seal = db.get(b"!seal").expect("read").expect("there");
    db.insert(b"!seal", [&seal[..8], &sum.to_be_bytes()].concat()).expect("written");
    db.flush().expect("flushed");
    drop(db);
    fs::write(folder.join("FORMAT"), format!("{format}\n")).expect("written");
}

/// How many entries there are that today's format has not.
fn formers(folder: &Path) -> usize {
    let db = raw_sled(folder);
    db.scan_prefix(b"d").chain(db.scan_prefix(b"p")).count()
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
async fn a_store_of_an_older_format_is_opened_and_everything_due_is_handed_out_in_its_order() {
    const MESSAGES: u32 = 200;
    let cut_short = |at: usize| at.is_multiple_of(3);
    let all = |_: usize| true;
    for (format, some) in [(1, &all as &dyn Fn(usize) -> bool), (2, &all), (3, &cut_short)] {
        let folder = tempfile::tempdir().expect("a folder");
        let messages = filled(folder.path(), MESSAGES).await;
        assert_eq!(formers(folder.path()), 0);
        made_old(folder.path(), &messages, format, some);
        assert!(formers(folder.path()) > 100);

        let hands = Hands::default();
        hands.set(i64::from(MESSAGES) + 1);
        let store = sled(folder.path(), hands.clock());
        assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "4\n");
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
        assert_eq!(formers(folder.path()), 0, "what is worked out is on no disk");

        let again = try_sled(folder.path(), hands.clock()).expect("its seal adds up");
        let page = again.list(Filter::in_state(State::Confirmed), None, 1000).await;
        assert_eq!(page.expect("listed").entries.len(), MESSAGES as usize);
    }
}

#[tokio::test]
async fn on_a_full_disk_an_older_format_is_opened_all_the_same_and_tidied_up_later() {
    const MESSAGES: u32 = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let messages = filled(folder.path(), MESSAGES).await;
    made_old(folder.path(), &messages, 2, |_| true);
    let hands = Hands::default();
    let full = options(folder.path(), hands.clock());
    let store = SledStore::open(Options { free_space: Arc::new(|| Ok(100 << 20)), ..full });
    let store = store.expect("it opens");
    hands.set(i64::from(MESSAGES));
    let due = store.claim(100, LEASE, &Quotas::default()).await.expect("claimed");
    assert!(due.len() > 90, "what is due goes out");
    store.close().await;
    drop(store);
    assert_eq!(formers(folder.path()), 2 * messages.len());
    sled(folder.path(), hands.clock()).close().await;
    assert_eq!(formers(folder.path()), 0);
}

#[tokio::test]
async fn a_store_of_format_1_in_which_nothing_waits_is_opened_too() {
    let folder = tempfile::tempdir().expect("a folder");
    sled(folder.path(), Hands::default().clock()).close().await;
    fs::write(folder.path().join("FORMAT"), "1\n").expect("written");
    let store = sled(folder.path(), Hands::default().clock());
    store.remember(registered(1, 0)).await.expect("remembered");
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "4\n");
}

/// A store in `tests/fixtures/stores`, in a folder of its own. The README there says what is in it.
fn fixture(name: &str) -> tempfile::TempDir {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores").join(name);
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(fixture).expect("a fixture") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
    }
    folder
}

fn with_its_key(folder: &Path, clock: Clock) -> SledStore {
    let person_key = Some(b"the phone key of a test fixture".to_vec());
    SledStore::open(Options { person_key, ..options(folder, clock) }).expect("it opens")
}

/// Half past six in the evening of the day on which it was made.
fn its_day() -> Clock {
    let then: jiff::Timestamp = "2026-11-23T18:30:00Z".parse().expect("a time");
    Arc::new(move || then)
}

const STATES: [State; 7] = [
    State::Reported,
    State::Refused,
    State::Confirmed,
    State::Pending,
    State::Reported,
    State::Untracked,
    State::Undelivered,
];

#[tokio::test]
async fn a_store_that_the_first_release_wrote_is_opened_with_everything_that_it_acknowledged() {
    let folder = fixture("format-1");
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "1\n");
    let store = with_its_key(folder.path(), its_day());
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "4\n");
    for (n, state) in (1..).zip(STATES) {
        let message = store.show(sid(n)).await.expect("looked up").expect("known");
        assert_eq!(message.state, state, "{n}");
        let name = message.reference.as_ref().map(|name| name.as_str().to_owned());
        assert_eq!(name, (n < 6).then(|| format!("login-{n}")), "{n}");
    }
    let counts = store.counts();
    assert_eq!((counts.total(), counts.parked, counts.orphaned), (7, 2, 0));
    let refused = store.show(sid(2)).await.expect("looked up").and_then(|known| known.refusal);
    assert_eq!(refused.and_then(|refusal| refusal.code), Some(21000));

    // What was under way is due, by the account that the old key did not name.
    let quotas = Quotas::from([(account(), 4)]);
    let claims = store.claim(4, LEASE, &quotas).await.expect("claimed");
    let claimed: Vec<_> = claims.iter().map(|claim| claim.feedback.message).collect();
    assert_eq!(claimed, [sid(3)]);
    // The reply that it counted is counted still, and its indexes lead to their messages.
    let again = Signal { evidence: Ok(evidence(Named::Message(sid(4)), 0)), ..direct(4, 0) };
    let replay = Signal { once: vec![Once::Message(sid(0xfa))], ..again };
    let observed = store.observe(replay).await.expect("observed");
    assert!(matches!(observed, Observed::Nothing(Reason::Duplicate)), "{observed:?}");
    assert_eq!(store.show(sid(4)).await.expect("shown").map(|m| m.state), Some(State::Pending));
    let named = Named::Reference(reference("login-4"));
    let of_it = Evidence { occurred_at: its_day()(), ..evidence(named, 0) };
    let signal = Signal { evidence: Ok(of_it), seen_at: its_day()(), ..direct(4, 0) };
    store.observe(signal).await.expect("observed");
    assert_eq!(store.show(sid(4)).await.expect("shown").map(|m| m.state), Some(State::Confirmed));
    store.close().await;
    drop(store);
    assert_eq!(with_its_key(folder.path(), its_day()).counts().total(), 7, "its seal adds up");
}

#[tokio::test]
async fn a_backup_of_what_the_first_release_wrote_keeps_its_format_until_it_is_served() {
    let folder = fixture("format-1");
    let mut file = Vec::new();
    let now = its_day()();
    backup::backup(folder.path(), Duration::ZERO, now, &mut file).expect("backed up");
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "1\n");
    let restored = tempfile::tempdir().expect("a folder");
    let contents = backup::restore(Cursor::new(file), restored.path()).expect("restored");
    assert_eq!((contents.format, contents.counts.total(), contents.counts.parked), (1, 7, 2));
    assert_eq!(fs::read_to_string(restored.path().join("FORMAT")).expect("there"), "1\n");
    let store = with_its_key(restored.path(), its_day());
    for (n, state) in (1..).zip(STATES) {
        assert_eq!(store.show(sid(n)).await.expect("shown").map(|m| m.state), Some(state), "{n}");
    }
}

/// A minute after it was killed, while all that waits in it waits still.
fn a_minute_later() -> Clock {
    let then: Timestamp = "2026-11-28T15:08:00Z".parse().expect("a time");
    Arc::new(move || then)
}

/// The person whose evidence waits in a store of format 3.
const WAITS: &str = "+15551234569";

fn to(store: &SledStore, number: &str) -> Recipient {
    let address = Address::parse(number).expect("valid");
    store.person_key().recipient(account(), &address)
}

#[tokio::test]
async fn evidence_that_waits_in_a_store_of_format_3_finds_its_message() {
    let folder = fixture("format-3");
    let store = with_its_key(folder.path(), a_minute_later());
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "4\n");
    for (n, state) in (1..).zip(STATES) {
        assert_eq!(store.show(sid(n)).await.expect("shown").map(|m| m.state), Some(state), "{n}");
    }
    assert_eq!(store.counts().parked, 4);
    let created_at = "2026-11-28T15:05:00Z".parse().expect("a time");
    let other = to(&store, "+15551234560");
    let sighting = |n, recipient, name: Option<&str>| Sighting {
        recipient: Some(recipient),
        from: Some("+15017122661".to_owned()),
        reference: name.map(reference),
        created_at: Some(created_at),
        seen_at: a_minute_later()(),
        ..registered(n, 0)
    };
    let waited_for = [
        sighting(8, other, Some("login-8")),
        sighting(9, to(&store, WAITS), None),
        sighting(10, other, None),
        sighting(11, other, Some("login-11")),
    ];
    for (left, sighting) in (0..4).rev().zip(waited_for) {
        let n = sighting.sid;
        store.remember(sighting).await.expect("remembered");
        let message = store.show(n).await.expect("shown").expect("known");
        assert_eq!((message.state, message.trace), (State::Confirmed, None), "{n}");
        assert_eq!(store.counts().parked, left, "{n}");
    }
    store.close().await;
    drop(store);
    let store = with_its_key(folder.path(), a_minute_later());
    assert_eq!((store.counts().total(), store.counts().parked), (11, 0), "its seal adds up");
}

#[tokio::test]
async fn evidence_that_waits_in_a_store_of_format_3_is_forgotten_with_its_person() {
    let folder = fixture("format-3");
    let store = with_its_key(folder.path(), a_minute_later());
    let whom = vec![Address::parse(WAITS).expect("valid")];
    let forgotten = store.forget(whom).await.expect("forgotten");
    assert_eq!(forgotten, Forgotten { evidence: 1, ..Forgotten::default() });
    assert_eq!(store.counts().parked, 3);
    store.close().await;
    drop(store);
    assert_eq!(with_its_key(folder.path(), a_minute_later()).counts().parked, 3);
}
