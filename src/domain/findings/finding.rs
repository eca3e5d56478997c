//! One finding: its kind, subject, text and advice.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::findings::id::{FindingId, Severity};

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: FindingId,
    pub severity: Severity,
    /// The account, side, country or sender that it is about, if there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The fault, as a sentence without its full stop.
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The consequence and the action. Ends with [`FindingId::advice`].
    pub advice: String,
    /// The section of the documentation about it.
    pub runbook: String,
}

impl Finding {
    /// A finding with the severity and the advice of its kind.
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

    pub(super) fn about(self, subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..self }
    }

    pub(super) fn since(self, since: impl Into<Option<Timestamp>>) -> Self {
        Self { since: since.into(), ..self }
    }

    /// Lowers the severity.
    pub(super) fn at_most(self, severity: Severity) -> Self {
        Self { severity: severity.min(self.severity), ..self }
    }

    /// Puts advice that fits the cause before the general one.
    pub(super) fn advising(self, cause: &str) -> Self {
        Self { advice: format!("{cause} {}", self.id.advice()), ..self }
    }
}
