//! Abuse: what each hostile request gets, that it leaves nothing behind, and that honest callers are
//! answered within a second meanwhile. Slow callers are in `weather.rs`; whose signature or content is
//! wrong in an otherwise proper request, in `http/refusals.rs`.

mod base;
mod bounds;
pub(crate) mod crowd;
mod forgers;
mod listeners;
mod shapes;
mod slow;

use std::time::{Duration, Instant};

use crate::harness::{Scene, status_callback};

/// What an honest caller waits at most while somebody else is hostile.
const A_SECOND: Duration = Duration::from_secs(1);

/// Calls honestly on a connection of its own. Whoever is starved is so each time; a busy machine may be
/// slow once. Tells how long it took.
fn honest_is_answered_within_a_second(scene: &Scene, meanwhile: &str) -> Duration {
    let call = || {
        let began = Instant::now();
        assert_eq!(scene.send(&status_callback(9, "sent")).status, 204, "{meanwhile}");
        began.elapsed()
    };
    let took = std::iter::repeat_with(call).take(3).find(|took| *took < A_SECOND);
    took.unwrap_or_else(|| unreachable!("thrice over {A_SECOND:?}: {meanwhile}"))
}
