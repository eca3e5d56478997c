//! Totals since the start: the counters that findings are judged from, as plain numbers.
//!
//! [`Metrics`](crate::telemetry::metrics::Metrics) counts them beside its own, because a registry cannot be read back.

use std::sync::atomic::{AtomicU64, Ordering};

/// Who signs the requests of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Twilio.
    Twilio,
    App,
}

impl Side {
    /// The side of a route, by its pattern; `None` for a route without signatures.
    #[must_use]
    pub fn of(route: &str) -> Option<Self> {
        match route {
            _ if route.starts_with("/twilio/click/") => None,
            _ if route.starts_with("/twilio/") => Some(Self::Twilio),
            _ if route.starts_with("/app/") => Some(Self::App),
            _ => None,
        }
    }

    /// The first part of the path of its routes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::App => "app",
        }
    }
}

/// The kinds of events that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Requests that were refused for their signature, unsigned ones excluded.
    SignatureFailures,
    /// Requests that were answered with 5xx.
    ServerErrors,
    /// Signed requests that could not be used.
    Unusable,
    /// Malformed events of Event Streams.
    MalformedEvents,
    /// Evidence of answered calls and clicks that was never written.
    LostEvidence,
    /// Posts to Twilio.
    Attempts,
    /// Of these, those that failed in a way that may pass.
    Failures,
    /// Answers to posts that were not Twilio's.
    Unnamed,
    /// Confirmations that Twilio refused for good.
    RefusedByTwilio,
    /// Reloads that were refused.
    ReloadsRefused,
    /// Finished records that were forgotten early for want of room.
    ForgottenEarly,
    /// Commits of the store.
    Commits,
    /// Of these, those that took longer than a second.
    SlowCommits,
}

const COUNT: usize = Total::SlowCommits as usize + 1;

/// All totals at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals([u64; COUNT]);

impl Totals {
    /// All at zero, as they are at the start.
    pub const ZERO: Self = Self([0; COUNT]);

    /// The value of one total.
    #[must_use]
    pub fn of(&self, total: Total) -> u64 {
        self.0.get(total as usize).copied().unwrap_or_default()
    }

    /// The growth of one total since an earlier moment.
    #[must_use]
    pub fn growth(&self, since: &Self, total: Total) -> u64 {
        self.of(total).saturating_sub(since.of(total))
    }
}

/// The counters of all totals.
#[derive(Debug, Default)]
pub(super) struct TotalCounters {
    totals: [AtomicU64; COUNT],
}

impl TotalCounters {
    pub(super) fn add(&self, total: Total, count: u64) {
        if let Some(counter) = self.totals.get(total as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::ZERO;
        for (to, from) in totals.0.iter_mut().zip(&self.totals) {
            *to = from.load(Ordering::Relaxed);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_the_side_that_signs_its_requests() {
        let sides =
            ["/twilio/status", "/app/twilio/status", "/c/{token}", "/twilio/click/{secret}"];
        assert_eq!(sides.map(Side::of), [Some(Side::Twilio), Some(Side::App), None, None]);
    }

    #[test]
    fn a_total_grows_by_what_is_added() {
        let tally = TotalCounters::default();
        tally.add(Total::SignatureFailures, 3);
        let totals = tally.totals();
        assert_eq!(totals.growth(&Totals::ZERO, Total::SignatureFailures), 3);
        assert_eq!(totals.of(Total::ServerErrors), 0);
    }
}
