//! The observer of the worker, for metrics and the readiness detail.

use std::time::Duration;

use crate::domain::feedback::{Claim, Verdict};
use crate::domain::sid::AccountSid;
use crate::store::Swept;
use crate::worker::lane::LaneReport;

/// Receives the worker's events. Must not block.
pub trait Observer: Send + Sync {
    /// A post ended.
    fn posted(&self, claim: &Claim, verdict: &Verdict, took: Duration);
    /// The store has the result of an attempt: the word of its [`Settlement`](crate::domain::feedback::Settlement).
    fn settled(&self, settlement: &'static str);
    /// A step of the sweep ended.
    fn swept(&self, swept: &Swept);
    /// The state of an account's lane changed.
    fn lane(&self, account: AccountSid, report: &LaneReport);
}
