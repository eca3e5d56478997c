//! Counts wrong tokens by network. Beyond ten a minute they are answered 429 and logged once.
//!
//! The right token is always accepted, so clients in the operator's network cannot lock the operator out. Deliberately
//! absent: a table that grows without limit, and protection of a short token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::rate_limit::{Network, RateLimitState};

const MAX_FAILURES: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);
/// The most networks that are counted at a time. Failures of further networks are not counted.
const MAX_NETWORKS: usize = 1_024;

/// The failed logins of the last minute.
#[derive(Debug, Default)]
pub(super) struct LoginLimiter(Mutex<HashMap<Network, FailedLogins>>);

#[derive(Debug, Clone, Copy)]
struct FailedLogins {
    since: Duration,
    count: u32,
}

impl LoginLimiter {
    /// Counts a wrong token. `now` comes from a monotonic clock.
    pub(super) fn failed(&self, client: Option<IpAddr>, now: Duration) -> RateLimitState {
        let mut networks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        networks.retain(|_, failed| now.saturating_sub(failed.since) < WINDOW);
        let network = client.map_or(Network::V4([0; 3]), Network::of);
        if networks.len() >= MAX_NETWORKS && !networks.contains_key(&network) {
            return RateLimitState::Within;
        }
        let failed = networks.entry(network).or_insert(FailedLogins { since: now, count: 0 });
        failed.count = failed.count.saturating_add(1);
        match failed.count.checked_sub(MAX_FAILURES) {
            None | Some(0) => RateLimitState::Within,
            Some(1) => RateLimitState::JustOver,
            Some(_) => RateLimitState::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_tokens_a_minute_are_allowed_for_each_network() {
        let limiter = LoginLimiter::default();
        let [guesser, operator] = ["192.0.2.1", "198.51.100.1"].map(|ip| ip.parse().ok());
        let start = Duration::from_secs(5);
        for _ in 0..MAX_FAILURES {
            assert_eq!(limiter.failed(guesser, start), RateLimitState::Within);
        }
        assert_eq!(limiter.failed(guesser, start), RateLimitState::JustOver);
        assert_eq!(limiter.failed(operator, start), RateLimitState::Within);
        let last = start + WINDOW.saturating_sub(Duration::from_millis(1));
        assert_eq!(limiter.failed(guesser, last), RateLimitState::Over);
        assert_eq!(limiter.failed(guesser, start + WINDOW), RateLimitState::Within);
    }
}
