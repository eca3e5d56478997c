//! [`PostgresStore`]: the trait [`Store`] over transactions.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretSlice;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::Notify;

use crate::domain::account_block::{AccountBlock, AccountNews};
use crate::domain::address::{Address, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::feedback::{Claim, EndedAttempt, Lease, Settlement};
use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::message::{LastAttempt, Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::stats::MessageStats;
use crate::store::engine;
use crate::store::engine::{Backend as _, EngineConfig};
use crate::store::postgres::cache::RowCache;
use crate::store::postgres::connect::connected;
use crate::store::postgres::diagnosis::OutageDiagnosis;
use crate::store::postgres::error::{POOL_EXHAUSTED, SLOW, TransactionError, late};
use crate::store::postgres::hints::Hints;
use crate::store::postgres::inspect;
use crate::store::postgres::inspect::DatabaseFacts;
use crate::store::postgres::metrics::TransactionMetrics;
use crate::store::postgres::open_error::PostgresOpenError;
use crate::store::postgres::options::PostgresOptions;
use crate::store::postgres::pages::Cursor;
use crate::store::postgres::queue::Queue;
use crate::store::postgres::recount::{Recount, recount};
use crate::store::postgres::runtime::OwnRuntime;
use crate::store::postgres::schema;
use crate::store::postgres::totals::CachedTotals;
use crate::store::postgres::transaction::{Beginnings, Database};
use crate::store::{
    ClockGuard, ExportRecord, Filter, Forgotten, ImportOutcome, ListPage, PoolFigures, Presence,
    Quotas, Reconsidered, RecordCounts, Records, RequeueFrom, Requeued, SettleOutcome,
    SettleResults, Store, StoreError, Swept,
};

/// The most messages of the outbox, or of the refused messages, that one query reads.
const MAX_READ: usize = 100;
const OUTBOX: &str = "SELECT body::text FROM message
    WHERE due_at IS NOT NULL AND $2::text IS NULL ORDER BY due_at, sid LIMIT $1";
const REFUSED: &str = "SELECT body::text FROM message
    WHERE state = 6 AND $2::text IS NULL ORDER BY stands_since DESC, sid DESC LIMIT $1";

/// A claim is a transaction of about ten statements, so the messages of this time are claimed together.
const CLAIM_INTERVAL: Duration = Duration::from_millis(25);
/// The slots of the counters.
const SLOTS: i16 = 64;

/// A store in a PostgreSQL database, for any number of receivers.
pub struct PostgresStore {
    pub(super) database: Arc<Database>,
    pub(super) queue: Arc<Queue>,
    pub(super) recipient_hash_key: RecipientHashKey,
    clock: Arc<ClockGuard>,
    pub(super) sweep: Mutex<Option<Cursor>>,
    pub(super) runtime: OwnRuntime,
}

impl PostgresStore {
    /// Connects to a database that has this release's schema.
    ///
    /// # Errors
    /// [`PostgresOpenError`]; nothing was changed.
    #[expect(clippy::disallowed_methods, reason = "slots and leases that no other receiver has")]
    pub fn open(options: PostgresOptions) -> Result<Self, PostgresOpenError> {
        let runtime = OwnRuntime::start()?;
        let recipient_hash_key = RecipientHashKey::new(&options.recipient_hash_key);
        let check = recipient_hash_key.fingerprint();
        let clock = options.clock.clone();
        let wall = clock.clone().unwrap_or_else(|| Arc::new(wall_clock));
        let guard = options.clock_guard.clone().unwrap_or_else(|| ClockGuard::believing(wall));
        let config = EngineConfig {
            policy: options.policy,
            max_messages: options.max_messages,
            max_parked: options.max_parked,
        };
        let connections = i16::try_from(options.max_connections).unwrap_or(i16::MAX);
        let max_wait = options.max_wait();
        let (writers, group) = (options.writers, options.group);
        let max_connections = options.max_connections;
        let beginnings = Beginnings::new(options.pooler);
        let (pool, lock_salt) = runtime.block_on(async move {
            let pool = connected(&options).await?;
            schema::check(&pool, beginnings.read).await?;
            check_recipient_hash_key(&pool, beginnings.write, check).await?;
            let lock_salt = schema::lock_salt(&pool, beginnings.read).await?;
            Ok::<_, PostgresOpenError>((pool, lock_salt))
        })?;
        let first_slot = getrandom::u32().unwrap_or_default() % u32::from(SLOTS.unsigned_abs());
        let first_slot = i16::try_from(first_slot).unwrap_or_default();
        // Claims, reads and the health check need connections that no writer keeps.
        let writers = writers.min(max_connections.saturating_sub(2)).max(1);
        let database = Arc::new(Database {
            pool,
            beginnings,
            config,
            clock,
            totals: CachedTotals::default(),
            news: Mutex::default(),
            changed: Notify::new(),
            next_lease: AtomicU64::new(getrandom::u64().unwrap_or_default()),
            // Few, so that the counters do not grow with each start. Two receivers on one slot wait for a row.
            slots: Mutex::new((0..connections).map(|slot| (first_slot + slot) % SLOTS).collect()),
            evicted: AtomicUsize::new(0),
            last_time: AtomicI64::new(0),
            max_wait,
            diagnosis: OutageDiagnosis::default(),
            hints: Hints::default(),
            lock_salt,
            metrics: TransactionMetrics::default(),
        });
        let shared = Arc::clone(&database);
        let (queue, now) = runtime.block_on(async move {
            shared.refresh_totals().await?;
            let mut transaction = shared.begin_read().await.map_err(StoreError::from)?;
            let now = shared.now(&mut transaction).await.map_err(StoreError::from)?;
            Ok((Queue::start(&shared, writers, group), now))
        })?;
        // A receiver that starts with a wrong wall clock must not date evidence before the message that it proves.
        guard.begin(Some(now.into()));
        guard.agree(now);
        Ok(Self {
            database,
            queue: Arc::new(queue),
            recipient_hash_key,
            clock: guard,
            sweep: Mutex::default(),
            runtime,
        })
    }

    /// Brings a database to this release's schema. Returns its version.
    ///
    /// # Errors
    /// [`PostgresOpenError`].
    pub fn migrate(options: PostgresOptions) -> Result<i64, PostgresOpenError> {
        let runtime = OwnRuntime::start()?;
        runtime.block_on(async move {
            let pool = connected(&options).await?;
            let version = schema::migrate(&pool).await?;
            pool.close().await;
            Ok(version)
        })
    }

    /// Recounts all rows, and compares the counters with the result.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn recount(&self) -> Result<Recount, StoreError> {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move { Ok(recount(&database.pool).await?) }).await
    }

    /// Reads facts about the server, the role and the connection. Changes nothing.
    ///
    /// # Errors
    /// [`PostgresOpenError`].
    pub fn inspect(options: PostgresOptions) -> Result<DatabaseFacts, PostgresOpenError> {
        let runtime = OwnRuntime::start()?;
        runtime.block_on(async move {
            let begin = Beginnings::new(options.pooler).read;
            let pool = connected(&options).await?;
            let facts = inspect::facts(&mut *pool.begin_with(begin).await?).await;
            pool.close().await;
            facts
        })
    }

    pub(super) async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.explained(self.runtime.run(work).await).await
    }

    /// Runs work that the worker waits for, which must end even if the server reports no timeout.
    async fn bounded<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let max_wait = self.database.max_wait;
        let bounded = async move {
            let done = tokio::time::timeout(max_wait, work).await;
            done.unwrap_or_else(|_| Err(late(max_wait)))
        };
        self.on_runtime(bounded).await
    }

    /// Replaces an error that says only how long a command waited.
    async fn explained<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let Err(StoreError::Unavailable { label: SLOW | POOL_EXHAUSTED, .. }) = &result else {
            return result;
        };
        let database = Arc::clone(&self.database);
        let cause = async move { Ok(database.diagnosis.cause(&database.pool).await) };
        match self.runtime.run(cause).await {
            Ok(Some(cause)) => Err(cause),
            Ok(None) | Err(_) => result,
        }
    }

    /// Carries out a command, in one transaction with others that are in the queue.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        command: impl Fn(&mut RowCache) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (queue, max_wait) = (Arc::clone(&self.queue), self.database.max_wait);
        self.explained(queue.submit(max_wait, command).await).await
    }

    /// Carries out a command in a transaction of its own: one that reads lists of due messages, or that changes many rows.
    pub(super) async fn run_alone<T: Send + 'static>(
        &self,
        command: impl Fn(&mut RowCache) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move { database.run(false, command).await }).await
    }

    /// Reads in a transaction that changes nothing.
    pub(super) async fn read<T, F>(
        &self,
        query: impl FnOnce(Arc<Database>, Transaction<'static, Postgres>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TransactionError>> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move {
            let max_wait = database.max_wait;
            let reading = async {
                let transaction = database.begin_read().await?;
                query(Arc::clone(&database), transaction).await
            };
            let read = tokio::time::timeout(max_wait, reading).await;
            Ok(read.unwrap_or(Err(TransactionError::Late(max_wait)))?)
        })
        .await
    }
}

