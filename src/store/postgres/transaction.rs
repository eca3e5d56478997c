//! Runs a command in a transaction: lock, load, decide, write, commit (docs/design.md, "PostgreSQL").

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;

use crate::domain::message::State;
use crate::domain::sid::MessageSid;
use crate::domain::stats::MessageStats;
use crate::store::engine::EngineConfig;
use crate::store::postgres::cache::{Changed, Loaded, RowCache};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::load::{load, timestamp};
use crate::store::postgres::locks::{Locks, add_changes, add_read, lacking};
use crate::store::postgres::metrics::{self, TransactionEnd, TransactionMetrics};
use crate::store::postgres::tally::record_counts;
use crate::store::postgres::write::{postponed, write};
use crate::store::{Clock, RecordCounts, StoreError};

/// The most times that a transaction is run again because of another one.
const MAX_ATTEMPTS: u32 = 8;
/// The most times that missing rows are loaded: an eviction looks at one candidate after the other.
const MAX_ROUNDS: usize = 200;
/// The lease tokens that one run of a command may use.
const LEASES_PER_RUN: u64 = 128;
/// The number of records is read from the database this often. Commands of this receiver are counted at once.
const COUNTS_TTL: Duration = Duration::from_secs(1);

/// The state that all commands share.
pub(super) struct Database {
    pub(super) pool: PgPool,
    pub(super) config: EngineConfig,
    /// `None`: the database's clock.
    pub(super) clock: Option<Clock>,
    pub(super) counts: Mutex<(RecordCounts, Option<Instant>)>,
    /// Counts this receiver's news since its start.
    pub(super) news: Mutex<MessageStats>,
    pub(super) changed: Notify,
    pub(super) next_lease: AtomicU64,
    /// The slots of the counters that no transaction uses.
    pub(super) slots: Mutex<Vec<i16>>,
    /// Commands under way.
    pub(super) under_way: AtomicUsize,
    /// Messages evicted since the last sweep.
    pub(super) evicted: AtomicUsize,
    pub(super) metrics: TransactionMetrics,
}

/// How one run of a command ended.
enum Run<T> {
    /// `true`: rows changed.
    Done(T, bool),
    Refused(StoreError),
    /// Locks are missing that others hold. They are taken first in the next run.
    Lock(Locks),
}

impl Database {
    /// Runs a command in a transaction. It is run again if another transaction was in the way, so it must depend on
    /// the rows alone. `is_claim`: it claims messages, of which other receivers may claim some at the same time.
    pub(super) async fn run<T>(
        &self,
        is_claim: bool,
        command: impl Fn(&mut RowCache) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.refresh_counts(COUNTS_TTL).await?;
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let slot = slot.unwrap_or_default();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let result = self.run_with_retries(is_claim, slot, &command).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        // A change of parked evidence changes the accounts' shares. The command is carried out, whatever this read returns.
        let _ = self.refresh_counts(Duration::MAX).await;
        result
    }

