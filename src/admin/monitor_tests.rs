//! Tests of snapshots and probes while the store or the disk hangs.

use std::collections::BTreeSet;
use std::sync::RwLock;

use futures_util::FutureExt as _;

use super::*;
use crate::admin::snapshot::ConfigQueries;
use crate::domain::findings::StartFacts;
use crate::domain::matching::{Policy, Resend};
use crate::domain::sid::AccountSid;
use crate::store::sled::{Options, SledStore, Usage};
use crate::store::{Clock, QUEUE};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;

/// The timeout of probes of Kubernetes and Fly.io.
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

/// A monitor whose store and disk each hang while their lock is held.
fn monitor(folder: &std::path::Path, store: &Arc<RwLock<()>>, disk: &Arc<RwLock<()>>) -> Monitor {
    let mut options = Options::new(&folder.join("store"), POLICY, clock());
    let lock = Arc::clone(store);
    options.free_space = Arc::new(move || {
        drop(lock.read());
        Ok(1 << 40)
    });
    options.on_fatal = Arc::new(|_| {});
    let lock = Arc::clone(disk);
    Monitor::new(Sources {
        store: Arc::new(SledStore::open(options).expect("it opens")),
        metrics: Metrics::new(),
        forward_failures: Arc::default(),
        signatures: Arc::default(),
        readiness: Arc::new(Readiness::new()),
        config: ConfigQueries {
            has_account: Box::new(|_| true),
            key_names: Box::new(BTreeSet::new),
        },
        clock: clock(),
        disk: Arc::new(move || {
            drop(lock.read());
            Ok(Usage { used: 1, free: 1 << 40 })
        }),
        max_messages: 1000,
        start: StartFacts::default(),
    })
}

async fn probed(monitor: &Monitor) -> ProbeResult {
    timeout(PROBE, monitor.probe()).await.expect("an answer in time")
}

#[expect(
    clippy::await_holding_lock,
    reason = "the lock simulates a hung disk, and no task acquires it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_probe_is_answered_in_time_with_the_last_snapshot_while_the_disk_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, disk) = (Arc::default(), Arc::default());
    let monitor = monitor(folder.path(), &store, &disk);
    let hung = disk.write().expect("free");
    let first = probed(&monitor).await;
    assert!(first.store_error.is_none() && first.age.is_none(), "{:?}", first.store_error);
    drop(hung);
    assert_eq!(probed(&monitor).await.snapshot.free_disk_bytes, Some(1 << 40));
    let hung = disk.write().expect("free");
    let stale = probed(&monitor).await;
    assert!(stale.store_error.is_none() && stale.age.is_some(), "{:?}", stale.store_error);
    assert_eq!(stale.snapshot.free_disk_bytes, Some(1 << 40), "of the last snapshot");
    drop(hung);
    assert!(probed(&monitor).await.age.is_none());
}

#[expect(
    clippy::await_holding_lock,
    reason = "the lock simulates a hung disk, and no task acquires it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_probe_is_answered_in_time_while_the_store_hangs_and_the_page_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, disk) = (Arc::default(), Arc::default());
    let monitor = monitor(folder.path(), &store, &disk);
    let hung = store.write().expect("free");
    // Meanwhile the page holds the lock of the cache.
    let (page, probe) = tokio::join!(monitor.snapshot(), probed(&monitor));
    assert_eq!(probe.store_error.as_deref(), Some("no answer within 3 s"));
    assert_eq!(page.store_error.as_deref(), Some("no answer within 3 s"));
    drop(hung);
}

#[expect(
    clippy::await_holding_lock,
    reason = "the lock simulates a hung disk, and no task acquires it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_failed_query_empties_no_other_part_of_a_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lock, disk) = (Arc::default(), Arc::default());
    let monitor = monitor(folder.path(), &lock, &disk);
    let store = &monitor.sources.store;
    let account = AccountSid::parse(&format!("AC{:032x}", 1)).expect("valid");
    store.hold(account).await.expect("on hold");
    let hung = lock.write().expect("free");
    // The writer takes the first command and hangs in it. The others fill its queue, with four places left.
    let mut commands = vec![store.health()];
    assert!(commands.iter_mut().all(|command| command.now_or_never().is_none()));
    while store.queued() > 0 {
        tokio::task::yield_now().await;
    }
    commands.extend((0..QUEUE - 4).map(|_| store.health()));
    assert!(commands.iter_mut().skip(1).all(|command| command.now_or_never().is_none()));
    let release = async {
        while store.queued() < QUEUE {
            tokio::task::yield_now().await;
        }
        drop(hung);
    };
    let (snapshot, ()) = tokio::join!(monitor.read(None), release);
    let error = snapshot.store_error.expect("the fifth query found the queue full");
    assert!(error.contains("the write queue is full"), "{error}");
    assert_eq!(snapshot.evictable, 0);
    assert!(snapshot.posting.on_hold.contains_key(&account), "the fourth query was answered");
}
