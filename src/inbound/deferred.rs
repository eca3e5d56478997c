//! Evidence of ringing calls, pressed links and forwarded messages that the store cannot write now.
//!
//! A person gets a normal answer even if the store cannot write, because a second request may never come.
//! The evidence stays in memory until the store can write again. A crash loses it, and no other acknowledged evidence.
//! The buffer is bounded; evidence that does not fit is counted and logged as lost.

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

/// The most signals in memory. One takes about 1 KiB.
const CAPACITY: usize = 4_096;
/// The longest time that a caller or a visitor waits for the store.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// The time before the next attempt after the first failure. It doubles up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// The most signals of one batch.
const MAX_BATCH: usize = 64;

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
    log: SignalLog,
    signal: Signal,
    /// A write that timed out and may still succeed.
    attempt: Option<Attempt>,
}

impl Deferred {
    /// An empty buffer in front of a store.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self::with_capacity(store, metrics, CAPACITY)
    }

    /// An empty buffer for at most `capacity` signals.
    pub fn with_capacity(store: Arc<dyn Store>, metrics: Arc<Metrics>, capacity: usize) -> Self {
        Self { store, metrics, capacity, kept: Mutex::default(), added: Notify::new() }
    }

    /// Writes evidence to the store, and waits for [`MAX_WAIT`] at most. After an error or a timeout the evidence stays in
    /// memory. It is lost if the buffer is full.
    pub(super) async fn observe(&self, log: SignalLog, signal: Signal) {
        let mut attempt = self.attempt(signal.clone());
        match timeout(MAX_WAIT, &mut attempt).await {
            Ok(Ok(observed)) => log.outcome(&self.metrics, &observed),
            Ok(Err(error)) if is_final(&error) => log.dropped(&self.metrics, &error.to_string()),
            Ok(Err(error)) => {
                self.keep(DeferredEntry { log, signal, attempt: None }, &error.to_string());
            }
            Err(_) => {
                let error = format!("no answer of the store within {} s", MAX_WAIT.as_secs());
                self.keep(DeferredEntry { log, signal, attempt: Some(attempt) }, &error);
            }
        }
    }

    /// Writes the deferred evidence until `stop` completes. Then it tries once more, counts the rest as lost, and returns
    /// that number.
    pub async fn run(&self, stop: impl Future<Output = ()>) -> usize {
        let mut stop = pin!(stop);
        let mut backoff = FIRST_BACKOFF;
        loop {
            let due = async {
                while self.lock().waiting.is_empty() {
                    self.added.notified().await;
                }
                sleep(backoff).await;
            };
            tokio::select! {
                () = due => {}
                () = &mut stop => break,
            }
            let is_written = self.write().await;
            backoff = if is_written { FIRST_BACKOFF } else { (backoff * 2).min(MAX_BACKOFF) };
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
        self.set_metric(&kept);
        drop(kept);
        for entry in waiting {
            entry.log.dropped(&self.metrics, "the process ends before the store could write it");
        }
        log_lost(lost as u64);
        lost
    }

    fn attempt(&self, signal: Signal) -> Attempt {
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.observe(signal).await })
    }

    fn keep(&self, entry: DeferredEntry, error: &str) {
        let mut kept = self.lock();
        // A repeated call or click needs no second entry. The later click proves more: the earlier one may have come
        // before the message was sent.
        let same = kept.waiting.iter_mut().find(|same| is_same(&same.signal, &entry.signal));
        if let Some(same) = same {
            if acted_at(&same.signal) < acted_at(&entry.signal) {
                *same = entry;
            }
            return;
        }
        if kept.waiting.len() + kept.in_flight >= self.capacity {
            drop(kept);
            let error = format!("{} signals are deferred already; {error}", self.capacity);
            return entry.log.dropped(&self.metrics, &error);
        }
        entry.log.deferred(error);
        kept.waiting.push_back(entry);
        self.set_metric(&kept);
        drop(kept);
        self.added.notify_one();
    }

    /// Writes all entries in batches. Stops if the store accepts nothing of a batch. Returns whether none is left.
    async fn write(&self) -> bool {
        loop {
            let batch = self.next_batch();
            let count = batch.len();
            let failed = join_all(batch.into_iter().map(|entry| self.write_one(entry))).await;
            let failed: Vec<_> = failed.into_iter().flatten().collect();
            let is_stuck = failed.len() == count;
            let mut kept = self.lock();
            kept.in_flight = 0;
            // To the end, so that an entry that the store never accepts blocks no other one.
            kept.waiting.extend(failed);
            self.set_metric(&kept);
            if is_stuck || kept.waiting.is_empty() {
                return kept.waiting.is_empty();
            }
        }
    }

    fn next_batch(&self) -> Vec<DeferredEntry> {
        let mut kept = self.lock();
        let count = kept.waiting.len().min(MAX_BATCH);
        kept.in_flight = count;
        kept.waiting.drain(..count).collect()
    }

    /// Returns the entry if it was not written.
    async fn write_one(&self, entry: DeferredEntry) -> Option<DeferredEntry> {
        let DeferredEntry { log, signal, attempt } = entry;
        let attempt = attempt.unwrap_or_else(|| self.attempt(signal.clone()));
        match attempt.await {
            Ok(observed) => log.outcome(&self.metrics, &observed),
            Err(error) if is_final(&error) => log.dropped(&self.metrics, &error.to_string()),
            Err(_) => return Some(DeferredEntry { log, signal, attempt: None }),
        }
        None
    }

    fn set_metric(&self, kept: &DeferredEvidence) {
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
            lost = count,
            "{count} deferred pieces of evidence lost: the process ends before the store could write them; repair the \
             store before the next start"
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
        Ok(Evidence { target: EvidenceTarget::Link(id), .. }) => Some(*id),
        Ok(_) | Err(_) => None,
    };
    let is_one_link = link(one).is_some() && link(one) == link(other);
    is_one_link || (!one.dedup_ids.is_empty() && one.dedup_ids == other.dedup_ids)
}
