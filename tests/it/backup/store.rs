//! A backup of the real store: a restored store equals the store at one moment, entry by entry,
//! whatever is written during the backup. Every damage of a backup is detected before the backup is
//! used.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::feedback::{Claim, Settlement};
use heardback::store::sled::backup::{
    BackupError, BackupLimits, RestoreError, backup, contents, restore, verify,
};
use heardback::store::sled::{OpenError, Options, SledStore};
use heardback::store::{BackupFrames, Quotas, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tempfile::TempDir;

use crate::given::{
    DAY, Hands, at, clicked, direct, link, options, raw_sled, registered, reply, shared, token,
    try_sled,
};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small, so that a small store takes many frames.
const SLOW: BackupLimits = BackupLimits {
    entries_per_chunk: 3,
    max_pending_bytes: 8 << 20,
    send_timeout: Duration::from_mins(1),
};

fn opened(folder: &Path, hands: &Hands) -> Arc<SledStore> {
    Arc::new(SledStore::open(options(folder, hands.clock())).expect("opens"))
}

async fn rest(mut frames: BackupFrames, mut file: Vec<u8>) -> Vec<u8> {
    while let Some(piece) = frames.recv().await {
        file.extend(piece);
    }
    file
}

async fn whole(store: &Arc<SledStore>) -> Vec<u8> {
    rest(store.backup(BackupLimits::default()).await.expect("begun"), Vec::new()).await
}

/// Every entry that sled has in the folder of a closed store.
fn entries(folder: &Path) -> Entries {
    let db = raw_sled(folder);
    db.iter().map(|entry| entry.expect("read")).map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

/// A copy of the folder, as a killed process would leave it.
fn image(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_file() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
        }
    }
    copy
}

/// The number of synced batches.
fn synced(folder: &Path) -> u64 {
    let seal = fs::read(folder.join("SEAL")).expect("there");
    u64::from_be_bytes(seal[..8].try_into().expect("eight bytes"))
}

#[derive(Debug, Clone)]
enum Step {
    Remember(u32),
    Direct(u32),
    Reply(u32),
    Shared(u32),
    Link(u8),
    Click(u8),
    Claim,
    Settle,
    Sweep(i64),
    /// Reads one piece of the backup.
    Take,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u32..14).prop_map(Step::Remember),
        2 => (1_u32..14).prop_map(Step::Direct),
        2 => (1_u32..14).prop_map(Step::Reply),
        1 => (1_u32..4).prop_map(Step::Shared),
        1 => (1_u8..6).prop_map(Step::Link),
        1 => (1_u8..6).prop_map(Step::Click),
        1 => Just(Step::Claim),
        1 => Just(Step::Settle),
        1 => (1_i64..12).prop_map(Step::Sweep),
        6 => Just(Step::Take),
    ];
    prop::collection::vec(step, 0..most)
}

/// A store, its clock, and its claims.
struct Play {
    store: Arc<SledStore>,
    hands: Hands,
    seconds: i64,
    claims: Vec<Claim>,
}

impl Play {
    /// Executes a command; a contradiction is a valid result.
    async fn step(&mut self, step: &Step) {
        let Self { store, seconds, .. } = self;
        let now = *seconds;
        match step {
            Step::Remember(n) => drop(store.remember(registered(*n, now)).await),
            Step::Direct(n) => drop(store.observe(direct(*n, now)).await),
            Step::Reply(n) => drop(store.observe(reply(*n, now)).await),
            Step::Shared(n) => drop(store.observe(shared(&format!("r{n}"), now)).await),
            Step::Link(n) => drop(store.keep_link(token(*n).id(), link(None, now)).await),
            Step::Click(n) => drop(store.observe(clicked(*n, now)).await),
            Step::Claim => {
                let lease = Duration::from_secs(30);
                let claims = store.claim(2, lease, &Quotas::default()).await.expect("claimed");
                self.claims.extend(claims);
            }
            Step::Settle => {
                if let Some(claim) = self.claims.pop() {
                    store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
                }
            }
            Step::Sweep(days) => {
                *seconds += days * DAY;
                self.hands.set(*seconds);
                store.expire(usize::MAX).await.expect("swept");
            }
            Step::Take => {}
        }
    }
}

