//! `export`: all that a store holds, as JSON lines. Whoever reads them finds no address, no text and no token.
//!
//! Evidence is read before the messages, or what is settled meanwhile would be in neither, and written after
//! them: so whoever takes it over has the messages by then. In between it lies in a file without a name.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::cli::operate::ExportArgs;
use crate::config;
use crate::config::StoreUrl;
use crate::inbound::control::{HandOver, Identify};
use crate::store::Record;
use crate::tools::backup::Sparing;
use crate::tools::ledger::{Frame, Head, Tally};
use crate::tools::progress;
use crate::tools::reach::{Reach, Wrong, now};

/// Records that are asked for at a time.
const PAGE: usize = 500;
/// Evidence that is kept in memory until it is written, in bytes; the rest in a file without a name.
const SPOOL: usize = 1 << 20;

/// What was asked for.
pub(super) struct Asked {
    out: Option<PathBuf>,
    store: PathBuf,
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// [`Wrong`], also if the file is there.
    pub(super) fn read(args: &ExportArgs) -> Result<Self, Wrong> {
        let StoreUrl::Sled(store) =
            config::store(&args.store).map_err(|problems| Wrong(problems.to_string()))?;
        let out = args.out.clone();
        if let Some(path) = out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
            return Err(Wrong(there(path)));
        }
        Ok(Self { out, store })
    }
}

fn there(path: &Path) -> String {
    format!("{} is there already, and is not written over; name another file", path.display())
}

/// Writes it.
///
/// # Errors
/// The store does not answer, or it cannot be written; then there is no file.
pub(super) async fn run(
    reach: &Reach,
    asked: &Asked,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let tally = match &asked.out {
        None => write(reach, out).await?,
        Some(path) => {
            let made = File::options().write(true).create_new(true).mode(0o600).open(path);
            let file = match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(Wrong(there(path)).into());
                }
                made => made.with_context(|| format!("cannot make {}", path.display()))?,
            };
            let written = write_file(reach, asked, &file).await;
            if written.is_err() {
                // Half an export is of no use; what cannot be removed has no end, and is known by it.
                let _ = std::fs::remove_file(path);
            }
            written?
        }
    };
    eprintln!("exported {}", tally.told());
    Ok(true)
}

async fn write_file(reach: &Reach, asked: &Asked, file: &File) -> anyhow::Result<Tally> {
    let elsewhere = "name a file on another one";
    let mut to = BufWriter::new(Sparing::new(&asked.store, file, elsewhere)?);
    let tally = write(reach, &mut to).await?;
    to.flush()?;
    drop(to);
    file.sync_all()?;
    Ok(tally)
}

async fn write(reach: &Reach, to: &mut impl Write) -> anyhow::Result<Tally> {
    let persons = reach.ask(Identify {}).await?.persons;
    line(&Frame::Heardback(Head::new(now(), persons)), to)?;
    let (mut tally, mut cursor) = (Tally::default(), None);
    let mut spool = tempfile::spooled_tempfile(SPOOL);
    let bar = progress::bar(None, "records exported:");
    loop {
        let page = reach.ask(HandOver { cursor, limit: PAGE }).await?;
        for record in &page.records {
            tally.add(record);
            match record {
                Record::Parked(_) => {
                    line(record, &mut spool).context("cannot keep the evidence aside")?;
                }
                Record::Message(_)
                | Record::Link { .. }
                | Record::Counted { .. }
                | Record::Sender { .. }
                | Record::Hold { .. } => line(record, to)?,
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
    line(&Frame::End(tally), to)?;
    Ok(tally)
}

fn line(what: &impl Serialize, to: &mut impl Write) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(what)?;
    text.push(b'\n');
    Ok(to.write_all(&text)?)
}
