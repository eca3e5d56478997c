//! The sweep: walks the store in small steps, for ever. Expires, orphans, forgets.
//!
//! Nothing depends on how fast it is: what has expired counts as expired before it is swept.

use std::sync::Arc;
use std::time::Duration;

use crate::store::Store;

/// Records in one step: little enough not to hold up the writer, nor to make a group too large.
const STEP: usize = 40;
/// Between steps: a million records in forty minutes.
const PAUSE: Duration = Duration::from_millis(100);
/// Between one walk through the store and the next, and after the store could not be swept.
const REST: Duration = Duration::from_mins(1);

/// Sweeps until it is dropped.
pub async fn run(store: Arc<dyn Store>) {
    loop {
        let rest = match store.expire(STEP).await {
            Ok(swept) => {
                if swept.confirmed > 0 {
                    tracing::info!(
                        messages = swept.confirmed,
                        "confirmed by parked evidence: no newer message was registered meanwhile"
                    );
                }
                if swept.expired + swept.orphaned + swept.forgotten > 0 {
                    tracing::debug!(swept.expired, swept.orphaned, swept.forgotten, "swept");
                }
                if swept.complete { REST } else { PAUSE }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot sweep the store");
                REST
            }
        };
        tokio::time::sleep(rest).await;
    }
}
