//! `import`: adds the records of an export, completes the messages that are here, and then judges parked evidence again.
//!
//! A file is checked to its end before the first write. stdin cannot be read twice: the records before an error are
//! imported.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek as _, Write};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::json;

use crate::admin::AdminRequest;
use crate::admin::digest::Comparison;
use crate::admin::transfer::Identity;
use crate::cli::operate::ImportArgs;
use crate::commands::export_format::{ExportReader, Head};
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::progress;
use crate::commands::store_access::{StoreAccess, UsageError};
use crate::store::{ExportRecord, ImportOutcome, Reconsidered};

/// Records of one request. They share a sync.
const RECORDS_PER_REQUEST: usize = 100;
/// Rows of one step that judges evidence again. It blocks the writer of the store.
const ROWS_PER_STEP: usize = 200;
const MAX_NAMED: usize = 1000;

/// An import whose file is open.
pub(super) struct Import {
    from: ImportSource,
    /// Whether to compare the records with the store, and import none.
    only_verifies: bool,
    json: bool,
}

enum ImportSource {
    /// A regular file, which can be read twice.
    File(File),
    /// stdin or a pipe, which cannot.
    Stream(Box<dyn BufRead>),
}

impl Import {
    pub(super) fn open(args: &ImportArgs) -> Result<Self, UsageError> {
        let from = if args.file.as_os_str() == "-" {
            ImportSource::Stream(Box::new(BufReader::new(std::io::stdin())))
        } else {
            let wrong = |error| UsageError(format!("cannot read {}: {error}", args.file.display()));
            let file = File::open(&args.file).map_err(wrong)?;
            if file.metadata().map_err(wrong)?.is_file() {
                ImportSource::File(file)
            } else {
                ImportSource::Stream(Box::new(BufReader::new(file)))
            }
        };
        Ok(Self { from, only_verifies: args.verify, json: args.common.json })
    }

    /// Imports the records, and prints the outcome.
    pub(super) async fn run(
        self,
        store: &StoreAccess,
        out: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let identity: Identity = store.request(AdminRequest::Identify).await?;
        let (lines, total) = match self.from {
            ImportSource::File(mut file) => {
                let total = count_records(&file, &identity).context("nothing was imported")?;
                file.rewind()?;
                let from: Box<dyn BufRead> = Box::new(BufReader::new(file));
                (ExportReader::begin(from)?, Some(total))
            }
            ImportSource::Stream(from) => {
                let lines = ExportReader::begin(from).context("nothing was imported")?;
                check_key(lines.head(), &identity).context("nothing was imported")?;
                (lines, None)
            }
        };
        if self.only_verifies {
            return compare(store, &identity.key_check, lines, self.json, out).await;
        }
        let mut import = RunningImport {
            store,
            key_check: identity.key_check,
            outcome: ImportOutcome::default(),
            batch: Vec::new(),
            bar: progress::bar(total, "records imported:"),
        };
        let imported = import.all(lines).await;
        let RunningImport { outcome, bar, .. } = import;
        bar.finish_and_clear();
        if self.json {
            let ImportOutcome { added, updated, skipped, kept, kept_messages, confirmed, holds } =
                &outcome;
            let line = json!({
                "added": added, "updated": updated, "skipped": skipped, "kept": kept,
                "kept_messages": kept_messages, "confirmed": confirmed.len(), "holds": holds,
                "complete": imported.is_ok(),
            });
            writeln!(out, "{line}")?;
        } else {
            print(&outcome, out)?;
        }
        out.flush()?;
        imported.context(
        "the import stopped before its end; imported records stay, and parked evidence is judged when the import runs \
         again",
    )?;
        Ok(true)
    }
}

fn print(outcome: &ImportOutcome, out: &mut impl Write) -> std::io::Result<()> {
    let ImportOutcome { added, updated, skipped, kept, kept_messages, confirmed, holds } = outcome;
    writeln!(
        out,
        "imported {added} records; {updated} here were updated, {skipped} are equal, {kept} differ and were kept"
    )?;
    if !confirmed.is_empty() {
        writeln!(out, "{} messages that were here are now confirmed", confirmed.len())?;
    }
    for account in holds {
        writeln!(
            out,
            "account {account} is now on hold, as in the source: `heardback resume {account}` ends the hold"
        )?;
    }
    for sid in kept_messages {
        writeln!(out, "kept {sid}")?;
    }
    let more = usize::try_from(*kept).unwrap_or(usize::MAX) - kept_messages.len();
    if more > 0 {
        writeln!(out, "kept {more} more records")?;
    }
    Ok(())
}

