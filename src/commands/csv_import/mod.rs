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
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::admin::AdminRequest;
use crate::admin::confirm_past::PastOutcome;
use crate::cli::operate::ImportArgs;
use crate::commands::csv_import::accounts::AllowedAccounts;
use crate::commands::csv_import::lines::{CsvLines, PastDelivery};
use crate::commands::csv_import::records::LineError;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::progress::bar;
use crate::commands::store_access::{StoreAccess, UsageError, now};
use crate::config::{Env, ReadFile};
use crate::telemetry::clock::monotonic;

/// The time between two confirmations, 10/s: few enough beside the posts of an account's own messages.
const INTERVAL: Duration = Duration::from_millis(100);
/// Lines that are read ahead.
const AHEAD: usize = 16;

type Line = <CsvLines as Iterator>::Item;

/// An import whose file is open.
pub(super) struct CsvImport {
    lines: CsvLines,
    interval: Option<Duration>,
    json: bool,
}

impl CsvImport {
    /// Opens the file, and reads its first line.
    pub(super) fn open(
        args: &ImportArgs,
        env: Env<'_>,
        read: ReadFile<'_>,
    ) -> Result<Self, UsageError> {
        let accounts = AllowedAccounts::gather(env, read)?;
        let shown = args.file.display();
        let file = open(&args.file).map_err(|error| UsageError(format!("{shown}: {error}")))?;
        let lines = CsvLines::begin(file, accounts);
        let lines = lines.map_err(|error| UsageError(format!("{shown}: {error:#}")))?;
        Ok(Self { lines, interval: args.rate, json: args.store.json })
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
        let interval = interval.unwrap_or(INTERVAL);
        let mut ticks = interval_at(Instant::from_std(monotonic()) + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        let mut lines = read_ahead(lines)?;
        let mut counts = CsvImportCounts { json, ..CsvImportCounts::default() };
        let bar = bar(None, "imported");
        let end = loop {
            let line = tokio::select! {
                biased;
                _ = interrupt.as_mut() => {
                    counts.stopped = true;
                    break Ok(());
                }
                line = lines.recv() => line,
            };
            let (number, line) = match line {
                None => break Ok(()),
                Some(Err(error)) => break Err(anyhow!(error).context("cannot read the file")),
                Some(Ok(line)) => line,
            };
            let outcome = match line {
                Err(LineError { field, why }) => {
                    PastOutcome::Refused { field: field.to_owned(), why }
                }
                Ok(PastDelivery { account, fields }) => {
                    let request = AdminRequest::ConfirmPast { account, fields, now: now() };
                    match store.request(request).await {
                        Ok(outcome) => outcome,
                        Err(error) => {
                            let from = format!("the import stopped before line {number}");
                            break Err(error.context(from));
                        }
                    }
                }
            };
            let is_new = outcome == PastOutcome::Confirmed;
            counts.add(number, outcome, out)?;
            bar.add(1);
            if is_new && is_served {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = interrupt.as_mut() => {
                        counts.stopped = true;
                        break Ok(());
                    }
                }
            }
        };
        bar.done();
        let is_complete = counts.end(is_served, out)?;
        out.flush()?;
        end.map(|()| is_complete)
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
    let (send, receive) = mpsc::channel(AHEAD);
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

/// The outcomes of the lines.
#[derive(Default)]
struct CsvImportCounts {
    json: bool,
    confirmed: u64,
    known: u64,
    /// Lines that prove nothing, by reason.
    nothing: BTreeMap<String, u64>,
    /// By field.
    refused: BTreeMap<String, u64>,
    stopped: bool,
}

impl CsvImportCounts {
    fn add(&mut self, line: u64, outcome: PastOutcome, out: &mut impl Write) -> anyhow::Result<()> {
        let (result, why) = match outcome {
            PastOutcome::Confirmed => {
                self.confirmed += 1;
                return Ok(());
            }
            PastOutcome::Known => {
                self.known += 1;
                return Ok(());
            }
            PastOutcome::Nothing { reason } => {
                *self.nothing.entry(reason.clone()).or_default() += 1;
                ("none", reason)
            }
            PastOutcome::Refused { field, why } => {
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

    fn end(&self, is_served: bool, out: &mut impl Write) -> anyhow::Result<bool> {
        let Self { confirmed, known, nothing, refused, stopped, .. } = self;
        if self.json {
            let line = json!({
                "confirmed": confirmed, "known": known, "none": nothing, "refused": refused,
                "complete": !stopped,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "confirmed {confirmed}, known {known}{}", sum(", refused", refused))?;
            if !nothing.is_empty() {
                writeln!(out, "{}", sum("proved nothing", nothing))?;
            }
        }
        if *confirmed > 0 && !is_served {
            note(format_args!(
                "The messages are reported to Twilio once `heardback serve` has this store."
            ));
        }
        if *stopped {
            note(format_args!(
                "heardback: stopped; confirmed messages stay confirmed, and the same command continues the import"
            ));
        }
        Ok(nothing.is_empty() && refused.is_empty() && !stopped)
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