#[expect(clippy::disallowed_methods, reason = "the store owns the clock")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

/// Notes the key's check in an empty database, and compares it in another.
async fn check_recipient_hash_key(
    pool: &PgPool,
    begin: &'static str,
    check: [u8; 16],
) -> Result<(), PostgresOpenError> {
    let mut transaction = pool.begin_with(begin).await?;
    sqlx::query("INSERT INTO meta (person_check) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(&check[..])
        .execute(&mut *transaction)
        .await?;
    let (known,): (Vec<u8>,) =
        sqlx::query_as("SELECT person_check FROM meta").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    if known == check { Ok(()) } else { Err(PostgresOpenError::OtherPersonKey) }
}

/// The outcome of an engine function: this backend has no error of its own.
pub(super) fn outcome<T>(
    result: engine::EngineResult<T, std::convert::Infallible>,
) -> Result<T, StoreError> {
    let Ok(outcome) = result;
    outcome
}

#[async_trait]
impl Store for PostgresStore {
    fn recipient_hash_key(&self) -> &RecipientHashKey {
        &self.recipient_hash_key
    }

    fn own_recipient_hash_key(&self) -> Option<SecretSlice<u8>> {
        None
    }

    fn clock_guard(&self) -> &ClockGuard {
        &self.clock
    }

    async fn remember(&self, sighting: MessageUpdate) -> Result<RegisterOutcome, StoreError> {
        self.run(move |rows| outcome(engine::remember(rows, &sighting))).await
    }

    async fn observe(&self, signal: Signal) -> Result<ObserveOutcome, StoreError> {
        self.run(move |rows| outcome(engine::observe(rows, &signal))).await
    }

    async fn keep_link(&self, id: LinkId, link: Link) -> Result<Timestamp, StoreError> {
        self.run(move |rows| outcome(engine::keep_link(rows, id, link.clone()))).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        self.find_link(id).await
    }

    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> Result<Vec<Claim>, StoreError> {
        self.claim_due(limit, lease, quotas.clone()).await
    }

    async fn settle(
        &self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<LastAttempt>,
    ) -> Result<SettleOutcome, StoreError> {
        self.run(move |rows| {
            outcome(engine::settle(rows, lease, settlement.clone(), attempt.clone()))
        })
        .await
    }

    /// One after the other: the results free places of their accounts.
    async fn settle_and_claim(
        &self,
        ended: &[EndedAttempt],
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> (SettleResults, Result<Vec<Claim>, StoreError>) {
        let settled = self.settle_all(ended).await;
        (settled, self.claim(limit, lease, quotas).await)
    }

    async fn next_due(&self, quotas: &Quotas) -> Result<Option<Duration>, StoreError> {
        let (database, quotas) = (Arc::clone(&self.database), quotas.clone());
        let question = move |rows: &mut RowCache| {
            let Ok(next) = engine::next_due(rows, &quotas);
            next
        };
        self.bounded(Box::pin(async move { database.look(question).await })).await
    }

    async fn changed(&self) {
        self.database.changed.notified().await;
    }

    fn look_every(&self) -> RangeInclusive<Duration> {
        Duration::from_secs(1)..=Duration::from_secs(2)
    }

    fn claim_interval(&self) -> Duration {
        CLAIM_INTERVAL
    }

    async fn share_news(&self, account: AccountSid, news: AccountNews) -> Result<(), StoreError> {
        let database = Arc::clone(&self.database);
        self.bounded(Box::pin(async move { database.share_news(account, news).await })).await
    }

    async fn account_blocks(&self) -> Result<Vec<(AccountSid, AccountBlock)>, StoreError> {
        let database = Arc::clone(&self.database);
        self.bounded(Box::pin(async move { database.account_blocks().await })).await
    }

    async fn expire(&self, limit: usize) -> Result<Swept, StoreError> {
        self.sweep_rows(limit).await
    }

    async fn list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        self.find_list(filter, cursor, limit).await
    }

    async fn show(&self, sid: MessageSid) -> Result<Option<Message>, StoreError> {
        self.find_message(sid).await
    }

    async fn messages_with_reference(
        &self,
        reference: Reference,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.find_by_reference(reference, limit).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.messages(OUTBOX, None, limit.min(MAX_READ)).await
    }

    async fn refused(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.messages(REFUSED, None, limit.min(MAX_READ)).await
    }

    async fn stats(&self) -> Result<MessageStats, StoreError> {
        self.find_stats().await
    }

    async fn hold(&self, account: AccountSid) -> Result<Timestamp, StoreError> {
        self.run(move |rows| outcome(engine::hold(rows, account))).await
    }

    async fn resume(&self, account: AccountSid) -> Result<Option<Timestamp>, StoreError> {
        self.run(move |rows| outcome(engine::resume(rows, account))).await
    }

    async fn on_hold(&self) -> Result<BTreeMap<AccountSid, Timestamp>, StoreError> {
        self.run_alone(|rows| Ok(rows.holds().clone())).await
    }

    async fn requeue(&self, sid: MessageSid, from: RequeueFrom) -> Result<Requeued, StoreError> {
        self.run(move |rows| outcome(engine::requeue(rows, sid, from))).await
    }

    async fn forget(&self, addresses: Vec<Address>) -> Result<Forgotten, StoreError> {
        self.erase_rows(addresses).await
    }

    async fn records(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<Records, StoreError> {
        self.find_records(cursor, limit).await
    }

    async fn import(&self, records: Vec<ExportRecord>) -> Result<ImportOutcome, StoreError> {
        self.run_alone(move |rows| outcome(engine::import(rows, &records))).await
    }

    async fn compare(&self, records: Vec<ExportRecord>) -> Result<Vec<Presence>, StoreError> {
        self.run_alone(move |rows| outcome(engine::compare(rows, &records))).await
    }

    async fn reconsider(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError> {
        self.reconsider_rows(cursor, limit).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move { database.prove_writable().await }).await
    }

    fn counts(&self) -> RecordCounts {
        self.database.totals.counts()
    }

    fn queued(&self) -> usize {
        self.queue.len()
    }

    fn pool(&self) -> Option<PoolFigures> {
        let pool = &self.database.pool;
        let (open, idle) = (u64::from(pool.size()), pool.num_idle() as u64);
        Some(PoolFigures {
            in_use: open.saturating_sub(idle),
            idle,
            limit: u64::from(pool.options().get_max_connections()),
            ..self.database.metrics.figures()
        })
    }

    async fn evictable(&self) -> Result<u64, StoreError> {
        self.count_evictable().await
    }

    async fn close(&self) {
        let (queue, pool) = (Arc::clone(&self.queue), self.database.pool.clone());
        let closing = async move {
            queue.close().await;
            pool.close().await;
            Ok(())
        };
        let _ = self.on_runtime(closing).await;
    }
}