async fn a_backup_among(before: &[Step], during: &[Step]) -> TestCaseResult {
    let (folder, hands) = (tempfile::tempdir().expect("a folder"), Hands::default());
    let store = opened(folder.path(), &hands);
    let mut play = Play { store, hands, seconds: 0, claims: Vec::new() };
    for step in before {
        play.step(step).await;
    }
    let mut images = BTreeMap::from([(synced(folder.path()), image(folder.path()))]);
    let mut frames = play.store.backup(SLOW).await.expect("begun");
    let mut file = Vec::new();
    for step in during {
        if let Step::Take = step {
            file.extend(frames.recv().await.unwrap_or_default());
        } else {
            play.step(step).await;
            images.insert(synced(folder.path()), image(folder.path()));
        }
    }
    let file = rest(frames, file).await;
    let read = contents(Cursor::new(&file)).expect("sound");
    let boundary = images.get(&read.batches).expect("a moment between two commands");
    let restored = tempfile::tempdir().expect("a folder");
    let again = restore(Cursor::new(&file), restored.path()).expect("restored");
    prop_assert_eq!(&again, &read);
    prop_assert_eq!(entries(restored.path()), entries(boundary.path()));
    prop_assert_eq!(synced(restored.path()), read.batches);
    let opened = try_sled(restored.path(), play.hands.clock()).expect("it opens");
    prop_assert_eq!(opened.counts().total(), read.counts.total());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_store_is_the_store_at_one_moment_whatever_is_written_meanwhile(
        before in steps(60),
        during in steps(60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(a_backup_among(&before, &during))?;
    }
}

/// A store with this many messages, a third of them confirmed.
async fn filled(messages: u32) -> (TempDir, Arc<SledStore>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path(), &Hands::default());
    for n in 1..=messages {
        store.remember(registered(n, -1)).await.expect("remembered");
        if n.is_multiple_of(3) {
            store.observe(reply(n, 0)).await.expect("observed");
        }
    }
    (folder, store)
}

#[tokio::test]
async fn a_backup_that_is_read_too_slowly_ends_and_delays_no_request() {
    let (_folder, store) = filled(60).await;
    let narrow =
        BackupLimits { entries_per_chunk: 1, max_pending_bytes: 2000, ..BackupLimits::default() };
    let frames = store.backup(narrow).await.expect("begun");
    for n in 100..200 {
        store.remember(registered(n, 1)).await.expect("not delayed");
    }
    let file = rest(frames, Vec::new()).await;
    let error = contents(Cursor::new(&file)).expect_err("incomplete");
    assert!(matches!(error, BackupError::Aborted { .. }), "{error}");
    assert!(error.to_string().contains("try again at a quieter time"), "{error}");
    let error = restore(Cursor::new(&file), Path::new("/nowhere/at/all")).expect_err("refused");
    assert!(matches!(error, RestoreError::Backup(_)), "{error}");

    let file = whole(&store).await;
    assert_eq!(contents(Cursor::new(&file)).expect("sound").counts.total(), 160);
}

