//! A store's folder seen from outside, for `heardback doctor`: is it there, is it in use, can this
//! release read it?
//!
//! Deliberately not by opening the store. That would heal it, make files that belong to whoever looks
//! (root, often), and take the lock from a service that starts just then for as long as every record
//! takes to read. The lock is only tried, and given back at once; a service that starts waits longer.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use crate::store::sled::disk::data_dir::{Folder, OpenError, STARTING, locked};
use crate::store::sled::disk::file_names::{DB_FILE, FORMAT_FILE, LOCK_FILE};

/// How a store's folder looks.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreProbe {
    /// There is no store yet; `serve` will make it.
    Absent,
    /// A process has it open.
    InUse {
        /// What that wrote into the lock file.
        holder: String,
    },
    /// The store exists, this release reads its format, and no process has it open. Its records were not read.
    Free,
}

/// Looks at a store's folder, and changes nothing in it.
///
/// # Errors
/// What would keep this release from opening it, as far as that shows from outside.
pub fn probe(path: &Path) -> Result<StoreProbe, OpenError> {
    let folder = Folder { path };
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(StoreProbe::Absent),
        Err(error) => return Err(folder.io("look at", error)),
        Ok(found) if !found.is_dir() => {
            return Err(folder.io("open", io::ErrorKind::NotADirectory.into()));
        }
        Ok(_) => {}
    }
    if let Some(holder) = holder(path).map_err(|error| folder.io("look at the lock of", error))? {
        return Ok(StoreProbe::InUse { holder });
    }
    let is_there = |name: &str| path.join(name).exists();
    if !is_there(FORMAT_FILE) && !is_there(DB_FILE) {
        return Ok(StoreProbe::Absent);
    }
    if folder.check_format()? {
        folder.noted()?;
    }
    Ok(StoreProbe::Free)
}

/// Whether a process holds a store's lock, and whether it still reads the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// No process holds it, or its file cannot be read.
    Free,
    /// A starting service holds it: it answers commands once it listens.
    Starting,
    /// Any other process holds it.
    Held,
}

/// The state of a store's lock.
pub fn lock(path: &Path) -> Lock {
    match holder(path) {
        Ok(Some(holder)) if holder.ends_with(STARTING) => Lock::Starting,
        Ok(Some(_)) => Lock::Held,
        Ok(None) | Err(_) => Lock::Free,
    }
}

/// The text that the lock's holder wrote into its file.
fn holder(path: &Path) -> io::Result<Option<String>> {
    let mut lock = match File::open(path.join(LOCK_FILE)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if locked(&lock, Duration::ZERO)? {
        return Ok(None);
    }
    let mut holder = String::new();
    // Best effort: the lock is what counts.
    let _ = lock.read_to_string(&mut holder);
    Ok(Some(holder.trim().to_owned()))
}
