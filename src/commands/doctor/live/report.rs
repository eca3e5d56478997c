//! The result of the live checks, as text and as JSON.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::commands::check::Webhooks;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CheckStatus {
    Ok,
    Warn,
    Fail,
}

/// The status of a check, and its text.
pub(super) type Judgement = (CheckStatus, String);

pub(super) fn ok(says: impl Into<String>) -> Judgement {
    (CheckStatus::Ok, says.into())
}

pub(super) fn warn(says: impl Into<String>) -> Judgement {
    (CheckStatus::Warn, says.into())
}

pub(super) fn fail(says: impl Into<String>) -> Judgement {
    (CheckStatus::Fail, says.into())
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The subject, in one or two words.
    name: &'static str,
    pub(super) mark: CheckStatus,
    /// The observation, and the action.
    pub(super) says: String,
}

impl Check {
    pub(super) fn new(name: &'static str, mark: CheckStatus, says: impl Into<String>) -> Self {
        Self { name, mark, says: says.into() }
    }
}

/// All checks in their order, and the webhook URLs for each public URL.
#[derive(Debug, Serialize)]
pub(crate) struct DoctorReport {
    pub ok: bool,
    pub(super) checks: Vec<Check>,
    pub(super) webhooks: Vec<Webhooks>,
}

const GOOD: Style = AnsiColor::Green.on_default();
const DOUBT: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();

impl DoctorReport {
    /// A line for each check, then the webhook URLs.
    pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        for Check { name, mark, says } in &self.checks {
            let (style, word) = match mark {
                CheckStatus::Ok => (GOOD, "ok"),
                CheckStatus::Warn => (DOUBT, "warn"),
                CheckStatus::Fail => (BAD, "FAIL"),
            };
            writeln!(out, "{style}{word:<4}{style:#}  {name:<10}  {says}")?;
        }
        for urls in &self.webhooks {
            writeln!(out, "\n{BOLD}To paste into Twilio{BOLD:#} (more: `heardback check`)")?;
            for (name, url) in [
                ("inbound message", &urls.inbound_message),
                ("status callback", &urls.status_callback),
                ("calls", &urls.inbound_call),
                ("clicks", &urls.click),
                ("Event Streams", &urls.event_stream),
            ] {
                writeln!(out, "  {name:<16}  {url}")?;
            }
        }
        let count = |mark| self.checks.iter().filter(|check| check.mark == mark).count();
        match (count(CheckStatus::Fail), count(CheckStatus::Warn)) {
            (0, 0) => writeln!(out, "\n{GOOD}All is well.{GOOD:#}"),
            (0, warnings) => writeln!(out, "\nNothing failed. Warnings: {warnings}."),
            (failed, warnings) => {
                writeln!(out, "\n{BAD}{failed} failed.{BAD:#} Warnings: {warnings}.")
            }
        }
    }
}
