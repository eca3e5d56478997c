//! The monotonic clock of `inbound` and `commands`: durations, deadlines and the windows of limits.
//!
//! Deliberately absent: the wall clock. Records are dated by the store's `ClockGuard`.

use std::time::Instant;

/// The present moment of a clock without jumps.
#[expect(clippy::disallowed_methods, reason = "the owner of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}
