//! Bursts of Event Streams: several large batches at once, and batches about SIDs that Twilio does not know.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::driver::Driver;
use crate::history::Role;
use crate::identities::{self, ACCOUNTS, Identities};
use crate::requests::{Request, Scenario};
use crate::signals::{StreamEvent, batch, filler};
use crate::support::http::request_bytes;
use crate::support::random::Random;

/// Batches that are sent at once.
const BATCHES: u64 = 4;
/// The most events in a batch.
const EVENTS: u64 = 1500;
/// Confirmed messages in a large batch; each has three events.
const PAIRS: u64 = 40;
/// Confirmed messages in a batch of unknown SIDs.
const BOGUS: u64 = 60;
/// The number of filler SIDs in a run. It is limited, so that the store does not grow without end.
const FILLERS: u64 = 3000;
/// Other messages have smaller numbers. Two messages to one recipient would make the judgement ambiguous.
pub(crate) const FIRST_INDEX: u64 = 5_000_000;
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(400);

/// Creates the batches, and numbers their messages.
pub(crate) struct Bursts {
    next: u64,
    under_way: JoinSet<()>,
}

impl Bursts {
    pub(crate) fn new() -> Self {
        Self { next: FIRST_INDEX, under_way: JoinSet::new() }
    }

    /// Sends several large batches of one account at once. Does not wait for the responses.
    pub(crate) fn large(&mut self, driver: &Arc<Driver>, random: &mut Random) {
        let owner = owner(random);
        for _ in 0..BATCHES {
            let mut events =
                self.pairs(&driver.identities, (identities::HONEST, owner, PAIRS), random);
            let account = driver.identities.account(owner);
            let size = EVENTS - random.below(EVENTS / 3);
            while (events.len() as u64) < size {
                let event = filler(&account, random.below(FILLERS));
                events.push(StreamEvent { event, claim: None });
            }
            random.shuffle(&mut events);
            self.send(driver, batch(owner, events));
        }
    }

    /// Sends a batch that confirms SIDs for which the fake Twilio answers 404.
    pub(crate) fn bogus(&mut self, driver: &Arc<Driver>, random: &mut Random) {
        let owner = owner(random);
        let mut events = self.pairs(&driver.identities, (identities::BOGUS, owner, BOGUS), random);
        random.shuffle(&mut events);
        self.send(driver, batch(owner, events));
    }

    /// Waits until each batch was accepted or abandoned.
    pub(crate) async fn end(&mut self) {
        while self.under_way.join_next().await.is_some() {}
    }

    fn pairs(
        &mut self,
        identities: &Identities,
        (tag, owner, count): (&str, usize, u64),
        random: &mut Random,
    ) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        let mut made = 0;
        while made < count {
            self.next += 1;
            if Identities::owner(self.next) == owner {
                made += 1;
                let scenario = Scenario::new(identities, tag, self.next, random);
                events.extend(scenario.registering_events());
                events.push(scenario.clicked_event());
            }
        }
        events
    }

    fn send(&mut self, driver: &Arc<Driver>, batch: Request) {
        let driver = Arc::clone(driver);
        self.under_way.spawn(async move {
            let mut connection = None;
            for _ in 0..TRIES {
                let bytes = request_bytes(&batch.signed(&driver.identities));
                let answer = driver.send(&mut connection, Role::Honest, &batch, &bytes).await;
                if answer.is_some_and(|answer| (200..300).contains(&answer.status)) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
}

fn owner(random: &mut Random) -> usize {
    random.index(ACCOUNTS)
}
