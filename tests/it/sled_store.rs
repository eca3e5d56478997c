//! The parts of the store that are specific to sled: its folder, its guards, and damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heardback::store::sled::backup::verify;
use heardback::store::sled::{OpenError, Options, SledStore, probe};
use heardback::store::{ClockGuard, Quotas, Store, StoreError};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::given::{
    Hands, at, direct, options, policy, raw_sled, registered, reply, sid, sled, status, try_sled,
};

/// Every file in a folder and the folders below, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("heardback.lock") {
            // The lock file names its last holder, so it changes even if the store does not.
            found.insert(path.display().to_string(), fs::read(&path).expect("readable"));
        }
    }
    found
}

fn unavailable<T>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Unavailable { label, .. }) => label,
        Err(StoreError::Contradiction(error)) => panic!("{error}"),
        Ok(_) => panic!("the command succeeded"),
    }
}

/// A closed store with this many messages, a third of them confirmed.
async fn filled(messages: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), Hands::default().clock());
    for n in 1..=messages {
        store.remember(registered(n, -1)).await.expect("remembered");
        if n.is_multiple_of(3) {
            store.observe(direct(n, 0)).await.expect("observed");
        }
    }
    store.close().await;
    folder
}

fn opened(folder: &Path) -> Result<SledStore, OpenError> {
    try_sled(folder, Hands::default().clock())
}

/// A store, and the reported free space of its disk.
fn with_room(folder: &TempDir) -> (SledStore, Arc<AtomicU64>) {
    let free = Arc::new(AtomicU64::new(1 << 40));
    let room = Arc::clone(&free);
    let given = options(folder.path(), Hands::default().clock());
    let free_space = Arc::new(move || Ok(room.load(Ordering::SeqCst)));
    (SledStore::open(Options { free_space, ..given }).expect("opens"), free)
}

#[tokio::test]
async fn below_128_mb_nothing_is_accepted_and_with_room_again_everything_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, free) = with_room(&folder);
    store.remember(registered(1, 0)).await.expect("remembered");

    free.store((128 << 20) - 1, Ordering::SeqCst);
    assert_eq!(unavailable(store.remember(registered(2, 0)).await), "disk_full");
    assert_eq!(unavailable(store.observe(reply(1, 1)).await), "disk_full");
    assert_eq!(unavailable(store.health().await), "disk_full");
    assert_eq!(store.counts().total(), 1, "nothing was written");
    assert_eq!(store.show(sid(2)).await.expect("looked up"), None);

    free.store(128 << 20, Ordering::SeqCst);
    store.remember(registered(2, 0)).await.expect("room again");
    store.observe(reply(1, 1)).await.expect("the refused reply had not been counted");
    store.health().await.expect("ready again");
}

#[tokio::test]
async fn confirmed_messages_are_claimed_between_64_and_128_mb_and_not_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, free) = with_room(&folder);
    store.remember(registered(1, -1)).await.expect("remembered");
    store.observe(direct(1, 0)).await.expect("observed");
    free.store((64 << 20) - 1, Ordering::SeqCst);
    assert_eq!(
        unavailable(store.claim(1, Duration::from_secs(30), &Quotas::default()).await),
        "disk_full"
    );
    free.store(64 << 20, Ordering::SeqCst);
    assert_eq!(
        store.claim(1, Duration::from_secs(30), &Quotas::default()).await.expect("claimed").len(),
        1
    );
}

#[test]
fn a_second_opening_reports_the_process_that_has_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = opened(folder.path()).expect("opens");
    let error = opened(folder.path()).err().expect("refused");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    drop(held);
    opened(folder.path()).expect("free again");
}

#[tokio::test]
async fn a_closed_store_releases_the_folder_though_a_handle_still_exists() {
    let folder = tempfile::tempdir().expect("a folder");
    let closed = sled(folder.path(), Hands::default().clock());
    closed.remember(registered(1, 0)).await.expect("remembered");
    closed.close().await;
    let again = sled(folder.path(), Hands::default().clock());
    assert!(again.show(sid(1)).await.expect("looked up").is_some());
    drop(closed);
    again.remember(registered(2, 0)).await.expect("not disturbed");
}

