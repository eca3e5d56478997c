//! The sweep: walks the store in small steps, for ever. Expires, orphans, forgets.
//!
//! Nothing depends on how fast it is: what has expired counts as expired before it is swept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{Store, Swept};
use crate::worker::{Observer, worker_log};

/// Records in one step: little enough not to hold up the writer, nor to make a group too large.
const STEP: usize = 40;
/// Between steps: a million records in forty minutes.
const PAUSE: Duration = Duration::from_millis(100);
/// Between one walk through the store and the next, and after the store could not be swept.
const REST: Duration = Duration::from_mins(1);
/// A long walk logs its counts this often.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Sweeps until it is dropped.
pub async fn run(store: Arc<dyn Store>, observer: Arc<dyn Observer>) {
    let mut walk = Walk { swept: Swept::default(), logged: Instant::now() };
    loop {
        let rest = match store.expire(STEP).await {
            Ok(step) => {
                if step.confirmed > 0 {
                    tracing::info!(
                        messages = step.confirmed,
                        "confirmed by parked evidence: no newer message was registered meanwhile"
                    );
                }
                observer.swept(&step);
                walk.swept += step;
                if step.complete || walk.logged.elapsed() >= LOG_EVERY {
                    walk.log();
                }
                if step.complete { REST } else { PAUSE }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot sweep the store");
                REST
            }
        };
        tokio::time::sleep(rest).await;
    }
}

/// The counts since the last log line. Logged at the end too, when the process stops in the middle of a walk.
struct Walk {
    swept: Swept,
    logged: Instant,
}

impl Walk {
    fn log(&mut self) {
        self.logged = Instant::now();
        worker_log::swept(&std::mem::take(&mut self.swept));
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.log();
    }
}
