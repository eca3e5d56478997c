//! [`SledStore`]: opens a store, and sends each command to the writer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretSlice;
use tokio::sync::{Notify, watch};

use crate::domain::address::{Address, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::erasure::Erasure;
use crate::domain::feedback::{Claim, EndedAttempt, Lease, Settlement};
use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::message::{LastAttempt, Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::stats::MessageStats;
use crate::store::engine;
use crate::store::engine::{Backend as _, EngineConfig};
use crate::store::sled::disk::data_dir::{Folder, OpenError, note_holder};
use crate::store::sled::disk::open;
use crate::store::sled::error::Fatal;
use crate::store::sled::export;
use crate::store::sled::options::Options;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::rows::is_readable;
use crate::store::sled::writer::backend::SledBackend;
use crate::store::sled::writer::overlay::Overlay;
use crate::store::sled::writer::{Shared, Writer, WriterCommand};
use crate::store::{
    ClockGuard, ExportRecord, Filter, Forgotten, ImportOutcome, ListPage, Presence, QUEUE, Quotas,
    Reconsidered, RecordCounts, Records, RequeueFrom, Requeued, SettleOutcome, SettleResults,
    Store, StoreError, Swept,
};

/// The store in one embedded sled.
pub struct SledStore {
    recipient_hash_key: RecipientHashKey,
    /// The secret of the key, if it is in the store.
    own_recipient_hash_key: Option<SecretSlice<u8>>,
    clock: Arc<ClockGuard>,
    pub(crate) commands: Mutex<Option<SyncSender<WriterCommand>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(crate) reader: Mutex<Option<StoreReader>>,
    pub(crate) shared: Arc<Shared>,
    is_end_unverified: bool,
}

impl SledStore {
    /// Whether the expected end of the log was unknown at opening. Records missing there would be unnoticed.
    pub fn is_end_unverified(&self) -> bool {
        self.is_end_unverified
    }

    /// Opens the store, or creates one if the folder is empty or missing.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was lost.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let mut opened = open::open(&options)?;
        let Options { path, clock, policy, free_space, on_commit, on_fatal, .. } = options;
        let config = EngineConfig {
            policy,
            max_messages: options.max_messages,
            max_parked: options.max_parked,
        };
        // A store with records but without a time lost its time. Then every time counts as a jump.
        let has_records = opened.scan.entries > 0;
        clock.begin(opened.last_seen.or(has_records.then(|| Timestamp::UNIX_EPOCH.into())));
        let lock = Arc::new(opened.lock);
        let reader = StoreReader {
            tree: opened.tree.clone(),
            clock: Arc::clone(&clock),
            policy,
            _lock: Arc::clone(&lock),
        };
        let interrupted = std::mem::take(&mut opened.scan.interrupted);
        let mut backend = SledBackend::new(
            Overlay::over(opened.tree),
            config,
            (Arc::clone(&clock), opened.last_seen),
            free_space,
            opened.scan,
        );
        let damaged = |fatal: Fatal| OpenError::Damaged {
            path: path.display().to_string(),
            what: fatal.to_string(),
        };
        for message in interrupted {
            engine::release_interrupted(&mut backend, message).map_err(damaged)?;
        }
        if backend.written > 0 {
            backend.write().map_err(damaged)?;
        }
        backend.written = 0;
        note_holder(&lock)
            .map_err(|error| Folder { path: &path }.io("write the lock file of", error))?;
        let shared = Arc::new(Shared {
            counts: Mutex::new(backend.counts),
            changed: Notify::new(),
            ended: watch::Sender::new(false),
            queued: AtomicUsize::new(0),
        });
        let (commands, queue) = sync_channel(QUEUE);
        let writer = Writer {
            db: opened.db,
            file: opened.file,
            seal: opened.seal,
            guard: opened.guard,
            path: path.clone(),
            backend,
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
            recipient_hash_key: opened.recipient_hash_key,
            own_recipient_hash_key: opened.own_recipient_hash_key,
            clock,
            commands: Mutex::new(Some(commands)),
            thread: Mutex::new(Some(thread)),
            reader: Mutex::new(Some(reader)),
            shared,
            is_end_unverified: opened.is_end_unverified,
        })
    }
}

#[async_trait]
impl Store for SledStore {
    fn recipient_hash_key(&self) -> &RecipientHashKey {
        &self.recipient_hash_key
    }

    fn own_recipient_hash_key(&self) -> Option<SecretSlice<u8>> {
        self.own_recipient_hash_key.clone()
    }

    fn clock_guard(&self) -> &ClockGuard {
        &self.clock
    }

    async fn remember(&self, sighting: MessageUpdate) -> Result<RegisterOutcome, StoreError> {
        self.submit(move |backend| engine::remember(backend, &sighting)).await
    }

    async fn observe(&self, signal: Signal) -> Result<ObserveOutcome, StoreError> {
        self.submit(move |backend| engine::observe(backend, &signal)).await
    }

