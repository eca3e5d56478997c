//! `export`: all that a store holds, as JSON lines. Whoever reads them finds no
//! recipient's address, no message's text and no token of a click link, but what the app and Twilio named: senders,
//! references, labels and where links lead.
//!
//! Evidence is read before the messages, or what is settled meanwhile would be in neither, and written after
//! them: so whoever takes it over has the messages by then. In between it lies in a file without a name.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::admin::AdminRequest;
use crate::admin::transfer::Identity;
use crate::cli::operate::ExportArgs;
use crate::commands::atomic_file;
use crate::commands::backup::BackupThrottle;
use crate::commands::export_format::{ExportFrame, Head, RecordTotals};
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::progress;
use crate::commands::store_access::{StoreAccess, UsageError, now};
use crate::store::{ExportRecord, Records};

/// Records that are asked for at a time.
const PAGE: usize = 500;
/// Evidence that is kept in memory until it is written, in bytes; the rest in a file without a name.
const SPOOL: usize = 1 << 20;

/// Refuses a file that exists, before the store is opened.
///
/// # Errors
/// [`UsageError`]: it exists.
pub(super) fn check(args: &ExportArgs) -> Result<(), UsageError> {
    let exists = |path: &&PathBuf| path.symlink_metadata().is_ok();
    args.out.as_ref().filter(exists).map_or(Ok(()), |path| Err(UsageError(there(path))))
}

fn there(path: &Path) -> String {
    format!("{} is there already, and is not written over; name another file", path.display())
}

/// Where it is written until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Writes it.
///
/// # Errors
/// The store does not answer, or it cannot be written; then there is no file.
pub(super) async fn run(
    reach: &StoreAccess,
    args: &ExportArgs,
    store: &Path,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let tally = match &args.out {
        None => write(reach, out).await?,
        Some(path) => {
            let beside = beside(path);
            let file = atomic_file::begin(&beside, "export")?;
            let written = write_file(reach, store, &file).await.and_then(|tally| {
                // Somebody may have made one meanwhile.
                anyhow::ensure!(path.symlink_metadata().is_err(), UsageError(there(path)));
                let finished = atomic_file::finish(&file, &beside, path);
                finished.with_context(|| format!("cannot finish {}", path.display()))?;
                Ok(tally)
            });
            if written.is_err() {
                // Half an export is of no use; if it cannot be removed, the next one writes over it.
                let _ = std::fs::remove_file(&beside);
            }
            written?
        }
    };
    // What is written is not there before it is out of our hands.
    out.flush()?;
    note(format_args!("exported {}", tally.describe()));
    Ok(true)
}

async fn write_file(
    reach: &StoreAccess,
    store: &Path,
    file: &File,
) -> anyhow::Result<RecordTotals> {
    let elsewhere = "name a file on another one";
    let mut to = BufWriter::new(BackupThrottle::new(store, file, elsewhere)?);
    let tally = write(reach, &mut to).await?;
    to.flush()?;
    Ok(tally)
}

async fn write(reach: &StoreAccess, to: &mut impl Write) -> anyhow::Result<RecordTotals> {
    let Identity { persons, .. } = reach.request(AdminRequest::Identify).await?;
    line(&ExportFrame::Heardback(Head::new(now(), persons)), to)?;
    let (mut tally, mut cursor) = (RecordTotals::default(), None);
    let mut spool = tempfile::spooled_tempfile(SPOOL);
    let bar = progress::bar(None, "records exported:");
    loop {
        let page: Records = reach.request(AdminRequest::Export { cursor, limit: PAGE }).await?;
        for record in &page.records {
            tally.add(record);
            match record {
                ExportRecord::Parked(_) => {
                    line(record, &mut spool).context("cannot keep the evidence aside")?;
                }
                ExportRecord::Message(_)
                | ExportRecord::Link { .. }
                | ExportRecord::Counted { .. }
                | ExportRecord::Sender { .. }
                | ExportRecord::Names { .. }
                | ExportRecord::Automatic { .. }
                | ExportRecord::Hold { .. } => line(record, to)?,
            }
        }
        bar.add(page.records.len() as u64);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    bar.done();
    spool.rewind()?;
    io::copy(&mut spool, to)?;
    line(&ExportFrame::End(tally), to)?;
    Ok(tally)
}

fn line(what: &impl Serialize, to: &mut impl Write) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(what)?;
    text.push(b'\n');
    Ok(to.write_all(&text)?)
}
