//! Totals since the start: the counters that findings are judged from, as plain numbers.
//!
//! [`Metrics`](crate::telemetry::metrics::Metrics) counts them beside its own, for a registry cannot be read back.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Who signs the requests of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Twilio.
    Twilio,
    /// The app.
    App,
}

impl Side {
    /// Of a route by its pattern; `None` where nobody signs.
    #[must_use]
    pub fn of(route: &str) -> Option<Self> {
        match route {
            "/twilio/click/{secret}" => None,
            _ if route.starts_with("/twilio/") => Some(Self::Twilio),
            _ if route.starts_with("/app/") => Some(Self::App),
            _ => None,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// Requests with a valid signature, of Twilio.
    VerifiedTwilio,
    /// The same, of the app.
    VerifiedApp,
    /// Requests to `/twilio/` that were signed and refused for it.
    RefusedTwilio,
    /// The same to `/app/`.
    RefusedApp,
    /// Requests to `/twilio/` without a readable signature.
    UnsignedTwilio,
    /// The same to `/app/`.
    UnsignedApp,
    /// Requests that were refused for their signature, unsigned ones excluded.
    SignatureFailures,
    /// Requests that were answered with 5xx.
    ServerErrors,
    /// Signed requests that could not be used.
    Unusable,
    /// Malformed events of Event Streams.
    MalformedEvents,
    /// Posts to Twilio.
    Attempts,
    /// Of these, those that failed in a way that may pass.
    Failures,
    /// 2xx answers that did not name the reported message.
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

    /// One of them.
    #[must_use]
    pub fn of(&self, total: Total) -> u64 {
        self.0.get(total as usize).copied().unwrap_or_default()
    }

    /// How much one has grown since an earlier moment.
    #[must_use]
    pub fn growth(&self, since: &Self, total: Total) -> u64 {
        self.of(total).saturating_sub(since.of(total))
    }
}

/// Where they are counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    totals: [AtomicU64; COUNT],
    /// Seconds since 1970; 0: not since the start.
    verified: [AtomicI64; 2],
}

impl Tally {
    pub(super) fn add(&self, total: Total, count: u64) {
        if let Some(counter) = self.totals.get(total as usize) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn verified(&self, side: Side, second: i64) {
        self.add(if side == Side::App { Total::VerifiedApp } else { Total::VerifiedTwilio }, 1);
        if let Some(last) = self.verified.get(side as usize) {
            last.store(second, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self, side: Side, reason: &str) {
        let is_app = side == Side::App;
        let total = match reason {
            "signature_missing" | "signature_malformed" if is_app => Total::UnsignedApp,
            "signature_missing" | "signature_malformed" => Total::UnsignedTwilio,
            // The network failed too often; the signature may not have been looked at.
            "limited" => return self.add(Total::SignatureFailures, 1),
            _ if is_app => Total::RefusedApp,
            _ => Total::RefusedTwilio,
        };
        self.add(total, 1);
        if matches!(total, Total::RefusedApp | Total::RefusedTwilio) {
            self.add(Total::SignatureFailures, 1);
        }
    }

    pub(super) fn last_verified(&self, side: Side) -> Option<i64> {
        let last = self.verified.get(side as usize)?.load(Ordering::Relaxed);
        (last != 0).then_some(last)
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
    fn a_failure_counts_for_its_side_and_by_its_kind() {
        let tally = Tally::default();
        let sides =
            ["/twilio/status", "/app/twilio/status", "/c/{token}", "/twilio/click/{secret}"];
        assert_eq!(sides.map(Side::of), [Some(Side::Twilio), Some(Side::App), None, None]);
        for reason in ["signature_mismatch", "other_account", "signature_missing", "limited"] {
            tally.failed(Side::App, reason);
        }
        tally.verified(Side::Twilio, 7);
        let totals = tally.totals();
        let counted =
            [Total::RefusedApp, Total::UnsignedApp, Total::SignatureFailures, Total::RefusedTwilio];
        assert_eq!(counted.map(|total| totals.of(total)), [2, 1, 3, 0]);
        assert_eq!(totals.growth(&Totals::ZERO, Total::VerifiedTwilio), 1);
        assert_eq!(
            (tally.last_verified(Side::Twilio), tally.last_verified(Side::App)),
            (Some(7), None)
        );
    }
}
