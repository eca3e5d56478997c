//! The clock: does it agree with the store's own time, and is it right if the operator says so?

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inbound::control::Question;
use crate::store::{Store, StoreError};

/// Asks for the state of the clock, and confirms it if asked to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CheckClock {
    /// Whether the operator says that the wall clock is right.
    pub confirm: bool,
}

/// The state of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// The wall clock.
    pub wall: Timestamp,
    /// The time that records expire and are removed by.
    pub trusted: Timestamp,
    /// How far the wall clock jumped, in seconds; negative: back; `None`: it did not, or that is settled.
    pub jumped_s: Option<i64>,
    /// When the jump was noticed, by the trusted time.
    pub since: Option<Timestamp>,
}

#[async_trait]
impl Question for CheckClock {
    const ROUTE: &'static str = "/clock";
    type Answer = ClockState;

    async fn answer(self, store: &dyn Store) -> Result<ClockState, StoreError> {
        let guard = store.clock_guard();
        if self.confirm {
            guard.confirm();
            // Writes the confirmed time down as well, so that the next start begins with it.
            store.health().await?;
        }
        let jump = guard.jump();
        Ok(ClockState {
            wall: guard.wall(),
            trusted: guard.trusted(),
            jumped_s: jump.map(|jump| jump.ahead.as_secs()),
            since: jump.map(|jump| jump.since),
        })
    }
}
