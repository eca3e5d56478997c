//! The worker's clocks: its monotonic clock, and the check of the wall clock against Twilio's time.
//!
//! Twilio's answer to each post has a `Date` as well. The check is for a service without posts, and for a dry run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::Store;
use crate::upstream::Upstreams;

const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The present time of the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the owner of the worker's monotonic clock")]
pub(super) fn monotonic() -> Instant {
    Instant::now()
}

/// Requests Twilio's time each minute while the wall clock has jumped. Runs until the future is dropped.
pub async fn check_wall_clock(store: Arc<dyn Store>, upstreams: Arc<Upstreams>) {
    loop {
        if store.clock_guard().jump().is_some() {
            upstreams.request_date().await;
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}