#[tokio::test]
async fn a_backup_without_a_reader_ends_and_only_one_runs_at_a_time() {
    let (_folder, store) = filled(60).await;
    let abandoned = store.backup(SLOW).await.expect("begun");
    match store.backup(SLOW).await {
        Err(StoreError::Unavailable { label, reason }) => {
            assert_eq!(label, "backup");
            assert!(reason.contains("wait for its end"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    drop(abandoned);
    // The backup notices this with the next piece that it sends.
    let frames = loop {
        match store.backup(SLOW).await {
            Ok(frames) => break frames,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let file = rest(frames, Vec::new()).await;
    assert_eq!(contents(Cursor::new(&file)).expect("sound").counts.total(), 60);
}

#[tokio::test]
async fn a_backup_that_is_not_read_for_too_long_is_abandoned() {
    let (_folder, store) = filled(60).await;
    let hasty = BackupLimits { send_timeout: Duration::from_millis(20), ..SLOW };
    let stalled = store.backup(hasty).await.expect("begun");
    let frames = loop {
        match store.backup(SLOW).await {
            Ok(frames) => break frames,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    contents(Cursor::new(rest(stalled, Vec::new()).await)).expect_err("abandoned");
    let file = rest(frames, Vec::new()).await;
    assert_eq!(contents(Cursor::new(&file)).expect("sound").counts.total(), 60);
}

#[tokio::test]
async fn a_store_that_is_closed_during_a_backup_is_released_and_the_backup_is_incomplete() {
    let (folder, store) = filled(60).await;
    let mut frames = store.backup(SLOW).await.expect("begun");
    let beginning = frames.recv().await.expect("a piece");
    store.close().await;
    let file = rest(frames, beginning).await;
    let error = contents(Cursor::new(&file)).expect_err("incomplete");
    assert!(matches!(error, BackupError::Aborted { .. }), "{error}");
    assert_eq!(opened(folder.path(), &Hands::default()).counts().total(), 60);
}

#[tokio::test]
async fn a_backup_that_was_truncated_or_changed_anywhere_is_refused_and_no_store_is_created() {
    let (_folder, store) = filled(9).await;
    let file = whole(&store).await;
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("store");
    for end in 0..file.len() {
        contents(Cursor::new(&file[..end])).expect_err("truncated");
        let mut changed = file.clone();
        changed[end] ^= 1;
        contents(Cursor::new(&changed)).expect_err("changed");
    }
    for broken in [&file[..file.len() - 1], &file[..file.len() / 2], b"", b"heardback backup\n"] {
        let error = restore(Cursor::new(broken), &target).expect_err("refused");
        assert!(matches!(error, RestoreError::Backup(_)), "{error}");
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn a_restore_never_overwrites_a_file() {
    let (folder, store) = filled(9).await;
    let file = whole(&store).await;
    store.close().await;
    let before = entries(image(folder.path()).path());
    let error = restore(Cursor::new(&file), folder.path()).expect_err("refused").to_string();
    assert!(error.contains("is not empty") && error.contains("mv "), "{error}");
    assert_eq!(entries(folder.path()), before);
    let other = tempfile::tempdir().expect("a folder");
    fs::write(other.path().join("letters.txt"), "dear").expect("written");
    let error = restore(Cursor::new(&file), other.path()).expect_err("refused").to_string();
    assert!(error.contains("letters.txt"), "{error}");
    assert_eq!(fs::read_dir(other.path()).expect("a folder").count(), 1);
}

#[tokio::test]
async fn an_interrupted_restore_leaves_no_store_and_can_be_repeated() {
    let (_folder, store) = filled(30).await;
    let file = whole(&store).await;
    let folder = tempfile::tempdir().expect("a folder");
    restore(Cursor::new(&file), folder.path()).expect("restored");
    // The state just before the last step of a restore.
    fs::write(folder.path().join("FORMAT"), "restoring\n").expect("written");
    let error = try_sled(folder.path(), Hands::default().clock()).err().expect("refused");
    assert!(matches!(error, OpenError::HalfRestored { .. }), "{error}");
    assert!(error.to_string().contains("heardback restore"), "{error}");
    let db = fs::read(folder.path().join("db")).expect("there");
    fs::write(folder.path().join("db"), &db[..db.len() / 3]).expect("cut");
    fs::write(folder.path().join("snap.0000000000000FFF"), "half").expect("written");
    restore(Cursor::new(&file), folder.path()).expect("made again");
    assert_eq!(opened(folder.path(), &Hands::default()).counts().total(), 30);
}

#[tokio::test]
async fn a_stopped_store_is_verified_and_backed_up_without_a_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = options(folder.path(), Hands::default().clock());
    let recipient_hash_key = Some(b"the phone key of this test".to_vec());
    let store = SledStore::open(Options { recipient_hash_key, ..given }).expect("opens");
    store.remember(registered(1, 0)).await.expect("remembered");
    store.observe(direct(1, 0)).await.expect("observed");
    store.claim(1, Duration::from_secs(30), &Quotas::default()).await.expect("claimed");
    store.close().await;
    drop(store);
    let before = entries(image(folder.path()).path());

    let seen = verify(folder.path(), Duration::ZERO).expect("sound");
    assert_eq!((seen.counts.total(), seen.format, seen.has_recipient_hash_key), (1, 6, false));
    let mut file = Vec::new();
    backup(folder.path(), Duration::ZERO, at(0), &mut file).expect("backed up");
    // No key was created, and no lease was released.
    assert_eq!(entries(image(folder.path()).path()), before);
    let read = contents(Cursor::new(&file)).expect("sound");
    assert_eq!((read.counts, read.batches), (seen.counts, seen.batches));
    let restored = tempfile::tempdir().expect("a folder");
    restore(Cursor::new(&file), restored.path()).expect("restored");
    assert_eq!(entries(restored.path()), before);
}

#[tokio::test]
async fn a_missing_store_is_not_created_and_a_store_in_use_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = verify(folder.path(), Duration::ZERO).expect_err("missing");
    assert!(matches!(error, OpenError::Absent { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let (folder, _held) = filled(1).await;
    let error = verify(folder.path(), Duration::ZERO).expect_err("in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
}
