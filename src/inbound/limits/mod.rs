//! Limits on unauthenticated clients, on Event Streams, and on log lines that clients can cause.

pub mod connections;
pub mod event_budget;
mod eviction_pool;
pub mod first_match;
pub mod near_miss;
pub mod signature_limiter;

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::matching::later;

/// The shortest time between two log lines about one subject.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Whether the last line is younger than [`LOG_INTERVAL`]. A clock that went back does not suppress a line.
fn is_quiet(last: Timestamp, now: Timestamp) -> bool {
    last <= now && now < later(last, LOG_INTERVAL)
}
