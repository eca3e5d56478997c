//! Totals since the start, as plain numbers, for the findings.
//!
//! [`Metrics`](crate::telemetry::metrics::Metrics) counts them besides its own, because a registry cannot be read back.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Requests rejected because of their signature, unsigned ones excluded.
    SignatureFailures,
    /// Requests answered with 5xx, without sends and without 502, which is the app's failure.
    ServerErrors,
    /// Signed requests that could not be used.
    Unusable,
    MalformedEvents,
    /// Evidence of answered calls, clicks and forwarded messages that was never written.
    LostEvidence,
    /// Sends of apps whose answer was lost.
    LostSends,
    /// Messages that were sent, and not registered.
    UnregisteredSends,
    /// Posts to Twilio.
    Attempts,
    /// Those of the posts that failed temporarily.
    Failures,
    /// Answers to posts that were not Twilio's.
    ForeignAnswers,
    /// Confirmations that Twilio refused permanently.
    RefusedByTwilio,
    ReloadsRefused,
    /// Finished records that were evicted to make room.
    Evicted,
    /// Commits of the store.
    Commits,
    /// Those of the commits that took longer than a second.
    SlowCommits,
}

const COUNT: usize = Total::SlowCommits as usize + 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals([u64; COUNT]);

impl Totals {
    pub const ZERO: Self = Self([0; COUNT]);

    pub fn of(&self, total: Total) -> u64 {
        self.0.get(total as usize).copied().unwrap_or_default()
    }

    /// The growth of one total since an earlier moment.
    pub fn growth(&self, since: &Self, total: Total) -> u64 {
        self.of(total).saturating_sub(since.of(total))
    }
}

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
    fn a_total_grows_by_what_is_added() {
        let tally = TotalCounters::default();
        tally.add(Total::SignatureFailures, 3);
        let totals = tally.totals();
        assert_eq!(totals.growth(&Totals::ZERO, Total::SignatureFailures), 3);
        assert_eq!(totals.of(Total::ServerErrors), 0);
    }
}
