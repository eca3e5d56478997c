//! The state of a store's folder for `heardback doctor`: absent, in use, or of a format that this release reads.
//!
//! Deliberately absent: opening the store. That would repair it, create files that belong to the command's user (often
//! root), and lock out a starting service while every record is read. The lock is only tried and released at once; a
//! starting service waits longer.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::store::sled::disk::data_dir::{Folder, OpenError, STARTING, try_lock_for};
use crate::store::sled::disk::file_names::{DB_FILE, FORMAT_FILE, LOCK_FILE};

/// The state of a store's folder.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreProbe {
    /// The folder holds no store yet; `serve` creates it.
    Absent,
    /// A process has the store open.
    InUse {
        /// The text that the process wrote into the lock file.
        holder: String,
    },
    /// The store exists, this release reads its format, and no process has it open. Its records were not read.
    Free,
}

/// Determines the state of a store's folder, and changes nothing in it.
///
/// # Errors
/// The error that an opening would return, as far as it can be detected without one.
pub fn probe(path: &Path) -> Result<StoreProbe, OpenError> {
    let folder = Folder { path };
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StoreProbe::Absent),
        Err(error) => return Err(folder.io("read the metadata of", error)),
        Ok(found) if !found.is_dir() => {
            return Err(folder.io("open", io::ErrorKind::NotADirectory.into()));
        }
        Ok(_) => {}
    }
    if let Some(holder) =
        lock_holder(path).map_err(|error| folder.io("read the lock file of", error))?
    {
        return Ok(StoreProbe::InUse { holder });
    }
    let exists = |name: &str| path.join(name).exists();
    if !exists(FORMAT_FILE) && !exists(DB_FILE) {
        return Ok(StoreProbe::Absent);
    }
    if folder.check_format()? {
        folder.sealed_count()?;
    }
    Ok(StoreProbe::Free)
}

/// The state of a store's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// No process holds it, or its file cannot be read.
    Free,
    /// A starting service holds it: it answers commands once it listens.
    Starting,
    /// Another process holds it.
    Held,
}

pub fn lock_state(path: &Path) -> LockState {
    match lock_holder(path) {
        Ok(Some(holder)) if holder.ends_with(STARTING) => LockState::Starting,
        Ok(Some(_)) => LockState::Held,
        Ok(None) | Err(_) => LockState::Free,
    }
}

/// The text that the lock's holder wrote into its file. `None`: no process holds the lock.
fn lock_holder(path: &Path) -> io::Result<Option<String>> {
    let mut lock = match File::open(path.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if try_lock_for(&lock, Duration::ZERO)? {
        return Ok(None);
    }
    let mut holder = String::new();
    // Best effort: the text only explains the lock.
    let _ = lock.read_to_string(&mut holder);
    Ok(Some(holder.trim().to_owned()))
}
