//! The writer: one thread that carries out commands in groups (docs/design.md, "Durability").
//!
//! It applies each queued command to an overlay, writes the overlay as one batch, flushes and syncs once, and only then
//! answers the commands. There is no timer: the next group gathers during a sync. If a group cannot be made durable, no
//! command is answered and the process ends: after a failed sync, the next sync may succeed without writing anything.

pub(crate) mod backend;
pub(crate) mod maintenance;
pub(crate) mod overlay;
pub(crate) mod submit;
mod watchdog;

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ::sled::Db;
use tokio::sync::{Notify, watch};

use crate::store::RecordCounts;
use crate::store::sled::disk::path_guard::PathGuard;
use crate::store::sled::error::Fatal;
use crate::store::sled::hooks::{Commit, Failure, OnCommit, OnFatal};
use crate::store::sled::integrity::seal::SealFile;
use crate::store::sled::writer::backend::SledBackend;
use crate::store::sled::writer::watchdog::Watchdog;

/// The limit of entries in a group: with larger groups, sled's memory grows (docs/design.md, "Durability").
const MAX_GROUP_ENTRIES: usize = 128;
/// The limit of commands in a group.
const MAX_GROUP_COMMANDS: usize = 128;

/// Answers the caller of a command.
pub(crate) type Reply = Box<dyn FnOnce() + Send>;
/// A command. It returns the reply that is given after the sync.
pub(crate) type WriterCommand = Box<dyn FnOnce(&mut SledBackend) -> Result<Reply, Fatal> + Send>;

/// The state that the writer shares with the store.
pub(crate) struct Shared {
    pub(crate) counts: Mutex<RecordCounts>,
    pub(crate) changed: Notify,
    /// Whether the thread has ended, after which no command is answered.
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
    pub(crate) backend: SledBackend,
    pub(crate) shared: Arc<Shared>,
    pub(crate) on_commit: OnCommit,
    pub(crate) on_fatal: OnFatal,
}

impl Writer {
    /// Runs until the store is closed, or until it cannot go on.
    pub(crate) fn run(mut self, commands: &Receiver<WriterCommand>) {
        let watchdog = Watchdog::start(Arc::clone(&self.on_fatal), self.guard.clone());
        let work = AssertUnwindSafe(|| self.serve(commands, &watchdog));
        match std::panic::catch_unwind(work) {
            Ok(Ok(())) => {}
            Ok(Err(fatal)) => (self.on_fatal)(&Failure::of(&fatal)),
            Err(_) => (self.on_fatal)(&Failure::other("the writer panicked")),
        }
        // Callers without an answer get an error only now: the process should have ended before.
        self.shared.ended.send_replace(true);
    }

    #[expect(clippy::disallowed_methods, reason = "measures commits, by a clock without jumps")]
    fn serve(
        &mut self,
        commands: &Receiver<WriterCommand>,
        watchdog: &Watchdog,
    ) -> Result<(), Fatal> {
        while let Ok(first) = commands.recv() {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            // On a machine with one core, threads that are about to send a command run first, and their commands are
            // in this group. Otherwise the first command would have a sync of its own.
            std::thread::yield_now();
            let began = Instant::now();
            watchdog.begin(began);
            self.backend.begin_group();
            let mut replies = vec![first(&mut self.backend)?];
            while self.backend.written < MAX_GROUP_ENTRIES && replies.len() < MAX_GROUP_COMMANDS {
                match commands.try_recv() {
                    Ok(command) => {
                        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
                        replies.push(command(&mut self.backend)?);
                    }
                    Err(_) => break,
                }
            }
            self.commit(began)?;
            // No command is acknowledged on files that the next start will not find.
            self.guard.check()?;
            self.backend.publish_to_backup();
            watchdog.end();
            for reply in replies {
                reply();
            }
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "measures commits, by a clock without jumps")]
    fn commit(&mut self, began: Instant) -> Result<(), Fatal> {
        if std::mem::take(&mut self.backend.written) == 0 {
            return Ok(());
        }
        let entries = self.backend.overlay.entries().len();
        let write_began = Instant::now();
        self.backend.write()?;
        self.db.flush()?;
        // sled's flush only hands the bytes to the kernel (docs/design.md, "Durability"); this sync makes them durable.
        self.file
            .sync_data()
            .and_then(|()| self.seal.note(self.backend.seal.batches))
            .map_err(|error| Fatal::Sync { path: self.path.display().to_string(), error })?;
        let disk_time = write_began.elapsed();
        *self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.backend.counts;
        if std::mem::take(&mut self.backend.has_new_due) {
            self.shared.changed.notify_one();
        }
        (self.on_commit)(Commit { entries, duration: began.elapsed(), disk_time });
        Ok(())
    }
}
