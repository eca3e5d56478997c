//! Logs refused requests of a route and account for which no key has matched yet. The usual cause is a first deploy
//! with a wrong token or URL; no other line shows it at the default level.
//!
//! One INFO line a minute for each route, account and reason. Requests that name no account, or one that is not
//! configured, are logged only while no key has matched on the route at all. A request that a configured key signed for an
//! unknown account is always logged. The state is bounded by routes, configured accounts and reasons; the clock is the
//! caller's. It changes no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::findings::ClaimedAccount;
use crate::domain::matching::later;
use crate::domain::route;
use crate::inbound::rejection::Rejection;

/// The shortest time between two lines of one route, account and reason.
const PAUSE: Duration = Duration::from_mins(1);
/// The reason of a request that a configured key signed for an unknown account.
const OTHER_ACCOUNT: &str = "other_account";

/// Routes and accounts that a key has matched for, and refused requests of the others.
#[derive(Debug, Default)]
pub struct FirstMatch(Mutex<RouteHistory>);

#[derive(Debug, Default)]
struct RouteHistory {
    matched: BTreeSet<(&'static str, ClaimedAccount)>,
    /// The routes of `matched`: refused requests look them up, and must not cost more with more accounts.
    routes: BTreeSet<&'static str>,
    refused: BTreeMap<(&'static str, ClaimedAccount, &'static str), RejectedRequests>,
}

/// The refusals of one route and account for one reason.
#[derive(Debug, Clone, Copy)]
struct RejectedRequests {
    count: u64,
    logged_at: Timestamp,
}

impl RouteHistory {
    fn has_matched(&self, route: &'static str) -> bool {
        self.routes.contains(route)
    }

    /// Whether a key has matched there before. Such a refusal is a third party's, or one bad request.
    fn is_usual(&self, route: &'static str, account: ClaimedAccount, reason: &str) -> bool {
        match account {
            ClaimedAccount::Configured(_) => self.matched.contains(&(route, account)),
            ClaimedAccount::Unknown if reason == OTHER_ACCOUNT => false,
            ClaimedAccount::Unknown | ClaimedAccount::Unnamed => self.has_matched(route),
        }
    }
}

impl FirstMatch {
    /// Notes a valid signature on that route, for that account.
    pub(super) fn matched(&self, route: &'static str, account: ClaimedAccount) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !route::paths().contains(&route) || !known.matched.insert((route, account)) {
            return;
        }
        known.routes.insert(route);
        // Drops counts that are not logged any more.
        let mut refused = std::mem::take(&mut known.refused);
        refused.retain(|(on, of, reason), _| !known.is_usual(on, *of, reason));
        known.refused = refused;
    }

    /// Notes a request refused for its signature or its account, and logs it if a line is due.
    pub(super) fn refused(
        &self,
        route: &'static str,
        account: ClaimedAccount,
        why: &Rejection,
        now: Timestamp,
    ) {
        let reason = why.as_label();
        let Some(count) = self.count(route, account, reason, now) else { return };
        let requests = if count == 1 { "request" } else { "requests" };
        let whom = self.account_label(route, account);
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
            "no key has matched on {route}{whom} yet, and {count} {requests} got 403 there ({reason}): {way_out}"
        );
    }

    /// The account in words, where a key has matched for another one.
    fn account_label(&self, route: &'static str, account: ClaimedAccount) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match account {
            _ if !known.has_matched(route) => String::new(),
            ClaimedAccount::Unnamed => String::new(),
            ClaimedAccount::Unknown => " for an account that is not configured".to_owned(),
            ClaimedAccount::Configured(account) => format!(" for {account}"),
        }
    }

    /// Counts a refusal, and returns the count so far if a line is due.
    fn count(
        &self,
        route: &'static str,
        account: ClaimedAccount,
        reason: &'static str,
        now: Timestamp,
    ) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !route::paths().contains(&route) || known.is_usual(route, account, reason) {
            return None;
        }
        let Some(refused) = known.refused.get_mut(&(route, account, reason)) else {
            known
                .refused
                .insert((route, account, reason), RejectedRequests { count: 1, logged_at: now });
            return Some(1);
        };
        refused.count = refused.count.saturating_add(1);
        // A clock that went back does not suppress the line.
        let is_quiet = refused.logged_at <= now && now < later(refused.logged_at, PAUSE);
        if is_quiet {
            return None;
        }
        refused.logged_at = now;
        Some(refused.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &str = "/twilio/message";
    const ONE: ClaimedAccount = ClaimedAccount::Unnamed;

    fn account(digit: &str) -> ClaimedAccount {
        let account = format!("AC{}", digit.repeat(32));
        ClaimedAccount::Configured(account.parse().expect("valid"))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn each_route_and_reason_is_logged_once_a_minute_with_its_count() {
        let first = FirstMatch::default();
        assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(0)), Some(1));
        for second in [0, 1, 59] {
            assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(second)), None);
        }
        assert_eq!(first.count(REPLIES, ONE, "signature_missing", at(5)), Some(1));
        assert_eq!(first.count("/app/events", ONE, "signature_mismatch", at(5)), Some(1));
        assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(60)), Some(5));
        assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(61)), None);
        assert_eq!(
            first.count(REPLIES, ONE, "signature_mismatch", at(10)),
            Some(7),
            "the clock went back"
        );
    }

    #[test]
    fn once_a_key_has_matched_on_a_route_nothing_more_is_logged_for_it() {
        let first = FirstMatch::default();
        assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(0)), Some(1));
        first.matched(REPLIES, ONE);
        assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(600)), None);
        assert_eq!(first.count("/app/events", ONE, "signature_mismatch", at(600)), Some(1));
        assert!(first.0.lock().expect("unpoisoned").refused.len() <= 1);
    }

    #[test]
    fn what_is_no_route_of_ours_takes_no_room() {
        let first = FirstMatch::default();
        assert_eq!(first.count("other", ONE, "signature_mismatch", at(0)), None);
        assert!(first.0.lock().expect("unpoisoned").refused.is_empty());
    }

    #[test]
    fn an_account_whose_token_is_wrong_is_logged_though_another_one_matches() {
        let first = FirstMatch::default();
        first.matched(REPLIES, account("1"));
        let count = |account, reason| first.count(REPLIES, account, reason, at(0));
        assert_eq!(count(account("1"), "signature_mismatch"), None);
        assert_eq!(count(account("2"), "signature_mismatch"), Some(1));
        assert!(first.account_label(REPLIES, account("2")).starts_with(" for AC222"));
        assert_eq!(count(ClaimedAccount::Unnamed, "signature_mismatch"), None, "a scanner");
        assert_eq!(count(ClaimedAccount::Unknown, "signature_mismatch"), None, "a scanner");
        assert_eq!(count(ClaimedAccount::Unknown, "other_account"), Some(1), "signed by our key");
        first.matched(REPLIES, account("2"));
        assert_eq!(count(account("2"), "signature_mismatch"), None);
    }
}
