//! Takes snapshots, keeps their history, and derives findings from both.
//!
//! The page shares one snapshot for a second. `/readyz` checks the store and takes a new one for each request; if the
//! store or the disk hangs, it gets the last snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::admin::posting::Posting;
use crate::admin::scrape::{STORE_TIMEOUT, in_time};
use crate::admin::snapshot::{MAX_EVALUATED, MAX_SHOWN, Snapshot, Sources};
use crate::admin::trends::Trends;
use crate::domain::findings::{FindingId, derive_findings};
use crate::telemetry::clock::monotonic;

const SNAPSHOT_TTL: Duration = Duration::from_secs(1);
/// How long a successful health check is reused. Each check writes to the disk.
const HEALTH_TTL: Duration = Duration::from_secs(5);
/// How long `/readyz` waits for a snapshot after its check of the store. Both together stay below 5 s, the usual timeout of
/// probes.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(15);

pub struct Monitor {
    pub(super) sources: Sources,
    started_at: Instant,
    cache: Mutex<Cache>,
    /// The last snapshot, complete or not, for a probe that cannot wait for a new one.
    last_taken: StdMutex<Option<(Instant, Arc<Snapshot>)>>,
    trends: StdMutex<Trends>,
    /// When each current finding first appeared.
    first_seen: StdMutex<BTreeMap<(FindingId, Option<String>), Timestamp>>,
}

#[derive(Default)]
struct Cache {
    snapshot: Option<(Instant, Arc<Snapshot>)>,
    /// The last health check, and its error if it failed.
    health: Option<(Instant, Option<String>)>,
}

pub(super) struct ProbeResult {
    /// Why the store is unavailable, if it is.
    pub(super) store_error: Option<String>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The age of the snapshot, if no new one was ready in time.
    pub(super) age: Option<Duration>,
}

impl Monitor {
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            started_at: monotonic(),
            cache: Mutex::default(),
            last_taken: StdMutex::default(),
            trends: StdMutex::default(),
            first_seen: StdMutex::default(),
        }
    }

    /// The present snapshot, at most a second old.
    pub(super) async fn snapshot(&self) -> Arc<Snapshot> {
        let mut cache = self.cache.lock().await;
        if let Some((taken, snapshot)) = &cache.snapshot
            && taken.elapsed() < SNAPSHOT_TTL
        {
            return Arc::clone(snapshot);
        }
        let is_healthy = |(checked, error): &(Instant, Option<String>)| {
            error.is_none() && checked.elapsed() < HEALTH_TTL
        };
        if !cache.health.as_ref().is_some_and(is_healthy) {
            cache.health = Some((monotonic(), self.check_store().await));
        }
        let store_error = cache.health.as_ref().and_then(|(_, error)| error.clone());
        let snapshot = self.take(store_error).await;
        cache.snapshot = Some((monotonic(), Arc::clone(&snapshot)));
        snapshot
    }

    /// Checks the store and takes a snapshot, in bounded time.
    pub(super) async fn probe(&self) -> ProbeResult {
        let store_error = self.check_store().await;
        let fresh = timeout(PROBE_TIMEOUT, async {
            self.cache.lock().await.health = Some((monotonic(), store_error.clone()));
            self.take(store_error.clone()).await
        });
        let fresh = fresh.await.ok();
        let last = self.last_taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (age, snapshot) = match (fresh, last) {
            (Some(fresh), _) => (None, fresh),
            (None, Some((taken, last))) => (Some(taken.elapsed()), last),
            (None, None) => (None, Arc::default()),
        };
        ProbeResult { store_error, snapshot, age }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.sources.readiness.is_draining()
    }

    /// Drops the cached snapshot, so that the page shows the result of an action at once.
    pub(super) async fn invalidate(&self) {
        self.cache.lock().await.snapshot = None;
    }

    /// Takes the samples of the history until the future is dropped.
    pub async fn run(&self) {
        loop {
            // A new health check would write to the disk, so the sample uses the result of the last one.
            let health = self.cache.lock().await.health.clone();
            self.take(health.and_then(|(_, error)| error)).await;
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    }

    /// Writes to the store as a test. Returns the error if that fails.
    async fn check_store(&self) -> Option<String> {
        in_time(self.sources.store.health()).await.err()
    }

    async fn take(&self, store_error: Option<String>) -> Arc<Snapshot> {
        let mut snapshot = self.read(store_error).await;
        self.evaluate(&mut snapshot);
        let snapshot = Arc::new(snapshot);
        let last = Some((monotonic(), Arc::clone(&snapshot)));
        *self.last_taken.lock().unwrap_or_else(PoisonError::into_inner) = last;
        snapshot
    }

    async fn read(&self, mut store_error: Option<String>) -> Snapshot {
        let Sources { store, readiness, disk, .. } = &self.sources;
        let (stats, outbox, refused, on_hold, evictable) = tokio::join!(
            in_time(store.stats()),
            in_time(store.outbox(MAX_EVALUATED)),
            in_time(store.refused(MAX_SHOWN)),
            in_time(store.on_hold()),
            in_time(store.evictable())
        );
        let stats = or_default(stats, &mut store_error);
        let outbox = or_default(outbox, &mut store_error);
        let refused = or_default(refused, &mut store_error);
        let on_hold = or_default(on_hold, &mut store_error);
        let evictable = or_default(evictable, &mut store_error);
        let disk = Arc::clone(disk);
        let disk = timeout(STORE_TIMEOUT, web::block(move || disk())).await;
        let disk = disk.ok().and_then(Result::ok).and_then(Result::ok);
        Snapshot {
            taken_at: (self.sources.clock)(),
            store_error,
            is_draining: readiness.is_draining(),
            counts: store.counts(),
            evictable,
            stats,
            outbox,
            refused,
            posting: Posting::of(on_hold, Some(readiness)),
            lanes: readiness.lanes(),
            foreign_answers: readiness.foreign_answers(),
            signatures: self.sources.signatures.counts(),
            free_disk_bytes: disk.map(|disk| disk.free),
            last_verified: None,
            findings: Vec::new(),
        }
    }

    /// Adds the snapshot to the history, and derives its findings.
    fn evaluate(&self, snapshot: &mut Snapshot) {
        let uptime = self.started_at.elapsed();
        let totals = self.sources.metrics.totals();
        let mut trends = self.trends.lock().unwrap_or_else(PoisonError::into_inner);
        trends.record(uptime, snapshot, totals);
        let inputs = trends.finding_inputs(uptime, snapshot, totals, &self.sources);
        drop(trends);
        snapshot.last_verified = inputs.twilio.last_verified.max(inputs.app.last_verified);
        snapshot.findings = derive_findings(&inputs);
        let mut first_seen = self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = BTreeMap::new();
        for finding in &mut snapshot.findings {
            let key = (finding.id, finding.subject.clone());
            let since = first_seen.get(&key).copied().unwrap_or(snapshot.taken_at);
            finding.since.get_or_insert(since);
            current.insert(key, since);
        }
        *first_seen = current;
    }
}

/// The answer of a query, or the default. Keeps the first error; the other parts of the snapshot stay complete.
fn or_default<T: Default>(answer: Result<T, String>, store_error: &mut Option<String>) -> T {
    answer.unwrap_or_else(|error| {
        store_error.get_or_insert(error);
        T::default()
    })
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
