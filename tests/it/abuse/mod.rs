//! Abuse: the answer to each hostile request, no trace in the store, and honest callers answered
//! within a second meanwhile. Slow callers are in `slow_clients.rs`; well-formed requests with a wrong
//! signature or content are in `http/refusals.rs`.

mod base;
mod bounds;
mod listeners;
pub(crate) mod many_connections;
mod shapes;
mod signature_limits;
mod slow;

use std::time::{Duration, Instant};

use crate::harness::{Harness, status_callback};

/// The time limit for an honest caller during an attack.
const A_SECOND: Duration = Duration::from_secs(1);

/// Sends an honest request on a new connection and returns its duration. A starved caller is slow
/// each time, a busy machine only once, so this tries again.
fn honest_is_answered_within_a_second(harness: &Harness, meanwhile: &str) -> Duration {
    let call = || {
        let began = Instant::now();
        assert_eq!(harness.send(&status_callback(9, "sent")).status, 204, "{meanwhile}");
        began.elapsed()
    };
    let took = std::iter::repeat_with(call).take(3).find(|took| *took < A_SECOND);
    took.unwrap_or_else(|| unreachable!("thrice over {A_SECOND:?}: {meanwhile}"))
}
