//! Tests of the board: a probe is answered in bounded time, whatever hangs.

use std::sync::RwLock;

use super::*;
use crate::domain::matching::{Policy, Resend};
use crate::store::sled::{Options, SledStore};
use crate::telemetry::store_gauges::Disk;

/// Probes of Kubernetes and Fly.io wait so long.
const PROBE: Duration = Duration::from_secs(5);

const POLICY: Policy = Policy {
    pending_ttl: Duration::from_hours(24),
    reply_window: Duration::from_hours(1),
    event_window: Duration::from_mins(15),
    retention: Duration::from_hours(24),
    read_confirms: false,
    resend: Resend::Newest,
};

fn clock() -> Clock {
    Arc::new(|| Timestamp::from_second(1_750_000_000).expect("a time"))
}

/// A board whose store and disk each hang while their lock is held.
fn board(folder: &std::path::Path, store: &Arc<RwLock<()>>, disk: &Arc<RwLock<()>>) -> Board {
    let mut options = Options::new(&folder.join("store"), POLICY, clock());
    let lock = Arc::clone(store);
    options.free_space = Arc::new(move || {
        drop(lock.read());
        Ok(1 << 40)
    });
    options.on_fatal = Arc::new(|_| {});
    let lock = Arc::clone(disk);
    Board::new(Sources {
        store: Arc::new(SledStore::open(options).expect("it opens")),
        metrics: Metrics::new(),
        signatures: Arc::default(),
        readiness: Arc::new(Readiness::new()),
        keys: ConfiguredKeys { has_account: Box::new(|_| true), names: Box::new(BTreeSet::new) },
        clock: clock(),
        disk: Arc::new(move || {
            drop(lock.read());
            Ok(Disk { used: 1, free: 1 << 40 })
        }),
        is_dry_run: false,
        max_messages: 1000,
        start: StartFacts::default(),
    })
}

async fn probed(board: &Board) -> HealthProbe {
    timeout(PROBE, board.probe()).await.expect("an answer in time")
}

#[expect(clippy::await_holding_lock, reason = "it stands for a hung disk, and no task takes it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_probe_is_answered_in_time_with_the_last_snapshot_while_the_disk_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, disk) = (Arc::default(), Arc::default());
    let board = board(folder.path(), &store, &disk);
    let hung = disk.write().expect("free");
    let first = probed(&board).await;
    assert!(first.sick.is_none() && first.age.is_none(), "the store is well: {:?}", first.sick);
    drop(hung);
    assert_eq!(probed(&board).await.snapshot.free, Some(1 << 40));
    let hung = disk.write().expect("free");
    let stale = probed(&board).await;
    assert!(stale.sick.is_none() && stale.age.is_some(), "{:?}", stale.sick);
    assert_eq!(stale.snapshot.free, Some(1 << 40), "of the last snapshot");
    drop(hung);
    assert!(probed(&board).await.age.is_none());
}

#[expect(clippy::await_holding_lock, reason = "it stands for a hung disk, and no task takes it")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_probe_is_answered_in_time_while_the_store_hangs_and_the_page_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, disk) = (Arc::default(), Arc::default());
    let board = board(folder.path(), &store, &disk);
    let hung = store.write().expect("free");
    // The page holds the latest snapshot's lock meanwhile.
    let (page, probe) = tokio::join!(board.snapshot(), probed(&board));
    assert_eq!(probe.sick.as_deref(), Some("no answer within 3 s"));
    assert_eq!(page.sick.as_deref(), Some("no answer within 3 s"));
    drop(hung);
}
