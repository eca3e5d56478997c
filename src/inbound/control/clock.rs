//! The clock: its state beside the store's trusted time, and the operator's confirmation of it.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inbound::control::Question;
use crate::store::{Store, StoreError};

/// Requests the state of the clock, and may confirm the clock first.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CheckClock {
    /// Whether the operator confirms the wall clock.
    pub confirm: bool,
}

/// The state of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// The wall clock.
    pub wall: Timestamp,
    /// The time by which records expire and are removed.
    pub trusted: Timestamp,
    /// How far the wall clock jumped, in seconds; negative for back; `None` without an open jump.
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
            // The health check stores the confirmed time, so that the next start begins with it.
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
