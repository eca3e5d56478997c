//! Rate limit of failed signatures by network, in a table of fixed size.
//!
//! Each network has a token bucket, stored as the time at which its allowance is full again. In a full row, a new
//! network replaces the one closest to a full allowance, so many networks that fail once cannot displace one that fails
//! all the time. Deliberately absent: any effect on a request whose signature is valid.

use std::fmt;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The burst of failures that a network may make. A misconfigured app or a new token causes far fewer, and
/// `HEARDBACK_RECORD_REFUSED` keeps twenty.
pub const BURST: u32 = 60;
/// The time until one more failure is allowed: sixty a minute.
pub const REFILL_INTERVAL: Duration = Duration::from_secs(1);

/// Rows of the table, and places in each: 4,096 networks, some 200 KiB.
const ROWS: usize = 1024;
const PLACES_PER_ROW: usize = 4;

/// The network of a client, as large as one customer of a provider usually owns: a /24 of IPv4, a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The first three octets.
    V4([u8; 3]),
    /// The first four segments.
    V6([u16; 4]),
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// The network of an IPv4 address.
    pub fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        Self::V4([a, b, c])
    }

    /// The network of an IPv6 address, or of the IPv4 address that it maps.
    pub fn of_v6(address: Ipv6Addr) -> Self {
        if let Some(address) = address.to_ipv4_mapped() {
            return Self::of_v4(address);
        }
        let [a, b, c, d, ..] = address.segments();
        Self::V6([a, b, c, d])
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4([a, b, c]) => write!(f, "{}/24", Ipv4Addr::new(a, b, c, 0)),
            Self::V6(segments) => {
                let mut whole = [0; 8];
                whole.iter_mut().zip(segments).for_each(|(to, from)| *to = from);
                write!(f, "{}/64", Ipv6Addr::from(whole))
            }
        }
    }
}

/// The result of one more failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitState {
    /// Within the limit.
    Within,
    /// Over the limit, for the first time since the allowance was last full.
    JustOver,
    /// Over the limit, as before.
    Over,
}

/// A network that failed.
#[derive(Debug, Clone, Copy)]
struct FailingNetwork {
    network: Network,
    /// When its allowance is full again, on the caller's clock.
    whole_at: Duration,
    /// Whether [`RateLimitState::JustOver`] was returned.
    reported: bool,
}

impl FailingNetwork {
    fn fail(&mut self, now: Duration) -> RateLimitState {
        if self.whole_at <= now {
            self.whole_at = now;
            self.reported = false;
        }
        let after = self.whole_at.saturating_add(REFILL_INTERVAL);
        if after.saturating_sub(now) <= REFILL_INTERVAL.saturating_mul(BURST) {
            self.whole_at = after;
            return RateLimitState::Within;
        }
        if std::mem::replace(&mut self.reported, true) {
            RateLimitState::Over
        } else {
            RateLimitState::JustOver
        }
    }
}

/// The networks that failed recently.
#[derive(Debug)]
pub struct NetworkRateLimit<H> {
    rows: Vec<[Option<FailingNetwork>; PLACES_PER_ROW]>,
    /// Keyed, so that a client cannot choose its row.
    hasher: H,
}

impl<H: BuildHasher> NetworkRateLimit<H> {
    /// An empty table. It allocates all its memory here.
    pub fn new(hasher: H) -> Self {
        Self { rows: vec![[None; PLACES_PER_ROW]; ROWS], hasher }
    }

    /// Whether one more failure of that network would be over the limit. Counts nothing.
    pub fn is_over(&self, network: Network, now: Duration) -> bool {
        let row = self.hasher.hash_one(network) % ROWS as u64;
        let row = usize::try_from(row).ok().and_then(|row| self.rows.get(row));
        let known = row.into_iter().flatten().flatten().find(|known| known.network == network);
        known.copied().is_some_and(|mut known| known.fail(now) != RateLimitState::Within)
    }

