//! The board: a snapshot of the service, with all findings about it.
//!
//! The operator's page shares one snapshot for a second; `/readyz` takes a new one for each request, after its own check
//! of the store, or has the last one if the store or the disk hangs. All are judged by the same rules. A snapshot comes from the store, the
//! lanes, the totals of the metrics and their history (`trends.rs`). Deliberately absent: recipients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::admin::posting::Posting;
use crate::admin::scrape::ReadDisk;
use crate::admin::trends::Trends;
use crate::domain::findings::{Finding, FindingId, StartFacts, judge};
use crate::domain::message::Message;
use crate::domain::sid::AccountSid;
use crate::domain::stats::MessageStats;
use crate::store::{Clock, RecordCounts, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::{ForeignAnswers, LaneDetail, Readiness};
use crate::telemetry::signature_tally::{SignatureCounts, SignatureTally};

/// How many messages of the outbox, and of the refused ones, are shown.
pub(super) const SHOWN: usize = 25;
/// How many messages of the outbox are judged.
pub(super) const JUDGED: usize = 100;
/// Accounts that are shown.
const ACCOUNTS: usize = 100;
/// How long a snapshot is shared.
const FRESH: Duration = Duration::from_secs(1);
/// How long a good health check stays valid: the check writes to the disk.
const HEALTHY: Duration = Duration::from_secs(5);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long `/readyz` waits for a snapshot after its check of the store. Both together stay below 5 s, the time that probes
/// usually wait.
const PROBE_PATIENCE: Duration = Duration::from_millis(1_500);
/// How often a sample is taken for the history, whether or not a snapshot is requested.
const SAMPLE_EVERY: Duration = Duration::from_secs(15);

/// The service at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// When it was taken.
    pub(super) at: Timestamp,
    /// Why the store cannot take an event, if it cannot.
    pub(super) sick: Option<String>,
    pub(super) is_draining: bool,
    pub(super) is_dry_run: bool,
    pub(super) counts: RecordCounts,
    /// Messages that could be evicted to make room for new ones.
    pub(super) evictable: u64,
    pub(super) census: MessageStats,
    /// The messages to be posted next, up to [`JUDGED`].
    pub(super) outbox: Vec<Message>,
    /// The messages refused last, up to [`SHOWN`].
    pub(super) refused: Vec<Message>,
    /// Accounts on hold, and since when.
    pub(super) on_hold: BTreeMap<AccountSid, Timestamp>,
    pub(super) lanes: BTreeMap<String, LaneDetail>,
    /// Answers to posts that were not Twilio's, by account.
    pub(super) foreign: BTreeMap<String, ForeignAnswers>,
    /// Verified and refused requests since the start.
    pub(super) signatures: SignatureCounts,
    /// Free bytes on the disk of the store.
    pub(super) free: Option<u64>,
    /// When a signature last verified.
    pub(super) last_verified: Option<Timestamp>,
    /// Findings, the worst first.
    pub(super) findings: Vec<Finding>,
}

impl Snapshot {
    /// Whether confirmed messages are posted.
    pub(super) fn posting(&self) -> Posting {
        let lanes = self.lanes.iter().filter(|(_, lane)| lane.is_closed());
        Posting {
            on_hold: self.on_hold.clone(),
            paused: lanes.map(|(account, _)| account.clone()).collect(),
            is_served: true,
            is_dry_run: self.is_dry_run,
        }
    }

    /// Accounts with messages, a hold or a lane, up to [`ACCOUNTS`].
    pub(super) fn accounts(&self) -> BTreeSet<AccountSid> {
        let lanes = self.lanes.keys().filter_map(|account| AccountSid::parse(account).ok());
        let known = self.census.accounts().chain(self.on_hold.keys().copied()).chain(lanes);
        known.take(ACCOUNTS).collect()
    }
}

/// The answer to a readiness probe.
pub(super) struct HealthProbe {
    /// Why the store cannot take an event, if it cannot.
    pub(super) sick: Option<String>,
    pub(super) is_draining: bool,
    pub(super) snapshot: Arc<Snapshot>,
    /// The age of the snapshot, if no new one was ready in time.
    pub(super) age: Option<Duration>,
}

/// Queries of the present configuration, which a reload may replace.
pub struct ConfiguredKeys {
    pub has_account: Box<dyn Fn(AccountSid) -> bool + Send + Sync>,
    /// The account and the name of each signing key, as metrics label them.
    pub names: Box<dyn Fn() -> BTreeSet<(String, String)> + Send + Sync>,
}

/// The sources of a snapshot.
pub struct Sources {
    pub store: Arc<dyn Store>,
    /// Totals since the start.
    pub metrics: Arc<Metrics>,
    /// Verified and refused requests since the start.
    pub signatures: Arc<SignatureTally>,
    /// Whether the process drains, and how the lanes are.
    pub readiness: Arc<Readiness>,
    pub keys: ConfiguredKeys,
    pub clock: Clock,
    /// Reads how full the disk is.
    pub disk: ReadDisk,
    /// Whether this is a dry run: nothing is posted.
    pub is_dry_run: bool,
    /// `HEARDBACK_MAX_MESSAGES`.
    pub max_messages: u64,
    /// Facts from the start of the process.
    pub start: StartFacts,
}

/// Takes snapshots, and shares the latest.
pub struct Board {
    pub(super) sources: Sources,
    began: Instant,
    latest: Mutex<Latest>,
    /// The last complete snapshot, for a probe that cannot wait for a new one.
    last: StdMutex<Option<(Instant, Arc<Snapshot>)>>,
    trends: StdMutex<Trends>,
    /// When each current finding first appeared.
    known: StdMutex<BTreeMap<(FindingId, Option<String>), Timestamp>>,
}

