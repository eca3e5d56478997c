//! Who fails too often: the edge of `domain/forgeries.rs`, which owns the clock, and knows where a
//! request comes from.
//!
//! A signature is always checked first; only what failed is counted, so a signed request is never
//! touched, wherever it comes from. Behind a proxy the peer is the proxy, so a header may be named that
//! the proxy sets. It is used for this alone: whoever can forge it gets past the limit, or has *failed*
//! requests of another network answered with 429 instead of 403.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;

use crate::domain::rate_limit::{BURST, Network, NetworkRateLimit, RateLimitState};

/// The networks that failed signatures come from.
pub struct SignatureLimiter {
    /// The header that names the client's address; `None`: it is the peer's.
    header: Option<String>,
    began: Instant,
    forgeries: Mutex<NetworkRateLimit<RandomState>>,
}

impl fmt::Debug for SignatureLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forgers").finish_non_exhaustive()
    }
}

impl SignatureLimiter {
    /// Nobody has failed so far. `header` is the one in which a proxy in front names the client.
    #[must_use]
    pub fn new(header: Option<String>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "an unpredictable hash key, so that clients cannot cause collisions"
        )]
        let forgeries = Mutex::new(NetworkRateLimit::new(RandomState::new()));
        Self { header, began: crate::telemetry::clock::monotonic(), forgeries }
    }

    /// Counts a request that failed. Tells whether it was one too many.
    pub(super) fn is_one_too_many(&self, request: &HttpRequest) -> bool {
        let Some(network) = self.network(request) else { return false };
        match self.count(network, self.began.elapsed()) {
            RateLimitState::Within => false,
            RateLimitState::JustOver => {
                tracing::warn!(
                    %network,
                    "more than {BURST} failed signatures from {network}: what fails from there is now \
                     answered 429, neither logged nor recorded; see heardback_refusals_total"
                );
                true
            }
            RateLimitState::Over => true,
        }
    }

    /// Whether one more failed request from there would be one too many. Counts nothing.
    pub(super) fn is_over(&self, request: &HttpRequest) -> bool {
        let Some(network) = self.network(request) else { return false };
        let forgeries = self.forgeries.lock().unwrap_or_else(PoisonError::into_inner);
        forgeries.is_over(network, self.began.elapsed())
    }

    fn count(&self, network: Network, now: Duration) -> RateLimitState {
        self.forgeries.lock().unwrap_or_else(PoisonError::into_inner).count(network, now)
    }

    /// Where it comes from: as the named header says, if it says it in a way that can be read.
    fn network(&self, request: &HttpRequest) -> Option<Network> {
        let named = self.header.as_deref().and_then(|header| {
            // Of several, the last is what the nearest proxy wrote.
            let line = request.headers().get_all(header).last()?.to_str().ok()?;
            address(line.rsplit(',').next()?.trim())
        });
        named.or_else(|| request.peer_addr().map(|peer| peer.ip())).map(Network::of)
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
    fn the_client_is_the_peer_unless_a_header_is_named_and_can_be_read() {
        let of = |header: Option<&str>, lines: &[&str]| {
            let peer = "198.51.100.7:1".parse().expect("an address");
            let mut request = TestRequest::default().peer_addr(peer);
            for line in lines {
                request = request.append_header(("Fly-Client-IP", *line));
            }
            let forgers = SignatureLimiter::new(header.map(str::to_owned));
            forgers.network(&request.to_http_request()).expect("known").to_string()
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
    fn ipv4_clients_of_a_dual_stack_listener_are_told_apart_by_their_own_networks() {
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
