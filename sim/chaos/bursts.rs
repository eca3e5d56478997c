//! Bursts of Event Streams: several large batches at a time, and batches about SIDs that Twilio does not know.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::driver::Driver;
use crate::history::Role;
use crate::identities::{self, ACCOUNTS, Cast};
use crate::requests::{Request, Story};
use crate::signals::{StreamEvent, batch, filler};
use crate::support::http::request_bytes;
use crate::support::random::Random;

/// Batches at a time.
const BATCHES: u64 = 4;
/// The most events of a batch.
const EVENTS: u64 = 1500;
/// Messages of a large batch that are registered and proven; each has three events.
const PAIRS: u64 = 40;
/// The same of a batch about unknown SIDs.
const BOGUS: u64 = 60;
/// So many SIDs fill all batches of a run: the store shall not grow without end.
const FILLERS: u64 = 3000;
/// Other messages have smaller numbers: two messages to one person would be one riddle more.
pub(crate) const FIRST_INDEX: u64 = 5_000_000;
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(400);

/// The numbers of the messages that were not used yet.
pub(crate) struct Bursts {
    next: u64,
    under_way: JoinSet<()>,
}

impl Bursts {
    pub(crate) fn new() -> Self {
        Self { next: FIRST_INDEX, under_way: JoinSet::new() }
    }

    /// Sends large batches of one account, all at a time, and does not wait for their answers.
    pub(crate) fn large(&mut self, driver: &Arc<Driver>, random: &mut Random) {
        let owner = owner(random);
        for _ in 0..BATCHES {
            let mut events = self.pairs(&driver.cast, (identities::HONEST, owner, PAIRS), random);
            let account = driver.cast.account(owner);
            let size = EVENTS - random.below(EVENTS / 3);
            while (events.len() as u64) < size {
                let event = filler(&account, random.below(FILLERS));
                events.push(StreamEvent { event, claim: None });
            }
            random.shuffle(&mut events);
            self.send(driver, batch(owner, events));
        }
    }

    /// Sends a batch that confirms SIDs for which the stand-in answers 404.
    pub(crate) fn bogus(&mut self, driver: &Arc<Driver>, random: &mut Random) {
        let owner = owner(random);
        let mut events = self.pairs(&driver.cast, (identities::BOGUS, owner, BOGUS), random);
        random.shuffle(&mut events);
        self.send(driver, batch(owner, events));
    }

    /// Waits until each batch was taken, or given up.
    pub(crate) async fn end(&mut self) {
        while self.under_way.join_next().await.is_some() {}
    }

    fn pairs(
        &mut self,
        cast: &Cast,
        (tag, owner, count): (&str, usize, u64),
        random: &mut Random,
    ) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        let mut made = 0;
        while made < count {
            self.next += 1;
            if Cast::owner(self.next) == owner {
                made += 1;
                let story = Story::new(cast, tag, self.next, random);
                events.extend(story.registering_events());
                events.push(story.clicked_event());
            }
        }
        events
    }

    fn send(&mut self, driver: &Arc<Driver>, batch: Request) {
        let driver = Arc::clone(driver);
        self.under_way.spawn(async move {
            let mut connection = None;
            for _ in 0..TRIES {
                let bytes = request_bytes(&batch.signed(&driver.cast));
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
