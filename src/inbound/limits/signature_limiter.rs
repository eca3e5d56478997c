//! Limits failed signatures by network. It adds a clock and the client's address to `domain/rate_limit.rs`.
//!
//! Only failures are counted, so a validly signed request is never limited. Behind a proxy, a configured header names the
//! client. A client that can forge this header evades the limit, or turns another network's 403 into 429; no more.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;

use crate::domain::rate_limit::{BURST, Network, NetworkRateLimit, RateLimitState};
use crate::inbound::rejection::Rejection;
use crate::telemetry::clock::monotonic;

/// Counts failed signatures by network.
pub struct SignatureLimiter {
    /// The header that names the client's address. `None` stands for the peer's address.
    header: Option<String>,
    started_at: Instant,
    failures: Mutex<NetworkRateLimit<RandomState>>,
}

impl fmt::Debug for SignatureLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureLimiter").finish_non_exhaustive()
    }
}

impl SignatureLimiter {
    /// No failures yet. `header` is the one in which a proxy names the client.
    pub fn new(header: Option<String>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an unpredictable hash key, so that clients cannot cause collisions"
        )]
        let failures = Mutex::new(NetworkRateLimit::new(RandomState::new()));
        Self { header, started_at: monotonic(), failures }
    }

    /// Counts a failed request.
    ///
    /// # Errors
    /// [`Rejection::Limited`] if its network is over the limit.
    pub(crate) fn count_failure(&self, request: &HttpRequest) -> Result<(), Rejection> {
        let Some(network) = self.network(request) else { return Ok(()) };
        match self.count(network, self.started_at.elapsed()) {
            RateLimitState::Within => return Ok(()),
            RateLimitState::JustOver => tracing::warn!(
                %network,
                "more than {BURST} failed signatures from {network}: further failures from there get 429, and are \
                 neither logged nor recorded. If it is your own proxy, set HEARDBACK_CLIENT_IP_HEADER"
            ),
            RateLimitState::Over => {}
        }
        Err(Rejection::Limited)
    }

    /// Whether one more failure would exceed the limit of the network. Counts nothing.
    pub(crate) fn is_over_limit(&self, request: &HttpRequest) -> bool {
        let Some(network) = self.network(request) else { return false };
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.is_over(network, self.started_at.elapsed())
    }

    fn count(&self, network: Network, now: Duration) -> RateLimitState {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).count(network, now)
    }

    /// The client's network: from the configured header if it is readable, from the peer otherwise.
    fn network(&self, request: &HttpRequest) -> Option<Network> {
        let from_header = self.header.as_deref().and_then(|header| {
            // The last of several addresses is the one that the nearest proxy added.
            let line = request.headers().get_all(header).last()?.to_str().ok()?;
            address(line.rsplit(',').next()?.trim())
        });
        from_header.or_else(|| request.peer_addr().map(|peer| peer.ip())).map(Network::of)
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const FLY: Option<&str> = Some("fly-client-ip");

    #[test]
    fn the_client_is_the_peer_unless_a_configured_header_is_readable() {
        let of = |header: Option<&str>, lines: &[&str]| {
            let peer = "198.51.100.7:1".parse().expect("an address");
            let mut request = TestRequest::default().peer_addr(peer);
            for line in lines {
                request = request.append_header(("Fly-Client-IP", *line));
            }
            let limiter = SignatureLimiter::new(header.map(str::to_owned));
            limiter.network(&request.to_http_request()).expect("known").to_string()
        };
        assert_eq!(of(None, &["203.0.113.9"]), "198.51.100.0/24");
        for lines in [&[][..], &[""], &["nobody"], &["203.0.113.9, x"], &["203.0.113"]] {
            assert_eq!(of(FLY, lines), "198.51.100.0/24", "{lines:?}");
        }
        for line in ["203.0.113.9", "10.0.0.1, 203.0.113.9", "203.0.113.9:443", " 203.0.113.9 "] {
            assert_eq!(of(FLY, &[line]), "203.0.113.0/24", "{line}");
        }
        for line in ["2001:db8::9", "[2001:db8::9]", "[2001:db8::9]:443"] {
            assert_eq!(of(FLY, &[line]), "2001:db8::/64", "{line}");
        }
        assert_eq!(of(FLY, &["10.0.0.1", "203.0.113.9"]), "203.0.113.0/24");
        assert_eq!(of(FLY, &["::ffff:203.0.113.9"]), "203.0.113.0/24");
    }

    #[test]
    fn ipv4_clients_of_a_dual_stack_listener_have_networks_of_their_own() {
        let of = |peer: &str| {
            let request = TestRequest::default().peer_addr(peer.parse().expect("an address"));
            SignatureLimiter::new(None)
                .network(&request.to_http_request())
                .expect("known")
                .to_string()
        };
        assert_eq!(of("[::ffff:198.51.100.7]:1"), "198.51.100.0/24");
        assert_eq!(of("[::ffff:203.0.113.9]:1"), "203.0.113.0/24");
        assert_eq!(of("[2001:db8::9]:1"), "2001:db8::/64");
    }
}
