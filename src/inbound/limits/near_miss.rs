//! Paths that are close to a route. A path with an extra slash is served as the route; any other logs a warning with the
//! nearest route, because Twilio shows a 404 only in its debugger, and an app often logs none.
//!
//! The signature covers the URL as it was requested, so an extra slash weakens nothing. Each route is logged at most once a
//! minute, and only for a request with a signature header, which scanners rarely send. It is not verified.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::domain::route;
use crate::inbound::limits::is_quiet;

/// The longest path that is compared, in bytes, so that the client does not choose the amount of work.
const MAX_PATH: usize = 512;
/// At most this many segments of a path are logged.
const MAX_SEGMENTS: usize = 8;

/// The time of the last line about each route.
#[derive(Debug, Default)]
pub struct NearMisses {
    logged: Mutex<BTreeMap<&'static str, Timestamp>>,
}

impl NearMisses {
    /// Logs a request without a route, if a route is near and the request has a signature header. Returns the redacted
    /// path and the nearest route.
    pub(crate) fn record(
        &self,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Option<(String, &'static str)> {
        let is_long = request.path().len() > MAX_PATH;
        if is_long || !request.headers().contains_key("X-Twilio-Signature") {
            return None;
        }
        let route = nearest(request.path())?;
        if !self.is_due(route, now) {
            return None;
        }
        let path = redacted(request.path());
        tracing::warn!(
            path,
            nearest = route,
            "request with a signature header for {path} answered 404: there is no such route; the nearest is {route}, \
             so correct the URL at Twilio or in the app"
        );
        Some((path, route))
    }

    fn is_due(&self, route: &'static str, now: Timestamp) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let last = logged.get(route).copied();
        let is_quiet = last.is_some_and(|last| is_quiet(last, now));
        if !is_quiet {
            logged.insert(route, now);
        }
        !is_quiet
    }
}

/// The route whose path is closest: the same in another case, or with the same beginning or end.
fn nearest(path: &str) -> Option<&'static str> {
    let segments = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_ascii_lowercase).collect()
    };
    let requested = segments(path);
    let score = |route: &&'static str| {
        let route = segments(route);
        let pairs = requested.iter().rev().zip(route.iter().rev());
        let from_the_end = pairs.take_while(|(a, b)| is_similar(a, b)).count();
        let pairs = requested.iter().zip(&route);
        let from_the_start = pairs.take_while(|(a, b)| is_similar(a, b)).count();
        let similar = from_the_end.max(from_the_start);
        (similar, similar == route.len(), usize::MAX - route.len().abs_diff(requested.len()))
    };
    let fixed = route::paths().into_iter().filter(|route| route.len() > 1 && !route.contains('{'));
    fixed.filter(|route| score(route).0 > 0).max_by_key(score)
}

/// Whether two segments are equal, or one is the beginning of the other, as `message` is of `messages`.
fn is_similar(one: &str, other: &str) -> bool {
    let is_long = one.len().min(other.len()) > 3;
    one == other || (is_long && (one.starts_with(other) || other.starts_with(one)))
}

/// The path with `…` for each segment that is not similar to a word of a route. Such a segment may hold a name or a secret.
fn redacted(path: &str) -> String {
    let is_route_word = |segment: &str| {
        let lower = segment.to_ascii_lowercase();
        let mut words = route::paths().into_iter().flat_map(|route| route.split('/'));
        words.any(|word| is_similar(&lower, word) && lower.len().abs_diff(word.len()) <= 3)
    };
    let segments = path.split('/').take(MAX_SEGMENTS);
    let redacted = segments.map(|it| if it.is_empty() || is_route_word(it) { it } else { "…" });
    redacted.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_route_shares_the_end_or_the_beginning() {
        for (path, route) in [
            ("/Twilio/Message", Some("/twilio/message")),
            ("/twilio/messages", Some("/twilio/message")),
            ("/twilio/statuses", Some("/twilio/status")),
            ("/webhooks/twilio/status", Some("/twilio/status")),
            ("/status", Some("/twilio/status")),
            ("/app/event", Some("/app/events")),
            ("/api/app/messages", Some("/app/messages")),
            ("/wp-login.php", None),
            ("/", None),
        ] {
            assert_eq!(nearest(path), route, "{path}");
        }
        assert!(nearest("/twilio/sms").is_some_and(|route| route.starts_with("/twilio/")));
    }

    #[test]
    fn a_redacted_path_has_only_words_of_routes() {
        for (path, expected) in [
            ("/Twilio/Messages", "/Twilio/Messages"),
            ("/twilio/status/plover", "/twilio/status/…"),
            ("/hooks/+15558675310/twilio/status/", "/…/…/twilio/status/"),
            ("/twilio/status-of-ann", "/twilio/…"),
        ] {
            assert_eq!(redacted(path), expected);
        }
    }

    #[test]
    fn a_route_is_logged_once_a_minute() {
        let misses = NearMisses::default();
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert!(misses.is_due("/app/events", at(0)) && !misses.is_due("/app/events", at(59)));
        assert!(misses.is_due("/twilio/message", at(1)) && misses.is_due("/app/events", at(60)));
    }
}
