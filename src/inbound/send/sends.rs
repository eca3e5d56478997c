//! The state of send through: the credentials, the concurrency limit, the client of Twilio's API and the sends under way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::basic_auth::PresentedCredential;
use crate::domain::message::Message;
use crate::domain::outgoing::{OutgoingSend, SendAnswer, SendFailure};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::inbound::send::credentials::SendCredentials;
use crate::inbound::send::log;
use crate::inbound::send::lost::LostSends;
use crate::telemetry::metrics::Metrics;

/// Creates messages at Twilio.
#[async_trait]
pub trait MessageCreator: Send + Sync {
    /// Sends the request once.
    ///
    /// # Errors
    /// [`SendFailure`], if there is no complete answer.
    async fn create(&self, send: OutgoingSend) -> Result<SendAnswer, SendFailure>;
}

/// The state of send through.
pub struct Sends {
    credentials: Arc<SendCredentials>,
    pub(super) creator: Arc<dyn MessageCreator>,
    pub(super) timeout: Duration,
    pub(super) lost: LostSends,
    /// Where the work on a send runs: not on a thread of the listener, which ends before the work does.
    pub(super) runtime: Handle,
    concurrency: u32,
    slots: Arc<Semaphore>,
}

impl Sends {
    /// No sends yet. At most `concurrency` sends are under way at a time.
    pub fn new(
        credentials: Arc<SendCredentials>,
        creator: Arc<dyn MessageCreator>,
        (concurrency, timeout): (u32, Duration),
        runtime: Handle,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(usize::try_from(concurrency).unwrap_or(1)));
        let lost = LostSends::default();
        Self { credentials, creator, timeout, lost, runtime, concurrency, slots }
    }

    /// Whether the credential may send for that account.
    pub(crate) fn allows(&self, account: AccountSid, presented: &PresentedCredential) -> bool {
        self.credentials.allows(account, presented)
    }

    /// A slot for one send; `None` if all are in use.
    pub(super) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Counts a message that a status callback registered, if it is that of a send whose answer was lost.
    pub(crate) fn note_callback(&self, metrics: &Metrics, message: &Message) {
        let Message { sid, account, reference: Some(reference), .. } = message else { return };
        if self.lost.take(&(*account, reference.clone()), *sid) {
            count_found(metrics, *sid, *account);
        }
    }

    /// Waits for the sends under way. Further sends are refused from then on.
    pub async fn drain(&self) {
        // Fails only if it was drained before.
        if self.slots.acquire_many(self.concurrency).await.is_ok() {
            self.slots.close();
        }
    }
}

/// Counts and logs the message of a lost send.
pub(super) fn count_found(metrics: &Metrics, message: MessageSid, account: AccountSid) {
    metrics.send("found");
    log::found(message, account);
}

impl fmt::Debug for Sends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sends").finish_non_exhaustive()
    }
}
