//! Findings: the faults of a running service, derived in one place by pure functions.
//!
//! One list feeds the operator's page, `/readyz`, `doctor` and the texts of `ops/alerts.yml`. [`derive_findings`] takes
//! [`FindingInputs`] of plain numbers, so that a test can provoke each finding. Deliberately absent: I/O, the clock, and
//! addresses of people.

mod finding;
mod id;
mod inbound;
mod inputs;
mod outbound;
mod rejection;
mod service;
mod store;
mod traffic;

pub use finding::Finding;
pub use id::{FindingId, OUTSIDE, Severity};
pub use inputs::{
    ClaimedAccount, FdLimit, FindingInputs, ForeignServer, ForwardFacts, HeldAccount, KeyFacts,
    OutboxFacts, PausedLane, RequestFacts, RouteSignatures, SignatureFacts, SignatureFailures,
    StartFacts, StoreFacts, ThrottledLane, Traffic, TrafficCount, UpstreamFacts,
};
pub use rejection::{UNKNOWN_SIDS, pause_advice};
pub use store::MIN_FREE;

/// All findings, the worst first.
pub fn derive_findings(now: &FindingInputs) -> Vec<Finding> {
    let mut findings = Vec::new();
    store::derive(now, &mut findings);
    inbound::derive(now, &mut findings);
    outbound::derive(now, &mut findings);
    service::derive(now, &mut findings);
    traffic::derive(now, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The highest severity; `None` if there is no finding.
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

#[cfg(test)]
mod tests;
