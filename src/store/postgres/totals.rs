//! The number of records in memory: read from the database, and updated by the commits of this receiver.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::store::RecordCounts;
use crate::store::engine::{EngineConfig, Mutation, ParkedRows};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::tally::record_counts;

/// The numbers are read from the database this often.
const TTL: Duration = Duration::from_secs(1);
/// They are read again this soon if a commit of this receiver came between.
const SOON: Duration = Duration::from_millis(100);
/// Statistics are other rows of the same table.
const STATEMENT: &str =
    "SELECT key, sum(n)::bigint FROM tally WHERE key < 'stats:' OR key > 'stats;' GROUP BY key";
/// With fewer free places, the parked rows are read from the database for each command.
const NEARLY: u64 = 1000;

#[derive(Debug, Default)]
pub(super) struct CachedTotals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: RecordCounts,
    parked_rows: ParkedRows,
    /// `None`: they were never read.
    stale_at: Option<Instant>,
    commits: u64,
}

impl CachedTotals {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn counts(&self) -> RecordCounts {
        self.with(|state| state.counts)
    }

    /// The parked rows by account. `None`: an account may be near its share, so the exact numbers decide.
    pub(super) fn parked_rows(&self, config: &EngineConfig) -> Option<ParkedRows> {
        self.with(|state| {
            let used = state.parked_rows.total().saturating_mul(2).saturating_add(NEARLY);
            (used < config.max_parked).then(|| state.parked_rows.clone())
        })
    }

    /// Updates the numbers after a commit.
    pub(super) fn add(&self, mutations: &[Mutation], max_parked: u64) {
        self.with(|state| {
            state.commits += 1;
            let mut has_parked = false;
            for mutation in mutations {
                mutation.count(&mut state.counts);
                state.parked_rows.apply(mutation);
                has_parked |= !mutation.parked.is_empty();
            }
            if has_parked {
                state.share(max_parked);
            }
        });
    }

    /// Reads the numbers from the database if they are stale.
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of the numbers, by a clock without jumps"
    )]
    pub(super) async fn refresh(
        &self,
        connection: &mut PgConnection,
        config: &EngineConfig,
    ) -> Result<(), TransactionError> {
        let now = Instant::now();
        let (stale_at, commits) = self.with(|state| (state.stale_at, state.commits));
        // Near the limit the numbers are exact, but for transactions under way.
        let largest = self.with(|state| state.counts.total().max(state.counts.links));
        let is_near = largest.saturating_add(NEARLY) >= config.max_messages;
        if !is_near && stale_at.is_some_and(|at| now < at) {
            return Ok(());
        }
        let sums: Vec<(String, i64)> = sqlx::query_as(STATEMENT).fetch_all(connection).await?;
        let (counts, parked_rows) = record_counts(&sums);
        self.with(|state| {
            let ttl = if state.commits == commits { TTL } else { SOON };
            state.counts = counts;
            state.parked_rows = parked_rows;
            state.stale_at = Some(now + ttl);
            state.share(config.max_parked);
        });
        Ok(())
    }
}

impl State {
    fn share(&mut self, max_parked: u64) {
        (self.counts.parked_fullest, self.counts.parked_share) =
            self.parked_rows.fullest(max_parked);
    }
}
