//! What the page shows, gathered at most once a second however many look at it.
//!
//! All of it comes out of the store and of what the worker last said of its lanes; nothing is kept here
//! but the latest. Deliberately absent: recipients, of whom the store knows nothing that could be shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::domain::census::Census;
use crate::domain::message::Message;
use crate::domain::sid::AccountSid;
use crate::inbound::posting::Posting;
use crate::store::{Clock, Counts, Store, StoreError};
use crate::telemetry::readiness::{ForeignAnswers, LaneDetail, LaneState, Readiness};

/// How many messages of the outbox, and of what was refused, are shown.
pub(super) const SHOWN: usize = 25;
/// How many of the outbox are looked at, to judge whether all is well.
pub(super) const JUDGED: usize = 100;
/// Accounts that are shown.
const ACCOUNTS: usize = 100;
/// How long a snapshot is the latest.
const FRESH: Duration = Duration::from_secs(1);
/// How long the store counts as healthy: to find out writes to the disk.
const HEALTHY: Duration = Duration::from_secs(5);

/// How all stood at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// When.
    pub(super) at: Timestamp,
    /// Why the store cannot take an event, if it cannot.
    pub(super) sick: Option<String>,
    pub(super) is_draining: bool,
    pub(super) is_dry_run: bool,
    pub(super) counts: Counts,
    pub(super) census: Census,
    /// The next to be reported; more than are shown.
    pub(super) outbox: Vec<Message>,
    /// The last to be refused.
    pub(super) refused: Vec<Message>,
    /// Accounts on hold, and since when.
    pub(super) on_hold: BTreeMap<AccountSid, Timestamp>,
    pub(super) lanes: BTreeMap<String, LaneDetail>,
    /// Accounts whose latest 2xx was not Twilio's.
    pub(super) foreign: BTreeMap<String, ForeignAnswers>,
}

impl Snapshot {
    /// Whether confirmed messages are posted.
    pub(super) fn posting(&self) -> Posting {
        let is_paused = |lane: &LaneDetail| lane.state == LaneState::Paused;
        let lanes = self.lanes.iter().filter(|(_, lane)| is_paused(lane));
        Posting {
            on_hold: self.on_hold.clone(),
            paused: lanes.map(|(account, _)| account.clone()).collect(),
            is_served: true,
            is_dry_run: self.is_dry_run,
        }
    }

    /// Every account that there is anything of.
    pub(super) fn accounts(&self) -> BTreeSet<AccountSid> {
        let lanes = self.lanes.keys().filter_map(|account| AccountSid::parse(account).ok());
        let known = self.census.accounts().chain(self.on_hold.keys().copied()).chain(lanes);
        known.take(ACCOUNTS).collect()
    }
}

/// Where snapshots are made.
pub(super) struct Board {
    pub(super) store: Arc<dyn Store>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) clock: Clock,
    pub(super) is_dry_run: bool,
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    snapshot: Option<(Instant, Arc<Snapshot>)>,
    health: Option<(Instant, Option<String>)>,
}

impl Board {
    pub(super) fn new(
        store: Arc<dyn Store>,
        readiness: Arc<Readiness>,
        clock: Clock,
        is_dry_run: bool,
    ) -> Self {
        Self { store, readiness, clock, is_dry_run, latest: Mutex::default() }
    }

    /// How all stands, or stood a second ago.
    pub(super) async fn snapshot(&self) -> Arc<Snapshot> {
        let mut latest = self.latest.lock().await;
        if let Some((made, snapshot)) = &latest.snapshot
            && made.elapsed() < FRESH
        {
            return Arc::clone(snapshot);
        }
        let mut sick = self.health(&mut latest.health).await;
        let snapshot = self.gather(&mut sick).await;
        let snapshot = Arc::new(Snapshot { sick, ..snapshot });
        latest.snapshot = Some((Instant::now(), Arc::clone(&snapshot)));
        snapshot
    }

    /// Something was changed by hand: whoever did it sees it at once.
    pub(super) async fn forget(&self) {
        self.latest.lock().await.snapshot = None;
    }

    async fn health(&self, known: &mut Option<(Instant, Option<String>)>) -> Option<String> {
        if let Some((asked, health)) = known
            && asked.elapsed() < HEALTHY
            && health.is_none()
        {
            return None;
        }
        let health = self.store.health().await.err().map(|error| error.to_string());
        *known = Some((Instant::now(), health.clone()));
        health
    }

    async fn gather(&self, sick: &mut Option<String>) -> Snapshot {
        let store = &self.store;
        Snapshot {
            at: (self.clock)(),
            sick: None,
            is_draining: self.readiness.is_draining(),
            is_dry_run: self.is_dry_run,
            counts: store.counts(),
            census: known(store.census().await, sick),
            outbox: known(store.outbox(JUDGED).await, sick),
            refused: known(store.refused(SHOWN).await, sick),
            on_hold: known(store.paused().await, sick),
            lanes: self.readiness.lanes(),
            foreign: self.readiness.foreign_answers(),
        }
    }
}

/// What the store said; if it said nothing, why is noted.
fn known<T: Default>(said: Result<T, StoreError>, sick: &mut Option<String>) -> T {
    said.unwrap_or_else(|error| {
        sick.get_or_insert_with(|| error.to_string());
        T::default()
    })
}
