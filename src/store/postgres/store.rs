//! [`PostgresStore`]: the trait [`Store`] over transactions.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretSlice;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::domain::address::{Address, RecipientHash, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::erasure::Erasure;
use crate::domain::feedback::{Claim, Lease, Settlement};
use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::message::{LastAttempt, Message, Reference, State};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::stats::{MessageStats, StatusBucket};
use crate::store::engine;
use crate::store::engine::{
    Backend as _, EngineConfig, MAX_RELATED, PersonalRow, StoredRow, imported_evidence, list_entry,
    live_link, personal_row,
};
use crate::store::postgres::cache::{Changed, Loaded, RowCache};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::options::PostgresOptions;
use crate::store::postgres::pages::{Cursor, RowKind, page};
use crate::store::postgres::recount::{Recount, recount};
use crate::store::postgres::schema;
use crate::store::postgres::tally;
use crate::store::postgres::transaction::Database;
use crate::store::{
    ClockGuard, ExportRecord, Filter, Forgotten, ImportOutcome, ListPage, Presence, Quotas,
    Reconsidered, RecordCounts, Records, RequeueFrom, Requeued, SettleOutcome, Store, StoreError,
    Swept,
};

/// Why a PostgreSQL store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    #[error(
        "the database's schema has version {found}, this release needs {known}; run `heardback store migrate`"
    )]
    OlderSchema { found: i64, known: i64 },
    #[error(
        "the database's schema has version {found}, this release knows {known}; install the newer release"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error(
        "HEARDBACK_PHONE_KEY is not the key that this database was made with; all receivers need the same key"
    )]
    OtherPersonKey,
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("cannot open the database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("cannot read the counters of the database: {0}")]
    Counters(#[from] StoreError),
    #[error(
        "the connection is in the schema {found:?} and not in the new schema {name:?}, as behind a pooler that ignores \
         `options`; nothing was changed there: connect to the server itself"
    )]
    OtherSchema { found: String, name: String },
    #[error("cannot start the threads of the database: {0}")]
    Threads(#[from] std::io::Error),
}

/// The rows that an erasure removes in one transaction.
const ERASED_AT_ONCE: usize = 64;
/// The rows of a page that is read to find the rows of people.
const PAGE: usize = 1000;
/// The most records that one query of an operator reads.
const MAX_READ: usize = 100;

/// A store in a PostgreSQL database, for any number of receivers.
pub struct PostgresStore {
    database: Arc<Database>,
    person_key: RecipientHashKey,
    clock: Arc<ClockGuard>,
    sweep: Mutex<Option<Cursor>>,
    runtime: OwnRuntime,
}

impl PostgresStore {
    /// Connects to a database that has this release's schema.
    ///
    /// # Errors
    /// [`PostgresOpenError`]; nothing was changed.
    pub fn open(options: PostgresOptions) -> Result<Self, PostgresOpenError> {
        let runtime = OwnRuntime::start()?;
        let person_key = RecipientHashKey::new(&options.person_key);
        let check = person_key.check();
        let clock = options.clock.clone();
        let wall = clock.clone().unwrap_or_else(|| Arc::new(wall_clock));
        let guard = options.clock_guard.clone().unwrap_or_else(|| ClockGuard::believing(wall));
        let config = EngineConfig {
            policy: options.policy,
            max_messages: options.max_messages,
            max_parked: options.max_parked,
        };
        let connections = i16::try_from(options.max_connections).unwrap_or(i16::MAX);
        let pool = runtime.block_on(async move {
            let pool = pool_options(&options).connect_with(options.connect).await?;
            schema::check(&pool).await?;
            check_person_key(&pool, check).await?;
            Ok::<_, PostgresOpenError>(pool)
        })?;
        let first_slot = getrandom::u32().unwrap_or_default() % 16_384;
        let first_slot = i16::try_from(first_slot).unwrap_or_default();
        let database = Database {
            pool,
            config,
            clock,
            counts: Mutex::default(),
            news: Mutex::default(),
            changed: Notify::new(),
            next_lease: AtomicU64::new(getrandom::u64().unwrap_or_default()),
            slots: Mutex::new((0..connections).map(|slot| first_slot + slot).collect()),
            under_way: AtomicUsize::new(0),
            evicted: AtomicUsize::new(0),
        };
        let store = Self {
            database: Arc::new(database),
            person_key,
            clock: guard,
            sweep: Mutex::default(),
            runtime,
        };
        let database = Arc::clone(&store.database);
        store
            .runtime
            .block_on(async move { Ok(database.refresh_counts(Duration::ZERO).await?) })?;
        Ok(store)
    }

