//! Runs a group of commands in a transaction: lock, load, decide, write, commit (docs/design.md, "PostgreSQL").

use std::collections::{BTreeSet, VecDeque};
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
use crate::store::postgres::diagnosis::OutageDiagnosis;
use crate::store::postgres::error::{TransactionError, closed};
use crate::store::postgres::hints::Hints;
use crate::store::postgres::job::Job;
use crate::store::postgres::kept::Kept;
use crate::store::postgres::load::{load, timestamp};
use crate::store::postgres::locks::{
    Locks, add_changes, add_read, lacking, take_locks, wait_for_locks,
};
use crate::store::postgres::metrics::{self, TransactionEnd, TransactionMetrics};
use crate::store::postgres::totals::CachedTotals;
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

/// The beginnings of a transaction and of one that only reads, with a further statement. They bound the waits. All rows are
/// found by an index, even before the server knows the size of the tables; a plan is made once. Settings for this transaction
/// alone also hold behind a pooler. A statement that waited for a lock must not leave an old snapshot to the next one, so the
/// isolation level is not the database's default.
macro_rules! beginnings {
    ($further:literal) => {
        Beginnings {
            write: concat!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; ",
                $further,
                "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '5s'; ",
                "SET LOCAL idle_in_transaction_session_timeout = '10s'; ",
                "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; ",
                "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off",
            ),
            read: concat!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; ",
                $further,
                "SET LOCAL statement_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'",
            ),
        }
    };
}

/// Commits. A statement's timeout would end the wait for a synchronous standby, and report success. After a crash of the server,
/// rows that say that all is done may not have reached this standby: so a transaction that writes no row waits for it, too.
const COMMIT: &str = "SET LOCAL statement_timeout = 0; \
    SELECT pg_logical_emit_message(true, 'heardback', '') WHERE current_setting('synchronous_standby_names') <> ''; \
    COMMIT";

/// The statements that begin a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginnings {
    pub(super) write: &'static str,
    pub(super) read: &'static str,
}

impl Beginnings {
    /// Behind a pooler, the connection may have the prepared statements of other clients.
    pub(super) fn new(pooler: bool) -> Self {
        if pooler { beginnings!("DEALLOCATE ALL; ") } else { beginnings!("") }
    }
}

/// The state that all commands share.
pub(super) struct Database {
    pub(super) pool: PgPool,
    pub(super) beginnings: Beginnings,
    pub(super) config: EngineConfig,
    /// `None`: the database's clock.
    pub(super) clock: Option<Clock>,
    pub(super) totals: CachedTotals,
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
    pub(super) diagnosis: OutageDiagnosis,
    pub(super) hints: Hints,
    /// Advisory locks are those of a database: stores in other schemas have other numbers.
    pub(super) lock_salt: i64,
    pub(super) metrics: TransactionMetrics,
}

