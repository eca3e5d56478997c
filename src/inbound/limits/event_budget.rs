//! The share of the store's queue that Event Streams may use: one budget for all batches.
//!
//! Twilio repeats a batch for four hours, and a webhook only once. Batches therefore wait for permits in the order of their
//! arrival, and the rest of the queue stays free for webhooks. Permits belong to the work on a batch, not to its request:
//! a client that closes the connection frees no permit whose event is still in the queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::inbound::rejection::Rejection;
use crate::store::QUEUE;

/// Permits for the events of all batches.
const PERMITS: usize = QUEUE / 4;
/// The most permits of a batch that had to wait. It equals the entries of one commit, so that one batch is decided while
/// another one is synced. A batch that does not have to wait gets a permit for each event, up to [`PERMITS`].
const SHARED_PERMITS: usize = PERMITS / 2;
/// The most events of all batches that wait for a permit. Bounds memory; an event takes about 1 KiB.
const MAX_WAITING: usize = 32 << 10;
/// The longest wait of a batch. Twilio gives up after 5 s, so half of that is left for the work.
const MAX_WAIT: Duration = Duration::from_millis(2_500);

/// Permits for the events of all batches in the store's queue.
#[derive(Debug)]
pub struct EventBudget {
    permits: Arc<Semaphore>,
    waiting: Semaphore,
    max_wait: Duration,
}

impl Default for EventBudget {
    fn default() -> Self {
        Self::new(MAX_WAIT)
    }
}

impl EventBudget {
    /// A budget with all permits free. A batch waits for its permits for `max_wait` at most.
    pub fn new(max_wait: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(PERMITS));
        Self { permits, waiting: Semaphore::new(MAX_WAITING), max_wait }
    }

    /// Waits for the permits of a batch with this many events: one for each event that may be in the queue at a time.
    ///
    /// # Errors
    /// [`Rejection::Unavailable`]; no work on the batch has begun then.
    pub(crate) async fn admit(&self, events: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // Fails if another batch waits: free permits are reserved for that one.
        let all = number(events.clamp(1, PERMITS));
        if let Ok(admitted) = Arc::clone(&self.permits).try_acquire_many_owned(all) {
            return Ok(admitted);
        }
        let _waiting = self
            .waiting
            .try_acquire_many(number(events.min(MAX_WAITING)))
            .map_err(|_| busy(&format!("more than {MAX_WAITING} events would wait")))?;
        let shared = number(events.clamp(1, SHARED_PERMITS));
        let admitted = Arc::clone(&self.permits).acquire_many_owned(shared);
        match timeout(self.max_wait, admitted).await {
            Ok(Ok(admitted)) => Ok(admitted),
            // Nothing closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(busy(&format!(
                "earlier batches left too few of the {PERMITS} permits for {} s",
                self.max_wait.as_secs_f32()
            ))),
        }
    }
}

fn busy(why: &str) -> Rejection {
    Rejection::Unavailable {
        reason: format!("{why}; no event of this batch was stored, and Twilio repeats the batch"),
        label: "streams_busy",
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn is_rejected(admitted: &Result<OwnedSemaphorePermit, Rejection>) -> bool {
        matches!(admitted, Err(Rejection::Unavailable { label: "streams_busy", .. }))
    }

    #[tokio::test]
    async fn all_batches_share_a_quarter_of_the_queue_and_a_further_one_waits() {
        let budget = EventBudget::new(LONG);
        let alone = budget.admit(1_500).await.expect("admitted");
        assert_eq!(alone.num_permits(), QUEUE / 4);
        let mut second = pin!(budget.admit(1_500));
        let mut third = pin!(budget.admit(1_500));
        let mut fourth = pin!(budget.admit(1));
        assert!(poll!(second.as_mut()).is_pending() && poll!(third.as_mut()).is_pending());
        assert!(poll!(fourth.as_mut()).is_pending());
        drop(alone);
        let (second, third) = (second.await.expect("admitted"), third.await.expect("admitted"));
        assert_eq!(second.num_permits() + third.num_permits(), QUEUE / 4);
        assert!(poll!(fourth.as_mut()).is_pending());
        drop(second);
        assert_eq!(fourth.await.expect("admitted").num_permits(), 1);
    }

    #[tokio::test]
    async fn batches_are_admitted_in_the_order_of_their_arrival_whatever_their_size() {
        let budget = EventBudget::new(LONG);
        let mut first = budget.admit(PERMITS).await.expect("admitted");
        let mut large = pin!(budget.admit(PERMITS));
        let mut small = pin!(budget.admit(1));
        assert!(poll!(large.as_mut()).is_pending() && poll!(small.as_mut()).is_pending());
        // One free permit is not enough for the large batch, and is reserved for it.
        drop(first.split(1));
        assert!(poll!(large.as_mut()).is_pending() && poll!(small.as_mut()).is_pending());
        let mut late = pin!(budget.admit(1));
        assert!(poll!(late.as_mut()).is_pending(), "a later batch waits as well");
        drop(first.split(SHARED_PERMITS - 1));
        assert!(poll!(large.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn a_batch_that_stops_waiting_leaves_the_budget_as_it_was() {
        let budget = EventBudget::new(LONG);
        let first = budget.admit(PERMITS).await.expect("admitted");
        {
            let mut cancelled = pin!(budget.admit(PERMITS));
            assert!(poll!(cancelled.as_mut()).is_pending());
        }
        drop(first);
        assert_eq!(budget.permits.available_permits(), PERMITS);
        assert_eq!(budget.waiting.available_permits(), MAX_WAITING);
    }

    #[tokio::test]
    async fn a_batch_is_rejected_after_its_longest_wait_or_if_too_many_events_wait() {
        let budget = EventBudget::new(Duration::ZERO);
        let _first = budget.admit(PERMITS).await.expect("admitted");
        assert!(is_rejected(&budget.admit(1).await));
        let budget = EventBudget::new(LONG);
        let _first = budget.admit(PERMITS).await.expect("admitted");
        let mut waits = pin!(budget.admit(MAX_WAITING));
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(is_rejected(&budget.admit(1).await));
    }
}