    /// Brings a database to this release's schema. Returns its version.
    ///
    /// # Errors
    /// [`PostgresOpenError`].
    pub fn migrate(options: PostgresOptions) -> Result<i64, PostgresOpenError> {
        let runtime = OwnRuntime::start()?;
        runtime.block_on(async move {
            let pool = pool_options(&options).connect_with(options.connect).await?;
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
        self.read(|database| async move { recount(&database.pool).await }).await
    }

    /// Runs on the store's own runtime.
    async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(runtime) = &self.runtime.0 else { return Err(closed()) };
        runtime.spawn(work).await.unwrap_or_else(|_| Err(closed()))
    }

    /// Runs a command in a transaction.
    async fn run<T: Send + 'static>(
        &self,
        command: impl Fn(&mut RowCache) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move { database.run(false, command).await }).await
    }

    /// Reads without a transaction.
    async fn read<T, F>(
        &self,
        query: impl FnOnce(Arc<Database>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TransactionError>> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move { Ok(query(database).await?) }).await
    }

    async fn messages(
        &self,
        statement: &'static str,
        first: Option<String>,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |database| async move {
            let rows: Vec<(String,)> =
                sqlx::query_as(statement).bind(limit).bind(first).fetch_all(&database.pool).await?;
            let messages = rows.iter().map(|(body,)| Ok(serde_json::from_str(body)?));
            messages.collect()
        })
        .await
    }

    async fn page(
        &self,
        cursor: Cursor,
        limit: usize,
    ) -> Result<(Vec<StoredRow>, Option<Cursor>), StoreError> {
        self.read(move |database| async move { page(&database.pool, &cursor, limit).await }).await
    }

    async fn each_row<T>(
        &self,
        kinds: &[RowKind],
        mut visit: impl FnMut(StoredRow) -> Option<T> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        for kind in kinds {
            let mut next = Some(Cursor::start(*kind));
            while let Some(cursor) = next {
                let (rows, after) = self.page(cursor, PAGE).await?;
                found.extend(rows.into_iter().filter_map(&mut visit));
                next = after;
            }
        }
        Ok(found)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let database = Arc::clone(&self.database);
        self.on_runtime(async move { database.now().await }).await
    }

    /// Whether the sweep would change a row. Only then it needs a transaction.
    fn needs_sweep(&self, row: StoredRow, now: Timestamp) -> bool {
        let mut cache = RowCache {
            config: self.database.config,
            now,
            loaded: Loaded::default(),
            changed: Changed::default(),
            counts: self.counts(),
            missing: std::cell::RefCell::default(),
            next_lease: 0,
        };
        let Ok(()) = engine::sweep(&mut cache, row, &mut Swept::default());
        !cache.changed.is_empty() || !cache.missing.borrow().is_empty()
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { reason: "the store is closed".to_owned(), label: "closed" }
}

#[expect(clippy::disallowed_methods, reason = "the store owns the clock")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

/// A runtime for the connections, so that they outlive the runtime of the caller. `None` after the drop.
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn start() -> Result<Self, std::io::Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store-postgres")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Waits on a thread of its own, because the caller may be in a runtime.
    pub(super) fn block_on<T: Send>(
        &self,
        future: impl Future<Output = Result<T, PostgresOpenError>> + Send,
    ) -> Result<T, PostgresOpenError> {
        let Some(runtime) = &self.0 else {
            return Err(std::io::Error::other("the store is closed").into());
        };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| runtime.block_on(future));
            waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn pool_options(options: &PostgresOptions) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .max_lifetime(options.max_lifetime)
        .idle_timeout(options.idle_timeout)
}