/// The number of records in a complete file.
fn count_records(file: &File, identity: &Identity) -> anyhow::Result<u64> {
    let mut lines = ExportReader::begin(BufReader::new(file))?;
    check_key(lines.head(), identity)?;
    let bar = progress::bar(None, "records read:");
    while lines.next()?.is_some() {
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(lines.tally().total())
}

/// Checks that both stores hash persons with the same key. Otherwise their records could not be found or forgotten.
fn check_key(head: &Head, identity: &Identity) -> anyhow::Result<()> {
    if head.key_check == identity.key_check {
        return Ok(());
    }
    let here = if identity.is_empty {
        "This store is empty: stop its service, start it once with the HEARDBACK_PHONE_KEY of the source, and \
         import again."
    } else {
        "This store holds records of its own, which another key would not find: import into a new store whose service \
         has the HEARDBACK_PHONE_KEY of the source."
    };
    bail!(
        "its persons are hashed with another key than those of this store. {here} If the source has no \
         HEARDBACK_PHONE_KEY, `heardback store key` prints its key"
    )
}

/// Compares all records with the store, and prints the digest of those that are here.
async fn compare(
    store: &StoreAccess,
    key_check: &str,
    mut lines: ExportReader<Box<dyn BufRead>>,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let (mut comparison, mut batch) = (Comparison::default(), Vec::new());
    loop {
        let record = lines.next()?;
        let is_end = record.is_none();
        batch.extend(record);
        if batch.len() == RECORDS_PER_REQUEST || (is_end && !batch.is_empty()) {
            let (key_check, records) = (key_check.to_owned(), std::mem::take(&mut batch));
            comparison += store.request(AdminRequest::Compare { key_check, records }).await?;
            comparison.missing_messages.truncate(MAX_NAMED);
        }
        if is_end {
            break;
        }
    }
    if json {
        writeln!(out, "{}", serde_json::to_string(&comparison)?)?;
    } else {
        write!(out, "{}", comparison.digest)?;
        for sid in &comparison.missing_messages {
            note(format_args!("missing {sid}"));
        }
    }
    out.flush()?;
    let Comparison { settled, missing, .. } = comparison;
    if settled > 0 {
        note(format_args!(
            "{settled} records need no import: expired, or evidence that was used since the export"
        ));
    }
    if missing > 0 {
        note(format_args!(
            "{missing} records of the export are missing or incomplete here; import it again, and verify again"
        ));
    }
    Ok(missing == 0)
}

struct RunningImport<'a> {
    store: &'a StoreAccess,
    key_check: String,
    outcome: ImportOutcome,
    batch: Vec<ExportRecord>,
    bar: ProgressBar,
}

impl RunningImport<'_> {
    /// Imports all records. After an error, the records before it are imported, and evidence is not judged.
    async fn all(&mut self, mut lines: ExportReader<Box<dyn BufRead>>) -> anyhow::Result<()> {
        loop {
            match lines.next() {
                Ok(Some(record)) => {
                    self.batch.push(record);
                    if self.batch.len() == RECORDS_PER_REQUEST {
                        self.send().await?;
                    }
                }
                Ok(None) => {
                    self.send().await?;
                    return self.reconsider().await;
                }
                Err(error) => {
                    self.send().await?;
                    return Err(error);
                }
            }
        }
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.batch);
        let count = records.len() as u64;
        let request = AdminRequest::Import { key_check: self.key_check.clone(), records };
        let outcome: ImportOutcome = self.store.request(request).await?;
        self.outcome += outcome;
        self.outcome.kept_messages.truncate(MAX_NAMED);
        self.bar.inc(count);
        Ok(())
    }

    async fn reconsider(&mut self) -> anyhow::Result<()> {
        let mut cursor = None;
        loop {
            let request = AdminRequest::Rematch { cursor, limit: ROWS_PER_STEP };
            let step: Reconsidered = self.store.request(request).await?;
            self.outcome.confirmed.extend(step.confirmed);
            cursor = step.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}
