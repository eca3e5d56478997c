//! Wrong tokens, counted by the network that they come from: ten a minute, and then nothing from there is
//! looked at until the minute is over. Deliberately absent: a table that grows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::forgeries::Network;

/// Somebody who mistypes needs fewer.
const WRONG: u32 = 10;
const WITHIN: Duration = Duration::from_mins(1);
/// Networks that are counted at the same time. Whoever is one too many is not counted.
const NETWORKS: usize = 1_024;

/// Who showed what is not the token, lately.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<HashMap<Network, Failing>>);

#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Duration,
    count: u32,
}

impl Tries {
    /// Whether what they show is looked at. `now` is of a clock that never goes back.
    pub(super) fn may(&self, from: Option<IpAddr>, now: Duration) -> bool {
        let failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failing.get(&network(from));
        known.is_none_or(|known| known.count < WRONG || known.is_over(now))
    }

    /// It was not the token. Whether that was the last one to be looked at.
    pub(super) fn failed(&self, from: Option<IpAddr>, now: Duration) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|_, known| !known.is_over(now));
        let network = network(from);
        if failing.len() >= NETWORKS && !failing.contains_key(&network) {
            return false;
        }
        let known = failing.entry(network).or_insert(Failing { since: now, count: 0 });
        known.count += 1;
        known.count == WRONG
    }
}

impl Failing {
    fn is_over(self, now: Duration) -> bool {
        now.saturating_sub(self.since) >= WITHIN
    }
}

fn network(address: Option<IpAddr>) -> Network {
    match address {
        Some(IpAddr::V4(address)) => Network::of_v4(address),
        Some(IpAddr::V6(address)) => Network::of_v6(address),
        None => Network::V4([0; 3]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_ones_a_minute_and_nobody_elses_are_looked_at() {
        let tries = Tries::default();
        let [guesser, operator] = ["192.0.2.1", "198.51.100.1"].map(|ip| ip.parse().ok());
        let start = Duration::from_secs(5);
        let last: Vec<bool> = (0..WRONG).map(|_| tries.failed(guesser, start)).collect();
        assert_eq!(last.iter().filter(|last| **last).count(), 1);
        assert!(!tries.may(guesser, start) && tries.may(operator, start));
        assert!(!tries.may(guesser, start + WITHIN.saturating_sub(Duration::from_millis(1))));
        assert!(tries.may(guesser, start + WITHIN));
    }
}
