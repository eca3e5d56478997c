//! Asking: how a verb gets to the writer's thread and its answer back, and how a look gets past it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TrySendError;

use tokio::sync::oneshot;

use crate::store::sled::SledStore;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::writer::engine::{Engine, EngineResult, Fatal};
use crate::store::sled::writer::{Job, Reply};
use crate::store::{QUEUE, StoreError};

impl SledStore {
    /// Has the writer thread carry something out, and waits until it is durable.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Engine) -> EngineResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |ledger| {
            let ruling = verb(ledger)?;
            let answer: Reply = Box::new(move || {
                // Whoever asked may have gone away; what was done stays done.
                let _ = sender.send(ruling);
            });
            Ok(answer)
        });
        self.send(job)?;
        if let Ok(ruling) = receiver.await {
            return ruling;
        }
        // The store cannot go on. The process is about to end, and nobody is to be answered before.
        let mut ended = self.shared.ended.subscribe();
        // The sender is `self`'s own: it is not gone.
        let _ = ended.wait_for(|ended| *ended).await;
        Err(closed())
    }

    /// A look, not a promise: it may read past the writer thread, and must not hold it up.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        at: impl FnOnce(&StoreReader) -> Result<T, Fatal> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reader = reader.ok_or_else(closed)?;
        let seen = tokio::task::spawn_blocking(move || at(&reader)).await;
        let unreadable = |reason: String| StoreError::Unavailable { reason, label: "unreadable" };
        seen.map_err(|error| unreadable(error.to_string()))?
            .map_err(|fatal| unreadable(fatal.to_string()))
    }

    pub(crate) fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.shared.ended.borrow() {
            return Err(closed());
        }
        let jobs = jobs.as_ref().ok_or_else(closed)?;
        // Before it is sent: the thread subtracts it as soon as it has it.
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let sent = jobs.try_send(job);
        if sent.is_err() {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        }
        match sent {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(StoreError::Unavailable {
                reason: format!("{QUEUE} commands are waiting for the disk already"),
                label: "busy",
            }),
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { reason: "the store is closed".to_owned(), label: "closed" }
}
