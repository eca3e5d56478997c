//! Requests that miss a route by a little. A path with a slash too many is served as the route; any other near miss
//! logs a WARN with the nearest route. Twilio shows a 404 only in its debugger, and an app often logs none.
//!
//! The signature covers the URL as it was called, so a tolerated slash weakens nothing. A line is logged at most once
//! a minute for each route, and only for a request with a signature header, which scanners rarely send. The signature
//! is not verified.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::domain::matching::later;
use crate::domain::route;

/// The shortest time between two lines that name one route.
const PAUSE: Duration = Duration::from_mins(1);
/// A longer path is near no route, in bytes. Comparing it would cost its sender's choice of work.
const LONGEST: usize = 512;
/// At most this many segments of a path are logged.
const SHOWN: usize = 8;

/// The paths that can mean only this route: with or without a trailing slash, and with one or two
/// leading ones. Two come from a base URL that ends with a slash.
pub(super) fn spellings(route: &str) -> [String; 4] {
    [route.to_owned(), format!("{route}/"), format!("/{route}"), format!("/{route}/")]
}

/// When the misses of each route were logged last.
#[derive(Debug, Default)]
pub struct NearMisses {
    logged: Mutex<BTreeMap<&'static str, Timestamp>>,
}

impl NearMisses {
    /// Logs a request without a route, if a route is near and the request has a signature header. Returns the path
    /// as far as it may be shown, and the nearest route.
    pub(super) fn note(
        &self,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Option<(String, &'static str)> {
        let is_long = request.path().len() > LONGEST;
        if is_long || !request.headers().contains_key("X-Twilio-Signature") {
            return None;
        }
        let route = nearest(request.path())?;
        if !self.is_time(route, now) {
            return None;
        }
        let path = shown(request.path());
        tracing::warn!(
            path,
            nearest = route,
            "request with a signature header for {path} answered 404: there is no such route; the nearest is {route}, \
             so correct the URL at Twilio or in the app"
        );
        Some((path, route))
    }

    fn is_time(&self, route: &'static str, now: Timestamp) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let last = logged.get(route).copied();
        // A clock that went back does not suppress the line.
        let is_quiet = last.is_some_and(|last| last <= now && now < later(last, PAUSE));
        if !is_quiet {
            logged.insert(route, now);
        }
        !is_quiet
    }
}

/// The route whose path is closest: the same letters in other case, or one with the same beginning or end.
fn nearest(path: &str) -> Option<&'static str> {
    let segments = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_ascii_lowercase).collect()
    };
    let asked = segments(path);
    let score = |route: &&'static str| {
        let known = segments(route);
        let same = asked.iter().rev().zip(known.iter().rev());
        let from_the_end = same.take_while(|(a, b)| is_like(a, b)).count();
        let same = asked.iter().zip(&known);
        let from_the_start = same.take_while(|(a, b)| is_like(a, b)).count();
        let alike = from_the_end.max(from_the_start);
        (alike, alike == known.len(), usize::MAX - known.len().abs_diff(asked.len()))
    };
    let named = route::paths().into_iter().filter(|route| route.len() > 1 && !route.contains('{'));
    named.filter(|route| score(route).0 > 0).max_by_key(score)
}

/// Whether two segments are equal, or one continues the other, as `messages` does `message`.
fn is_like(one: &str, other: &str) -> bool {
    let is_long = one.len().min(other.len()) > 3;
    one == other || (is_long && (one.starts_with(other) || other.starts_with(one)))
}

/// The path with `…` for each segment that is not like a word of a route. The client chose these
/// segments, and they may hold a name or a secret.
fn shown(path: &str) -> String {
    let is_ours = |segment: &str| {
        let lower = segment.to_ascii_lowercase();
        let mut words = route::paths().into_iter().flat_map(|route| route.split('/'));
        words.any(|word| is_like(&lower, word) && lower.len().abs_diff(word.len()) <= 3)
    };
    let segments = path.split('/').take(SHOWN);
    let shown = segments.map(|it| if it.is_empty() || is_ours(it) { it } else { "…" });
    shown.collect::<Vec<_>>().join("/")
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
    fn of_a_path_only_words_of_routes_are_shown() {
        for (path, expected) in [
            ("/Twilio/Messages", "/Twilio/Messages"),
            ("/twilio/status/plover", "/twilio/status/…"),
            ("/hooks/+15558675310/twilio/status/", "/…/…/twilio/status/"),
            ("/twilio/status-of-ann", "/twilio/…"),
        ] {
            assert_eq!(shown(path), expected);
        }
    }

    #[test]
    fn a_route_is_logged_once_a_minute() {
        let misses = NearMisses::default();
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert!(misses.is_time("/app/events", at(0)) && !misses.is_time("/app/events", at(59)));
        assert!(misses.is_time("/twilio/message", at(1)) && misses.is_time("/app/events", at(60)));
    }
}
