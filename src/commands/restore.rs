//! `restore`: a new store out of a backup, where there is none. It never writes over anything.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::commands::backup::FILE;
use crate::store::sled::backup::{BackupContents, restore};

/// Makes a store out of a backup: a folder that holds one, or its file.
///
/// # Errors
/// If the backup is not sound, the store's folder not empty, or the disk at fault.
pub fn run(backup: &Path, store: &Path) -> anyhow::Result<BackupContents> {
    let path = file_of(backup);
    let file = open(&path)?;
    restore(file, store).with_context(|| format!("{} is not restored", path.display()))
}

pub(super) fn file_of(backup: &Path) -> PathBuf {
    if backup.is_dir() { backup.join(FILE) } else { backup.to_path_buf() }
}

pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot open the backup {}", path.display()))
}
