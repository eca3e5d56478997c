//! The live look: settings, store, Twilio, the public URL, the service that runs. One line each.
//!
//! It looks and changes nothing: GETs only, the store's lock tried and given back, no file made. What
//! may well be fine from where it runs (the public URL, a service on another machine) is a warning.

pub(crate) mod reach;
mod service;
mod twilio;

use std::fmt;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::commands::check::{Webhooks, placement_warning, webhooks};
use crate::config::{Settings, StoreUrl};
use crate::store::sled::{StoreProbe, probe};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    Ok,
    /// Worth a look; may be fine.
    Warn,
    /// Has to be put right.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in a word.
    pub name: &'static str,
    /// How it came out.
    pub mark: CheckStatus,
    /// What was seen, and what to do about it.
    pub says: String,
}

/// All checks, and what to paste into Twilio.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// Whether nothing failed.
    pub ok: bool,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// For each public URL.
    pub webhooks: Vec<Webhooks>,
}

impl Check {
    fn new(name: &'static str, mark: CheckStatus, says: impl Into<String>) -> Self {
        Self { name, mark, says: says.into() }
    }
}

/// Makes every check.
///
/// # Errors
/// Where there is not even an HTTP client to be had.
pub async fn run_checks(settings: &Settings) -> anyhow::Result<DoctorReport> {
    let http = reach::client()?;
    let mut checks = of_settings(settings);
    checks.push(of_store(settings));
    checks.extend(of_file_system(settings));
    checks.extend(twilio::checks(settings).await?);
    for url in &settings.public_urls {
        checks.push(reach::public_url(&http, url).await);
    }
    checks.extend(service::checks(&http, settings).await);
    let ok = checks.iter().all(|check| check.mark != CheckStatus::Fail);
    let webhooks = settings.public_urls.iter().map(|url| webhooks(url.as_str())).collect();
    Ok(DoctorReport { ok, checks, webhooks })
}

fn of_settings(settings: &Settings) -> Vec<Check> {
    let mut checks =
        vec![Check::new("settings", CheckStatus::Ok, "sound, as far as this command has them")];
    let warnings = settings.warnings.iter();
    checks.extend(warnings.map(|warning| Check::new("settings", CheckStatus::Warn, warning)));
    checks
}

fn of_store(settings: &Settings) -> Check {
    let StoreUrl::Sled(path) = &settings.store;
    let shown = path.display();
    let (mark, says) = match probe(path) {
        Ok(StoreProbe::InUse { holder }) => (
            CheckStatus::Ok,
            format!("{shown} is in use ({holder}), as it is while the service runs"),
        ),
        Ok(StoreProbe::Free) => {
            let says = "no service has it open; its records were not read: `heardback verify-store` does that";
            (CheckStatus::Ok, format!("{shown} is there, {says}"))
        }
        Ok(StoreProbe::Absent) => (
            CheckStatus::Warn,
            format!("there is no store at {shown} yet; `heardback serve` makes it"),
        ),
        Err(error) => (CheckStatus::Fail, error.to_string()),
    };
    Check::new("store", mark, says)
}

/// A file system that `serve` refuses is a failure; one that the settings allow is a warning.
fn of_file_system(settings: &Settings) -> Option<Check> {
    let warning = placement_warning(settings)?;
    let mark = if settings.allow_unsafe_store { CheckStatus::Warn } else { CheckStatus::Fail };
    Some(Check::new("store", mark, warning))
}

const GOOD: Style = AnsiColor::Green.on_default();
const DOUBT: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();

impl DoctorReport {
    /// For people: a line for each check, then what to paste.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        for Check { name, mark, says } in &self.checks {
            let style = mark.style();
            writeln!(out, "{style}{mark:<4}{style:#}  {name:<10}  {says}")?;
        }
        for urls in &self.webhooks {
            writeln!(out, "\n{BOLD}To paste into Twilio{BOLD:#} (more: `heardback check`)")?;
            writeln!(out, "  inbound message   {}", urls.inbound_message)?;
            writeln!(out, "  status callback   {}", urls.status_callback)?;
            writeln!(out, "  calls             {}", urls.inbound_call)?;
            writeln!(out, "  clicks            {}", urls.click)?;
            writeln!(out, "  Event Streams     {}", urls.event_stream)?;
        }
        let count = |mark| self.checks.iter().filter(|check| check.mark == mark).count();
        let (failed, doubtful) = (count(CheckStatus::Fail), count(CheckStatus::Warn));
        match (failed, doubtful) {
            (0, 0) => writeln!(out, "\n{GOOD}All is well.{GOOD:#}"),
            (0, _) => writeln!(out, "\nNothing failed; {doubtful} worth a look."),
            (_, _) => writeln!(out, "\n{BAD}{failed} failed{BAD:#}, {doubtful} worth a look."),
        }
    }

    /// For programs.
    ///
    /// # Errors
    /// None in practice: there is nothing in it that JSON cannot hold.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl CheckStatus {
    fn style(self) -> Style {
        match self {
            Self::Ok => GOOD,
            Self::Warn => DOUBT,
            Self::Fail => BAD,
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}
