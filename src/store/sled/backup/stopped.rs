//! Verifies or backs up a store that no process has open. It is opened as `serve` opens it, with the same repairs and
//! refusals. Deliberately absent: conversion of records, and the return of interrupted posts to the queue.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::sled::backup::frame::{End, Entry, FrameWriter, Header};
use crate::store::sled::backup::whole::BackupContents;
use crate::store::sled::disk::data_dir::{Folder, OpenError};
use crate::store::sled::disk::file_names::FORMAT;
use crate::store::sled::disk::open::{ReadOnlyStore, open_read_only};
use crate::store::sled::disk::ownership::OwnershipGuard;
use crate::store::sled::keys;

/// Entries per frame.
const FRAME_ENTRIES: usize = 256;

/// Why a stopped store cannot be backed up.
#[derive(Debug, thiserror::Error)]
pub enum StoppedError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot write the backup: {0}")]
    Write(#[from] io::Error),
}

/// Reads every record of a store that no process has open, and returns its contents.
///
/// # Errors
/// [`OpenError`], as `serve` would return it.
pub fn verify(path: &Path, lock_timeout: Duration) -> Result<BackupContents, OpenError> {
    open_stopped(path, lock_timeout, |store| {
        let scan = &store.read.scan;
        let recipient_hash_key = store.read.tree.contains_key(keys::RECIPIENT_HASH_KEY);
        let damaged = |error: ::sled::Error| Folder { path }.damaged(&error.to_string());
        Ok(BackupContents {
            format: FORMAT,
            counts: scan.counts,
            entries: scan.entries,
            batches: scan.seal.batches,
            has_recipient_hash_key: recipient_hash_key.map_err(damaged)?,
            header: None,
        })
    })
}

/// Writes a backup of a store that no process has open.
///
/// # Errors
/// [`StoppedError`].
pub fn backup(
    path: &Path,
    lock_timeout: Duration,
    now: Timestamp,
    to: &mut impl Write,
) -> Result<(), StoppedError> {
    open_stopped(path, lock_timeout, |store| {
        let (mut writer, beginning) = FrameWriter::begin(&Header::of(FORMAT, now));
        to.write_all(&beginning)?;
        let seal = store.read.scan.seal;
        let mut end = End { scanned: 0, teed: 0, batches: seal.batches, sum: seal.sum };
        let mut piece: Vec<Entry> = Vec::with_capacity(FRAME_ENTRIES);
        for entry in &store.read.tree {
            let damaged = |error: ::sled::Error| Folder { path }.damaged(&error.to_string());
            let (key, value) = entry.map_err(damaged)?;
            piece.push((key.to_vec(), Some(value.to_vec())));
            end.scanned += 1;
            if piece.len() == FRAME_ENTRIES {
                to.write_all(&writer.scanned(&piece))?;
                piece.clear();
            }
        }
        to.write_all(&writer.scanned(&piece))?;
        Ok(to.write_all(&writer.end(&end))?)
    })
}

fn open_stopped<T, E: From<OpenError>>(
    path: &Path,
    lock_timeout: Duration,
    use_store: impl FnOnce(&ReadOnlyStore) -> Result<T, E>,
) -> Result<T, E> {
    // Dropped after the store, and also if the opening fails: that may have restored the files from a copy.
    let _ownership = OwnershipGuard::of_store(path);
    let store = open_read_only(path, lock_timeout)?;
    use_store(&store)
}
