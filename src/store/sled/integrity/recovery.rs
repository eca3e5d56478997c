//! Opens sled, and repairs damage that sled cannot: unfinished snapshots, a damaged snapshot, and a panic in place of an
//! error (docs/design.md, "Durability"). Damage that cannot be repaired stays as it was.

use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use ::sled::{Config, Db};

use crate::store::sled::disk::data_dir::{Folder, OpenError};

/// The folder for damaged snapshots. sled builds a new one from its log.
pub(crate) const SET_ASIDE_DIR: &str = "set-aside";
/// Milliseconds between two rounds of sled's own thread. A round empties at most one of the segments that are mostly out
/// of date: a round that finds one empty reports no progress (`SegmentCleaner::pop`, 0.34.7). At sled's default of 500, a
/// busy store makes ten times as many of these segments as are emptied, and its file grows on.
const CLEANUP_INTERVAL_MS: u64 = 50;

impl Folder<'_> {
    /// Opens sled, and repairs damage that sled cannot.
    pub(crate) fn open_sled(&self, cache: u64) -> Result<Db, OpenError> {
        for unfinished in self.snapshots()?.iter().filter(|name| is_unfinished(name)) {
            tracing::warn!(file = %unfinished.display(), "removing an unfinished snapshot of sled's");
            fs::remove_file(unfinished).map_err(|error| self.io("repair", error))?;
        }
        let first = match self.try_sled(cache) {
            Ok(db) => return Ok(db),
            Err(OpenFailure::System(error)) => return Err(self.io("open sled in", error)),
            Err(OpenFailure::Damaged(cause)) => cause,
        };
        let snapshots = self.snapshots()?;
        if snapshots.is_empty() {
            return Err(self.damaged(&first));
        }
        tracing::warn!(error = %first, "sled cannot open the store; trying without its snapshots");
        let aside = self.path.join(SET_ASIDE_DIR);
        let move_snapshots = |from: &Path, to: &Path| -> io::Result<()> {
            fs::create_dir_all(to)?;
            for snapshot in &snapshots {
                let name = snapshot.file_name().unwrap_or_default();
                fs::rename(from.join(name), to.join(name))?;
            }
            Ok(())
        };
        move_snapshots(self.path, &aside).map_err(|error| self.io("repair", error))?;
        self.try_sled(cache).map_err(|second| {
            let back = move_snapshots(&aside, self.path).and_then(|()| fs::remove_dir(&aside));
            match (back, second) {
                (Ok(()), OpenFailure::Damaged(second)) => self.damaged(&second),
                (Ok(()), OpenFailure::System(error)) => self.io("open sled in", error),
                (Err(error), _) => self.io("move the snapshots back into", error),
            }
        })
    }

    /// Turns a panic into an error: sled panics at some kinds of damage.
    fn try_sled(&self, cache: u64) -> Result<Db, OpenFailure> {
        let config = Config::new().path(self.path).cache_capacity(cache);
        let config = config.flush_every_ms(Some(CLEANUP_INTERVAL_MS));
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
        let panicked = || OpenFailure::Damaged("sled panicked while opening the store".to_owned());
        opened.map_err(|_| panicked())?.map_err(|error| match &error {
            ::sled::Error::Io(cause) if is_system_error(cause) => {
                OpenFailure::System(io::Error::new(cause.kind(), cause.to_string()))
            }
            ::sled::Error::Io(_)
            | ::sled::Error::Corruption { .. }
            | ::sled::Error::ReportableBug(_)
            | ::sled::Error::Unsupported(_)
            | ::sled::Error::CollectionNotFound(_) => OpenFailure::Damaged(error.to_string()),
        })
    }

    fn snapshots(&self) -> Result<Vec<PathBuf>, OpenError> {
        let read = || -> io::Result<Vec<PathBuf>> {
            let mut found = Vec::new();
            for entry in fs::read_dir(self.path)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    found.push(entry.path());
                }
            }
            Ok(found)
        };
        read().map_err(|error| self.io("read", error))
    }
}

/// Why sled cannot open the store.
enum OpenFailure {
    /// The files are damaged.
    Damaged(String),
    /// The system denied access, or the disk is full. The files may be sound.
    System(io::Error),
}

fn is_system_error(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kind = error.kind();
    [PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull].contains(&kind)
}

fn is_unfinished(snapshot: &Path) -> bool {
    snapshot.extension().is_some_and(|extension| extension == "generating")
}