/// How one run of a group ended.
enum Run {
    /// `true`: rows changed.
    Done(bool),
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
                Ok(Run::Done(_)) => group.into_iter().for_each(|job| job.command.answer()),
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
                    for job in group {
                        job.command.fail(error.clone());
                    }
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
                return Ok(Run::Done(false));
            }
            attempt += 1;
            let run = self.run_once(kept, slot, &first, group, is_claim);
            let run = tokio::time::timeout(MAX_ATTEMPT, run).await;
            self.metrics.note_end(match &run {
                Ok(Ok(Run::Done(true))) => TransactionEnd::Committed,
                Ok(Ok(Run::Done(false))) => TransactionEnd::Unchanged,
                Ok(Ok(Run::Lock(_) | Run::Split) | Err(TransactionError::Conflict(_))) => {
                    TransactionEnd::Conflict
                }
                Ok(Err(_)) | Err(_) => TransactionEnd::Failed,
            });
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
        let likely = self.likely_reads(group);
        let mut wanted = first.clone();
        for read in &likely {
            add_read(&mut wanted, read);
        }
        if wanted.len() > MAX_LOCKS && group.len() > 1 {
            return Ok(Run::Split);
        }
        let began = metrics::begin();
        let connection = kept.begin(&self.pool, self.beginnings.write).await?;
        self.metrics.note_acquired(began);
        let judged = self.judge_on_rows(connection, group, (wanted, likely), is_claim).await;
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
                kept.end(COMMIT).await?;
                self.note_commit(&cache.changed);
                Ok(Run::Done(true))
            }
            Ok(Judged::Unchanged) => {
                let end = if is_claim { "ROLLBACK" } else { COMMIT };
                kept.end(end).await.map(|()| Run::Done(false))
            }
            Ok(Judged::Again(run)) => kept.end("ROLLBACK").await.map(|()| run),
            Err(error) => {
                // At once, so that no lock outlives the attempt. Without a connection there is no lock.
                let _ = kept.end("ROLLBACK").await;
                if error.is_of_the_connection() {
                    kept.close();
                }
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

    /// The rows that the commands read first, and those that they read next if messages are as this receiver wrote them. So
    /// one statement locks, and one loads, the rows of most commands.
    fn likely_reads(&self, group: &mut [Job]) -> BTreeSet<Read> {
        let mut cache = self.cache();
        judge(group, &mut cache);
        let mut reads = std::mem::take(cache.missing.get_mut());
        if self.hints.answer(&reads, &mut cache.loaded) {
            cache.discard_changes();
            cache.loaded.reads.extend(reads.iter().cloned());
            judge(group, &mut cache);
            reads.append(cache.missing.get_mut());
        }
        // These depend on the time, which is not known yet, or may be in memory.
        let is_known = |read: &Read| {
            !matches!(
                read,
                Read::ParkedRows
                    | Read::Evictable(..)
                    | Read::AccountUse(..)
                    | Read::DueAfter(..)
                    | Read::LastDueBy(..)
            )
        };
        reads.retain(is_known);
        reads
    }

    /// Locks and loads what the commands need, and judges them in order.
    async fn judge_on_rows(
        &self,
        transaction: &mut PgConnection,
        group: &mut [Job],
        (mut wanted, mut likely): (Locks, BTreeSet<Read>),
        is_claim: bool,
    ) -> Result<Judged, TransactionError> {
        let began = metrics::begin();
        let now = wait_for_locks(transaction, &wanted, self.lock_salt).await?;
        self.metrics.note_locked(began);
        let mut held = wanted.clone();
        self.last_time.fetch_max(now.as_millisecond(), Ordering::Relaxed);
        let mut cache = self.cache();
        cache.now = self.clock.as_ref().map_or(now, |clock| clock());
        self.totals.refresh(transaction, &self.config).await?;
        cache.loaded.counts = self.totals.counts();
        cache.discard_changes();
        if let Some(parked_rows) = self.totals.parked_rows(&self.config) {
            cache.loaded.parked_rows = parked_rows;
            cache.loaded.reads.insert(Read::ParkedRows);
            likely.remove(&Read::ParkedRows);
        }
        load(transaction, &mut cache.loaded, likely).await?;
        for _ in 0..MAX_ROUNDS {
            let lacks_candidates = judge(group, &mut cache);
            let missing = std::mem::take(cache.missing.get_mut());
            if !missing.is_empty() {
                cache.discard_changes();
                for read in &missing {
                    add_read(&mut wanted, read);
                }
                if wanted.len() > MAX_LOCKS && group.len() > 1 {
                    return Ok(Judged::Again(Run::Split));
                }
                if !take_locks(transaction, &wanted, &mut held, self.lock_salt).await? {
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
            add_changes(&mut wanted, &cache.loaded, &cache.changed, is_claim);
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
        self.hints.add(changed);
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
        Ok(self.totals.refresh(&mut transaction, &self.config).await?)
    }

    /// Commits a change of a row that has no other purpose.
    pub(super) async fn prove_writable(&self) -> Result<(), StoreError> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).first().copied();
        let writing = async {
            let mut kept = Kept::default();
            let connection = kept.begin(&self.pool, self.beginnings.write).await?;
            let written = sqlx::query(
                "INSERT INTO tally (key, slot, n) VALUES ('health', $1, 1)
                 ON CONFLICT (key, slot) DO UPDATE SET n = tally.n + 1",
            )
            .bind(slot.unwrap_or_default())
            .execute(connection)
            .await;
            match written {
                Ok(_) => kept.end(COMMIT).await,
                // The connection closes, so that the next one may reach another server.
                Err(error) => Err(error.into()),
            }
        };
        let written = tokio::time::timeout(self.max_wait, writing).await;
        Ok(written.unwrap_or(Err(TransactionError::Late(self.max_wait)))?)
    }

    /// Begins a transaction that only reads.
    pub(super) async fn begin_read(
        &self,
    ) -> Result<Transaction<'static, Postgres>, TransactionError> {
        Ok(self.pool.begin_with(self.beginnings.read).await?)
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
