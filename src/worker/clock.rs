//! The clock check: asks Twilio what time it is while the wall clock differs from the expected time.
//!
//! A service that posts hears it anyway: each of Twilio's answers has a `Date`. This is for one that has nothing
//! to post. A dry run asks as well: it posts nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::store::Store;
use crate::upstream::Upstreams;

/// Between two looks at the clock.
const EVERY: Duration = Duration::from_mins(1);

/// Checks until it is dropped.
pub async fn run(store: Arc<dyn Store>, upstreams: Arc<Upstreams>) {
    loop {
        if store.clock_guard().jump().is_some() {
            upstreams.ask_time().await;
        }
        tokio::time::sleep(EVERY).await;
    }
}
