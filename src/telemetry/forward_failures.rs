//! The failures of forwarded webhooks, by account and kind: how many in the last minutes, and the latest one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::forward::{ForwardFailure, ForwardScope};

/// Older failures are not counted.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// The most failures that are counted for one scope. Configured accounts bound the scopes.
pub const MAX_COUNTED: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentFailures {
    /// At most [`MAX_COUNTED`].
    pub count: usize,
    pub since: Timestamp,
    pub last: ForwardFailure,
    /// The detail of the latest failure, without parts of requests or URLs.
    pub detail: String,
}

#[derive(Debug, Default)]
struct Failures {
    times: VecDeque<Timestamp>,
    last: Option<(ForwardFailure, String)>,
}

#[derive(Debug, Default)]
pub struct ForwardFailures(Mutex<BTreeMap<ForwardScope, Failures>>);

impl ForwardFailures {
    pub fn record(
        &self,
        scope: ForwardScope,
        failure: ForwardFailure,
        detail: &str,
        now: Timestamp,
    ) {
        let mut scopes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = scopes.entry(scope).or_default();
        if failures.times.len() >= MAX_COUNTED {
            failures.times.pop_front();
        }
        failures.times.push_back(now);
        failures.last = Some((failure, detail.to_owned()));
    }

    /// The scopes with failures in the window that ends now.
    pub fn recent(&self, now: Timestamp) -> BTreeMap<ForwardScope, RecentFailures> {
        let mut scopes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for failures in scopes.values_mut() {
            failures.times.retain(|time| now.duration_since(*time) < WINDOW);
        }
        scopes.retain(|_, failures| !failures.times.is_empty());
        let recent = |failures: &Failures| {
            let (last, detail) = failures.last.clone()?;
            let since = failures.times.front().copied()?;
            Some(RecentFailures { count: failures.times.len(), since, last, detail })
        };
        scopes.iter().filter_map(|(scope, failures)| Some((*scope, recent(failures)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::forward::ForwardKind;
    use crate::domain::sid::AccountSid;

    #[test]
    fn failures_count_for_a_quarter_of_an_hour_and_the_latest_is_shown() {
        let failures = ForwardFailures::default();
        let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("a SID");
        let scope = (account, ForwardKind::Call);
        let start = Timestamp::UNIX_EPOCH;
        let at = |minutes| start + SignedDuration::from_mins(minutes);
        failures.record(scope, ForwardFailure::Timeout, "slow", at(0));
        failures.record(scope, ForwardFailure::ServerError, "status 500", at(10));
        let recent = failures.recent(at(14));
        let expected = RecentFailures {
            count: 2,
            since: at(0),
            last: ForwardFailure::ServerError,
            detail: "status 500".to_owned(),
        };
        assert_eq!(recent.get(&scope), Some(&expected));
        assert_eq!(failures.recent(at(16)).get(&scope).map(|recent| recent.count), Some(1));
        assert!(failures.recent(at(26)).is_empty());
        for _ in 0..2 * MAX_COUNTED {
            failures.record(scope, ForwardFailure::Timeout, "slow", at(30));
        }
        assert_eq!(
            failures.recent(at(30)).get(&scope).map(|recent| recent.count),
            Some(MAX_COUNTED)
        );
    }
}
