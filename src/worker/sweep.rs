//! The sweep: walks the store in small steps, again and again, to expire and remove records.
//!
//! No decision depends on its speed: an expired record counts as expired before the sweep reaches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::{Store, Swept};
use crate::worker::clock::monotonic;
use crate::worker::observer::Observer;
use crate::worker::worker_log;

/// Records in one step: few enough that the writer is not blocked and a group stays small.
const RECORDS_PER_STEP: usize = 40;
/// The pause between two steps: a million records in forty minutes.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// The pause between two walks through the store, and after an error of the store.
const WALK_PAUSE: Duration = Duration::from_mins(1);
/// A long walk logs its counts this often.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Runs until the future is dropped.
pub async fn run(store: Arc<dyn Store>, observer: Arc<dyn Observer>) {
    let mut walk = Walk { swept: Swept::default(), logged: monotonic() };
    loop {
        let rest = match store.expire(RECORDS_PER_STEP).await {
            Ok(mut step) => {
                for message_sid in std::mem::take(&mut step.confirmed) {
                    tracing::info!(
                        %message_sid,
                        "confirmed {message_sid} by parked evidence: no newer message was registered meanwhile"
                    );
                }
                let is_complete = step.complete;
                observer.swept(&step);
                walk.swept += step;
                if is_complete || monotonic().duration_since(walk.logged) >= LOG_INTERVAL {
                    walk.log();
                }
                if is_complete { WALK_PAUSE } else { STEP_PAUSE }
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot sweep the store: {error}; no record expires or is removed meanwhile, next try in {WALK_PAUSE:?}"
                );
                WALK_PAUSE
            }
        };
        tokio::time::sleep(rest).await;
    }
}

/// The counts since the last log line. They are also logged if the process stops in the middle of a walk.
struct Walk {
    swept: Swept,
    logged: Instant,
}

impl Walk {
    fn log(&mut self) {
        self.logged = monotonic();
        worker_log::swept(&std::mem::take(&mut self.swept));
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.log();
    }
}
