//! Findings: the faults of a running service, judged in one place by pure functions.
//!
//! One list feeds the operator's page, `/readyz`, `doctor` and the texts of `ops/alerts.yml`. [`judge`] takes a
//! [`Situation`] of plain numbers, so that a test can provoke each finding. Deliberately absent: I/O, the clock, and
//! addresses of people.

mod finding;
mod id;
mod inbound;
mod outbound;
mod rejection;
mod service;
mod situation;
mod store;
mod traffic;

pub use finding::Finding;
pub use id::{FindingId, OUTSIDE, Severity};
pub use rejection::{UNKNOWN_SIDS, pause_advice};
pub use situation::{
    ClaimedAccount, ClockJump, FdLimit, ForeignServer, ForwardFacts, HeldAccount, KeyFacts,
    OutboxFacts, PausedLane, RequestFacts, RouteSignatures, SignatureFacts, SignatureFailures,
    Situation, StartFacts, StoreFacts, ThrottledLane, Traffic, TrafficCount, UpstreamFacts,
};
pub use store::MIN_FREE;

/// All findings, the worst first.
pub fn judge(now: &Situation) -> Vec<Finding> {
    let mut findings = Vec::new();
    store::judge(now, &mut findings);
    inbound::judge(now, &mut findings);
    outbound::judge(now, &mut findings);
    service::judge(now, &mut findings);
    traffic::judge(now, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The highest severity; `None` if there is no finding.
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

#[cfg(test)]
mod tests;
