//! Limits on unauthenticated clients, on Event Streams, and on log lines that clients can cause.

pub mod connections;
pub mod event_budget;
mod eviction_pool;
pub mod first_match;
pub mod near_miss;
pub mod signature_limiter;
