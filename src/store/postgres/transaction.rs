//! Runs a group of commands in a transaction: lock, load, decide, write, commit (docs/design.md, "PostgreSQL").

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Notify;

use crate::domain::message::State;
use crate::domain::sid::MessageSid;
use crate::domain::stats::MessageStats;
use crate::store::engine::EngineConfig;
use crate::store::postgres::cache::{Changed, Read, RowCache};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::kept::Kept;
use crate::store::postgres::load::{load, timestamp};
use crate::store::postgres::locks::{Locks, add_changes, add_read, lacking};
use crate::store::postgres::queue::{Job, closed};
use crate::store::postgres::totals::Totals;
use crate::store::postgres::write::write;
use crate::store::{Clock, StoreError};

/// The most times that a transaction is run again because of another one.
const MAX_ATTEMPTS: u32 = 8;
/// The most times that missing rows are loaded: an eviction looks at one candidate after the other.
const MAX_ROUNDS: usize = 200;
/// The lease tokens that one run of a command may use.
const LEASES_PER_RUN: u64 = 128;
/// The most advisory locks of a group: all transactions of a server share room for a few thousand.
const MAX_LOCKS: usize = 256;
/// The longest duration of one attempt at a group, if the server does not even report a timeout.
const MAX_ATTEMPT: Duration = Duration::from_secs(10);

/// Bounds the waits of a transaction. All rows are found by an index, even before the server knows the size of the tables; a
/// plan is made once. Settings for this transaction alone also hold behind a pooler.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL plan_cache_mode = force_generic_plan; \
    SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
    SET LOCAL jit = off";
/// As [`BEGIN`], for queries that only read.
const BEGIN_READ: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// Takes locks in the order of their numbers, so that no two transactions wait for each other, and returns the time at which
/// it has them. A transaction that does not wait for the disk could lose an acknowledged command.
const LOCK: &str = "
SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(number)::text
            WHEN NOT exclusive THEN pg_advisory_xact_lock_shared(number)::text
            WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM unnest($1::bigint[], $2::boolean[]) AS k(number, exclusive) ORDER BY number NULLS LAST";

/// Takes further locks. It does not wait, because these come after others in no order.
const TRY_LOCK: &str = "
SELECT coalesce(bool_and(CASE WHEN exclusive THEN pg_try_advisory_xact_lock(number)
                              ELSE pg_try_advisory_xact_lock_shared(number) END), true)
FROM unnest($1::bigint[], $2::boolean[]) AS k(number, exclusive)";

/// The state that all commands share.
pub(super) struct Database {
    pub(super) pool: PgPool,
    pub(super) config: EngineConfig,
    /// `None`: the database's clock.
    pub(super) clock: Option<Clock>,
    pub(super) totals: Totals,
    /// Counts this receiver's news since its start.
    pub(super) news: Mutex<MessageStats>,
    pub(super) changed: Notify,
    pub(super) next_lease: AtomicU64,
    /// The slots of the counters that no transaction uses.
    pub(super) slots: Mutex<Vec<i16>>,
    /// Messages evicted since the last sweep.
    pub(super) evicted: AtomicUsize,
    /// The database's time of the last transaction, in milliseconds.
    pub(super) last_time: AtomicI64,
    /// The longest wait of a command.
    pub(super) max_wait: Duration,
}

/// How one run of a group ended.
enum Run {
    Done,
    /// Locks are missing that others hold. They are taken first in the next run.
    Lock(Locks),
    /// The group is too large for one transaction.
    Split,
}

/// How the commands of a group were judged on the rows.
enum Judged {
    Commit(Box<RowCache>),
    Unchanged,
    Again(Run),
}

