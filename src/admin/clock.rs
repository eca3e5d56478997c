//! The state of the wall clock and of the store's trusted time, and the operator's confirmation of the wall clock.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    pub wall: Timestamp,
    /// The time by which records expire and are removed.
    pub trusted: Timestamp,
    /// How far the wall clock jumped, in seconds; negative for back; `None` without an open jump.
    pub jumped_s: Option<i64>,
    /// When the jump was detected, by the trusted time.
    pub since: Option<Timestamp>,
}

/// The state of the clock. With `confirm`, the operator confirms the wall clock first.
pub(super) async fn check(store: &dyn Store, confirm: bool) -> Result<ClockState, StoreError> {
    let guard = store.clock_guard();
    if confirm {
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
