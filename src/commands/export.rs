//! `export`: all records of a store, as JSON lines.
//!
//! They contain senders, references, labels and targets of links, but no recipient's address, no text of a message and no
//! token of a click link. Evidence is read before the messages, so that evidence that is settled meanwhile is not lost. It
//! is written after them, so that an import has the messages first. In between it is in an unnamed file.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::admin::AdminRequest;
use crate::admin::digest::{Digest, DigestPage};
use crate::admin::transfer::Identity;
use crate::cli::operate::ExportArgs;
use crate::commands::atomic_file;
use crate::commands::backup::FreeSpaceGuard;
use crate::commands::export_format::{ExportFrame, Head, RecordTotals};
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::progress;
use crate::commands::store_access::{StoreAccess, UsageError, now};
use crate::store::{ExportRecord, Records};

/// Records of one request.
const RECORDS_PER_REQUEST: usize = 500;
/// Bytes of evidence in memory. More of it goes into an unnamed file.
const SPOOL_BYTES: usize = 1 << 20;

/// Checks that the file does not exist, before the store is opened.
pub(super) fn check(args: &ExportArgs) -> Result<(), UsageError> {
    args.out.as_ref().map_or(Ok(()), |path| ensure_absent(path))
}

fn ensure_absent(path: &Path) -> Result<(), UsageError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let path = path.display();
    Err(UsageError(format!("{path} exists already and is not overwritten; name another file")))
}

/// Writes the export.
///
/// # Errors
/// The store does not respond, or the export cannot be written. Then there is no file.
pub(super) async fn run(
    store: &StoreAccess,
    args: &ExportArgs,
    folder: &Path,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    if args.digest {
        write!(out, "{}", digest(store).await?)?;
        out.flush()?;
        return Ok(true);
    }
    let tally = match &args.out {
        None => write(store, out).await?,
        Some(path) => {
            let mut part = path.as_os_str().to_owned();
            part.push(".part");
            let write = async |file: &File| {
                let elsewhere = "name a file on another disk";
                let mut to = BufWriter::new(FreeSpaceGuard::new(folder, file, elsewhere)?);
                let tally = write(store, &mut to).await?;
                to.flush()?;
                // The file may exist by now.
                ensure_absent(path)?;
                Ok(tally)
            };
            atomic_file::write(Path::new(&part), path, "export", write).await?
        }
    };
    out.flush()?;
    note(format_args!("exported {}", tally.describe()));
    Ok(true)
}

/// The digest of all records of a store.
pub(super) async fn digest(store: &StoreAccess) -> anyhow::Result<Digest> {
    let (mut digest, mut cursor) = (Digest::default(), None);
    loop {
        let request = AdminRequest::Digest { cursor, limit: RECORDS_PER_REQUEST };
        let page: DigestPage = store.request(request).await?;
        digest += page.digest;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(digest);
        }
    }
}

async fn write(store: &StoreAccess, to: &mut impl Write) -> anyhow::Result<RecordTotals> {
    let Identity { key_check, .. } = store.request(AdminRequest::Identify).await?;
    line(&ExportFrame::Heardback(Head::new(now(), key_check)), to)?;
    let (mut tally, mut cursor) = (RecordTotals::default(), None);
    let mut spool = tempfile::spooled_tempfile(SPOOL_BYTES);
    let bar = progress::bar(None, "records exported:");
    loop {
        let page: Records =
            store.request(AdminRequest::Export { cursor, limit: RECORDS_PER_REQUEST }).await?;
        for record in &page.records {
            tally.add(record);
            match record {
                ExportRecord::Parked(_) => {
                    line(record, &mut spool)
                        .context("cannot write the evidence to a temporary file")?;
                }
                ExportRecord::Message(_)
                | ExportRecord::Link { .. }
                | ExportRecord::DedupKey { .. }
                | ExportRecord::Sender { .. }
                | ExportRecord::Names { .. }
                | ExportRecord::Automatic { .. }
                | ExportRecord::Hold { .. } => line(record, to)?,
            }
        }
        bar.inc(page.records.len() as u64);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    bar.finish_and_clear();
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
