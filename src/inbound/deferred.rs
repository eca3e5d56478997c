//! Deferred evidence: that of ringing calls and pressed links while the store cannot write.
//!
//! A caller or a visitor gets a normal answer even if the store cannot write, because a second request may never come.
//! Their evidence stays in memory until the store can write again. A crash loses it, and loses no other acknowledged
//! evidence. The buffer is bounded; evidence that finds no room is counted and logged as lost.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::domain::matching::ObserveOutcome;
use crate::domain::signal::{Evidence, EvidenceTarget, Signal};
use crate::inbound::decision_log::SignalLog;
use crate::store::{MAX_PARKED_LABEL, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// The most signals in memory. One takes about one kilobyte.
const CAPACITY: usize = 4_096;
/// How long a caller or a visitor waits for the store.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time before the next attempt after the first failure. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most signals of one batch.
const AT_ONCE: usize = 64;

type Attempt = Pin<Box<dyn Future<Output = Result<ObserveOutcome, StoreError>> + Send>>;

/// Evidence in memory until the store can write it.
pub struct Deferred {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    capacity: usize,
    kept: Mutex<DeferredEvidence>,
    added: Notify,
}

#[derive(Default)]
struct DeferredEvidence {
    waiting: VecDeque<DeferredEntry>,
    /// Entries of the batch that is being written.
    in_flight: usize,
}

struct DeferredEntry {
    heard: SignalLog,
    signal: Signal,
    /// A write that timed out and may still succeed.
    attempt: Option<Attempt>,
}

impl Deferred {
    /// An empty buffer in front of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self::with_capacity(store, metrics, CAPACITY)
    }

    /// An empty buffer for at most `capacity` signals.
    #[must_use]
    pub fn with_capacity(store: Arc<dyn Store>, metrics: Arc<Metrics>, capacity: usize) -> Self {
        Self { store, metrics, capacity, kept: Mutex::default(), added: Notify::new() }
    }

    /// Writes evidence to the store, and waits for [`PATIENCE`] at most. After an error or a timeout the evidence
    /// stays in memory. It is lost if there is no room.
    pub(super) async fn observe(&self, heard: SignalLog, signal: Signal) {
        let mut attempt = self.attempt(signal.clone());
        match timeout(PATIENCE, &mut attempt).await {
            Ok(Ok(observed)) => heard.outcome(&self.metrics, &observed),
            Ok(Err(error)) if is_final(&error) => heard.dropped(&self.metrics, &error.to_string()),
            Ok(Err(error)) => {
                self.keep(DeferredEntry { heard, signal, attempt: None }, &error.to_string());
            }
            Err(_) => {
                let why = format!("no answer of the store within {} s", PATIENCE.as_secs());
                self.keep(DeferredEntry { heard, signal, attempt: Some(attempt) }, &why);
            }
        }
    }

    /// Writes the deferred evidence until `stop` completes. Then it tries once more, counts the rest as lost, and returns
    /// that number.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> usize {
        let mut stop = pin!(stop);
        let mut pause = FIRST_PAUSE;
        loop {
            let due = async {
                while self.lock().waiting.is_empty() {
                    self.added.notified().await;
                }
                sleep(pause).await;
            };
            tokio::select! {
                () = due => {}
                () = &mut stop => break,
            }
            let is_written = self.write().await;
            pause = if is_written { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        }
        self.write().await;
        self.abandon()
    }

    /// Drops the evidence that is still in memory, because the process ends, and counts the entries that wait as lost.
    /// Returns the number of lost entries, with those of the batch that is being written.
    pub fn abandon(&self) -> usize {
        let mut kept = self.lock();
        let waiting = std::mem::take(&mut kept.waiting);
        let lost = waiting.len() + std::mem::take(&mut kept.in_flight);
        self.note(&kept);
        drop(kept);
        for entry in waiting {
            entry.heard.dropped(&self.metrics, "the process ends before the store could write it");
        }
        log_lost(lost as u64);
        lost
    }

    fn attempt(&self, signal: Signal) -> Attempt {
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.observe(signal).await })
    }

    fn keep(&self, entry: DeferredEntry, why: &str) {
        let mut kept = self.lock();
        // A repeated call or a link that is opened again takes no more room. The later click proves more: the earlier one
        // may have come before the message was sent.
        let known = kept.waiting.iter_mut().find(|known| is_same(&known.signal, &entry.signal));
        if let Some(known) = known {
            if acted_at(&known.signal) < acted_at(&entry.signal) {
                *known = entry;
            }
            return;
        }
        if kept.waiting.len() + kept.in_flight >= self.capacity {
            drop(kept);
            let why = format!("{} signals are deferred already; {why}", self.capacity);
            return entry.heard.dropped(&self.metrics, &why);
        }
        entry.heard.deferred(why);
        kept.waiting.push_back(entry);
        self.note(&kept);
        drop(kept);
        self.added.notify_one();
    }

    /// Writes all entries in batches. Stops if the store takes nothing of a batch. Returns whether none is left.
    async fn write(&self) -> bool {
        loop {
            let batch = self.take();
            let count = batch.len();
            let failed = join_all(batch.into_iter().map(|entry| self.write_one(entry))).await;
            let failed: Vec<_> = failed.into_iter().flatten().collect();
            let is_stuck = failed.len() == count;
            let mut kept = self.lock();
            kept.in_flight = 0;
            // To the end, so that an entry that the store never takes holds up no other one.
            kept.waiting.extend(failed);
            self.note(&kept);
            if is_stuck || kept.waiting.is_empty() {
                return kept.waiting.is_empty();
            }
        }
    }

    fn take(&self) -> Vec<DeferredEntry> {
        let mut kept = self.lock();
        let count = kept.waiting.len().min(AT_ONCE);
        kept.in_flight = count;
        kept.waiting.drain(..count).collect()
    }

    /// Returns the entry if it was not written.
    async fn write_one(&self, entry: DeferredEntry) -> Option<DeferredEntry> {
        let DeferredEntry { heard, signal, attempt } = entry;
        let attempt = attempt.unwrap_or_else(|| self.attempt(signal.clone()));
        match attempt.await {
            Ok(observed) => heard.outcome(&self.metrics, &observed),
            Err(error) if is_final(&error) => heard.dropped(&self.metrics, &error.to_string()),
            Err(_) => return Some(DeferredEntry { heard, signal, attempt: None }),
        }
        None
    }

    fn note(&self, kept: &DeferredEvidence) {
        self.metrics.set_evidence_deferred(kept.waiting.len() + kept.in_flight);
    }

    fn lock(&self) -> MutexGuard<'_, DeferredEvidence> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs the number of deferred signals that end with the process.
pub fn log_lost(count: u64) {
    if count > 0 {
        tracing::error!(
            count,
            "{count} deferred pieces of evidence lost: the process ends before the store could write them"
        );
    }
}

/// Whether no later attempt can succeed, although the store can write. An account at its share of parked evidence must
/// not fill the memory of all accounts.
fn is_final(error: &StoreError) -> bool {
    match error {
        StoreError::Contradiction(_) => true,
        StoreError::Unavailable { label, .. } => *label == MAX_PARKED_LABEL,
    }
}

fn acted_at(signal: &Signal) -> Option<Timestamp> {
    signal.evidence.as_ref().ok().map(|evidence| evidence.occurred_at)
}

/// Whether both are the same act: a press of one link, or one call.
fn is_same(one: &Signal, other: &Signal) -> bool {
    let link = |signal: &Signal| match &signal.evidence {
        Ok(Evidence { named: EvidenceTarget::Link(id), .. }) => Some(*id),
        Ok(_) | Err(_) => None,
    };
    let is_one_link = link(one).is_some() && link(one) == link(other);
    is_one_link || (!one.dedup_ids.is_empty() && one.dedup_ids == other.dedup_ids)
}
