//! `backup`: the whole store in one file, while a service has it open or not.
//!
//! The file gets its name when it was read back, verified and synced. Until then the previous backup stays. Only the
//! owner may read it, because it contains all of the store.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::admin::socket::BACKUP;
use crate::commands::atomic_file;
use crate::commands::control;
use crate::commands::control::LOCK_TIMEOUT;
use crate::commands::store_access::now;
use crate::domain::size::Size;
use crate::store::sled::backup::{BackupContents, backup, contents};

/// The name of the backup in its folder.
pub(super) const BACKUP_FILE: &str = "heardback.backup";
const PART_FILE: &str = "heardback.backup.part";
/// Bytes that stay free on the store's own disk: twice the space that the store needs to accept requests.
const MIN_FREE_BYTES: u64 = 256 << 20;
/// Bytes between two checks of the free space.
const CHECK_INTERVAL_BYTES: usize = 1 << 20;

pub(super) struct BackupReport {
    pub(super) path: PathBuf,
    pub(super) contents: BackupContents,
    /// In bytes.
    pub(super) size: u64,
}

/// Writes a backup of a store into a folder.
///
/// # Errors
/// The backup cannot be completed. The previous one stays.
pub(super) async fn make(store: &Path, folder: &Path) -> anyhow::Result<BackupReport> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let path = folder.join(BACKUP_FILE);
    let write = async |file: &File| {
        let elsewhere = "name a folder on another disk";
        copy(store, &mut FreeSpaceGuard::new(store, file, elsewhere)?).await?;
        Ok((contents(file)?, file.metadata()?.len()))
    };
    let (contents, size) =
        atomic_file::write(&folder.join(PART_FILE), &path, "backup", write).await?;
    Ok(BackupReport { path, contents, size })
}

/// Writes a backup: the service writes it if it has the store open.
pub(super) async fn copy(store: &Path, to: &mut impl Write) -> anyhow::Result<()> {
    let Some(mut response) = control::post_to_service(store, BACKUP, &()).await? else {
        return Ok(backup(store, LOCK_TIMEOUT, now(), to)?);
    };
    while let Some(piece) =
        response.chunk().await.context("the service ended during the backup; try again")?
    {
        to.write_all(&piece).context("cannot write the backup")?;
    }
    Ok(())
}

/// A file whose writes fail if they would leave too little free space on the store's own disk.
pub(super) struct FreeSpaceGuard<'a> {
    file: &'a File,
    is_on_stores_disk: bool,
    /// The advice in the error.
    elsewhere: &'static str,
    unchecked: usize,
}

impl<'a> FreeSpaceGuard<'a> {
    pub(super) fn new(store: &Path, file: &'a File, elsewhere: &'static str) -> io::Result<Self> {
        let disk = file.metadata()?.dev();
        let is_on_stores_disk = store.metadata().is_ok_and(|store| store.dev() == disk);
        Ok(Self { file, is_on_stores_disk, elsewhere, unchecked: CHECK_INTERVAL_BYTES })
    }
}

impl Write for FreeSpaceGuard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unchecked += bytes.len();
        if self.is_on_stores_disk && self.unchecked >= CHECK_INTERVAL_BYTES {
            let disk = rustix::fs::fstatvfs(self.file)?;
            if disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_FREE_BYTES {
                return Err(io::Error::other(format!(
                    "it would leave less than {} on the store's own disk; {}, or extend the volume",
                    Size(MIN_FREE_BYTES),
                    self.elsewhere
                )));
            }
            self.unchecked = 0;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