    async fn keep_link(&self, id: LinkId, link: Link) -> Result<Timestamp, StoreError> {
        self.submit(move |backend| engine::keep_link(backend, id, link)).await
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
        self.submit(move |backend| engine::claim(backend, limit, lease, &quotas)).await
    }

    async fn settle(
        &self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<LastAttempt>,
    ) -> Result<SettleOutcome, StoreError> {
        self.submit(move |backend| engine::settle(backend, lease, settlement, attempt)).await
    }

    async fn settle_and_claim(
        &self,
        ended: &[EndedAttempt],
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> (SettleResults, Result<Vec<Claim>, StoreError>) {
        let (attempts, quotas) = (ended.to_vec(), quotas.clone());
        let command = move |backend: &mut SledBackend| {
            let settle =
                |end: EndedAttempt| engine::settle(backend, end.lease, end.settlement, end.attempt);
            let settled = attempts.into_iter().map(settle).collect::<Result<_, _>>()?;
            Ok(Ok((settled, engine::claim(backend, limit, lease, &quotas)?)))
        };
        let results = self.submit(command).await;
        results.unwrap_or_else(|error| (vec![Err(error.clone()); ended.len()], Err(error)))
    }

    async fn next_due(&self, quotas: &Quotas) -> Result<Option<Duration>, StoreError> {
        let quotas = quotas.clone();
        self.submit(move |backend| Ok(Ok(engine::next_due(backend, &quotas)?))).await
    }

    async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    async fn expire(&self, limit: usize) -> Result<Swept, StoreError> {
        self.submit(move |backend| backend.expire(limit)).await
    }

    async fn list(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, StoreError> {
        self.read(move |reader| reader.page(filter, cursor, limit)).await
    }

    async fn show(&self, sid: MessageSid) -> Result<Option<Message>, StoreError> {
        // Through the writer, so that the message is durable.
        self.submit(move |backend| {
            let now = backend.trusted();
            let message = backend.message(sid)?;
            Ok(Ok(message.map(|mut message| {
                message.apply_expiry(now);
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
        self.submit(move |backend| Ok(Ok(backend.messages_of_all_accounts(&reference, limit)?)))
            .await
    }

    async fn outbox(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.submit(move |backend| Ok(Ok(backend.outbox(limit)?))).await
    }

    async fn refused(&self, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.submit(move |backend| Ok(Ok(backend.refused(limit)?))).await
    }

    async fn stats(&self) -> Result<MessageStats, StoreError> {
        self.submit(|backend| Ok(Ok(backend.stats.summary()))).await
    }

    async fn hold(&self, account: AccountSid) -> Result<Timestamp, StoreError> {
        self.submit(move |backend| engine::hold(backend, account)).await
    }

    async fn resume(&self, account: AccountSid) -> Result<Option<Timestamp>, StoreError> {
        self.submit(move |backend| engine::resume(backend, account)).await
    }

    async fn on_hold(&self) -> Result<BTreeMap<AccountSid, Timestamp>, StoreError> {
        self.submit(|backend| Ok(Ok(backend.holds.clone()))).await
    }

    async fn requeue(&self, sid: MessageSid, from: RequeueFrom) -> Result<Requeued, StoreError> {
        self.submit(move |backend| engine::requeue(backend, sid, from)).await
    }

    async fn forget(&self, addresses: Vec<Address>) -> Result<Forgotten, StoreError> {
        self.erase(Erasure::of(addresses, self.recipient_hash_key.clone())).await
    }

    async fn records(&self, cursor: Option<Vec<u8>>, limit: usize) -> Result<Records, StoreError> {
        self.read(move |reader| export::records(reader, cursor, limit)).await
    }

    async fn import(&self, records: Vec<ExportRecord>) -> Result<ImportOutcome, StoreError> {
        self.submit(move |backend| {
            if !records.iter().all(is_readable) {
                let reason = "a record cannot be imported: it could not be read again".to_owned();
                return Ok(Err(StoreError::Unavailable { reason, label: "unfit" }));
            }
            engine::import(backend, &records)
        })
        .await
    }

    async fn compare(&self, records: Vec<ExportRecord>) -> Result<Vec<Presence>, StoreError> {
        self.submit(move |backend| engine::compare(backend, &records)).await
    }

    async fn reconsider(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError> {
        self.submit(move |backend| backend.reconsider_rows(cursor, limit)).await
    }

    async fn health(&self) -> Result<(), StoreError> {
        self.submit(SledBackend::health).await
    }

    fn counts(&self) -> RecordCounts {
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queued(&self) -> usize {
        self.shared.queued.load(Ordering::Relaxed)
    }

    async fn evictable(&self) -> Result<u64, StoreError> {
        self.submit(|backend| Ok(Ok(backend.index.evictable.count_by(backend.trusted())))).await
    }

    async fn close(&self) {
        drop(self.commands.lock().unwrap_or_else(PoisonError::into_inner).take());
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
        drop(self.commands.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The folder is free for the next process, or the next test, once this returns.
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
