//! Wrong tokens, counted by the network that they come from: what fails beyond ten a minute hears so, and is
//! logged once. The right one is always taken, or whoever shares a network with the operator could lock
//! them out. Deliberately absent: a table that grows, and anything that makes up for a short token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::rate_limit::{Network, RateLimitState};
use crate::inbound::limits::signature_limiter::network_of;

/// Somebody who mistypes needs fewer.
const WRONG: u32 = 10;
const WITHIN: Duration = Duration::from_mins(1);
/// Networks that are counted at the same time. Whoever is one too many is not counted.
const NETWORKS: usize = 1_024;

/// Who showed what is not the token, lately.
#[derive(Debug, Default)]
pub(super) struct LoginLimiter(Mutex<HashMap<Network, FailedLogins>>);

#[derive(Debug, Clone, Copy)]
struct FailedLogins {
    since: Duration,
    count: u32,
}

impl LoginLimiter {
    /// It was not the token. `now` is of a clock that never goes back.
    pub(super) fn failed(&self, from: Option<IpAddr>, now: Duration) -> RateLimitState {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|_, known| !known.is_over(now));
        let network = from.map_or(Network::V4([0; 3]), network_of);
        if failing.len() >= NETWORKS && !failing.contains_key(&network) {
            return RateLimitState::Within;
        }
        let known = failing.entry(network).or_insert(FailedLogins { since: now, count: 0 });
        known.count = known.count.saturating_add(1);
        match known.count.checked_sub(WRONG) {
            None | Some(0) => RateLimitState::Within,
            Some(1) => RateLimitState::JustOver,
            Some(_) => RateLimitState::Over,
        }
    }
}

impl FailedLogins {
    fn is_over(self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_ones_a_minute_are_allowed_and_nobody_else_hears_of_it() {
        let tries = LoginLimiter::default();
        let [guesser, operator] = ["192.0.2.1", "198.51.100.1"].map(|ip| ip.parse().ok());
        let start = Duration::from_secs(5);
        for _ in 0..WRONG {
            assert_eq!(tries.failed(guesser, start), RateLimitState::Within);
        }
        assert_eq!(tries.failed(guesser, start), RateLimitState::JustOver);
        assert_eq!(tries.failed(operator, start), RateLimitState::Within);
        let last = start + WITHIN.saturating_sub(Duration::from_millis(1));
        assert_eq!(tries.failed(guesser, last), RateLimitState::Over);
        assert_eq!(tries.failed(guesser, start + WITHIN), RateLimitState::Within);
    }
}
