//! `backup`: the whole store in one file, whether a service has it open or not.
//!
//! The file appears under its name only when it was read to its end, found sound and synced; until then
//! the last backup stays where it is. It is for its owner alone: it holds what the store holds.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;

use crate::admin::socket::BACKUP;
use crate::commands::atomic_file;
use crate::commands::control;
use crate::domain::size::Size;
use crate::store::sled::backup::{BackupContents, backup, contents};

/// The backup's name in its folder.
pub const FILE: &str = "heardback.backup";
/// The same while it is made.
const PART: &str = "heardback.backup.part";
/// How long another process may take to let go of a store.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// What a backup leaves free on the store's own disk, in bytes: twice what the store needs to take
/// anything in.
const LEFT_FREE: u64 = 256 << 20;
/// Bytes between two looks at the room.
const LOOK_EVERY: usize = 1 << 20;

/// A backup that was made.
#[derive(Debug)]
pub struct BackupReport {
    pub path: PathBuf,
    /// What is in it.
    pub contents: BackupContents,
    /// Its size in bytes.
    pub size: u64,
}

/// Makes a backup of a store, in a folder.
///
/// # Errors
/// Whatever keeps it from being whole. A backup that was there before stays.
pub async fn make(store: &Path, folder: &Path) -> anyhow::Result<BackupReport> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let (part, path) = (folder.join(PART), folder.join(FILE));
    let file = atomic_file::begin(&part, "backup")?;
    let written = write(store, &file).await;
    let written = written.and_then(|contents| {
        let finish = || -> io::Result<u64> {
            atomic_file::finish(&file, &part, &path)?;
            Ok(file.metadata()?.len())
        };
        let size = finish().with_context(|| format!("cannot finish {}", path.display()))?;
        Ok(BackupReport { path, contents, size })
    });
    if written.is_err() {
        // Half a backup is of no use; if it cannot be removed, the next one writes over it.
        let _ = fs::remove_file(&part);
    }
    written
}

async fn write(store: &Path, file: &File) -> anyhow::Result<BackupContents> {
    let elsewhere = "name a folder on another one";
    copy(store, &mut BackupThrottle::new(store, file, elsewhere)?).await?;
    Ok(contents(file)?)
}

/// Writes a backup somewhere: the service's, if one has the store open.
pub(super) async fn copy(store: &Path, to: &mut impl Write) -> anyhow::Result<()> {
    let Some(mut response) = control::post_to_service(store, BACKUP, &()).await? else {
        return Ok(backup(store, PATIENCE, now(), to)?);
    };
    loop {
        let piece = response.chunk().await;
        match piece.context("the service ended while the backup was made; try again")? {
            Some(piece) => to.write_all(&piece).context("cannot write the backup")?,
            None => return Ok(()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a backup of a stopped store says when it was made")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Writes as long as the store keeps the room that it needs: a backup onto the store's own disk must not
/// be what keeps the service from taking anything in.
pub(super) struct BackupThrottle<'a> {
    file: &'a File,
    is_on_stores_disk: bool,
    /// What to do where it is.
    elsewhere: &'static str,
    since: usize,
}

impl<'a> BackupThrottle<'a> {
    pub(super) fn new(store: &Path, file: &'a File, elsewhere: &'static str) -> io::Result<Self> {
        let disk = file.metadata()?.dev();
        let is_on_stores_disk = store.metadata().is_ok_and(|store| store.dev() == disk);
        Ok(Self { file, is_on_stores_disk, elsewhere, since: LOOK_EVERY })
    }
}

impl Write for BackupThrottle<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.since += bytes.len();
        if self.is_on_stores_disk && self.since >= LOOK_EVERY {
            let disk = rustix::fs::fstatvfs(self.file)?;
            if disk.f_bavail.saturating_mul(disk.f_frsize) < LEFT_FREE {
                return Err(io::Error::other(format!(
                    "it would leave less than {} on the store's own disk; {}, or extend the volume",
                    Size(LEFT_FREE),
                    self.elsewhere
                )));
            }
            self.since = 0;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
