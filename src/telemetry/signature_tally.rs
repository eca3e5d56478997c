//! Counts of verified and rejected requests since the start, by route and by the account that each request names.
//!
//! Findings use these counts, because the metrics have no account for a rejected request. Accounts that are not
//! configured share one entry for each route, so routes and configured accounts bound the table.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::domain::findings::ClaimedAccount;

/// A route, and the account that a request to it names.
pub type Scope = (&'static str, ClaimedAccount);
/// Counts of every scope that had a request.
pub type SignatureCounts = BTreeMap<Scope, SignatureCount>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignatureCount {
    pub verified: u64,
    /// When the latest of them arrived.
    pub last_verified: Option<Timestamp>,
    /// Signed requests that were rejected for the signature or the account.
    pub refused: u64,
    /// Rejected requests without a readable signature, or without a valid one for an account that is not configured.
    pub unsigned: u64,
}

#[derive(Debug, Default)]
pub struct SignatureTally(Mutex<SignatureCounts>);

impl SignatureTally {
    pub fn verified(&self, scope: Scope, now: Timestamp) {
        self.change(scope, |count| {
            count.verified = count.verified.saturating_add(1);
            count.last_verified = Some(now);
        });
    }

    pub fn refused(&self, scope: Scope) {
        self.change(scope, |count| count.refused = count.refused.saturating_add(1));
    }

    pub fn unsigned(&self, scope: Scope) {
        self.change(scope, |count| count.unsigned = count.unsigned.saturating_add(1));
    }

    pub fn counts(&self) -> SignatureCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, scope: Scope, change: impl FnOnce(&mut SignatureCount)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry(scope).or_default());
    }
}
