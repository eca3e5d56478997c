//! Restoring: a new store out of a backup, in a folder that is empty. The backup is read to its end
//! before anything is made; the new store is opened once more and compared with the backup's seal; and
//! only then does its FORMAT file say that it is one. Cut short anywhere, no release opens it.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

use ::sled::{Batch, Tree};

use crate::store::sled::backup::error::BackupError;
use crate::store::sled::backup::whole::BackupContents;
use crate::store::sled::backup::whole::{EntryCounts, Whole};
use crate::store::sled::disk::data_dir::{Folder, OpenError, note_holder};
use crate::store::sled::disk::file_names::{
    DB_FILE, FORMAT, FORMAT_DRAFT, FORMAT_FILE, LOCK_FILE, RESTORING,
};
use crate::store::sled::disk::open::STILL_CACHE;
use crate::store::sled::disk::ownership::OwnershipGuard;
use crate::store::sled::disk::pre_open_copy::is_sleds;
use crate::store::sled::integrity::scan::survey;
use crate::store::sled::integrity::seal::{SEAL_FILE, SealFile};

/// Entries in a batch: larger ones make sled's memory grow.
const BATCH: usize = 128;

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is at fault; nothing was made.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is something in the folder.
    #[error(
        "{path} is not empty (there is {found}), and a restore never writes over a store; stop the \
         service and move the folder away (`mv {path} {path}.old`), or name another one with --store"
    )]
    NotEmpty {
        path: String,
        /// What is in it.
        found: String,
    },
    /// The backup's store has another format. Nothing was made.
    #[error(
        "the backup's store has format {found}, this release reads {FORMAT} only; restore it with Heardback {made_by}, \
         and bring it along with `heardback export` of that release and `heardback import` of this one"
    )]
    OtherFormat {
        found: u32,
        /// The release that made the backup.
        made_by: String,
    },
    /// The folder is at fault.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// What was restored is not what the backup holds.
    #[error("what was restored is not what the backup holds ({what}); try again on another disk")]
    Differs {
        /// What is wrong with it.
        what: String,
    },
}

/// Makes a store out of a backup, in a folder that is missing, empty, or left by a restore that was cut
/// short.
///
/// # Errors
/// [`RestoreError`]; then there is no store in the folder.
pub fn restore(file: impl Read + Seek, path: &Path) -> Result<BackupContents, RestoreError> {
    let mut whole = Whole::read(file)?;
    if whole.header.format != FORMAT {
        let made_by = whole.header.version.clone();
        return Err(RestoreError::OtherFormat { found: whole.header.format, made_by });
    }
    let folder = Folder { path };
    refuse_what_is_there(&folder)?;
    // Dropped last, however this ends: the owner may want to begin anew.
    let hand_back = OwnershipGuard::of_new(path);
    folder.create()?;
    let lock = folder.lock(Duration::ZERO)?;
    note_holder(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    // Looked at again under the lock: somebody may have made a store meanwhile.
    refuse_what_is_there(&folder)?;
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
    // Before it is a store: cut short after that, it is its owner's already.
    hand_back.now();
    folder.write_format(&format!("{FORMAT}\n"))?;
    drop(lock);
    Ok(contents)
}

fn refuse_what_is_there(folder: &Folder<'_>) -> Result<(), RestoreError> {
    let names = || -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let names = names().map_err(|error| folder.io("look into", error))?;
    let format = fs::read_to_string(folder.path.join(FORMAT_FILE)).unwrap_or_default();
    if format.trim_end() == RESTORING {
        return Ok(());
    }
    let harmless = [LOCK_FILE, "lost+found", FORMAT_DRAFT];
    match names.into_iter().find(|name| !harmless.contains(&name.as_str())) {
        Some(found) => Err(RestoreError::NotEmpty { path: folder.name(), found }),
        None => Ok(()),
    }
}

/// Removes what a restore that was cut short has left.
fn clear(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text == SEAL_FILE || is_sleds(&text) {
            fs::remove_file(path.join(&name))?;
        }
    }
    Ok(())
}

fn fill<F: Read + Seek>(
    folder: &Folder<'_>,
    whole: &mut Whole<F>,
) -> Result<BackupContents, RestoreError> {
    let db = folder.open_sled(STILL_CACHE)?;
    let broken = |error: ::sled::Error| folder.io("write", io::Error::other(error));
    let mut tally = EntryCounts::default();
    let (mut batch, mut size) = (Batch::default(), 0);
    whole.entries(|key, value| -> Result<(), RestoreError> {
        tally.add_entry(&key, &value)?;
        batch.insert(key, value);
        size += 1;
        if size == BATCH {
            size = 0;
            db.apply_batch(std::mem::take(&mut batch)).map_err(broken)?;
        }
        Ok(())
    })?;
    db.apply_batch(batch).map_err(broken)?;
    db.flush().map_err(broken)?;
    Ok(tally.contents(whole)?)
}

/// Opens what was written once more: that is what will be served.
fn compare<F: Read + Seek>(folder: &Folder<'_>, whole: &Whole<F>) -> Result<(), RestoreError> {
    folder.await_sled(Duration::from_secs(10))?;
    let db = folder.open_sled(STILL_CACHE)?;
    let tree: Tree = (*db).clone();
    let differs = |what: String| RestoreError::Differs { what };
    let found =
        survey(&tree, Some(whole.end.batches), None).map_err(|loss| differs(loss.to_string()))?;
    if found.seal != whole.seal() {
        return Err(differs("its seal is another one".to_owned()));
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
            let (mut pen, mut bytes) = FrameWriter::begin(&header);
            bytes.extend(pen.end(&End { scanned: 0, teed: 0, batches: 0, sum: 0 }));
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