#[test]
fn the_folder_can_be_opened_and_released_many_times_in_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..20 {
        drop(opened(folder.path()).expect("opens"));
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_no_file_changed() {
    let folder = filled(10).await;
    fs::write(folder.path().join("FORMAT"), "7\n").expect("written");
    let before = files(folder.path());
    let error = opened(folder.path()).err().expect("refused");
    assert!(matches!(error, OpenError::NewerFormat { found: 7, .. }), "{error}");
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn garbage_in_the_format_file_is_refused_and_no_file_changed() {
    let folder = filled(10).await;
    for garbage in [&b""[..], b"\n", b"one", b"0\n", b"\xff\xfe\x00", b"-1", b"99999999999999"] {
        fs::write(folder.path().join("FORMAT"), garbage).expect("written");
        let before = files(folder.path());
        let error = opened(folder.path()).err().expect("refused");
        assert!(matches!(error, OpenError::NotOurs { .. }), "{garbage:?}: {error}");
        assert_eq!(files(folder.path()), before);
    }
}

#[test]
fn a_sled_database_of_another_program_is_refused_and_no_file_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let theirs = raw_sled(folder.path());
    theirs.insert("key", "value").expect("written");
    drop(theirs);
    let before = files(folder.path());
    let error = opened(folder.path()).err().expect("refused");
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    let mut after = files(folder.path());
    after.retain(|name, _| !name.ends_with("heardback.lock"));
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_store_without_its_db_file_is_damaged_not_new() {
    let folder = filled(10).await;
    fs::remove_file(folder.path().join("db")).expect("removed");
    let before = files(folder.path());
    let error = opened(folder.path()).err().expect("refused");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn a_store_whose_creation_was_interrupted_is_created_again() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("FORMAT"), "6 creating\n").expect("written");
    fs::write(folder.path().join("conf"), b"").expect("written");
    fs::write(folder.path().join("db"), b"").expect("written");
    let store = opened(folder.path()).expect("no request was ever acknowledged");
    store.remember(registered(1, 0)).await.expect("remembered");
    drop(store);
    assert_eq!(opened(folder.path()).expect("opens").counts().total(), 1);
    assert_eq!(fs::read_to_string(folder.path().join("FORMAT")).expect("there"), "6\n");
}

fn snapshot(folder: &Path) -> std::path::PathBuf {
    let mut names = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    names.find(|path| path.display().to_string().contains("snap.")).expect("a snapshot")
}

#[tokio::test]
async fn an_unfinished_snapshot_does_not_prevent_the_store_from_opening() {
    let folder = filled(30).await;
    fs::write(folder.path().join("snap.0000000000000FFF.generating"), b"half").expect("written");
    assert_eq!(opened(folder.path()).expect("heals").counts().total(), 30);
}

#[tokio::test]
async fn a_damaged_snapshot_is_set_aside_and_every_record_is_there() {
    let folder = filled(30).await;
    drop(opened(folder.path()).expect("opens, and writes a snapshot"));
    let snapshot = snapshot(folder.path());
    fs::write(&snapshot, b"this is not a snapshot of sled's").expect("written");
    assert_eq!(opened(folder.path()).expect("heals").counts().total(), 30);
    let name = snapshot.file_name().expect("a name");
    assert!(folder.path().join("set-aside").join(name).exists());
}

/// A deterministic stream of bytes.
fn noise(mut seed: u64, len: usize) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

type Damage = Box<dyn Fn(&mut Vec<u8>)>;

/// Kinds of damage to a file, by name.
fn damages() -> Vec<(String, Damage)> {
    let mut ways: Vec<(String, Damage)> = vec![
        ("cut to half".to_owned(), Box::new(|db| db.truncate(db.len() / 2))),
        ("cut to nothing".to_owned(), Box::new(Vec::clear)),
        ("its first 4 KB zero".to_owned(), Box::new(|db| db[..4096].fill(0))),
        ("all zero".to_owned(), Box::new(|db| db.fill(0))),
        ("random bytes".to_owned(), Box::new(|db| *db = noise(7, db.len()))),
        ("its last 600 KB cut".to_owned(), Box::new(|db| db.truncate(db.len() - 600_000))),
    ];
    for part in 1..12 {
        ways.push((
            format!("64 bytes flipped at {part}/12"),
            Box::new(move |db| {
                let from = db.len() / 12 * part;
                db[from..from + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
            }),
        ));
        ways.push((
            format!("4 KB of zeros at {part}/12"),
            Box::new(move |db| {
                let from = db.len() / 12 * part;
                db[from..from + 4096].fill(0);
            }),
        ));
    }
    ways
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

/// Damages a copy of the store in each way, with and without sled's snapshot, and opens it.
fn damage_and_open(
    folder: &Path,
    whole: &heardback::store::RecordCounts,
) -> BTreeMap<String, String> {
    let mut outcomes = BTreeMap::new();
    for (way, damage) in damages() {
        for snapshots in [true, false] {
            let copied = tempfile::tempdir().expect("a folder");
            copy(folder, copied.path());
            if !snapshots {
                let names: Vec<_> = files(copied.path()).into_keys().collect();
                names.iter().filter(|name| name.contains("snap.")).for_each(|name| {
                    fs::remove_file(name).expect("removed");
                });
            }
            let mut db = fs::read(copied.path().join("db")).expect("readable");
            damage(&mut db);
            fs::write(copied.path().join("db"), db).expect("written");
            let before = files(copied.path());
            let way = format!("{way}{}", if snapshots { "" } else { ", no snapshot" });
            match opened(copied.path()) {
                Ok(store) => {
                    assert_eq!(&store.counts(), whole, "{way}: lost silently");
                    outcomes.insert(way, "opened, whole".to_owned());
                }
                Err(error) => {
                    assert!(matches!(error, OpenError::Damaged { .. }), "{way}: {error}");
                    assert_eq!(files(copied.path()), before, "{way}: files changed, {error}");
                    outcomes.insert(way, error.to_string());
                }
            }
        }
    }
    outcomes
}

#[tokio::test]
async fn a_damaged_db_is_refused_unchanged_or_opens_with_every_record() {
    let folder = filled(600).await;
    let whole = {
        let store = opened(folder.path()).expect("opens");
        for n in 1000..1200 {
            store.remember(registered(n, 5)).await.expect("remembered");
        }
        store.counts()
    };
    let outcomes = damage_and_open(folder.path(), &whole);
    let refused = outcomes.values().filter(|outcome| outcome.contains("is damaged")).count();
    assert!(refused > 10, "{outcomes:#?}");
}

/// As if sled opened a log with a hole: the remaining entries are valid.
#[tokio::test]
async fn a_missing_entry_is_detected_at_opening() {
    let folder = filled(5).await;
    let sled = raw_sled(folder.path());
    let message = sled.scan_prefix(b"m").next().expect("a message").expect("readable");
    sled.remove(message.0).expect("removed");
    drop(sled);
    let error = opened(folder.path()).err().expect("refused").to_string();
    assert!(error.contains("not all there"), "{error}");
}

#[tokio::test]
async fn a_log_that_ends_before_its_last_sync_is_refused() {
    let folder = filled(20).await;
    let earlier = tempfile::tempdir().expect("a folder");
    copy(folder.path(), earlier.path());
    let store = opened(folder.path()).expect("opens");
    store.remember(registered(500, 0)).await.expect("remembered");
    drop(store);
    fs::copy(folder.path().join("SEAL"), earlier.path().join("SEAL")).expect("copied");
    let error = opened(earlier.path()).err().expect("refused");
    assert!(error.to_string().contains("gone from the end"), "{error}");
}

#[tokio::test]
async fn a_torn_seal_file_alone_is_no_damage_but_the_end_of_the_log_counts_as_unverified() {
    let folder = filled(20).await;
    for torn in [&b"half"[..], &[0; 16], &[]] {
        fs::write(folder.path().join("SEAL"), torn).expect("written");
        let store = opened(folder.path()).expect("opens");
        assert_eq!(store.counts().total(), 20);
        assert!(store.is_end_unverified());
        drop(store);
        assert!(
            !opened(folder.path()).expect("opens").is_end_unverified(),
            "the seal is written again"
        );
    }
}

#[tokio::test]
async fn a_complete_store_without_its_seal_file_is_refused_unchanged() {
    let folder = filled(20).await;
    let seal = folder.path().join("SEAL");
    fs::remove_file(&seal).expect("removed");
    let before = fs::read(folder.path().join("db")).expect("readable");
    for _ in 0..2 {
        let error = opened(folder.path()).err().expect("refused");
        assert!(matches!(error, OpenError::SealMissing { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("no SEAL file") && said.contains(&format!("touch {}", seal.display())),
            "{said}"
        );
        let error = verify(folder.path(), Duration::ZERO).expect_err("refused");
        assert!(matches!(error, OpenError::SealMissing { .. }), "{error}");
        let error = probe(folder.path()).expect_err("refused");
        assert!(matches!(error, OpenError::SealMissing { .. }), "{error}");
    }
    assert!(!seal.exists(), "no new seal is created silently");
    assert_eq!(fs::read(folder.path().join("db")).expect("readable"), before);
    // The command in the error message accepts the existing records.
    fs::write(&seal, []).expect("touched");
    let store = opened(folder.path()).expect("opens");
    assert!(store.is_end_unverified());
    assert_eq!(store.counts().total(), 20);
}

#[tokio::test]
async fn if_the_writer_panics_no_command_succeeds_and_the_process_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = Arc::new(AtomicUsize::new(0));
    let fatal = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&fatal);
    let commits = Arc::clone(&calls);
    let given = options(folder.path(), Hands::default().clock());
    let store = SledStore::open(Options {
        // After the sync and before the answers: the latest moment for a failure.
        on_commit: Arc::new(move |_| {
            assert!(commits.fetch_add(1, Ordering::SeqCst) < 1, "injected");
        }),
        on_fatal: Arc::new(move |failure| {
            told.lock().expect("held").push(failure.reason.clone());
        }),
        ..given
    })
    .expect("opens");
    store.remember(registered(1, 0)).await.expect("remembered");
    assert_eq!(unavailable(store.remember(registered(2, 0)).await), "closed");
    assert_eq!(unavailable(store.remember(registered(3, 0)).await), "closed");
    drop(store);
    assert_eq!(fatal.lock().expect("held").as_slice(), ["the writer panicked"]);
}

#[tokio::test]
async fn a_clock_or_disk_that_panics_during_a_command_leaves_no_partial_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = Arc::new(AtomicUsize::new(0));
    let breaks = Arc::clone(&broken);
    let store = SledStore::open(Options {
        clock: ClockGuard::believing(Arc::new(move || {
            assert_eq!(breaks.load(Ordering::SeqCst), 0, "injected");
            at(0)
        })),
        on_fatal: Arc::new(|_| {}),
        ..options(folder.path(), Hands::default().clock())
    })
    .expect("opens");
    store.remember(registered(1, 0)).await.expect("remembered");
    broken.store(1, Ordering::SeqCst);
    let waiting: Vec<_> = (2..12).map(|n| store.remember(registered(n, 0))).collect();
    for answer in futures_util::future::join_all(waiting).await {
        assert_eq!(unavailable(answer), "closed");
    }
    drop(store);
    assert_eq!(opened(folder.path()).expect("opens").counts().total(), 1);
}

#[tokio::test]
async fn an_entry_that_a_group_changes_twice_is_counted_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (go, waits) = std::sync::mpsc::channel::<()>();
    let (waits, holds) = (Mutex::new(waits), Arc::new(AtomicUsize::new(0)));
    let (held, groups) = (Arc::clone(&holds), Arc::new(Mutex::new(Vec::new())));
    let told = Arc::clone(&groups);
    let store = SledStore::open(Options {
        // The first command of a group waits until the others are queued.
        clock: ClockGuard::believing(Arc::new(move || {
            if held.swap(0, Ordering::SeqCst) == 1 {
                waits.lock().expect("held").recv().expect("goes on");
            }
            at(0)
        })),
        on_commit: Arc::new(move |commit| told.lock().expect("held").push(commit.entries)),
        ..options(folder.path(), Hands::default().clock())
    })
    .expect("opens");
    store.remember(registered(9, 0)).await.expect("remembered");
    holds.store(1, Ordering::SeqCst);
    let all = futures_util::future::join4(
        store.remember(registered(1, 0)),
        store.remember(status(1, "delivered", 0)),
        store.remember(registered(2, 0)),
        async { go.send(()) },
    );
    let (first, again, second, _) = all.await;
    let new = [first, again, second].map(|answer| answer.expect("remembered").new);
    assert_eq!(new, [true, false, true]);
    let groups = groups.lock().expect("held").clone();
    assert_eq!(groups, [groups[0], 2 * groups[0]], "the entries of two messages");
}

#[tokio::test]
async fn a_folder_of_a_killed_process_opens_with_every_acknowledged_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), Hands::default().clock());
    for n in 1..=60_u32 {
        store.remember(registered(n, -1)).await.expect("remembered");
        if n.is_multiple_of(20) {
            store.observe(direct(n, 0)).await.expect("observed");
            store.claim(1, Duration::from_secs(30), &Quotas::default()).await.expect("claimed");
            // The store was not closed, synced or released: this is the content of the disk.
            let killed = tempfile::tempdir().expect("a folder");
            copy(folder.path(), killed.path());
            let again = opened(killed.path()).expect("opens");
            assert_eq!(again.counts(), store.counts());
            assert_eq!(
                again.next_due(&Quotas::default()).await.expect("known"),
                Some(Duration::ZERO)
            );
        }
    }
}

