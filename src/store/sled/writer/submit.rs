//! Sends commands to the writer, and reads beside it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TrySendError;

use tokio::sync::oneshot;

use crate::store::engine::EngineResult;
use crate::store::sled::error::Fatal;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::store::SledStore;
use crate::store::sled::writer::backend::SledBackend;
use crate::store::sled::writer::{Reply, WriterCommand};
use crate::store::{QUEUE, StoreError};

impl SledStore {
    /// Carries out a command on the writer thread. Returns when the command is durable.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut SledBackend) -> EngineResult<T, Fatal> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let command: WriterCommand = Box::new(move |backend| {
            let result = command(backend)?;
            let reply: Reply = Box::new(move || {
                // The caller may have stopped waiting. The command stays carried out.
                let _ = sender.send(result);
            });
            Ok(reply)
        });
        self.send(command)?;
        if let Ok(result) = receiver.await {
            return result;
        }
        // The store cannot go on, and the process is about to end. No caller gets an answer before.
        let mut ended = self.shared.ended.subscribe();
        // The wait cannot fail: `self` owns the sender.
        let _ = ended.wait_for(|ended| *ended).await;
        Err(closed())
    }

    /// Reads on another thread, without the writer.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&StoreReader) -> Result<T, Fatal> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reader = reader.ok_or_else(closed)?;
        let result = tokio::task::spawn_blocking(move || query(&reader)).await;
        let unreadable = |reason: String| StoreError::Unavailable { reason, label: "unreadable" };
        result
            .map_err(|error| unreadable(error.to_string()))?
            .map_err(|fatal| unreadable(fatal.to_string()))
    }

    pub(crate) fn send(&self, command: WriterCommand) -> Result<(), StoreError> {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.shared.ended.borrow() {
            return Err(closed());
        }
        let commands = commands.as_ref().ok_or_else(closed)?;
        // Counted before it is sent: the thread subtracts it when it receives it.
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let sent = commands.try_send(command);
        if sent.is_err() {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        }
        match sent {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(StoreError::Unavailable {
                reason: format!("the write queue is full ({QUEUE} commands); try again"),
                label: "busy",
            }),
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { reason: "the store is closed".to_owned(), label: "closed" }
}
