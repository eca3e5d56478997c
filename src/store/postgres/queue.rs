//! The queue of commands, and the writers that carry them out in groups.
//!
//! A writer takes the commands that are in the queue, up to a limit, into one transaction. There is no timer: the next
//! group gathers while the writers are at work. A group is a serial order of its commands.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::store::postgres::cache::RowCache;
use crate::store::postgres::error::{closed, late};
use crate::store::postgres::job::Job;
use crate::store::postgres::kept::Kept;
use crate::store::postgres::transaction::Database;
use crate::store::{QUEUE, StoreError};

/// A writer without commands returns its connection to the pool after this time.
const IDLE: Duration = Duration::from_secs(1);

/// The queue. `None` after it was closed.
pub(super) struct Queue {
    jobs: StdMutex<Option<Sender<Job>>>,
    writers: StdMutex<Vec<JoinHandle<()>>>,
}

impl Queue {
    /// Starts the writers on the present runtime.
    pub(super) fn start(database: &Arc<Database>, writers: u32, group: usize) -> Self {
        let (sender, receiver) = channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let start = |_| {
            let (database, receiver) = (Arc::clone(database), Arc::clone(&receiver));
            tokio::spawn(async move { serve(&database, &receiver, group.max(1)).await })
        };
        let writers = (0..writers.max(1)).map(start).collect();
        Self { jobs: StdMutex::new(Some(sender)), writers: StdMutex::new(writers) }
    }

    /// Carries out a command in a group. An error after `max_wait`.
    #[expect(clippy::disallowed_methods, reason = "bounds a wait, by a clock without jumps")]
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        max_wait: Duration,
        command: impl Fn(&mut RowCache) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + max_wait;
        let (job, outcome) = Job::new(command, Some(deadline));
        let sender = self.sender().ok_or_else(closed)?;
        sender.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Unavailable {
                reason: format!("the write queue is full ({QUEUE} commands); try again"),
                label: "busy",
            },
            TrySendError::Closed(_) => closed(),
        })?;
        drop(sender);
        match tokio::time::timeout_at(deadline.into(), outcome).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(late(max_wait)),
        }
    }

    fn sender(&self) -> Option<Sender<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The commands that no writer has taken.
    pub(super) fn len(&self) -> usize {
        self.sender().map_or(0, |sender| sender.max_capacity() - sender.capacity())
    }

    /// Completes the commands in the queue, and refuses further ones.
    pub(super) async fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writers =
            std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            let _ = writer.await;
        }
    }
}

/// Carries out groups until the queue is closed and empty.
async fn serve(database: &Database, queue: &Mutex<Receiver<Job>>, max: usize) {
    let mut kept = Kept::default();
    loop {
        let mut group = Vec::with_capacity(max);
        let take = async { queue.lock().await.recv_many(&mut group, max).await };
        match tokio::time::timeout(IDLE, take).await {
            Ok(0) => return,
            Ok(_) => database.carry_out(&mut kept, group, false).await,
            Err(_) => kept = Kept::default(),
        }
    }
}
