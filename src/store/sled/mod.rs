//! The store in one embedded sled, for one process on one machine.
//!
//! `disk` opens and guards the folder; `integrity` detects and repairs damage. `writer` is the only thread that writes: it
//! runs commands in groups on an `overlay`, and answers a group after one sync. `index` is held in memory and derived from
//! the records when the store opens. `keys` and `record` define the bytes on disk. `queries` and `reader` read beside the
//! writer. sled's `flush_async` is not used: it deadlocks from seven concurrent callers on.

pub mod backup;
pub mod disk;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod index;
mod integrity;
mod keys;
mod options;
mod queries;
mod reader;
mod record;
mod writer;

pub use disk::access::AccessDenied;
pub use disk::data_dir::OpenError;
pub use disk::offline_access::OfflineStore;
pub use disk::probe::{Lock, StoreProbe, lock, probe};
pub use disk::usage::{Usage, usage};
pub use options::Options;
pub use writer::engine::FreeSpace;
pub use writer::{Commit, Failure, OnCommit, OnFatal};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::domain::address::{Address, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::erasure::Erasure;
use crate::domain::feedback::{Claim, Lease, Settlement};
use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::message::{LastAttempt, Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::stats::MessageStats;
use crate::store::sled::disk::data_dir::{Folder, note_holder};
use crate::store::sled::index::IndexBuilder;
use crate::store::sled::integrity::scan::ScanResult;
use crate::store::sled::reader::{StoreReader, page};
use crate::store::sled::writer::engine::{Engine, EngineConfig, Fatal};
use crate::store::sled::writer::overlay::Overlay;
use crate::store::sled::writer::{Job, Shared, Writer};
use crate::store::{
    ClockGuard, ExportRecord, Filter, Forgotten, ImportOutcome, ListPage, QUEUE, Quotas,
    Reconsidered, RecordCounts, Records, RequeueFrom, Requeued, SettleOutcome, Store, StoreError,
    Swept,
};

/// The store in one embedded sled.
pub struct SledStore {
    person_key: RecipientHashKey,
    clock: Arc<ClockGuard>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    reader: Mutex<Option<StoreReader>>,
    shared: Arc<Shared>,
    is_end_unverified: bool,
}

impl SledStore {
    /// Whether the expected end of the log was unknown at opening. Records missing there would be unnoticed.
    #[must_use]
    pub fn is_end_unverified(&self) -> bool {
        self.is_end_unverified
    }

    /// Opens the store, or makes a new one where the folder is empty or missing.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was lost.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let opened = disk::open::open(&options)?;
        let terms = terms_of(&options);
        let Options { path, clock, policy, on_commit, on_fatal, .. } = options;
        let ScanResult {
            mut counts,
            entries,
            seal,
            sparse,
            held,
            parked,
            census,
            paused,
            places,
            interrupted,
            ..
        } = opened.surveyed;
        // A store with records but without a time has lost that: then every time counts as a jump.
        let last = opened.last_seen.or((entries > 0).then(|| Timestamp::UNIX_EPOCH.into()));
        clock.begin(last);
        let lock = Arc::new(opened.lock);
        let reader = StoreReader {
            tree: opened.tree.clone(),
            clock: Arc::clone(&clock),
            policy,
            _lock: Arc::clone(&lock),
        };
        (counts.parked_fullest, counts.parked_share) = parked.fullest(terms.max_parked);
        let mut ledger = Engine {
            draft: Overlay::over(opened.tree),
            terms,
            counts,
            seal,
            index: places.map(IndexBuilder::into_index).unwrap_or_default(),
            held,
            parked,
            census,
            paused,
            sparse,
            written: 0,
            stirred: false,
            last_seen: opened.last_seen,
            evicted: 0,
            sweep_from: keys::SWEEP_FROM.to_vec(),
            #[expect(
                clippy::disallowed_methods,
                reason = "leases of an earlier process must not match"
            )]
            next_lease: getrandom::u64().unwrap_or_default(),
            tee: None,
            free: RefCell::default(),
        };
        let damaged = |fatal: Fatal| OpenError::Damaged {
            path: path.display().to_string(),
            what: fatal.to_string(),
        };
        ledger.take_back(interrupted).map_err(damaged)?;
        ledger.written = 0;
        let noted = note_holder(&lock);
        noted.map_err(|error| Folder { path: &path }.io("write the lock file of", error))?;
        let shared = Arc::new(Shared {
            counts: Mutex::new(ledger.counts),
            changed: Notify::new(),
            ended: watch::Sender::new(false),
            queued: AtomicUsize::new(0),
        });
        let (jobs, queue) = sync_channel(QUEUE);
        let writer = Writer {
            db: opened.db,
            file: opened.file,
            seal: opened.seal,
            guard: opened.guard,
            path: path.clone(),
            ledger,
            shared: Arc::clone(&shared),
            on_commit,
            on_fatal,
        };
        let run = move || {
            writer.run(&queue);
            drop(lock);
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(run);
        let thread = thread.map_err(|error| OpenError::Io {
            doing: "start the writer of",
            path: path.display().to_string(),
            error,
        })?;
        Ok(Self {
            person_key: opened.person_key,
            clock,
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            reader: Mutex::new(Some(reader)),
            shared,
            is_end_unverified: opened.is_end_unverified,
        })
    }
}

