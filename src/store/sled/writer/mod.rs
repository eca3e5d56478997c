//! The one thread that writes (docs/design.md, "Durability").
//!
//! It takes what is waiting, applies each command to a draft in turn, writes the draft as one batch,
//! flushes and syncs once for the group, and only then answers everyone in it. There is no timer: while the disk syncs, the next
//! group gathers. If a group cannot be made durable nobody in it is answered, and the process ends:
//! a sync that failed once may claim success the second time without having written anything.

pub(crate) mod engine;
pub(crate) mod evict;
pub(crate) mod forget;
pub(crate) mod load;
pub(crate) mod maintenance;
pub(crate) mod mutation;
pub(crate) mod names;
pub(crate) mod overlay;
pub(crate) mod queue;
pub(crate) mod submit;
pub(crate) mod transfer;

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::sled::Db;
use tokio::sync::{Notify, watch};

use crate::store::RecordCounts;
use crate::store::sled::disk::data_dir::EXIT_GONE;
use crate::store::sled::disk::path_guard::PathGuard;
use crate::store::sled::integrity::seal::SealFile;
use crate::store::sled::writer::engine::{Engine, Fatal};

/// A group is closed at this many entries: larger ones make sled's memory grow (docs/design.md, "Durability").
const GROUP: usize = 128;
/// A commit that takes longer (in looks, a second apart) will never end: sled can hang in a flush for
/// ever after an I/O panic. Looks and not time, so that a process that was stopped for a while, and
/// could do nothing about it, is not blamed for it.
const COMMIT_DEADLINE: u32 = 10;

/// Answers whoever asked.
pub(crate) type Reply = Box<dyn FnOnce() + Send>;
/// A command: does its work on the ledger, and leaves the answer to be given after the sync.
pub(crate) type Job = Box<dyn FnOnce(&mut Engine) -> Result<Reply, Fatal> + Send>;

/// A group that was made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Entries written, each once: what a group changes twice is one. The seal that goes with each is left out.
    pub entries: usize,
    /// From the first command applied to the end of the sync.
    pub took: Duration,
    /// Of that, what the disk took.
    pub synced: Duration,
}

/// Told of each commit, for metrics.
pub type OnCommit = Arc<dyn Fn(Commit) + Send + Sync>;
/// Called when the store cannot go on. In the service it ends the process and does not return.
pub type OnFatal = Arc<dyn Fn(&Failure) + Send + Sync>;

/// Why the store cannot go on.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The reason, and what to do.
    pub reason: String,
    /// Whether the open database has left its path: a restart cannot help.
    pub is_displaced: bool,
}

impl Failure {
    fn of(fatal: &Fatal) -> Self {
        Self { reason: fatal.to_string(), is_displaced: matches!(fatal, Fatal::Displaced(_)) }
    }

    fn other(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_displaced: false }
    }

    /// 3 if the store left its path, otherwise 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.is_displaced { EXIT_GONE } else { 1 }
    }
}

/// What the thread shares with the outside.
pub(crate) struct Shared {
    pub(crate) counts: Mutex<RecordCounts>,
    pub(crate) changed: Notify,
    /// Whether the thread has ended, and nobody will be answered any more.
    pub(crate) ended: watch::Sender<bool>,
    /// Commands in the queue.
    pub(crate) queued: AtomicUsize,
}

pub(crate) struct Writer {
    pub(crate) db: Db,
    pub(crate) file: File,
    pub(crate) seal: SealFile,
    pub(crate) guard: PathGuard,
    pub(crate) path: PathBuf,
    pub(crate) ledger: Engine,
    pub(crate) shared: Arc<Shared>,
    pub(crate) on_commit: OnCommit,
    pub(crate) on_fatal: OnFatal,
}

impl Writer {
    /// The thread's whole life: until nobody can send any more, or the store cannot go on.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let watchdog = Watchdog::start(Arc::clone(&self.on_fatal), self.guard.clone());
        let work = AssertUnwindSafe(|| self.serve(jobs, &watchdog));
        match std::panic::catch_unwind(work) {
            Ok(Ok(())) => {}
            Ok(Err(fatal)) => (self.on_fatal)(&Failure::of(&fatal)),
            Err(_) => (self.on_fatal)(&Failure::other("the writer panicked")),
        }
        // Whoever waits for an answer is told only now: the process should have ended by then.
        self.shared.ended.send_replace(true);
    }

    #[expect(clippy::disallowed_methods, reason = "measures commits, by a clock without jumps")]
    fn serve(&mut self, jobs: &Receiver<Job>, watchdog: &Watchdog) -> Result<(), Fatal> {
        while let Ok(first) = jobs.recv() {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            // On a machine of one core whoever is about to send more gets it first, and is in this group:
            // else the first to come is alone in its own, with a sync for itself. Nobody waits for a timer.
            std::thread::yield_now();
            let began = Instant::now();
            watchdog.begin(began);
            self.ledger.begin_group();
            let mut answers = vec![first(&mut self.ledger)?];
            while self.ledger.written < GROUP && answers.len() < GROUP {
                match jobs.try_recv() {
                    Ok(job) => {
                        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
                        answers.push(job(&mut self.ledger)?);
                    }
                    Err(_) => break,
                }
            }
            self.commit(began)?;
            // Nothing is acknowledged on files that the next start will not find.
            self.guard.check()?;
            self.ledger.hand_over();
            watchdog.end();
            for answer in answers {
                answer();
            }
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "measures commits, by a clock without jumps")]
    fn commit(&mut self, began: Instant) -> Result<(), Fatal> {
        if std::mem::take(&mut self.ledger.written) == 0 {
            return Ok(());
        }
        let entries = self.ledger.draft.entries().len();
        let writing = Instant::now();
        self.ledger.write()?;
        self.db.flush()?;
        // sled's flush only hands the bytes to the kernel (docs/design.md, "Durability"); this is the promise.
        self.file
            .sync_data()
            .and_then(|()| self.seal.note(self.ledger.seal.batches))
            .map_err(|error| Fatal::Sync { path: self.path.display().to_string(), error })?;
        let synced = writing.elapsed();
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.ledger.counts;
        if std::mem::take(&mut self.ledger.stirred) {
            self.shared.changed.notify_one();
        }
        (self.on_commit)(Commit { entries, took: began.elapsed(), synced });
        Ok(())
    }
}

/// Ends the process if a commit does not end, or if the path of the store no longer names the open database.
struct Watchdog {
    began: Arc<Mutex<Option<Instant>>>,
    _stop: SyncSender<()>,
}

impl Watchdog {
    fn start(on_fatal: OnFatal, guard: PathGuard) -> Self {
        let began = Arc::new(Mutex::new(None::<Instant>));
        let (stop, stopped) = sync_channel::<()>(0);
        let watched = Arc::clone(&began);
        let watch = move || {
            let (mut known, mut looks) = (None, 0);
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let since = *watched.lock().unwrap_or_else(PoisonError::into_inner);
                looks = if since.is_some() && since == known { looks + 1 } else { 0 };
                known = since;
                // First, since a disk that does not answer holds up the look at the path as well.
                if looks >= COMMIT_DEADLINE {
                    let reason = "a commit took longer than 10 s; the disk does not answer";
                    on_fatal(&Failure::other(reason));
                    return;
                }
                if let Err(displaced) = guard.check() {
                    on_fatal(&Failure::of(&displaced.into()));
                    return;
                }
            }
        };
        let spawned = std::thread::Builder::new().name("store-watchdog".to_owned()).spawn(watch);
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot watch over commits");
        }
        Self { began, _stop: stop }
    }

    fn begin(&self, at: Instant) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    fn end(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
