//! The share of the store's queue that Event Streams may use: one budget for all batches.
//!
//! Twilio repeats a batch for four hours, and a webhook only once. So batches wait for places, first come, first
//! served, and the rest of the queue stays free for webhooks. Places are taken before the work on a batch begins and
//! belong to that work, not to its request: a client that closes the connection frees no place that its events
//! still occupy.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::inbound::rejection::Rejection;
use crate::store::QUEUE;

/// Places for the events of all batches.
const PLACES: usize = QUEUE / 4;
/// The most places of a batch that had to wait. It equals the entries of one commit, so that one batch is judged while
/// another one is synced. A batch that does not have to wait gets a place for each event, up to [`PLACES`].
const SHARED_PLACES: usize = PLACES / 2;
/// The most events of all batches that wait for a place. Bounds memory; an event takes about one kilobyte.
const MOST_WAITING: usize = 32 << 10;
/// How long a batch waits for its places. Twilio gives up after 5 s, so half of that is left for the work.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Places in the store's queue for the events of all batches.
#[derive(Debug)]
pub struct EventBudget {
    places: Arc<Semaphore>,
    waiting: Semaphore,
    patience: Duration,
}

impl Default for EventBudget {
    fn default() -> Self {
        Self::new(PATIENCE)
    }
}

impl EventBudget {
    /// A budget of which no place is taken. A batch waits for its places no longer than `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(PLACES));
        Self { places, waiting: Semaphore::new(MOST_WAITING), patience }
    }

    /// Waits for the places of a batch with this many events. The result holds one permit for each event of the batch
    /// that may be in the queue at the same time.
    ///
    /// # Errors
    /// [`Rejection::Unavailable`]; then no work on the batch has begun.
    pub(super) async fn admit(&self, events: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let permits = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // Fails if another batch waits: that one has a claim to every place that is free.
        let all = permits(events.clamp(1, PLACES));
        if let Ok(admitted) = Arc::clone(&self.places).try_acquire_many_owned(all) {
            return Ok(admitted);
        }
        let _waiting = self
            .waiting
            .try_acquire_many(permits(events.min(MOST_WAITING)))
            .map_err(|_| busy(&format!("more than {MOST_WAITING} events would wait")))?;
        let places = permits(events.clamp(1, SHARED_PLACES));
        let admitted = Arc::clone(&self.places).acquire_many_owned(places);
        match timeout(self.patience, admitted).await {
            Ok(Ok(admitted)) => Ok(admitted),
            // Nothing closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(busy(&format!(
                "earlier batches left too few of the {PLACES} places for {} s",
                self.patience.as_secs_f32()
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

    fn is_refused(admitted: &Result<OwnedSemaphorePermit, Rejection>) -> bool {
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
        let mut first = budget.admit(PLACES).await.expect("admitted");
        let mut large = pin!(budget.admit(PLACES));
        let mut small = pin!(budget.admit(1));
        assert!(poll!(large.as_mut()).is_pending() && poll!(small.as_mut()).is_pending());
        // One free place is not enough for the large batch, and is not for the small one.
        drop(first.split(1));
        assert!(poll!(large.as_mut()).is_pending() && poll!(small.as_mut()).is_pending());
        let mut late = pin!(budget.admit(1));
        assert!(poll!(late.as_mut()).is_pending(), "nor for one that comes later");
        drop(first.split(SHARED_PLACES - 1));
        assert!(poll!(large.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn a_batch_that_stops_waiting_leaves_the_budget_as_it_was() {
        let budget = EventBudget::new(LONG);
        let first = budget.admit(PLACES).await.expect("admitted");
        {
            let mut cancelled = pin!(budget.admit(PLACES));
            assert!(poll!(cancelled.as_mut()).is_pending());
        }
        drop(first);
        assert_eq!(budget.places.available_permits(), PLACES);
        assert_eq!(budget.waiting.available_permits(), MOST_WAITING);
    }

    #[tokio::test]
    async fn a_batch_is_refused_when_its_patience_ends_or_too_many_events_wait() {
        let budget = EventBudget::new(Duration::ZERO);
        let _first = budget.admit(PLACES).await.expect("admitted");
        assert!(is_refused(&budget.admit(1).await));
        let budget = EventBudget::new(LONG);
        let _first = budget.admit(PLACES).await.expect("admitted");
        let mut waits = pin!(budget.admit(MOST_WAITING));
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(is_refused(&budget.admit(1).await));
    }
}
