//! Restores a backup as a new store in an empty folder.
//!
//! The backup is read to its end before a file is created. The new store is opened again and compared with the backup's
//! seal before its `FORMAT` file marks it as a store. No release opens the result of an interrupted restore.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

use ::sled::{Batch, Tree};

use crate::store::sled::backup::error::BackupError;
use crate::store::sled::backup::whole::BackupContents;
use crate::store::sled::backup::whole::{CompleteBackup, EntryCounts};
use crate::store::sled::disk::data_dir::{Folder, OpenError, note_holder};
use crate::store::sled::disk::file_names::{
    DB_FILE, FORMAT, FORMAT_DRAFT, FORMAT_FILE, LOCK_FILE, RESTORING,
};
use crate::store::sled::disk::open::READ_ONLY_CACHE;
use crate::store::sled::disk::ownership::OwnershipGuard;
use crate::store::sled::disk::pre_open_copy::is_sled_file;
use crate::store::sled::integrity::scan::scan_records;
use crate::store::sled::integrity::seal::{SEAL_FILE, SealFile};

/// Entries per batch. Larger batches make sled's memory grow.
const BATCH_LEN: usize = 128;

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is incomplete or damaged. Nothing was created.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The folder is not empty.
    #[error(
        "{path} is not empty (it contains {found}), and a restore never overwrites a store; stop the \
         service and move the folder away (`mv {path} {path}.old`), or name another one with --store"
    )]
    NotEmpty {
        path: String,
        /// A file in the folder.
        found: String,
    },
    /// The backup's store has another format. Nothing was created.
    #[error(
        "the backup's store has format {found}, and this release reads only format {FORMAT}; restore it with Heardback \
         {made_by}, run `heardback export` of that release, then `heardback import` of this one"
    )]
    OtherFormat {
        found: u32,
        /// The release that made the backup.
        made_by: String,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The restored store differs from the backup.
    #[error("the restored store differs from the backup ({what}); try again on another disk")]
    Differs {
        /// The difference.
        what: String,
    },
}

/// Creates a store from a backup, in a folder that is missing, empty, or left by an interrupted restore.
///
/// # Errors
/// [`RestoreError`]. The folder then holds no store.
pub fn restore(file: impl Read + Seek, path: &Path) -> Result<BackupContents, RestoreError> {
    let mut whole = CompleteBackup::read(file)?;
    if whole.header.format != FORMAT {
        let made_by = whole.header.version.clone();
        return Err(RestoreError::OtherFormat { found: whole.header.format, made_by });
    }
    let folder = Folder { path };
    check_empty(&folder)?;
    // Dropped last, after success and after an error: the owner may repeat the restore.
    let ownership = OwnershipGuard::of_new(path);
    folder.create()?;
    let lock = folder.lock(Duration::ZERO)?;
    note_holder(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    // Checked again under the lock: another process may have created a store meanwhile.
    check_empty(&folder)?;
    folder.write_format(&format!("{RESTORING}\n"))?;
    clear(path).map_err(|error| folder.io("empty", error))?;
    let contents = fill(&folder, &mut whole)?;
    compare(&folder, &whole)?;
    let sync = || -> io::Result<()> {
        SealFile::open(path)?.note(whole.end.batches)?;
        File::open(path.join(SEAL_FILE))?.sync_all()?;
        folder.sync(&File::open(path.join(DB_FILE))?)
    };
    sync().map_err(|error| folder.io("sync", error))?;
    // The owner is changed before `FORMAT` is written: no interruption leaves a complete store that root owns.
    ownership.apply();
    folder.write_format(&format!("{FORMAT}\n"))?;
    drop(lock);
    Ok(contents)
}

fn check_empty(folder: &Folder<'_>) -> Result<(), RestoreError> {
    let names = || -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let names = names().map_err(|error| folder.io("list the files of", error))?;
    let format = fs::read_to_string(folder.path.join(FORMAT_FILE)).unwrap_or_default();
    if format.trim_end() == RESTORING {
        return Ok(());
    }
    let ignored = [LOCK_FILE, "lost+found", FORMAT_DRAFT];
    match names.into_iter().find(|name| !ignored.contains(&name.as_str())) {
        Some(found) => Err(RestoreError::NotEmpty { path: folder.name(), found }),
        None => Ok(()),
    }
}

/// Deletes the files of an interrupted restore.
fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text == SEAL_FILE || is_sled_file(&text) {
            fs::remove_file(path.join(&name))?;
        }
    }
    Ok(())
}

fn fill<F: Read + Seek>(
    folder: &Folder<'_>,
    whole: &mut CompleteBackup<F>,
) -> Result<BackupContents, RestoreError> {
    let db = folder.open_sled(READ_ONLY_CACHE)?;
    let write_error = |error: ::sled::Error| folder.io("write", io::Error::other(error));
    let mut counts = EntryCounts::default();
    let (mut batch, mut size) = (Batch::default(), 0);
    whole.entries(|key, value| -> Result<(), RestoreError> {
        counts.add_entry(&key, &value)?;
        batch.insert(key, value);
        size += 1;
        if size == BATCH_LEN {
            size = 0;
            db.apply_batch(std::mem::take(&mut batch)).map_err(write_error)?;
        }
        Ok(())
    })?;
    db.apply_batch(batch).map_err(write_error)?;
    db.flush().map_err(write_error)?;
    Ok(counts.into_contents(whole)?)
}

/// Opens the restored store again, because a service will open it, and compares its seal with the backup's.
fn compare<F: Read + Seek>(
    folder: &Folder<'_>,
    whole: &CompleteBackup<F>,
) -> Result<(), RestoreError> {
    folder.wait_for_sled_lock(Duration::from_secs(10))?;
    let db = folder.open_sled(READ_ONLY_CACHE)?;
    let tree: Tree = (*db).clone();
    let differs = |what: String| RestoreError::Differs { what };
    let found = scan_records(&tree, Some(whole.end.batches), None)
        .map_err(|loss| differs(loss.to_string()))?;
    if found.seal != whole.seal() {
        return Err(differs("its seal is different".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::sled::backup::frame::{End, FrameWriter, Header};

    #[test]
    fn a_backup_of_another_format_is_refused_and_nothing_is_made() {
        for found in [FORMAT - 1, FORMAT + 1] {
            let parent = tempfile::tempdir().expect("a folder");
            let (path, file) = (parent.path().join("store"), parent.path().join("backup"));
            let header = Header::of(found, Timestamp::UNIX_EPOCH);
            let (mut writer, mut bytes) = FrameWriter::begin(&header);
            bytes.extend(writer.end(&End { scanned: 0, teed: 0, batches: 0, sum: 0 }));
            fs::write(&file, bytes).expect("written");
            let backup = File::open(&file).expect("there");
            let error = restore(backup, &path).expect_err("refused").to_string();
            for part in [&*format!("has format {found}"), "heardback export", &header.version] {
                assert!(error.contains(part), "{error}");
            }
            assert!(!path.exists());
        }
    }
}
