//! A verdict for each recording: what it was, what was answered, what came of it.

use serde::Serialize;

use crate::commands::replay::plan::ReplayPlan;
use crate::commands::table::{Table, width};

/// What came of a request.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ReplayOutcome {
    /// In a word.
    result: &'static str,
    /// What there is to say besides.
    #[serde(rename = "detail", skip_serializing_if = "String::is_empty")]
    says: String,
    /// The messages in question.
    #[serde(rename = "message_sids")]
    sids: Vec<String>,
}

impl ReplayOutcome {
    pub(super) fn new(result: &'static str, says: impl Into<String>) -> Self {
        Self { result, says: says.into(), sids: Vec::new() }
    }

    /// With the messages in question.
    pub(super) fn about(self, sids: Vec<String>) -> Self {
        Self { sids, ..self }
    }
}

/// A recording and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct ReplayResult {
    file: String,
    request: String,
    status: Option<u16>,
    #[serde(flatten)]
    pub(super) outcome: ReplayOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_for: Option<String>,
    #[serde(skip)]
    well: bool,
}

impl ReplayResult {
    fn new(file: &str, request: &str, well: bool, outcome: ReplayOutcome) -> Self {
        let (file, request) = (file.to_owned(), request.to_owned());
        Self { file, request, status: None, outcome, signed_with: None, signed_for: None, well }
    }

    /// It was not sent, or could not be.
    pub(super) fn without(file: &str, request: &str, outcome: ReplayOutcome) -> Self {
        Self::new(file, request, false, outcome)
    }

    pub(super) fn would(file: &str, request: &str, aim: &ReplayPlan) -> Self {
        let says = format!("signed with {} for {}", aim.key, aim.base);
        let mut verdict = Self::new(file, request, true, ReplayOutcome::new("would_send", says));
        verdict.signed_with = Some(aim.key.clone());
        verdict.signed_for = Some(aim.base.clone());
        verdict
    }

    pub(super) fn answered(
        file: &str,
        request: &str,
        status: reqwest::StatusCode,
        outcome: ReplayOutcome,
    ) -> Self {
        let mut verdict = Self::new(file, request, status.is_success(), outcome);
        verdict.status = Some(status.as_u16());
        verdict
    }
}

/// All of them, in the order of the files.
#[derive(Debug)]
pub struct ReplaySummary(pub(super) Vec<ReplayResult>);

impl ReplaySummary {
    /// Whether each got a 2xx, or would have been sent.
    #[must_use]
    pub fn all_well(&self) -> bool {
        self.0.iter().all(|verdict| verdict.well)
    }

    /// For people, as wide as the terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = Table::new(&["recording", "request", "status", "result", "message", "why"]);
        for verdict in &self.0 {
            let ReplayResult { file, request, status, outcome, .. } = verdict;
            table.row(&[
                file.clone(),
                request.clone(),
                status.map(|status| status.to_string()).unwrap_or_default(),
                outcome.result.replace('_', " "),
                outcome.sids.join(" "),
                outcome.says.clone(),
            ]);
        }
        table.render(width())
    }

    /// For programs: an object a line.
    ///
    /// # Errors
    /// None in practice: there is nothing in it that JSON cannot hold.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let lines = self.0.iter().map(serde_json::to_string);
        Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
    }
}