impl Database {
    /// Runs a command in a transaction of its own. `is_claim`: it claims messages, of which other receivers may claim some
    /// at the same time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        is_claim: bool,
        command: impl Fn(&mut RowCache) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, outcome) = Job::new(command, None);
        self.carry_out(&mut Kept::default(), vec![job], is_claim).await;
        outcome.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Carries out a group, and answers its callers. A command whose own rows the database refuses fails alone.
    pub(super) async fn carry_out(&self, kept: &mut Kept, group: Vec<Job>, is_claim: bool) {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let slot = slot.unwrap_or_default();
        let mut groups = VecDeque::from([group]);
        while let Some(mut group) = groups.pop_front() {
            match self.run_with_retries(kept, slot, &mut group, is_claim).await {
                Ok(Run::Done) => group.into_iter().for_each(|job| job.command.answer()),
                Ok(Run::Lock(_) | Run::Split) => {
                    let half = group.split_off(group.len() / 2);
                    groups.push_front(half);
                    groups.push_front(group);
                }
                Err(error) if error.is_of_a_command() && group.len() > 1 => {
                    group.into_iter().rev().for_each(|job| groups.push_front(vec![job]));
                }
                Err(error) => {
                    let error = StoreError::from(error);
                    group.into_iter().for_each(|job| job.command.fail(error.clone()));
                }
            }
        }
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }

    /// Runs a group until no other transaction is in the way. The callers of late commands have an error already.
    #[expect(clippy::disallowed_methods, reason = "bounds waits, by a clock without jumps")]
    async fn run_with_retries(
        &self,
        kept: &mut Kept,
        slot: i16,
        group: &mut Vec<Job>,
        is_claim: bool,
    ) -> Result<Run, TransactionError> {
        let mut first = Locks::new();
        let mut attempt = 0;
        loop {
            let now = Instant::now();
            group.retain(|job| !job.is_late(now));
            if group.is_empty() {
                return Ok(Run::Done);
            }
            attempt += 1;
            let run = self.run_once(kept, slot, &first, group, is_claim);
            let run = tokio::time::timeout(MAX_ATTEMPT, run).await;
            let error = match run {
                Ok(Ok(Run::Lock(more))) => {
                    first.extend(more);
                    TransactionError::Conflict("locks".to_owned())
                }
                Ok(Ok(run)) => return Ok(run),
                Ok(Err(error @ TransactionError::Conflict(_))) => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    kept.close();
                    return Err(TransactionError::Late(MAX_ATTEMPT));
                }
            };
            if attempt >= MAX_ATTEMPTS {
                return Err(error);
            }
            let jitter = u64::from(getrandom::u32().unwrap_or_default() % 10);
            tokio::time::sleep(Duration::from_millis(jitter * u64::from(attempt))).await;
        }
    }

    async fn run_once(
        &self,
        kept: &mut Kept,
        slot: i16,
        first: &Locks,
        group: &mut [Job],
        is_claim: bool,
    ) -> Result<Run, TransactionError> {
        let mut cache = self.cache();
        let mut wanted = first.clone();
        if first.is_empty() {
            // Which rows the commands read first does not depend on rows: so these locks need one statement.
            judge(group, &mut cache);
            cache.missing.get_mut().iter().for_each(|read| add_read(&mut wanted, read));
            cache = self.cache();
        }
        if wanted.len() > MAX_LOCKS && group.len() > 1 {
            return Ok(Run::Split);
        }
        let connection = kept.begin(&self.pool, BEGIN).await?;
        let judged = self.judge_on_rows(connection, cache, group, wanted, is_claim).await;
        let judged = match judged {
            Ok(Judged::Commit(cache)) => {
                let RowCache { loaded, changed, .. } = &*cache;
                let written = write(connection, loaded, changed, &self.config, slot).await;
                written.map(|()| Judged::Commit(cache))
            }
            other => other,
        };
        match judged {
            Ok(Judged::Commit(cache)) => {
                kept.end("COMMIT").await?;
                self.note_commit(&cache.changed);
                Ok(Run::Done)
            }
            Ok(Judged::Unchanged) => kept.end("ROLLBACK").await.map(|()| Run::Done),
            Ok(Judged::Again(run)) => kept.end("ROLLBACK").await.map(|()| run),
            Err(error) => {
                // At once, so that no lock outlives the attempt. Without a connection there is no lock.
                let _ = kept.end("ROLLBACK").await;
                Err(error)
            }
        }
    }

    fn cache(&self) -> RowCache {
        let now = match &self.clock {
            Some(clock) => clock(),
            None => timestamp(self.last_time.load(Ordering::Relaxed)),
        };
        let next_lease = self.next_lease.fetch_add(LEASES_PER_RUN, Ordering::Relaxed);
        RowCache::new(self.config, now, self.totals.counts(), next_lease)
    }

    /// Locks and loads what the commands need, and judges them in order.
    async fn judge_on_rows(
        &self,
        transaction: &mut PgConnection,
        mut cache: RowCache,
        group: &mut [Job],
        mut wanted: Locks,
        is_claim: bool,
    ) -> Result<Judged, TransactionError> {
        let now = wait_for_locks(transaction, &wanted).await?;
        let mut held = wanted.clone();
        self.last_time.fetch_max(now.as_millisecond(), Ordering::Relaxed);
        cache.now = self.clock.as_ref().map_or(now, |clock| clock());
        self.totals.refresh(transaction, self.config.max_parked).await?;
        cache.loaded.counts = self.totals.counts();
        cache.discard_changes();
        if let Some(parked_rows) = self.totals.parked_rows(&self.config) {
            cache.loaded.parked_rows = parked_rows;
            cache.loaded.reads.insert(Read::ParkedRows);
        }
        for _ in 0..MAX_ROUNDS {
            let lacks_candidates = judge(group, &mut cache);
            let missing = std::mem::take(cache.missing.get_mut());
            if !missing.is_empty() {
                cache.discard_changes();
                missing.iter().for_each(|read| add_read(&mut wanted, read));
                if wanted.len() > MAX_LOCKS && group.len() > 1 {
                    return Ok(Judged::Again(Run::Split));
                }
                if !take_locks(transaction, &wanted, &mut held).await? {
                    return Ok(Judged::Again(Run::Lock(wanted)));
                }
                load(transaction, &mut cache.loaded, missing).await?;
                continue;
            }
            if lacks_candidates && group.len() > 1 {
                return Ok(Judged::Again(Run::Split));
            }
            if cache.changed.is_empty() {
                return Ok(Judged::Unchanged);
            }
            if is_claim && !lock_claimed(transaction, &mut cache).await? {
                cache.discard_changes();
                continue;
            }
            add_changes(&mut wanted, &cache.loaded, &cache.changed);
            if !lacking(&wanted, &held).is_empty() {
                // Rows that were read before these locks may have changed, so the group runs again with them.
                return Ok(Judged::Again(Run::Lock(wanted)));
            }
            return Ok(Judged::Commit(Box::new(cache)));
        }
        if group.len() > 1 {
            return Ok(Judged::Again(Run::Split));
        }
        let cause = format!("the command needed more than {MAX_ROUNDS} rounds of rows");
        Err(TransactionError::Conflict(cause))
    }

    /// Counts what a commit changed, and wakes the worker if a message became due.
    fn note_commit(&self, changed: &Changed) {
        self.totals.add(&changed.mutations, self.config.max_parked);
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        for mutation in &changed.mutations {
            mutation.count_stats(&mut news);
            self.evicted.fetch_add(mutation.evicted, Ordering::Relaxed);
        }
        let mut messages = changed.messages.values().flatten();
        let is_due = messages
            .any(|message| message.state == State::Confirmed && message.delivery.due_at.is_some());
        if is_due || !changed.holds.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Reads the number of records when a store opens.
    pub(super) async fn refresh_totals(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin_read().await?;
        Ok(self.totals.refresh(&mut transaction, self.config.max_parked).await?)
    }

    /// Commits a change of a row that has no other purpose.
    pub(super) async fn prove_writable(&self) -> Result<(), StoreError> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).first().copied();
        let writing = async {
            let mut transaction = self.pool.begin_with(BEGIN).await?;
            sqlx::query(
                "INSERT INTO tally (key, slot, n) VALUES ('health', $1, 1)
                 ON CONFLICT (key, slot) DO UPDATE SET n = tally.n + 1",
            )
            .bind(slot.unwrap_or_default())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        match tokio::time::timeout(self.max_wait, writing).await {
            Ok(written) => Ok(written.map_err(TransactionError::from)?),
            Err(_) => Err(TransactionError::Late(self.max_wait).into()),
        }
    }

    /// Begins a transaction that only reads.
    pub(super) async fn begin_read(
        &self,
    ) -> Result<Transaction<'static, Postgres>, TransactionError> {
        Ok(self.pool.begin_with(BEGIN_READ).await?)
    }

    /// The time of the injected clock, or else the database's.
    pub(super) async fn now(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Timestamp, TransactionError> {
        if let Some(clock) = &self.clock {
            return Ok(clock());
        }
        let (now,): (i64,) =
            sqlx::query_as("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .fetch_one(connection)
                .await?;
        Ok(timestamp(now))
    }
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

/// Takes locks, and returns the time at which it has them.
async fn wait_for_locks(
    connection: &mut PgConnection,
    locks: &Locks,
) -> Result<Timestamp, TransactionError> {
    // The last row stands for no lock.
    let numbers = locks.keys().copied().map(Some).chain([None]);
    let exclusive = locks.values().copied().map(Some).chain([None]);
    let times: Vec<(Option<String>, i64)> = sqlx::query_as(LOCK)
        .bind(numbers.collect::<Vec<Option<i64>>>())
        .bind(exclusive.collect::<Vec<Option<bool>>>())
        .fetch_all(connection)
        .await?;
    Ok(timestamp(times.last().map(|(_, now)| *now).unwrap_or_default()))
}

/// Judges a group in order. Returns whether a command was refused only because earlier ones took the candidates for
/// eviction.
fn judge(group: &mut [Job], cache: &mut RowCache) -> bool {
    let mut lacks_candidates = false;
    for job in group {
        cache.lacks_candidates.set(false);
        let before = cache.changed.mutations.len();
        if !job.command.judge(cache) {
            cache.keep_mutations(before);
            lacks_candidates |= cache.lacks_candidates.get();
        }
    }
    lacks_candidates
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
    let (numbers, exclusive): (Vec<i64>, Vec<bool>) = more.iter().unzip();
    let (is_taken,): (bool,) =
        sqlx::query_as(TRY_LOCK).bind(numbers).bind(exclusive).fetch_one(connection).await?;
    if !is_taken {
        return Ok(false);
    }
    held.extend(more);
    Ok(true)
}
