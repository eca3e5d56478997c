//! Logs rejected requests of a route and account for which no key has matched yet. The usual cause is a first deploy with a
//! wrong token or URL. Logs one INFO line a minute for each route, account and reason, and changes no answer.
//!
//! A request for no account, or for one that is not configured, is logged only while no key has matched on the route. A
//! request that a configured key signed for an unknown account is always logged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::domain::findings::ClaimedAccount;
use crate::domain::route;
use crate::inbound::limits::is_quiet;
use crate::inbound::rejection::Rejection;

/// The reason of a request that a configured key signed for an unknown account.
const OTHER_ACCOUNT: &str = "other_account";

/// Routes and accounts that a key has matched for, and rejected requests of the others.
#[derive(Debug, Default)]
pub struct FirstMatch(Mutex<RouteHistory>);

#[derive(Debug, Default)]
struct RouteHistory {
    matched: BTreeSet<(&'static str, ClaimedAccount)>,
    /// The routes of `matched`. Their lookup must not cost more with more accounts.
    routes: BTreeSet<&'static str>,
    rejected: BTreeMap<(&'static str, ClaimedAccount, &'static str), RejectedRequests>,
}

/// The rejected requests of one route and account for one reason.
#[derive(Debug, Clone, Copy)]
struct RejectedRequests {
    count: u64,
    logged_at: Timestamp,
}

impl RouteHistory {
    fn has_matched(&self, route: &'static str) -> bool {
        self.routes.contains(route)
    }

    /// Whether a key has matched there before. The request is then a third party's, or a single bad one.
    fn is_expected(&self, route: &'static str, account: ClaimedAccount, reason: &str) -> bool {
        match account {
            ClaimedAccount::Configured(_) => self.matched.contains(&(route, account)),
            ClaimedAccount::Unknown if reason == OTHER_ACCOUNT => false,
            ClaimedAccount::Unknown | ClaimedAccount::Unnamed => self.has_matched(route),
        }
    }
}

impl FirstMatch {
    /// Records a valid signature on that route, for that account.
    pub(crate) fn record_verified(&self, route: &'static str, account: ClaimedAccount) {
        let mut history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !route::paths().contains(&route) || !history.matched.insert((route, account)) {
            return;
        }
        history.routes.insert(route);
        // Drops counts that are not logged any more.
        let mut rejected = std::mem::take(&mut history.rejected);
        rejected
            .retain(|(route, account, reason), _| !history.is_expected(route, *account, reason));
        history.rejected = rejected;
    }

    /// Records a request rejected for its signature or its account, and logs it if a line is due.
    pub(crate) fn record_rejected(
        &self,
        route: &'static str,
        account: ClaimedAccount,
        rejection: &Rejection,
        now: Timestamp,
    ) {
        let reason = rejection.as_label();
        let Some(count) = self.count(route, account, reason, now) else { return };
        let requests = if count == 1 { "request" } else { "requests" };
        let account = self.account_label(route, account);
        let action = if matches!(rejection, Rejection::OtherAccount) {
            "the signature is valid, but the account in the request is not configured; `heardback check` shows the \
             configured accounts"
        } else {
            "run `heardback doctor --watch` to see why"
        };
        tracing::warn!(
            route,
            reason,
            count,
            "no key has matched on {route}{account} yet, and {count} {requests} got 403 there ({reason}): if Twilio or your app \
             sent them, their events are lost; {action}"
        );
    }

    /// The account in words, if a key has matched for another one.
    fn account_label(&self, route: &'static str, account: ClaimedAccount) -> String {
        let history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match account {
            _ if !history.has_matched(route) => String::new(),
            ClaimedAccount::Unnamed => String::new(),
            ClaimedAccount::Unknown => " for an account that is not configured".to_owned(),
            ClaimedAccount::Configured(account) => format!(" for {account}"),
        }
    }

    /// Counts a rejected request, and returns the count so far if a line is due.
    fn count(
        &self,
        route: &'static str,
        account: ClaimedAccount,
        reason: &'static str,
        now: Timestamp,
    ) -> Option<u64> {
        let mut history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !route::paths().contains(&route) || history.is_expected(route, account, reason) {
            return None;
        }
        let Some(rejected) = history.rejected.get_mut(&(route, account, reason)) else {
            history
                .rejected
                .insert((route, account, reason), RejectedRequests { count: 1, logged_at: now });
            return Some(1);
        };
        rejected.count = rejected.count.saturating_add(1);
        if is_quiet(rejected.logged_at, now) {
            return None;
        }
        rejected.logged_at = now;
        Some(rejected.count)
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
        first.record_verified(REPLIES, ONE);
        assert_eq!(first.count(REPLIES, ONE, "signature_mismatch", at(600)), None);
        assert_eq!(first.count("/app/events", ONE, "signature_mismatch", at(600)), Some(1));
        assert!(first.0.lock().expect("unpoisoned").rejected.len() <= 1);
    }

    #[test]
    fn a_path_that_is_no_route_is_not_stored() {
        let first = FirstMatch::default();
        assert_eq!(first.count("other", ONE, "signature_mismatch", at(0)), None);
        assert!(first.0.lock().expect("unpoisoned").rejected.is_empty());
    }

    #[test]
    fn an_account_whose_token_is_wrong_is_logged_though_another_one_matches() {
        let first = FirstMatch::default();
        first.record_verified(REPLIES, account("1"));
        let count = |account, reason| first.count(REPLIES, account, reason, at(0));
        assert_eq!(count(account("1"), "signature_mismatch"), None);
        assert_eq!(count(account("2"), "signature_mismatch"), Some(1));
        assert!(first.account_label(REPLIES, account("2")).starts_with(" for AC222"));
        assert_eq!(count(ClaimedAccount::Unnamed, "signature_mismatch"), None, "a scanner");
        assert_eq!(count(ClaimedAccount::Unknown, "signature_mismatch"), None, "a scanner");
        assert_eq!(count(ClaimedAccount::Unknown, "other_account"), Some(1), "signed by our key");
        first.record_verified(REPLIES, account("2"));
        assert_eq!(count(account("2"), "signature_mismatch"), None);
    }
}
