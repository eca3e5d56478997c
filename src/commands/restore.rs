//! `restore`: a new store from a backup. It never overwrites a store.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::commands::backup::BACKUP_FILE;
use crate::store::sled::backup::{BackupContents, restore};

/// Creates a store from a backup: its folder, or its file.
pub(super) fn run(backup: &Path, store: &Path) -> anyhow::Result<BackupContents> {
    let path = file_of(backup);
    let file = open(&path)?;
    restore(file, store).with_context(|| format!("cannot restore {}", path.display()))
}

pub(super) fn file_of(backup: &Path) -> PathBuf {
    if backup.is_dir() { backup.join(BACKUP_FILE) } else { backup.to_path_buf() }
}

pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot open the backup {}", path.display()))
}