fn terms_of(options: &Options) -> EngineConfig {
    EngineConfig {
        policy: options.policy,
        max_messages: options.max_messages,
        max_parked: options.max_parked,
        clock: Arc::clone(&options.clock),
        free_space: Arc::clone(&options.free_space),
    }
}

#[async_trait]
impl Store for SledStore {
    fn person_key(&self) -> &RecipientHashKey {
        &self.person_key
    }

    fn clock_guard(&self) -> &ClockGuard {
        &self.clock
    }

    async fn remember(&self, sighting: MessageUpdate) -> Result<RegisterOutcome, StoreError> {
        self.submit(move |ledger| ledger.remember(&sighting)).await
    }

    async fn observe(&self, signal: Signal) -> Result<ObserveOutcome, StoreError> {
        self.submit(move |ledger| ledger.observe(&signal)).await
    }

    async fn keep_link(&self, id: LinkId, link: Link) -> Result<Timestamp, StoreError> {
        self.submit(move |ledger| ledger.keep_link(id, &link)).await
    }

    async fn link(&self, id: LinkId) -> Result<Option<Link>, StoreError> {
        self.read(move |reader| reader.link(id)).await
    }

    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> Result<Vec<Claim>, StoreError> {
        let quotas = quotas.clone();
        self.submit(move |ledger| ledger.claim(limit, lease, &quotas)).await
    }

    async fn settle(
        &self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<LastAttempt>,
    ) -> Result<SettleOutcome, StoreError> {
        self.submit(move |ledger| ledger.settle(lease, settlement, attempt)).await
    }

    async fn next_due(&self, quotas: &Quotas) -> Result<Option<Duration>, StoreError> {
        let quotas = quotas.clone();
        self.submit(move |ledger| Ok(Ok(ledger.next_due(&quotas)))).await
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    async fn expire(&self, limit: usize) -> Result<Swept, StoreError> {
        self.submit(move |ledger| ledger.expire(limit)).await
    }

    async fn list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        self.read(move |reader| page(reader, filter, cursor, limit)).await
    }

    async fn show(&self, sid: MessageSid) -> Result<Option<Message>, StoreError> {
        // Through the writer, so that what is shown is durable.
        self.submit(move |ledger| {
            let now = ledger.trusted();
            let message = ledger.message(sid)?;
            Ok(Ok(message.map(|mut message| {
                message.age(now);
                message
            })))
        })
        .await
    }

    async fn messages_with_reference(
        &self,
        reference: Reference,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.submit(move |ledger| Ok(Ok(ledger.bearing_anywhere(&reference, limit)?))).await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.submit(move |ledger| Ok(Ok(ledger.outbox(limit)?))).await
    }

    async fn refused(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.submit(move |ledger| Ok(Ok(ledger.refused(limit)?))).await
    }

    async fn census(&self) -> Result<MessageStats, StoreError> {
        self.submit(|ledger| Ok(Ok(ledger.census.summary()))).await
    }

    async fn pause(&self, account: AccountSid) -> Result<Timestamp, StoreError> {
        self.submit(move |ledger| ledger.pause(account)).await
    }

    async fn resume(&self, account: AccountSid) -> Result<Option<Timestamp>, StoreError> {
        self.submit(move |ledger| ledger.resume(account)).await
    }

    async fn paused(&self) -> Result<BTreeMap<AccountSid, Timestamp>, StoreError> {
        self.submit(|ledger| Ok(Ok(ledger.paused.clone()))).await
    }

    async fn requeue(&self, sid: MessageSid, from: RequeueFrom) -> Result<Requeued, StoreError> {
        self.submit(move |ledger| ledger.requeue(sid, from)).await
    }

    async fn forget(&self, addresses: Vec<Address>) -> Result<Forgotten, StoreError> {
        self.erase(Erasure::of(addresses, self.person_key.clone())).await
    }

    async fn records(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<Records, StoreError> {
        self.read(move |reader| writer::transfer::records(reader, cursor, limit)).await
    }

    async fn import(&self, records: Vec<ExportRecord>) -> Result<ImportOutcome, StoreError> {
        self.submit(move |ledger| ledger.import(&records)).await
    }

    async fn reconsider(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError> {
        self.submit(move |ledger| ledger.reconsider_rows(cursor, limit)).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.submit(Engine::health).await
    }

    fn counts(&self) -> RecordCounts {
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queued(&self) -> usize {
        self.shared.queued.load(Ordering::Relaxed)
    }

    async fn evictable(&self) -> Result<u64, StoreError> {
        self.submit(|ledger| Ok(Ok(ledger.index.evictable.count_by(ledger.trusted())))).await
    }

    async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The folder is free for another process once the last reader is done.
            drop(self.reader.lock().unwrap_or_else(PoisonError::into_inner).take());
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("store writer thread panicked");
            }
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The folder is free for the next process, or the next test, once this returns.
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