    async fn run_with_retries<T>(
        &self,
        is_claim: bool,
        slot: i16,
        command: &impl Fn(&mut RowCache) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut first = Locks::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let run = self.run_once(is_claim, slot, &first, command).await;
            self.metrics.note_end(match &run {
                Ok(Run::Done(_, true)) => TransactionEnd::Committed,
                Ok(Run::Done(_, false)) => TransactionEnd::Unchanged,
                Ok(Run::Refused(_)) => TransactionEnd::Refused,
                Ok(Run::Lock(_)) | Err(TransactionError::Conflict(_)) => TransactionEnd::Conflict,
                Err(_) => TransactionEnd::Failed,
            });
            let error = match run {
                Ok(Run::Done(outcome, _)) => return Ok(outcome),
                Ok(Run::Refused(error)) => return Err(error),
                Ok(Run::Lock(more)) => {
                    first.extend(more);
                    TransactionError::Conflict("locks".to_owned())
                }
                Err(error @ TransactionError::Conflict(_)) => error,
                Err(error) => return Err(error.into()),
            };
            if attempt >= MAX_ATTEMPTS {
                return Err(error.into());
            }
            let jitter = u64::from(getrandom::u32().unwrap_or_default() % 10);
            tokio::time::sleep(Duration::from_millis(jitter * u64::from(attempt))).await;
        }
    }

    async fn run_once<T>(
        &self,
        is_claim: bool,
        slot: i16,
        first: &Locks,
        command: &impl Fn(&mut RowCache) -> Result<T, StoreError>,
    ) -> Result<Run<T>, TransactionError> {
        let began = metrics::begin();
        let mut transaction = self.pool.begin().await?;
        self.metrics.note_acquired(began);
        let now = begin(&mut transaction).await?;
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).0;
        let mut cache = RowCache {
            config: self.config,
            now: self.clock.as_ref().map_or(now, |clock| clock()),
            loaded: Loaded { counts, ..Loaded::default() },
            changed: Changed::default(),
            counts,
            missing: std::cell::RefCell::default(),
            next_lease: self.next_lease.fetch_add(LEASES_PER_RUN, Ordering::Relaxed),
        };
        let mut held = Locks::new();
        if !first.is_empty() {
            let began = metrics::begin();
            wait_for_locks(&mut transaction, first).await?;
            self.metrics.note_locked(began);
            held.clone_from(first);
        }
        let mut wanted = Locks::new();
        for _ in 0..MAX_ROUNDS {
            let outcome = command(&mut cache);
            let missing = std::mem::take(cache.missing.get_mut());
            if !missing.is_empty() {
                cache.discard_changes();
                missing.iter().for_each(|read| add_read(&mut wanted, read));
                let began = metrics::begin();
                let are_held = take_locks(&mut transaction, &wanted, &mut held).await?;
                self.metrics.note_locked(began);
                if !are_held {
                    transaction.rollback().await?;
                    return Ok(Run::Lock(wanted));
                }
                load(&mut transaction, &mut cache.loaded, missing).await?;
                continue;
            }
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(error) => {
                    // The candidates that stay are not judged again for each message that a full store refuses.
                    cache.changed.messages.clear();
                    postponed(&mut transaction, &cache.changed).await?;
                    transaction.commit().await?;
                    return Ok(Run::Refused(error));
                }
            };
            if cache.changed.is_empty() {
                // At once, so that no lock outlives the answer.
                transaction.rollback().await?;
                return Ok(Run::Done(outcome, false));
            }
            if is_claim && !lock_claimed(&mut transaction, &mut cache).await? {
                cache.discard_changes();
                continue;
            }
            add_changes(&mut wanted, &cache.loaded, &cache.changed);
            if !lacking(&wanted, &held).is_empty() {
                // Rows that were read before these locks may have changed, so the command runs again with them.
                transaction.rollback().await?;
                return Ok(Run::Lock(wanted));
            }
            let RowCache { loaded, changed, .. } = &cache;
            write(&mut transaction, loaded, changed, &self.config, slot).await?;
            transaction.commit().await?;
            self.note_commit(changed);
            return Ok(Run::Done(outcome, true));
        }
        let cause = format!("the command needed more than {MAX_ROUNDS} rounds of rows");
        Err(TransactionError::Conflict(cause))
    }

    /// Counts what a commit changed, and wakes the worker if a message became due.
    fn note_commit(&self, changed: &Changed) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        for mutation in &changed.mutations {
            mutation.count(&mut counts.0);
            mutation.count_stats(&mut news);
            self.evicted.fetch_add(mutation.evicted, Ordering::Relaxed);
            if !mutation.parked.is_empty() {
                counts.1 = None;
            }
        }
        let mut messages = changed.messages.values().flatten();
        let is_due = messages
            .any(|message| message.state == State::Confirmed && message.delivery.due_at.is_some());
        if is_due || !changed.holds.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Reads the number of records, if it is older.
    pub(super) async fn refresh_counts(&self, ttl: Duration) -> Result<(), StoreError> {
        let read_at = self.counts.lock().unwrap_or_else(PoisonError::into_inner).1;
        if read_at.is_some_and(|at| at.elapsed() < ttl) {
            return Ok(());
        }
        let now = Instant::now();
        let sums: Vec<(String, i64)> = sqlx::query_as(
            "SELECT key, sum(n)::bigint FROM tally WHERE key NOT LIKE 'stats:%' GROUP BY key",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(TransactionError::from)?;
        let counts = record_counts(&sums, self.config.max_parked);
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = (counts, Some(now));
        Ok(())
    }

    /// The time of the injected clock, or else the database's.
    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        if let Some(clock) = &self.clock {
            return Ok(clock());
        }
        let (now,): (i64,) =
            sqlx::query_as("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .fetch_one(&self.pool)
                .await
                .map_err(TransactionError::from)?;
        Ok(timestamp(now))
    }
}

