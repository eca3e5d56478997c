//! The clock check: requests Twilio's time while the wall clock differs from the expected time.
//!
//! Twilio's answer to each post has a `Date` as well. This check is for a service that has nothing to post, and for a
//! dry run.

use std::sync::Arc;
use std::time::Duration;

use crate::store::Store;
use crate::upstream::Upstreams;

/// The time between two checks.
const EVERY: Duration = Duration::from_mins(1);

/// Checks the clock until the future is dropped.
pub async fn run(store: Arc<dyn Store>, upstreams: Arc<Upstreams>) {
    loop {
        if store.clock_guard().jump().is_some() {
            upstreams.ask_time().await;
        }
        tokio::time::sleep(EVERY).await;
    }
}
