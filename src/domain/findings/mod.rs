//! Findings: all that is wrong with a running service, judged in one place by pure functions.
//!
//! One list feeds the operator's page, `/readyz`, `doctor` and the texts of `ops/alerts.yml`. [`judge`] takes a
//! [`Situation`] of plain numbers, so that a test can provoke each finding. Deliberately absent: I/O, the clock, and
//! addresses of people.

mod id;
mod inbound;
mod outbound;
mod rejection;
mod service;
mod situation;
mod store;
mod traffic;

pub use id::{FindingId, OUTSIDE};
pub use rejection::{UNKNOWN_SIDS, pause_advice};
pub use situation::{
    ClaimedAccount, ClockJump, FdLimit, ForeignServer, HeldAccount, KeyFacts, OutboxFacts,
    PausedLane, RequestFacts, RouteSignatures, SignatureFacts, SignatureFailures, Situation,
    StartFacts, StoreFacts, ThrottledLane, Traffic, TrafficCount, UpstreamFacts,
};
pub use store::MIN_FREE;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How bad a finding is; the words of `ops/alerts.yml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be looked at when there is time.
    Info,
    /// To be looked at today.
    Warning,
    /// Events are being lost, or nothing is reported.
    Critical,
}

impl Severity {
    /// The word in JSON and in `ops/alerts.yml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: FindingId,
    pub severity: Severity,
    /// The account, side, country or sender that it is about, if there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What is wrong, as a sentence without its full stop.
    pub what: String,
    /// Since when, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The consequence and the action. Ends with [`FindingId::advice`].
    pub advice: String,
    /// The section of the documentation about it.
    pub runbook: String,
}

impl Finding {
    /// A finding with the severity and the advice of its kind.
    #[must_use]
    pub fn new(id: FindingId, what: impl Into<String>) -> Self {
        Self {
            id,
            severity: id.severity(),
            subject: None,
            what: what.into(),
            since: None,
            advice: id.advice().to_owned(),
            runbook: id.runbook(),
        }
    }

    fn about(self, subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..self }
    }

    fn since(self, since: impl Into<Option<Timestamp>>) -> Self {
        Self { since: since.into(), ..self }
    }

    /// Lowers the severity.
    fn at_most(self, severity: Severity) -> Self {
        Self { severity: severity.min(self.severity), ..self }
    }

    /// Puts advice that fits the cause before the general one.
    fn advising(self, cause: &str) -> Self {
        Self { advice: format!("{cause} {}", self.id.advice()), ..self }
    }
}

/// All findings, the worst first.
#[must_use]
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
#[must_use]
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}

#[cfg(test)]
mod tests;