/// Bounds the waits of a transaction, and returns the database's time. A setting for this transaction alone also holds
/// behind a pooler.
async fn begin(connection: &mut PgConnection) -> Result<Timestamp, TransactionError> {
    let (now, ..): (i64, String, String, String, String) = sqlx::query_as(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
                set_config('lock_timeout', '2s', true),
                set_config('statement_timeout', '5s', true),
                set_config('idle_in_transaction_session_timeout', '10s', true),
                set_config('synchronous_commit',
                    CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                         ELSE current_setting('synchronous_commit') END, true)",
    )
    .fetch_one(connection)
    .await?;
    Ok(timestamp(now))
}

/// Locks the rows of claimed messages. Returns `false` if another transaction has locked or changed some of them: then the
/// claim goes on without these.
async fn lock_claimed(
    connection: &mut PgConnection,
    cache: &mut RowCache,
) -> Result<bool, TransactionError> {
    let loaded = &cache.loaded.messages;
    let rev = |sid| loaded.get(sid).and_then(Option::as_ref).map_or(0, |(_, rev)| *rev);
    let claimed = cache.changed.messages.keys();
    let (sids, revs): (Vec<String>, Vec<i64>) =
        claimed.map(|sid| (sid.to_string(), rev(sid))).unzip();
    let locked: Vec<(String,)> = sqlx::query_as(
        "SELECT sid FROM message JOIN unnest($1::text[], $2::bigint[]) AS k(sid, rev) USING (sid, rev)
         FOR UPDATE OF message SKIP LOCKED",
    )
    .bind(sids)
    .bind(revs)
    .fetch_all(connection)
    .await?;
    let is_locked = |sid: &&MessageSid| locked.iter().any(|(name,)| name == sid.as_str());
    let others = cache.changed.messages.keys().filter(|sid| !is_locked(sid)).copied();
    let others: Vec<MessageSid> = others.collect();
    cache.loaded.claimed_elsewhere.extend(&others);
    if !others.is_empty() {
        cache.loaded.forget_due();
    }
    Ok(others.is_empty())
}

/// Takes locks in the order of their numbers, so that no two transactions wait for each other.
async fn wait_for_locks(
    connection: &mut PgConnection,
    locks: &Locks,
) -> Result<(), TransactionError> {
    let (numbers, exclusive): (Vec<i64>, Vec<bool>) = locks.iter().unzip();
    sqlx::query(
        "SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(number)::text
                     ELSE pg_advisory_xact_lock_shared(number)::text END
         FROM unnest($1::bigint[], $2::boolean[]) AS k(number, exclusive) ORDER BY number",
    )
    .bind(numbers)
    .bind(exclusive)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes further locks. Returns `false` if another transaction holds one of them.
async fn take_locks(
    connection: &mut PgConnection,
    wanted: &Locks,
    held: &mut Locks,
) -> Result<bool, TransactionError> {
    let more = lacking(wanted, held);
    if more.is_empty() {
        return Ok(true);
    }
    if held.is_empty() {
        wait_for_locks(connection, &more).await?;
    } else {
        let (numbers, exclusive): (Vec<i64>, Vec<bool>) = more.iter().unzip();
        let taken: Vec<(bool,)> = sqlx::query_as(
            "SELECT CASE WHEN exclusive THEN pg_try_advisory_xact_lock(number)
                         ELSE pg_try_advisory_xact_lock_shared(number) END
             FROM unnest($1::bigint[], $2::boolean[]) AS k(number, exclusive)",
        )
        .bind(numbers)
        .bind(exclusive)
        .fetch_all(connection)
        .await?;
        if taken.iter().any(|(is_taken,)| !is_taken) {
            return Ok(false);
        }
    }
    held.extend(more);
    Ok(true)
}