/// Notes the key's check in an empty database, and compares it in another.
async fn check_person_key(pool: &PgPool, check: [u8; 16]) -> Result<(), PostgresOpenError> {
    sqlx::query("INSERT INTO meta (person_check) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(&check[..])
        .execute(pool)
        .await?;
    let (known,): (Vec<u8>,) =
        sqlx::query_as("SELECT person_check FROM meta").fetch_one(pool).await?;
    if known == check { Ok(()) } else { Err(PostgresOpenError::OtherPersonKey) }
}

/// The outcome of an engine function: this backend has no error of its own.
fn outcome<T>(result: engine::EngineResult<T, std::convert::Infallible>) -> Result<T, StoreError> {
    let Ok(outcome) = result;
    outcome
}

#[async_trait]
impl Store for PostgresStore {
    fn person_key(&self) -> &RecipientHashKey {
        &self.person_key
    }

    fn own_person_key(&self) -> Option<SecretSlice<u8>> {
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
        let now = self.now().await?;
        self.read(move |database| async move {
            let id = crate::domain::hex::hex(id.as_bytes());
            let row: Option<(String,)> =
                sqlx::query_as("SELECT body::text FROM link WHERE id = $1")
                    .bind(id)
                    .fetch_optional(&database.pool)
                    .await?;
            let link = row.map(|(body,)| serde_json::from_str(&body)).transpose()?;
            Ok(link.and_then(|link| live_link(link, &database.config.policy, now)))
        })
        .await
    }

    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> Result<Vec<Claim>, StoreError> {
        let (database, quotas) = (Arc::clone(&self.database), quotas.clone());
        let command =
            move |rows: &mut RowCache| outcome(engine::claim(rows, limit, lease, &quotas));
        self.on_runtime(async move { database.run(true, command).await }).await
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

    async fn next_due(&self, quotas: &Quotas) -> Result<Option<Duration>, StoreError> {
        let quotas = quotas.clone();
        self.run(move |rows| {
            let Ok(next) = engine::next_due(rows, &quotas);
            Ok(next)
        })
        .await
    }

    async fn changed(&self) {
        self.database.changed.notified().await;
    }

    async fn expire(&self, limit: usize) -> Result<Swept, StoreError> {
        const KINDS: [RowKind; 6] = [
            RowKind::Counted,
            RowKind::Automatic,
            RowKind::Parked,
            RowKind::Link,
            RowKind::Message,
            RowKind::Names,
        ];
        let now = self.now().await?;
        let evicted = self.database.evicted.swap(0, Ordering::Relaxed);
        let mut all = Swept { evicted, ..Swept::default() };
        let mut left = limit.max(1);
        let mut cursor = self.sweep.lock().unwrap_or_else(PoisonError::into_inner).take();
        while left > 0 {
            let at = cursor.unwrap_or_else(|| Cursor::start(RowKind::Counted));
            let kind = at.kind;
            let (rows, next) = self.page(at, left).await?;
            left = left.saturating_sub(rows.len());
            for row in rows {
                if !self.needs_sweep(row.clone(), now) {
                    continue;
                }
                let step = self.run(move |rows| {
                    let mut swept = Swept::default();
                    if let Some(row) = current(rows, row.clone()) {
                        let Ok(()) = engine::sweep(rows, row, &mut swept);
                    }
                    Ok(swept)
                });
                all += Swept { complete: false, ..step.await? };
            }
            let following = KINDS.iter().skip_while(|other| **other != kind).nth(1);
            cursor = next.or_else(|| following.copied().map(Cursor::start));
            if cursor.is_none() {
                all.complete = true;
                break;
            }
        }
        *self.sweep.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
        Ok(all)
    }

    async fn list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        let now = self.now().await?;
        let kind = match filter {
            Filter::Messages(_) => RowKind::Message,
            Filter::Parked | Filter::Orphaned => RowKind::Parked,
        };
        let cursor = cursor.as_deref().and_then(Cursor::from_bytes);
        let cursor = cursor.filter(|cursor| cursor.kind == kind);
        let mut next = Some(cursor.unwrap_or_else(|| Cursor::start(kind)));
        let mut listed = ListPage::default();
        while let Some(cursor) = next {
            // As many rows as there is room for: so the next page starts at the first row that is not listed.
            let room = limit.saturating_sub(listed.entries.len());
            if room == 0 {
                listed.next = Some(cursor.to_bytes());
                break;
            }
            let (rows, after) = self.page(cursor, room).await?;
            listed.entries.extend(rows.into_iter().filter_map(|row| list_entry(filter, row, now)));
            next = after;
        }
        Ok(listed)
    }

    async fn show(&self, sid: MessageSid) -> Result<Option<Message>, StoreError> {
        let now = self.now().await?;
        let statement = "SELECT body::text FROM message WHERE sid = $2 LIMIT $1";
        let found = self.messages(statement, Some(sid.to_string()), 1).await?;
        Ok(found.into_iter().next().map(|mut message| {
            message.age(now);
            message
        }))
    }

    async fn messages_with_reference(
        &self,
        reference: Reference,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let now = self.now().await?;
        let accounts: Vec<AccountSid> = self.census().await?.accounts().collect();
        let mut found = self
            .run(move |rows| {
                let mut found = Vec::new();
                for account in &accounts {
                    let Ok(sids) = rows.sids_with_reference(*account, &reference, MAX_RELATED);
                    for sid in sids {
                        let Ok(message) = rows.message(sid);
                        found.extend(message);
                    }
                }
                Ok(found)
            })
            .await?;
        found.sort_by_key(|message| std::cmp::Reverse(message.created_at));
        found.truncate(limit);
        found.iter_mut().for_each(|message| message.age(now));
        Ok(found)
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        let statement =
            "SELECT body::text FROM message WHERE due_at IS NOT NULL AND $2::text IS NULL
                         ORDER BY due_at, sid LIMIT $1";
        self.messages(statement, None, limit.min(MAX_READ)).await
    }

    async fn refused(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        let statement = "SELECT body::text FROM message WHERE state = 6 AND $2::text IS NULL
                         ORDER BY stands_since DESC, sid DESC LIMIT $1";
        self.messages(statement, None, limit.min(MAX_READ)).await
    }

    async fn census(&self) -> Result<MessageStats, StoreError> {
        let news = self.database.news.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.read(move |database| async move {
            let sums: Vec<(String, i64)> = sqlx::query_as(
                "SELECT key, sum(n)::bigint FROM tally WHERE key LIKE 'stats:%' GROUP BY key",
            )
            .fetch_all(&database.pool)
            .await?;
            let oldest: Vec<(i16, i64)> = sqlx::query_as(
                "SELECT state, (SELECT min(stands_since) FROM message WHERE message.state = k.state)
                 FROM unnest(ARRAY[1, 3, 4, 6]::smallint[]) AS k(state)
                 WHERE EXISTS (SELECT FROM message WHERE message.state = k.state)
                 UNION ALL
                 SELECT -1::smallint, min(parked_at) FROM parked WHERE NOT orphaned AND waiting HAVING count(*) > 0
                 UNION ALL
                 SELECT -2::smallint, min(parked_at) FROM parked WHERE orphaned HAVING count(*) > 0",
            )
            .fetch_all(&database.pool)
            .await?;
            let oldest = oldest.into_iter().filter_map(|(number, at)| {
                let bucket = match number {
                    -1 => StatusBucket::Parked,
                    -2 => StatusBucket::Orphaned,
                    number => StatusBucket::Message(
                        State::ALL.get(usize::try_from(number).ok()?).copied()?,
                    ),
                };
                Some((bucket, at.div_euclid(1000)))
            });
            Ok(tally::stats(&news, &sums, oldest.collect()))
        })
        .await
    }

    async fn pause(&self, account: AccountSid) -> Result<Timestamp, StoreError> {
        self.run(move |rows| outcome(engine::pause(rows, account))).await
    }

    async fn resume(&self, account: AccountSid) -> Result<Option<Timestamp>, StoreError> {
        self.run(move |rows| outcome(engine::resume(rows, account))).await
    }

    async fn paused(&self) -> Result<BTreeMap<AccountSid, Timestamp>, StoreError> {
        self.run(|rows| Ok(rows.holds().clone())).await
    }

    async fn requeue(&self, sid: MessageSid, from: RequeueFrom) -> Result<Requeued, StoreError> {
        self.run(move |rows| outcome(engine::requeue(rows, sid, from))).await
    }

    async fn forget(&self, addresses: Vec<Address>) -> Result<Forgotten, StoreError> {
        let mut erasure = Erasure::of(addresses, self.person_key.clone());
        let groups = self.each_row(&[RowKind::Names, RowKind::Message], names_of).await?;
        erasure.add_names(&groups);
        // Messages come before links: a link of one of their messages concerns them, too.
        let kinds =
            [RowKind::Names, RowKind::Message, RowKind::Link, RowKind::Parked, RowKind::Automatic];
        let mut rows = self.each_row(&kinds, |row| personal_row(row, &mut erasure)).await?;
        let references: Vec<(AccountSid, Reference)> =
            erasure.references().map(|(account, reference)| (account, reference.clone())).collect();
        for (account, reference) in references {
            let statement = "SELECT body::text FROM message WHERE reference = $2 LIMIT $1";
            let name = Some(reference.as_str().to_owned());
            let messages = self.messages(statement, name, usize::MAX).await?;
            let messages = messages.into_iter().filter(|message| message.account == account);
            rows.extend(messages.map(|message| PersonalRow::SharedReference(message.sid)));
        }
        let (erasure, rows) = (Arc::new(erasure), Arc::new(rows));
        let mut forgotten = Forgotten::default();
        for from in (0..rows.len()).step_by(ERASED_AT_ONCE) {
            let (erasure, rows) = (Arc::clone(&erasure), Arc::clone(&rows));
            let group = self
                .run(move |cache| {
                    let to = rows.len().min(from + ERASED_AT_ONCE);
                    let group = rows.get(from..to).unwrap_or_default();
                    outcome(engine::erase(cache, &erasure, group))
                })
                .await?;
            forgotten += group;
        }
        Ok(forgotten)
    }

    async fn records(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<Records, StoreError> {
        let limit = limit.max(1);
        let mut page = Records::default();
        let start = || Cursor::start(RowKind::Hold);
        let mut cursor = cursor.as_deref().and_then(Cursor::from_bytes).unwrap_or_else(start);
        loop {
            let room = limit - page.records.len();
            let kind = cursor.kind;
            let (rows, next) = self.page(cursor, room).await?;
            page.records.extend(rows.into_iter().filter_map(StoredRow::exported));
            let following = RowKind::ALL.iter().skip_while(|other| **other != kind).nth(1);
            let Some(next) = next.or_else(|| following.copied().map(Cursor::start)) else {
                return Ok(page);
            };
            if page.records.len() >= limit {
                page.next = Some(next.to_bytes());
                return Ok(page);
            }
            cursor = next;
        }
    }

    async fn import(&self, records: Vec<ExportRecord>) -> Result<ImportOutcome, StoreError> {
        self.run(move |rows| outcome(engine::import(rows, &records))).await
    }

    async fn compare(&self, records: Vec<ExportRecord>) -> Result<Vec<Presence>, StoreError> {
        self.run(move |rows| outcome(engine::compare(rows, &records))).await
    }

    async fn reconsider(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError> {
        let now = self.now().await?;
        let start = || Cursor::start(RowKind::Parked);
        let cursor = cursor.as_deref().and_then(Cursor::from_bytes);
        let cursor = cursor
            .filter(|cursor| matches!(cursor.kind, RowKind::Parked | RowKind::Message))
            .unwrap_or_else(start);
        let kind = cursor.kind;
        let (rows, next) = self.page(cursor, limit.max(1)).await?;
        let following = (kind == RowKind::Parked).then(|| Cursor::start(RowKind::Message));
        let next = next.or(following).map(|cursor| cursor.to_bytes());
        let mut done = Reconsidered { confirmed: Vec::new(), next };
        for row in rows {
            if imported_evidence(row.clone(), now).is_none() {
                continue;
            }
            let confirmed = self.run(move |rows| {
                let row = current(rows, row.clone());
                let Some(evidence) = row.and_then(|row| imported_evidence(row, rows.trusted()))
                else {
                    return Ok(Vec::new());
                };
                let Ok(sids) = engine::reconsider(rows, &evidence);
                Ok(sids.into_iter().map(|sid| (sid, evidence.account)).collect())
            });
            done.confirmed.extend(confirmed.await?);
        }
        Ok(done)
    }

    async fn health(&self) -> Result<(), StoreError> {
        let slot =
            self.database.slots.lock().unwrap_or_else(PoisonError::into_inner).first().copied();
        self.read(move |database| async move {
            sqlx::query(
                "INSERT INTO tally (key, slot, n) VALUES ('health', $1, 1)
                 ON CONFLICT (key, slot) DO UPDATE SET n = tally.n + 1",
            )
            .bind(slot.unwrap_or_default())
            .execute(&database.pool)
            .await?;
            Ok(())
        })
        .await
    }

    fn counts(&self) -> RecordCounts {
        self.database.counts.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn queued(&self) -> usize {
        self.database.under_way.load(Ordering::Relaxed)
    }

    async fn evictable(&self) -> Result<u64, StoreError> {
        let now = self.now().await?.as_millisecond();
        self.read(move |database| async move {
            let (count,): (i64,) = sqlx::query_as(
                "SELECT count(*) FROM message WHERE evict_rank IS NOT NULL AND evict_from <= $1",
            )
            .bind(now)
            .fetch_one(&database.pool)
            .await?;
            Ok(u64::try_from(count).unwrap_or_default())
        })
        .await
    }

    async fn close(&self) {
        let pool = self.database.pool.clone();
        let closing = async move {
            pool.close().await;
            Ok(())
        };
        let _ = self.on_runtime(closing).await;
    }
}

/// The names of one person, from a row that has several.
fn names_of(row: StoredRow) -> Option<(AccountSid, Vec<RecipientHash>)> {
    match row {
        StoredRow::Names(account, _, tied) => Some((account, tied.names.everywhere().collect())),
        StoredRow::Message(message) if message.alias.is_some() => {
            Some((message.account, message.names().collect()))
        }
        _ => None,
    }
}

/// A row as it is in this transaction. `None`: it was removed.
fn current(rows: &RowCache, row: StoredRow) -> Option<StoredRow> {
    Some(match row {
        StoredRow::Message(message) => {
            let Ok(message) = rows.message(message.sid);
            StoredRow::Message(Box::new(message?))
        }
        StoredRow::Parked(parked) => {
            let Ok(parked) = rows.parked_row(&parked);
            StoredRow::Parked(Box::new(parked?))
        }
        StoredRow::Link(id, _) => {
            let Ok(link) = rows.link(id);
            StoredRow::Link(id, link?)
        }
        StoredRow::Counted(key, _) => {
            let Ok(at) = rows.counted_at(&key);
            StoredRow::Counted(key, at?)
        }
        StoredRow::Names(account, person, _) => {
            let Ok(tied) = rows.tied_names(account, person);
            StoredRow::Names(account, person, tied?)
        }
        StoredRow::Automatic(person, _) => {
            let Ok(automatic) = rows.automatic(person);
            StoredRow::Automatic(person, automatic?)
        }
        StoredRow::Sender(..) | StoredRow::Hold(..) => return None,
    })
}
