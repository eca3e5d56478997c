//! The watchdog: ends the process if a commit hangs, or if the store's path no longer names the open database.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::sled::disk::path_guard::PathGuard;
use crate::store::sled::hooks::{Failure, OnFatal};

/// A commit that takes longer, in ticks of a second, will never end: sled can hang in a flush after an I/O panic. Ticks are
/// counted, not time, because a process may be stopped for a while.
const MAX_COMMIT_TICKS: u32 = 10;

/// Ends the process if a commit does not end, or if the path of the store no longer names the open database.
pub(crate) struct Watchdog {
    began: Arc<Mutex<Option<Instant>>>,
    _stop: SyncSender<()>,
}

impl Watchdog {
    pub(crate) fn start(on_fatal: OnFatal, guard: PathGuard) -> Self {
        let began = Arc::new(Mutex::new(None::<Instant>));
        let (stop, stopped) = sync_channel::<()>(0);
        let watched = Arc::clone(&began);
        let watch = move || {
            let (mut known, mut ticks) = (None, 0);
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let since = *watched.lock().unwrap_or_else(PoisonError::into_inner);
                ticks = if since.is_some() && since == known { ticks + 1 } else { 0 };
                known = since;
                // First, because the check of the path hangs as well if the disk does not answer.
                if ticks >= MAX_COMMIT_TICKS {
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
            tracing::error!(%error, "cannot start the thread store-watchdog; a commit that hangs will not end the process");
        }
        Self { began, _stop: stop }
    }

    pub(crate) fn begin(&self, at: Instant) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    pub(crate) fn end(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
