//! Counts of transactions and their waits since the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::store::PoolFigures;

/// How a transaction ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum TransactionEnd {
    Committed,
    Unchanged,
    Conflict,
    Failed,
}

#[derive(Debug, Default)]
pub(super) struct TransactionMetrics {
    acquired: AtomicU64,
    acquire_micros: AtomicU64,
    lock_micros: AtomicU64,
    committed: AtomicU64,
    unchanged: AtomicU64,
    conflicts: AtomicU64,
    failed: AtomicU64,
}

/// The start of a wait.
#[expect(clippy::disallowed_methods, reason = "the store's own monotonic clock")]
pub(super) fn begin() -> Instant {
    Instant::now()
}

fn add_wait(to: &AtomicU64, since: Instant) {
    let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    to.fetch_add(micros, Ordering::Relaxed);
}

impl TransactionMetrics {
    /// A transaction got its connection.
    pub(super) fn note_acquired(&self, since: Instant) {
        self.acquired.fetch_add(1, Ordering::Relaxed);
        add_wait(&self.acquire_micros, since);
    }

    /// A transaction got its locks.
    pub(super) fn note_locked(&self, since: Instant) {
        add_wait(&self.lock_micros, since);
    }

    pub(super) fn note_end(&self, ending: TransactionEnd) {
        let count = match ending {
            TransactionEnd::Committed => &self.committed,
            TransactionEnd::Unchanged => &self.unchanged,
            TransactionEnd::Conflict => &self.conflicts,
            TransactionEnd::Failed => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts, without the connections.
    pub(super) fn figures(&self) -> PoolFigures {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        PoolFigures {
            acquired: count(&self.acquired),
            acquire_wait: Duration::from_micros(count(&self.acquire_micros)),
            lock_wait: Duration::from_micros(count(&self.lock_micros)),
            committed: count(&self.committed),
            unchanged: count(&self.unchanged),
            conflicts: count(&self.conflicts),
            failed: count(&self.failed),
            ..PoolFigures::default()
        }
    }
}
