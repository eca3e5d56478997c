//! A store that nobody has open: read as it lies. It is opened as `serve` opens it, so that what sled
//! cannot open by itself is healed or refused likewise, but nothing is converted or taken back.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::sled::backup::frame::{End, Entry, FrameWriter, Header};
use crate::store::sled::backup::whole::BackupContents;
use crate::store::sled::disk::data_dir::{Folder, OpenError};
use crate::store::sled::disk::file_names::FORMAT;
use crate::store::sled::disk::open::{Still, open_read_only};
use crate::store::sled::disk::ownership::OwnershipGuard;
use crate::store::sled::keys;

/// Entries in a frame.
const PIECE: usize = 256;

/// Why a stopped store could not be backed up.
#[derive(Debug, thiserror::Error)]
pub enum StoppedError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup cannot be written.
    #[error("cannot write the backup: {0}")]
    Write(#[from] io::Error),
}

/// Reads a store that nobody has open, and says what is in it.
///
/// # Errors
/// [`OpenError`], the same as if it were to be served.
pub fn verify(path: &Path, patience: Duration) -> Result<BackupContents, OpenError> {
    open_stopped(path, patience, |still| {
        let surveyed = &still.read.surveyed;
        let person_key = still.read.tree.contains_key(keys::PERSON_KEY);
        let damaged = |error: ::sled::Error| Folder { path }.damaged(&error.to_string());
        Ok(BackupContents {
            format: FORMAT,
            counts: surveyed.counts,
            entries: surveyed.entries,
            batches: surveyed.seal.batches,
            has_person_key: person_key.map_err(damaged)?,
            header: None,
        })
    })
}

/// Writes a backup of a store that nobody has open.
///
/// # Errors
/// [`StoppedError`].
pub fn backup(
    path: &Path,
    patience: Duration,
    now: Timestamp,
    to: &mut impl Write,
) -> Result<(), StoppedError> {
    open_stopped(path, patience, |still| {
        let (mut pen, beginning) = FrameWriter::begin(&Header::of(FORMAT, now));
        to.write_all(&beginning)?;
        let seal = still.read.surveyed.seal;
        let mut end = End { scanned: 0, teed: 0, batches: seal.batches, sum: seal.sum };
        let mut piece: Vec<Entry> = Vec::with_capacity(PIECE);
        for entry in &still.read.tree {
            let damaged = |error: ::sled::Error| Folder { path }.damaged(&error.to_string());
            let (key, value) = entry.map_err(damaged)?;
            piece.push((key.to_vec(), Some(value.to_vec())));
            end.scanned += 1;
            if piece.len() == PIECE {
                to.write_all(&pen.scanned(&piece))?;
                piece.clear();
            }
        }
        to.write_all(&pen.scanned(&piece))?;
        Ok(to.write_all(&pen.end(&end))?)
    })
}

fn open_stopped<T, E: From<OpenError>>(
    path: &Path,
    patience: Duration,
    at: impl FnOnce(&Still) -> Result<T, E>,
) -> Result<T, E> {
    // Dropped after the store, and where it does not open as well: it may have been put back then.
    let _hand_back = OwnershipGuard::of_store(path);
    let still = open_read_only(path, patience)?;
    at(&still)
}
