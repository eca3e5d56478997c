//! Says in the log that a route has refused requests and that no key has matched there yet: the first deploy
//! with a wrong token or URL, which nothing else shows at the default level.
//!
//! One INFO line a minute for each route and reason, while no key has matched on that route since the start.
//! The state is bounded by routes and reasons; the clock is the caller's. It changes no answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::matching::later;
use crate::inbound::ROUTES;
use crate::inbound::rejection::Rejection;

/// How long a route and reason that was logged is not logged again.
const PAUSE: Duration = Duration::from_mins(1);

/// What was refused on each route on which no key has matched.
#[derive(Debug, Default)]
pub struct FirstMatch {
    matched: [AtomicBool; ROUTES.len()],
    refused: Mutex<BTreeMap<(&'static str, &'static str), Refused>>,
}

/// The refusals of one route for one reason.
#[derive(Debug, Clone, Copy)]
struct Refused {
    count: u64,
    logged_at: Timestamp,
}

impl FirstMatch {
    /// A key made a good signature on that route.
    pub(super) fn matched(&self, route: &'static str) {
        if let Some(matched) = self.of(route)
            && !matched.load(Ordering::Relaxed)
        {
            matched.store(true, Ordering::Relaxed);
            // What was counted is of no use any more.
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.retain(|(refused_on, _), _| *refused_on != route);
        }
    }

    /// A request was refused for its signature, or for the account that it names.
    pub(super) fn refused(&self, route: &'static str, why: &Rejection, now: Timestamp) {
        let reason = why.as_label();
        let Some(count) = self.count(route, reason, now) else { return };
        let requests = if count == 1 { "request" } else { "requests" };
        let way_out = if matches!(why, Rejection::OtherAccount) {
            "the key is good, but the account in the request is not in the settings; `heardback check` \
             shows the accounts"
        } else {
            "run `heardback doctor --watch` to see why"
        };
        tracing::info!(
            route,
            reason,
            count,
            "no key has matched on {route} yet, and {count} {requests} got 403 there ({reason}): {way_out}"
        );
    }

    /// Counts one. The count so far if it is time to log it.
    fn count(&self, route: &'static str, reason: &'static str, now: Timestamp) -> Option<u64> {
        if self.of(route).is_none_or(|matched| matched.load(Ordering::Relaxed)) {
            return None;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = refused.get_mut(&(route, reason)) else {
            refused.insert((route, reason), Refused { count: 1, logged_at: now });
            return Some(1);
        };
        known.count = known.count.saturating_add(1);
        // A clock that went back does not silence it.
        let is_quiet = known.logged_at <= now && now < later(known.logged_at, PAUSE);
        if is_quiet {
            return None;
        }
        known.logged_at = now;
        Some(known.count)
    }

    fn of(&self, route: &str) -> Option<&AtomicBool> {
        ROUTES
            .iter()
            .zip(&self.matched)
            .find(|(known, _)| **known == route)
            .map(|(_, matched)| matched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &str = "/twilio/message";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn each_route_and_reason_is_logged_once_a_minute_with_its_count() {
        let first = FirstMatch::default();
        assert_eq!(first.count(REPLIES, "signature_mismatch", at(0)), Some(1));
        for second in [0, 1, 59] {
            assert_eq!(first.count(REPLIES, "signature_mismatch", at(second)), None);
        }
        assert_eq!(first.count(REPLIES, "signature_missing", at(5)), Some(1));
        assert_eq!(first.count("/app/events", "signature_mismatch", at(5)), Some(1));
        assert_eq!(first.count(REPLIES, "signature_mismatch", at(60)), Some(5));
        assert_eq!(first.count(REPLIES, "signature_mismatch", at(61)), None);
        assert_eq!(
            first.count(REPLIES, "signature_mismatch", at(10)),
            Some(7),
            "the clock went back"
        );
    }

    #[test]
    fn once_a_key_has_matched_on_a_route_nothing_more_is_logged_for_it() {
        let first = FirstMatch::default();
        assert_eq!(first.count(REPLIES, "signature_mismatch", at(0)), Some(1));
        first.matched(REPLIES);
        assert_eq!(first.count(REPLIES, "signature_mismatch", at(600)), None);
        assert_eq!(first.count("/app/events", "signature_mismatch", at(600)), Some(1));
        assert!(first.refused.lock().expect("unpoisoned").len() <= 1);
    }

    #[test]
    fn what_is_no_route_of_ours_takes_no_room() {
        let first = FirstMatch::default();
        assert_eq!(first.count("other", "signature_mismatch", at(0)), None);
        assert!(first.refused.lock().expect("unpoisoned").is_empty());
    }
}