    /// Counts a failure of that network. `now` comes from a clock that never goes back.
    pub fn count(&mut self, network: Network, now: Duration) -> RateLimitState {
        let row = self.hasher.hash_one(network) % ROWS as u64;
        let row = usize::try_from(row).ok().and_then(|row| self.rows.get_mut(row));
        let Some(row) = row else { return RateLimitState::Within };
        let is_it =
            |place: &Option<FailingNetwork>| place.is_some_and(|known| known.network == network);
        let place = match row.iter().position(is_it) {
            Some(at) => row.get_mut(at),
            // An empty place comes first.
            None => row.iter_mut().min_by_key(|place| place.map(|known| known.whole_at)),
        };
        let Some(place) = place else { return RateLimitState::Within };
        let fresh = FailingNetwork { network, whole_at: now, reported: false };
        let mut failing = place.filter(|known| known.network == network).unwrap_or(fresh);
        let standing = failing.fail(now);
        *place = Some(failing);
        standing
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::{BuildHasherDefault, DefaultHasher};

    use proptest::prelude::*;

    use super::*;

    fn empty() -> NetworkRateLimit<BuildHasherDefault<DefaultHasher>> {
        NetworkRateLimit::new(BuildHasherDefault::default())
    }

    fn v4(number: u32) -> Network {
        Network::of_v4(Ipv4Addr::from_bits(number << 8))
    }

    #[test]
    fn a_network_is_a_24_or_a_64_and_a_mapped_address_is_the_one_it_stands_for() {
        let v6 = |text: &str| Network::of_v6(text.parse().expect("an address"));
        let v4 = |text: &str| Network::of_v4(text.parse().expect("an address"));
        assert_eq!(v4("203.0.113.9"), v4("203.0.113.200"));
        assert_ne!(v4("203.0.113.9"), v4("203.0.112.9"));
        assert_eq!(v6("2001:db8:1:2:3::"), v6("2001:db8:1:2:ffff::1"));
        assert_ne!(v6("2001:db8:1:2::"), v6("2001:db8:1:3::"));
        assert_eq!(v6("::ffff:203.0.113.9"), v4("203.0.113.1"));
        assert_eq!(v4("203.0.113.9").to_string(), "203.0.113.0/24");
        assert_eq!(v6("2001:db8:1:2::9").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn sixty_are_allowed_at_once_and_then_one_a_second() {
        let mut limit = empty();
        let mut count = |seconds: u64| limit.count(v4(1), Duration::from_secs(seconds));
        (0..60).for_each(|_| assert_eq!(count(100), RateLimitState::Within));
        assert_eq!(count(100), RateLimitState::JustOver);
        assert_eq!(count(100), RateLimitState::Over);
        assert_eq!(count(101), RateLimitState::Within);
        assert_eq!(count(101), RateLimitState::Over, "said once, as long as it goes on");
        (0..60).for_each(|_| assert_eq!(count(200), RateLimitState::Within));
        assert_eq!(count(200), RateLimitState::JustOver, "and again after a pause");
    }

    #[test]
    fn a_network_is_over_its_limit_exactly_while_its_next_failure_is_too_many() {
        let mut limit = empty();
        let mut over = 0;
        for number in 0..200_u64 {
            let now = Duration::from_millis(1_000 + number * 300);
            let (is_over, again) = (limit.is_over(v4(1), now), limit.is_over(v4(1), now));
            assert_eq!(is_over, again, "looking counts nothing");
            over += u32::from(is_over);
            assert_eq!(is_over, limit.count(v4(1), now) != RateLimitState::Within, "{number}");
        }
        assert!((60..140).contains(&over), "{over}");
        assert!(!limit.is_over(v4(2), Duration::from_secs(61)));
    }

    #[test]
    fn a_hundred_thousand_networks_take_no_more_room_and_push_out_no_persistent_one() {
        let mut limit = empty();
        let now = Duration::from_secs(1);
        for _ in 0..100 {
            limit.count(v4(7), now);
        }
        for number in 8..100_000 {
            assert_eq!(limit.count(v4(number), now), RateLimitState::Within);
        }
        assert_eq!(limit.count(v4(7), now), RateLimitState::Over);
        let known = limit.rows.iter().flatten().flatten().count();
        assert_eq!(known, ROWS * PLACES_PER_ROW, "every place is taken");
        assert_eq!(limit.rows.capacity(), ROWS, "and there are no others");
        assert!(size_of::<[Option<FailingNetwork>; PLACES_PER_ROW]>() * ROWS <= 256 << 10);
    }

    proptest! {
        /// However a network's failures fall, what it was allowed since any moment is at most the burst
        /// and what it regained since; and it is turned away only when that is used up.
        #[test]
        fn no_network_exceeds_the_burst_and_its_regained_allowance(
            failures in prop::collection::vec((0_u32..4, 0_u64..2500), 1..600),
        ) {
            let mut limit = empty();
            let mut allowed: HashMap<u32, Vec<Duration>> = HashMap::new();
            let mut now = Duration::ZERO;
            for (number, pause) in failures {
                // Mostly in bursts.
                now += Duration::from_millis(pause.saturating_sub(2000));
                let before = allowed.entry(number).or_default();
                // The allowance at each time, minus the failures since, this one included.
                let full = before.iter().enumerate().any(|(at, since)| {
                    let regained = now.saturating_sub(*since).as_millis() / REFILL_INTERVAL.as_millis();
                    (before.len() - at) as u128 >= u128::from(BURST) + regained
                });
                let is_within = limit.count(v4(number), now) == RateLimitState::Within;
                prop_assert_eq!(is_within, !full, "{} at {:?}", number, now);
                if is_within {
                    before.push(now);
                }
            }
        }
    }
}
