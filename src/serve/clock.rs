//! The service's clocks: the wall clock, the uptime clock without jumps, and the log line when the two disagree.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::clock::Jump;
use crate::domain::span::humanized;

/// Runs on while the machine sleeps, if the system has such a clock.
#[cfg(target_os = "linux")]
const UPTIME: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const UPTIME: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

#[expect(clippy::disallowed_methods, reason = "the owner of the wall clock, which injects it")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "the owner of the uptime clock, which injects it")]
pub(super) fn uptime() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(UPTIME)).unwrap_or_default()
}

/// Logs the start and the end of a jump of the wall clock.
pub(super) fn log_jump(jump: Option<Jump>) {
    let Some(jump) = jump else {
        return tracing::info!("clock confirmed: records expire and are removed by it again");
    };
    let (by, seconds) = (humanized(jump.ahead.abs()), jump.ahead.as_secs());
    if jump.holds_back() {
        tracing::warn!(
            ahead_s = seconds,
            "clock jumped {by} ahead; no record expires or is removed by it until Twilio's Date agrees; \
             if it is right, run `heardback clock --confirm`, otherwise correct it"
        );
    } else {
        tracing::warn!(
            ahead_s = seconds,
            "clock jumped {by} back; records expire and are removed later until it is right; \
             compare it with a time server"
        );
    }
}
