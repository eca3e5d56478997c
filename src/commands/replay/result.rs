//! The results of a replay, as a table and as JSON lines.

use serde::Serialize;

use crate::commands::table::{Table, width};

#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ReplayOutcome {
    /// One word for programs.
    result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    message_sids: Vec<String>,
}

impl ReplayOutcome {
    pub(super) fn new(result: &'static str, detail: impl Into<String>) -> Self {
        Self { result, detail: detail.into(), message_sids: Vec::new() }
    }

    pub(super) fn about(self, message_sids: Vec<String>) -> Self {
        Self { message_sids, ..self }
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ReplayResult {
    pub(super) file: String,
    pub(super) request: String,
    pub(super) status: Option<u16>,
    #[serde(flatten)]
    pub(super) outcome: ReplayOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signed_with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signed_for: Option<String>,
    /// Whether it got a 2xx, or could be sent.
    #[serde(skip)]
    pub(super) is_ok: bool,
}

/// The results in the order of the files.
#[derive(Debug)]
pub(crate) struct ReplaySummary(pub(super) Vec<ReplayResult>);

impl ReplaySummary {
    /// Whether each got a 2xx, or could be sent.
    pub(crate) fn all_well(&self) -> bool {
        self.0.iter().all(|result| result.is_ok)
    }

    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(&["recording", "request", "status", "result", "message", "why"]);
        for ReplayResult { file, request, status, outcome, .. } in &self.0 {
            table.row(&[
                file.clone(),
                request.clone(),
                status.map(|status| status.to_string()).unwrap_or_default(),
                outcome.result.replace('_', " "),
                outcome.message_sids.join(" "),
                outcome.detail.clone(),
            ]);
        }
        table.render(width())
    }

    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        let lines = self.0.iter().map(serde_json::to_string);
        Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
    }
}
