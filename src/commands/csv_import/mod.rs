//! `import --csv`: past messages that are known to have arrived, confirmed one line after the other. Whether a
//! line proves anything the store says, by the judgement that an app's event gets; here it is only read.
//!
//! Each is durable before the next, and what was confirmed before is known: an import that was interrupted is
//! run again. Lines are read on a thread of their own, so that a signal ends the wait for one. Deliberately absent:
//! whatever else a line holds (numbers, texts) goes nowhere.

mod accounts;
mod columns;
mod framed;
mod lines;
mod rate;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::anyhow;
use serde_json::json;
use tokio::sync::mpsc;

use crate::admin::AdminRequest;
use crate::admin::confirm_past::PastOutcome;
use crate::cli::operate::ImportArgs;
use crate::commands::csv_import::accounts::AccountHints;
use crate::commands::csv_import::lines::{Bad, CsvLines, PastDelivery};
use crate::commands::csv_import::rate::RateLimit;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::progress::bar;
use crate::commands::store_access::{StoreAccess, UsageError, now};
use crate::config::{Env, ReadFile};

/// What was asked for.
pub(super) struct CsvImportOptions {
    lines: CsvLines,
    pace: RateLimit,
    /// Whether somebody asked for it, and it is not what is usual.
    is_paced: bool,
    json: bool,
}

impl CsvImportOptions {
    /// Reads it, and the file's first line.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(super) fn read(
        args: &ImportArgs,
        env: Env<'_>,
        read: ReadFile<'_>,
    ) -> Result<Self, UsageError> {
        let pace = RateLimit::read(args.rate.as_deref())?;
        let accounts = AccountHints::gather(env, read)?;
        let shown = args.file.display();
        let file = open(&args.file).map_err(|error| UsageError(format!("{shown}: {error}")))?;
        let lines = CsvLines::begin(file, accounts);
        let lines = lines.map_err(|error| UsageError(format!("{shown}: {error:#}")))?;
        Ok(Self { lines, pace, is_paced: args.rate.is_some(), json: args.json })
    }
}

fn open(path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}

/// Lines that may be read before they are needed.
const AHEAD: usize = 16;

/// Does it. Whether each line is confirmed now.
///
/// # Errors
/// [`UsageError`]; the file cannot be read on, or the store does not do it. What was done by then stays done.
pub(super) async fn run(
    reach: &StoreAccess,
    asked: CsvImportOptions,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let CsvImportOptions { lines, mut pace, is_paced, json } = asked;
    // Nothing is posted meanwhile where nobody serves.
    let is_served = reach.is_served();
    if is_paced && !is_served {
        let why = "--rate: no service has this store, so nothing is posted and nothing can be paced: leave it out, \
                   or start the service first";
        return Err(UsageError(why.to_owned()).into());
    }
    let mut told = std::pin::pin!(tokio::signal::ctrl_c());
    let mut lines = read_ahead(lines)?;
    let mut tally = CsvImportCounts { json, ..CsvImportCounts::default() };
    let bar = bar(None, "imported");
    let trouble = loop {
        let line = tokio::select! {
            biased;
            _ = told.as_mut() => {
                tally.stopped = true;
                break None;
            }
            line = lines.recv() => line,
        };
        let (number, past) = match line {
            None => break None,
            Some(Err(error)) => break Some(anyhow!(error).context("the file cannot be read on")),
            Some(Ok(line)) => line,
        };
        let came = match past {
            Err(Bad { field, why }) => PastOutcome::Refused { field: field.to_owned(), why },
            Ok(PastDelivery { account, fields }) => {
                match reach.request(AdminRequest::ConfirmPast { account, fields, now: now() }).await
                {
                    Ok(came) => came,
                    Err(error) => {
                        let from = format!("from line {number} on nothing is done");
                        break Some(error.context(from));
                    }
                }
            }
        };
        let is_new = came == PastOutcome::Confirmed;
        tally.note(number, came, out)?;
        bar.add(1);
        if is_new && is_served {
            tokio::select! {
                () = pace.next() => {}
                _ = told.as_mut() => {
                    tally.stopped = true;
                    break None;
                }
            }
        }
    };
    bar.done();
    let is_well = tally.end(is_served, out)?;
    out.flush()?;
    trouble.map_or(Ok(is_well), Err)
}

type Line = <CsvLines as Iterator>::Item;

/// The lines as they come. The thread ends with them, or with the process: nothing wakes it from a read.
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

/// What the lines came to.
#[derive(Default)]
struct CsvImportCounts {
    json: bool,
    confirmed: u64,
    known: u64,
    /// By reason.
    nothing: BTreeMap<String, u64>,
    /// By field.
    refused: BTreeMap<String, u64>,
    stopped: bool,
}

impl CsvImportCounts {
    fn note(&mut self, line: u64, came: PastOutcome, out: &mut impl Write) -> anyhow::Result<()> {
        let (result, why) = match came {
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
            writeln!(out, "confirmed {confirmed}, known {known}{}", sum("refused", refused))?;
            if !nothing.is_empty() {
                writeln!(out, "proved nothing{}", sum("", nothing))?;
            }
        }
        if *confirmed > 0 && !is_served {
            note(format_args!(
                "They are reported to Twilio once `heardback serve` has this store."
            ));
        }
        if *stopped {
            note(format_args!(
                "heardback: stopped; what is confirmed stays so, and the same command goes on"
            ));
        }
        Ok(nothing.is_empty() && refused.is_empty() && !stopped)
    }
}

/// How many, and of which kind; nothing where there are none.
fn sum(what: &str, of: &BTreeMap<String, u64>) -> String {
    let all: u64 = of.values().sum();
    if all == 0 {
        return String::new();
    }
    let each = of.iter().map(|(name, count)| format!("{name} {count}"));
    let each = each.collect::<Vec<_>>().join(", ");
    let before = if what.is_empty() { "" } else { ", " };
    format!("{before}{what} {all} ({each})")
}
