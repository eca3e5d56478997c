//! A command in the queue, with the caller of its outcome.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::store::StoreError;
use crate::store::postgres::cache::RowCache;
use crate::store::postgres::error::closed;

/// A command of any type, with its caller.
pub(super) trait GroupCommand: Send {
    /// Judges the command on the rows, and keeps the outcome. Returns `false` if it was refused.
    fn judge(&mut self, rows: &mut RowCache) -> bool;
    /// Returns the outcome to the caller.
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: StoreError);
}

/// A command in the queue.
pub(super) struct Job {
    pub(super) command: Box<dyn GroupCommand>,
    /// The caller has an error by this time. `None`: the caller waits for the outcome.
    deadline: Option<Instant>,
}

impl Job {
    /// A job, and the receiver of its outcome.
    pub(super) fn new<T: Send + 'static>(
        command: impl Fn(&mut RowCache) -> Result<T, StoreError> + Send + 'static,
        deadline: Option<Instant>,
    ) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, outcome) = oneshot::channel();
        let command = Box::new(Caller { command, outcome: None, reply });
        (Self { command, deadline }, outcome)
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

struct Caller<T, F> {
    command: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: Fn(&mut RowCache) -> Result<T, StoreError> + Send> GroupCommand for Caller<T, F> {
    fn judge(&mut self, rows: &mut RowCache) -> bool {
        let judged = std::panic::catch_unwind(AssertUnwindSafe(|| (self.command)(rows)));
        let outcome = judged.unwrap_or_else(|_| {
            let reason =
                "the command panicked, a bug in Heardback: report it with the log".to_owned();
            Err(StoreError::Unavailable { reason, label: "panicked" })
        });
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>) {
        // The caller may have gone away. The command stays carried out.
        let _ = self.reply.send(self.outcome.unwrap_or_else(|| Err(closed())));
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}