#[tokio::test]
async fn a_full_write_queue_refuses_further_commands_and_answers_every_queued_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = Arc::new(AtomicUsize::new(0));
    let shut = Arc::clone(&gate);
    let store = SledStore::open(Options {
        clock: ClockGuard::believing(Arc::new(move || {
            while shut.load(Ordering::SeqCst) == 1 {
                std::thread::yield_now();
            }
            at(0)
        })),
        ..options(folder.path(), Hands::default().clock())
    })
    .expect("opens");
    gate.store(1, Ordering::SeqCst);
    let writers =
        futures_util::future::join_all((1..=1200).map(|n| store.remember(registered(n, 0))));
    let opener = async {
        tokio::task::yield_now().await;
        gate.store(0, Ordering::SeqCst);
    };
    let (answers, ()) = tokio::join!(writers, opener);
    let (done, busy): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(busy.into_iter().all(|answer| unavailable(answer) == "busy"));
    assert!((1024..=1025).contains(&done.len()), "{}", done.len());
    assert_eq!(store.counts().total(), done.len() as u64);
}

#[tokio::test]
async fn neither_addresses_nor_their_plain_hashes_are_stored() {
    let folder = filled(5).await;
    let number = "+15550000001";
    let digits = number.trim_start_matches('+');
    let hashes = [number, digits].map(|text| Sha256::digest(text)[..16].to_vec());
    let older = [number, digits].map(|text| Sha1::digest(text)[..16].to_vec());
    for (name, bytes) in files(folder.path()) {
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        assert!(!holds(b"5550000001"), "{name}");
        assert!(!hashes.iter().chain(&older).any(|hash| holds(hash)), "{name}");
    }
}

#[tokio::test]
async fn a_store_without_its_own_key_gets_no_other_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = || options(folder.path(), Hands::default().clock());
    let key = || Some(b"the key in the settings".to_vec());
    let store = SledStore::open(Options { recipient_hash_key: key(), ..given() }).expect("opens");
    store.remember(registered(1, 0)).await.expect("remembered");
    let somebody = store.recipient_hash_key().fingerprint();
    store.close().await;
    drop(store);
    let error = SledStore::open(given()).err().expect("refused");
    assert!(matches!(error, OpenError::NoPersonKey { .. }), "{error}");
    assert!(error.to_string().contains("set that to the key it had"), "{error}");
    let store =
        SledStore::open(Options { recipient_hash_key: key(), ..given() }).expect("opens again");
    assert_eq!((store.recipient_hash_key().fingerprint(), store.counts().total()), (somebody, 1));
}

#[test]
fn the_default_options_read_the_disk_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let usual = Options::new(folder.path(), policy(), Hands::default().clock());
    assert!((usual.free_space)().expect("known") > 0);
}
