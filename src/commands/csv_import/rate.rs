//! How fast an import goes: each confirmation becomes a post, and Twilio counts an account's.

use std::time::Duration;

use tokio::time::Instant;

use crate::commands::store_access::UsageError;

/// Slow enough to stay below what an account sends at the same time.
const DEFAULT: &str = "10/s";
/// Nobody posts faster than this.
const FASTEST: u32 = 1_000;

/// When the next may come.
#[derive(Debug)]
pub(super) struct RateLimit {
    every: Duration,
    next: Option<Instant>,
}

impl RateLimit {
    /// From `10/s` or `600/m`.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(super) fn read(text: Option<&str>) -> Result<Self, UsageError> {
        let text = text.unwrap_or(DEFAULT);
        let every = every(text).ok_or_else(|| {
            let expected = "expected a number of 1 or more a second or a minute, such as 10/s or 600/m, at \
                            most 1000/s";
            UsageError(format!("--rate: {expected}"))
        })?;
        Ok(Self { every, next: None })
    }

    /// Waits until it is time. What took longer than its share is not made up for.
    pub(super) async fn next(&mut self) {
        let now = Instant::from_std(crate::telemetry::clock::monotonic());
        let due = self.next.unwrap_or(now).max(now) + self.every;
        // The first has just gone by itself.
        self.next = Some(due);
        tokio::time::sleep_until(due).await;
    }
}

fn every(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_once('/')?;
    let unit = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_mins(1),
        _ => return None,
    };
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
    let every = unit.checked_div(count)?;
    (every >= Duration::from_secs(1) / FASTEST).then_some(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_so_many_a_second_or_a_minute() {
        for (text, millis) in [
            ("10/s", Some(100)),
            ("1/m", Some(60_000)),
            ("120/min", Some(500)),
            ("1000/s", Some(1)),
            ("1001/s", None),
            ("0/s", None),
            ("10", None),
            ("10/h", None),
            ("-1/s", None),
            ("ten/s", None),
        ] {
            assert_eq!(every(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