#[derive(Default)]
struct Latest {
    snapshot: Option<(Instant, Arc<Snapshot>)>,
    health: Option<(Instant, Option<String>)>,
}

impl Board {
    /// A board without a snapshot.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            began: Instant::now(),
            latest: Mutex::default(),
            last: StdMutex::default(),
            trends: StdMutex::default(),
            known: StdMutex::default(),
        }
    }

    /// The latest snapshot, at most a second old.
    pub(super) async fn snapshot(&self) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().await;
        if let Some((made, snapshot)) = &latest.snapshot
            && made.elapsed() < FRESH
        {
            return Arc::clone(snapshot);
        }
        let sick = self.health(&mut latest.health).await;
        let snapshot = self.take(sick).await;
        latest.snapshot = Some((Instant::now(), Arc::clone(&snapshot)));
        snapshot
    }

    /// Checks the store and takes a snapshot, in bounded time.
    pub(super) async fn probe(&self) -> HealthProbe {
        let sick = self.check().await;
        let fresh = timeout(PROBE_PATIENCE, async {
            self.latest.lock().await.health = Some((Instant::now(), sick.clone()));
            self.take(sick.clone()).await
        });
        let fresh = fresh.await.ok();
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (age, snapshot) = match (fresh, last()) {
            (Some(fresh), _) => (None, fresh),
            (None, Some((made, last))) => (Some(made.elapsed()), last),
            (None, None) => (None, Arc::default()),
        };
        HealthProbe { sick, is_draining: self.sources.readiness.is_draining(), snapshot, age }
    }

    /// Why the store cannot take an event, shown by a test write.
    async fn check(&self) -> Option<String> {
        match timeout(PATIENCE, self.sources.store.health()).await {
            Ok(health) => health.err().map(|error| error.to_string()),
            Err(_) => Some(silent()),
        }
    }

    /// Drops the latest snapshot, so that an operator sees a change at once.
    pub(super) async fn forget(&self) {
        self.latest.lock().await.snapshot = None;
    }

    /// Samples the service until the future is dropped. Findings compare it with the samples.
    pub async fn keep_history(&self) {
        loop {
            // A new check would write to the disk; the history takes the result of the last one.
            let health = self.latest.lock().await.health.clone();
            self.take(health.and_then(|(_, sick)| sick)).await;
            tokio::time::sleep(SAMPLE_EVERY).await;
        }
    }

    async fn health(&self, known: &mut Option<(Instant, Option<String>)>) -> Option<String> {
        if let Some((asked, health)) = known
            && asked.elapsed() < HEALTHY
            && health.is_none()
        {
            return None;
        }
        let health = self.check().await;
        *known = Some((Instant::now(), health.clone()));
        health
    }

    async fn take(&self, sick: Option<String>) -> Arc<Snapshot> {
        let mut snapshot = self.gather(sick).await;
        self.judge(&mut snapshot);
        let snapshot = Arc::new(snapshot);
        let last = Some((Instant::now(), Arc::clone(&snapshot)));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        snapshot
    }

    async fn gather(&self, mut sick: Option<String>) -> Snapshot {
        let Sources { store, readiness, clock, disk, is_dry_run, .. } = &self.sources;
        let asked = async {
            tokio::join!(
                store.census(),
                store.outbox(JUDGED),
                store.refused(SHOWN),
                store.paused(),
                store.evictable()
            )
        };
        let (census, outbox, refused, on_hold, evictable) =
            timeout(PATIENCE, asked).await.map_or_else(
                |_| Default::default(),
                |(census, outbox, refused, on_hold, evictable)| {
                    (Some(census), Some(outbox), Some(refused), Some(on_hold), Some(evictable))
                },
            );
        let disk = Arc::clone(disk);
        let disk = timeout(PATIENCE, web::block(move || disk())).await;
        let disk = disk.ok().and_then(Result::ok).and_then(Result::ok);
        Snapshot {
            at: clock(),
            is_draining: readiness.is_draining(),
            is_dry_run: *is_dry_run,
            counts: store.counts(),
            census: known(census, &mut sick),
            outbox: known(outbox, &mut sick),
            refused: known(refused, &mut sick),
            on_hold: known(on_hold, &mut sick),
            evictable: known(evictable, &mut sick),
            sick,
            lanes: readiness.lanes(),
            foreign: readiness.foreign_answers(),
            signatures: self.sources.signatures.counts(),
            free: disk.map(|disk| disk.free),
            last_verified: None,
            findings: Vec::new(),
        }
    }

    /// Adds the snapshot to the history, and judges it.
    fn judge(&self, snapshot: &mut Snapshot) {
        let uptime = self.began.elapsed();
        let mut trends = self.trends.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = self.sources.metrics.totals();
        trends.note(uptime, snapshot, totals);
        let situation = trends.situation(uptime, snapshot, totals, &self.sources);
        drop(trends);
        snapshot.last_verified = situation.twilio.last_verified.max(situation.app.last_verified);
        snapshot.findings = judge(&situation);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still = BTreeMap::new();
        for finding in &mut snapshot.findings {
            let kind = (finding.id, finding.subject.clone());
            let first = known.get(&kind).copied().unwrap_or(snapshot.at);
            finding.since.get_or_insert(first);
            still.insert(kind, first);
        }
        *known = still;
    }
}

fn silent() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

/// The answer of the store, or the default with the reason in `sick`.
fn known<T: Default>(answer: Option<Result<T, StoreError>>, sick: &mut Option<String>) -> T {
    let answer = answer.unwrap_or_else(|| {
        let (reason, label) = (silent(), "silent");
        Err(StoreError::Unavailable { reason, label })
    });
    answer.unwrap_or_else(|error| {
        sick.get_or_insert_with(|| error.to_string());
        T::default()
    })
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
