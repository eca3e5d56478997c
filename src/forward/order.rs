//! The order of one person's messages: each is sent to the app after the answer to the one before.
//!
//! A queue exists only while a message of the person is under way, so their number is bounded by that of the webhooks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// A person, as a keyed hash.
pub type PersonKey = [u8; 16];

#[derive(Default)]
pub(super) struct PersonQueues(Mutex<BTreeMap<PersonKey, Queue>>);

#[derive(Default)]
struct Queue {
    /// Fair: it is granted in the order of the requests for it.
    gate: Arc<tokio::sync::Mutex<()>>,
    length: usize,
}

/// A place in a person's queue. Drop gives it up.
pub(super) struct Place {
    person: PersonKey,
    gate: Arc<tokio::sync::Mutex<()>>,
    queues: Arc<PersonQueues>,
}

impl PersonQueues {
    /// Takes the last place of the person's queue. `None` if it has `most` places.
    pub(super) fn enter(self: &Arc<Self>, person: PersonKey, most: usize) -> Option<Place> {
        let mut queues = self.lock();
        let queue = queues.entry(person).or_default();
        if queue.length >= most {
            return None;
        }
        queue.length += 1;
        let (gate, queues) = (Arc::clone(&queue.gate), Arc::clone(self));
        Some(Place { person, gate, queues })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PersonKey, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until all places before this one are given up.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.gate).lock_owned().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get_mut(&self.person) {
            queue.length -= 1;
            if queue.length == 0 {
                queues.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn turns_come_in_order_and_each_person_has_a_queue() {
        let queues = Arc::new(PersonQueues::default());
        let enter = |person| queues.enter([person; 16], 3);
        let (first, second) = (enter(1).expect("room"), enter(1).expect("room"));
        let third = enter(1).expect("room");
        assert!(enter(1).is_none() && enter(2).is_some(), "only the queue of the first is full");
        let turn = first.turn().now_or_never().expect("the first");
        let (mut waits, mut waits_longer) = (Box::pin(second.turn()), Box::pin(third.turn()));
        assert!((&mut waits).now_or_never().is_none());
        assert!((&mut waits_longer).now_or_never().is_none());
        drop((turn, first));
        assert!((&mut waits_longer).now_or_never().is_none(), "the second is before the third");
        drop((&mut waits).now_or_never().expect("the second"));
        assert!((&mut waits_longer).now_or_never().is_some());
        drop((waits, waits_longer));
        drop((second, third));
        assert!(queues.lock().is_empty(), "an empty queue is removed");
    }

    #[test]
    fn a_message_that_gives_up_leaves_the_queue() {
        let queues = Arc::new(PersonQueues::default());
        let places: Vec<_> = (0..3).filter_map(|_| queues.enter([1; 16], 3)).collect();
        let turn = places[0].turn().now_or_never().expect("the first");
        let mut gives_up = Box::pin(places[1].turn());
        let mut waits = Box::pin(places[2].turn());
        assert!((&mut gives_up).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        drop(gives_up);
        drop(turn);
        assert!((&mut waits).now_or_never().is_some());
    }
}
