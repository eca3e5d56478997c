//! `import --csv`: confirms past messages that are known to have arrived, one line after the other.
//!
//! The store judges each line like an event of the app. A line is durable before the next one is sent, so an interrupted
//! import can run again. A thread of its own reads the file, so that a signal ends the wait for a line.

mod accounts;
mod columns;
mod lines;
mod records;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::json;
use tokio::sync::mpsc;

use crate::admin::AdminRequest;
use crate::admin::confirm_imported::LineOutcome;
use crate::cli::operate::ImportArgs;
use crate::commands::csv_import::accounts::AllowedAccounts;
use crate::commands::csv_import::lines::{CsvLines, PastDelivery};
use crate::commands::csv_import::records::LineError;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::progress::bar;
use crate::commands::store_access::{StoreAccess, UsageError, now};

/// The wait after each new confirmation by default, 10/s: few enough beside the posts of an account's own messages.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);
/// The most lines that wait in memory for their confirmation.
const READ_AHEAD: usize = 16;

type Line = <CsvLines as Iterator>::Item;

/// An import whose file is open.
pub(super) struct CsvImport {
    lines: CsvLines,
    interval: Option<Duration>,
    json: bool,
}

impl CsvImport {
    /// Opens the file, and reads its first line.
    pub(super) fn open(args: &ImportArgs) -> Result<Self, UsageError> {
        let accounts = AllowedAccounts::from_settings()?;
        let shown = args.file.display();
        let file = open(&args.file).map_err(|error| UsageError(format!("{shown}: {error}")))?;
        let lines = CsvLines::begin(file, accounts);
        let lines = lines.map_err(|error| UsageError(format!("{shown}: {error:#}")))?;
        Ok(Self { lines, interval: args.interval, json: args.common.json })
    }

    /// Imports the lines. Returns whether each of them is confirmed now.
    ///
    /// # Errors
    /// The file cannot be read, or the store fails. Earlier lines stay confirmed.
    pub(super) async fn run(
        self,
        store: &StoreAccess,
        out: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let Self { lines, interval, json } = self;
        // Without a service, nothing is posted during the import.
        let is_served = store.is_served();
        if interval.is_some() && !is_served {
            let why = "--rate: no service has the store open, so nothing is posted during the import; remove --rate, or \
                       start the service first";
            return Err(UsageError(why.to_owned()).into());
        }
        let interval = interval.unwrap_or(DEFAULT_INTERVAL);
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        let mut lines = read_ahead(lines)?;
        let mut counts = CsvImportCounts { json, ..CsvImportCounts::default() };
        let bar = bar(None, "imported");
        let end = loop {
            let line = tokio::select! {
                biased;
                _ = interrupt.as_mut() => break Ok(ImportEnd::Interrupted),
                line = lines.recv() => line,
            };
            let (number, line) = match line {
                None => break Ok(ImportEnd::EndOfFile),
                Some(Err(error)) => break Err(anyhow!(error).context("cannot read the file")),
                Some(Ok(line)) => line,
            };
            let outcome = match confirm(store, line).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    break Err(error.context(format!("the import stopped before line {number}")));
                }
            };
            let is_new = outcome == LineOutcome::Confirmed;
            counts.add(number, outcome, out)?;
            bar.inc(1);
            if is_new && is_served {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    _ = interrupt.as_mut() => break Ok(ImportEnd::Interrupted),
                }
            }
        };
        bar.finish_and_clear();
        counts.write(matches!(end, Ok(ImportEnd::EndOfFile)), out)?;
        out.flush()?;
        if counts.confirmed > 0 && !is_served {
            note(format_args!(
                "The messages are reported to Twilio once `heardback serve` has this store."
            ));
        }
        match end? {
            ImportEnd::EndOfFile => Ok(counts.all_are_confirmed()),
            ImportEnd::Interrupted => {
                note(format_args!(
                    "heardback: stopped; confirmed messages stay confirmed, and the same command continues the import"
                ));
                Ok(false)
            }
        }
    }
}

/// The end of an import without an error.
enum ImportEnd {
    EndOfFile,
    Interrupted,
}

/// Confirms the message of a line.
async fn confirm(
    store: &StoreAccess,
    line: Result<PastDelivery, LineError>,
) -> anyhow::Result<LineOutcome> {
    match line {
        Ok(PastDelivery { account, fields }) => {
            let imported_at = now();
            store.request(AdminRequest::ConfirmImported { account, fields, imported_at }).await
        }
        Err(LineError { field, why }) => Ok(LineOutcome::Rejected { field: field.to_owned(), why }),
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}

/// Reads the lines on a thread. It ends with the file or with the process, because nothing interrupts a read.
fn read_ahead(lines: CsvLines) -> std::io::Result<mpsc::Receiver<Line>> {
    let (send, receive) = mpsc::channel(READ_AHEAD);
    let send_all = move || {
        for line in lines {
            let is_last = line.is_err();
            if send.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("heardback-csv".to_owned()).spawn(send_all)?;
    Ok(receive)
}

#[derive(Default)]
struct CsvImportCounts {
    json: bool,
    confirmed: u64,
    /// Lines whose message was confirmed before.
    known: u64,
    /// Lines that prove nothing, by reason.
    not_confirmed: BTreeMap<String, u64>,
    /// Lines that are malformed or contradict the store, by field.
    refused: BTreeMap<String, u64>,
}

impl CsvImportCounts {
    fn add(&mut self, line: u64, outcome: LineOutcome, out: &mut impl Write) -> anyhow::Result<()> {
        let (result, why) = match outcome {
            LineOutcome::Confirmed => {
                self.confirmed += 1;
                return Ok(());
            }
            LineOutcome::AlreadyConfirmed => {
                self.known += 1;
                return Ok(());
            }
            LineOutcome::NotConfirmed { reason } => {
                *self.not_confirmed.entry(reason.clone()).or_default() += 1;
                ("none", reason)
            }
            LineOutcome::Rejected { field, why } => {
                *self.refused.entry(field).or_default() += 1;
                ("refused", why)
            }
        };
        if self.json {
            writeln!(out, "{}", json!({ "line": line, "result": result, "reason": why }))?;
        } else {
            writeln!(out, "line {line} {result}: {why}")?;
        }
        Ok(())
    }

    /// Writes the counts. `complete` says whether the import reached the end of the file.
    fn write(&self, complete: bool, out: &mut impl Write) -> std::io::Result<()> {
        let Self { confirmed, known, not_confirmed, refused, .. } = self;
        if self.json {
            let line = json!({
                "confirmed": confirmed, "known": known, "none": not_confirmed, "refused": refused,
                "complete": complete,
            });
            return writeln!(out, "{line}");
        }
        writeln!(out, "confirmed {confirmed}, known {known}{}", sum(", refused", refused))?;
        if !not_confirmed.is_empty() {
            writeln!(out, "{}", sum("proved nothing", not_confirmed))?;
        }
        Ok(())
    }

    /// Whether every line's message is confirmed, now or before.
    fn all_are_confirmed(&self) -> bool {
        self.not_confirmed.is_empty() && self.refused.is_empty()
    }
}

/// The sum, and the number of each kind; empty if there are none.
fn sum(what: &str, of: &BTreeMap<String, u64>) -> String {
    if of.is_empty() {
        return String::new();
    }
    let each: Vec<_> = of.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!("{what} {} ({})", of.values().sum::<u64>(), each.join(", "))
}
