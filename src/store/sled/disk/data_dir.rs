//! The store's folder: its lock, its `FORMAT` file, its sync after the opening, and the errors of an opening.
//! Deliberately absent: sled's records.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::store::sled::disk::access::AccessDenied;
use crate::store::sled::disk::file_names::{
    DB_FILE, EXIT_GONE, FORMAT, FORMAT_DRAFT, FORMAT_FILE, LOCK_FILE, RESTORING,
};
use crate::store::sled::disk::path_guard::PathClaim;
use crate::store::sled::disk::path_marker::PathMarker;
use crate::store::sled::integrity::seal::{SEAL_FILE, SealFile, SealedCount};

/// The holder in an error if the lock is free but the path is claimed: the held lock file moved with its folder.
const DISPLACED_HOLDER: &str =
    "its folder was moved or deleted; a service detects that within seconds and ends";
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// Why a store cannot be opened. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error(
        "the store {path} is in use by another process ({holder}); stop that process first, or \
         point HEARDBACK_STORE at another folder"
    )]
    InUse {
        path: String,
        /// The text in the lock file.
        holder: String,
    },
    #[error(
        "the store {path} has format {found}, and this release reads only format {FORMAT}; install the release \
         that wrote it"
    )]
    NewerFormat { path: String, found: u32 },
    #[error(
        "the store {path} has format {found}, and this release reads only format {FORMAT}; run `heardback export` of \
         the release that wrote it, move the folder away, and run `heardback import` of this release"
    )]
    OlderFormat { path: String, found: u32 },
    /// The folder holds no store.
    #[error(
        "there is no store in {path}; `heardback serve` creates one at its first start; to use another store, \
         set --store or HEARDBACK_STORE"
    )]
    Absent { path: String },
    /// A service had a store at this path, and there is none now.
    #[error(
        "the store {path} is missing: {marker} shows that a service had a store there. No empty store was created. If the \
         folder was moved, move it back; if its volume is not mounted, mount it; if it was deleted, restore the latest \
         backup with `heardback restore`. To begin with an empty store, delete {marker}"
    )]
    Gone { path: String, marker: String },
    /// A restore was interrupted.
    #[error(
        "the store {path} is incomplete, because a restore was interrupted; run `heardback restore` \
         again"
    )]
    HalfRestored { path: String },
    /// The folder holds files, but no valid store.
    #[error("{path} is not a Heardback store ({what}); point HEARDBACK_STORE at an empty folder")]
    NotOurs {
        path: String,
        /// The sign that this is no store.
        what: String,
    },
    /// The recipient hash key is neither in the store nor in the settings.
    #[error(
        "the store {path} has no recipient hash key of its own: it was created with \
         HEARDBACK_PHONE_KEY, so set that to the key it had (if that was never set, the store is \
         damaged: restore it from a backup)"
    )]
    NoPersonKey { path: String },
    /// The store was created with another recipient hash key than that of the settings.
    #[error(
        "HEARDBACK_PHONE_KEY is not the key that the store {path} was created with, so no recipient \
         would be found in it; set it to the service's key"
    )]
    OtherPersonKey { path: String },
    #[error(
        "the store {path} is damaged ({what}); keep a copy of the folder, and restore it from a \
         backup with `heardback restore` (on Fly: or from a snapshot of the volume)"
    )]
    Damaged {
        path: String,
        /// The damage.
        what: String,
    },
    /// The `SEAL` file, which holds the number of synced batches, is missing.
    #[error(
        "the store {path} has no {SEAL_FILE} file, so records lost from the end of its log would not be detected; put \
         that file back, or restore it from a backup with `heardback restore`; if only {SEAL_FILE} was deleted, `touch \
         {path}/{SEAL_FILE}` accepts the existing records"
    )]
    SealMissing { path: String },
    #[error("cannot {doing} {path}: Permission denied; {denied}")]
    Denied {
        doing: &'static str,
        path: String,
        /// The file or folder, its owner, and the command that grants access.
        denied: AccessDenied,
    },
    /// A system call failed.
    #[error("cannot {doing} {path}: {error}")]
    Io { doing: &'static str, path: String, error: io::Error },
}

impl OpenError {
    /// The exit code of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Gone { .. }) { EXIT_GONE } else { 1 }
    }
}

/// Excludes other processes from a store until it is dropped.
pub(crate) struct StoreLock {
    file: File,
    _claim: PathClaim,
}

pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
}

impl Folder<'_> {
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn io(&self, doing: &'static str, error: io::Error) -> OpenError {
        let denied = (error.kind() == io::ErrorKind::PermissionDenied)
            .then(|| AccessDenied::find(self.path))
            .flatten();
        match denied {
            Some(denied) => OpenError::Denied { doing, path: self.name(), denied },
            None => OpenError::Io { doing, path: self.name(), error },
        }
    }

    pub(crate) fn damaged(&self, what: &str) -> OpenError {
        OpenError::Damaged { path: self.name(), what: what.to_owned() }
    }

    /// Waits for sled's own lock. It outlives our handles briefly, and longer if another tool has opened the folder.
    pub(crate) fn wait_for_sled_lock(&self, timeout: Duration) -> Result<(), OpenError> {
        let db = match File::open(self.path.join(DB_FILE)) {
            Ok(db) => db,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io("open", error)),
        };
        if try_lock_for(&db, timeout).map_err(|error| self.io("lock", error))? {
            return Ok(());
        }
        let holder = "unknown; it holds only sled's own lock".to_owned();
        Err(OpenError::InUse { path: self.name(), holder })
    }

    pub(crate) fn check_exists(&self) -> Result<(), OpenError> {
        if self.has_store()? {
            return Ok(());
        }
        Err(OpenError::Absent { path: self.name() })
    }

    /// Whether the folder holds a store. An unreadable folder is an error, not an absent store.
    fn has_store(&self) -> Result<bool, OpenError> {
        let exists = |name: &str| self.path.join(name).try_exists();
        exists(FORMAT_FILE)
            .and_then(|format| Ok(format || exists(DB_FILE)?))
            .map_err(|error| self.io("open", error))
    }

    /// Refuses to create a store where a service had one. Creates nothing, so the folder can be moved back.
    pub(crate) fn check_not_gone(&self, marker: &PathMarker) -> Result<(), OpenError> {
        if !marker.exists() || self.has_store()? {
            return Ok(());
        }
        // That service may still run, on the moved or deleted folder.
        if PathClaim::take(self.path).is_none() {
            return Err(OpenError::InUse {
                path: self.name(),
                holder: DISPLACED_HOLDER.to_owned(),
            });
        }
        Err(OpenError::Gone { path: self.name(), marker: marker.name() })
    }

    pub(crate) fn create(&self) -> Result<(), OpenError> {
        use std::os::unix::fs::DirBuilderExt;
        let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(self.path);
        created.map_err(|error| self.io("create", error))
    }

    /// Locks the store, and waits this long for another process: a rolling restart needs a moment, and sled's own lock
    /// does not wait.
    pub(crate) fn lock(&self, timeout: Duration) -> Result<StoreLock, OpenError> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.path.join(LOCK_FILE))
            .map_err(|error| self.io("open the lock file of", error))?;
        if try_lock_for(&file, timeout).map_err(|error| self.io("lock", error))? {
            let claim = retry_for(timeout, || Ok(PathClaim::take(self.path)))
                .map_err(|error| self.io("claim the path", error))?;
            return match claim {
                Some(claim) => Ok(StoreLock { file, _claim: claim }),
                None => {
                    Err(OpenError::InUse { path: self.name(), holder: DISPLACED_HOLDER.to_owned() })
                }
            };
        }
        let mut holder = String::new();
        // Best effort: the text only explains the error.
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.is_empty() { "unknown" } else { holder.trim() };
        Err(OpenError::InUse { path: self.name(), holder: holder.to_owned() })
    }

    /// Whether the store was created completely. Refuses a store of another format.
    pub(crate) fn check_format(&self) -> Result<bool, OpenError> {
        let has_db = self.path.join(DB_FILE).exists();
        let text = match fs::read_to_string(self.path.join(FORMAT_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !has_db => {
                self.write_format(&format!("{FORMAT} creating\n"))?;
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = format!("it has a sled database, but no {FORMAT_FILE} file");
                return Err(OpenError::NotOurs { path: self.name(), what });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = format!("its {FORMAT_FILE} file is not text");
                return Err(OpenError::NotOurs { path: self.name(), what });
            }
            Err(error) => return Err(self.io("read the FORMAT file of", error)),
        };
        if text.trim_end() == RESTORING {
            return Err(OpenError::HalfRestored { path: self.name() });
        }
        let mut words = text.split_whitespace();
        let number = words.next().and_then(|word| word.parse::<u32>().ok());
        let found = number.filter(|found| *found > 0).ok_or_else(|| OpenError::NotOurs {
            path: self.name(),
            what: format!("its {FORMAT_FILE} file holds no number"),
        })?;
        if found > FORMAT {
            return Err(OpenError::NewerFormat { path: self.name(), found });
        }
        if found < FORMAT {
            return Err(OpenError::OlderFormat { path: self.name(), found });
        }
        let complete = words.next().is_none();
        if complete && !has_db {
            return Err(self.damaged("sled's file `db` is missing"));
        }
        Ok(complete)
    }

    /// Reads the `SEAL` file of a complete store. Refuses a store without it.
    pub(crate) fn sealed_count(&self) -> Result<SealedCount, OpenError> {
        match SealFile::read(self.path).map_err(|error| self.io("read the SEAL file of", error))? {
            SealedCount::Missing => Err(OpenError::SealMissing { path: self.name() }),
            sealed @ (SealedCount::Batches(_) | SealedCount::Torn) => Ok(sealed),
        }
    }

    pub(crate) fn write_format(&self, text: &str) -> Result<(), OpenError> {
        let write = || -> io::Result<()> {
            let draft = self.path.join(FORMAT_DRAFT);
            let mut file = File::create(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, self.path.join(FORMAT_FILE))?;
            File::open(self.path)?.sync_all()
        };
        write().map_err(|error| self.io("write the FORMAT file of", error))
    }

    /// Syncs the files and folders themselves, once after the opening. A commit syncs only the log.
    pub(crate) fn sync(&self, db: &File) -> io::Result<()> {
        db.sync_all()?;
        File::open(self.path.join("conf"))?.sync_all()?;
        File::open(self.path)?.sync_all()?;
        let parent = self.path.canonicalize()?.parent().map(Path::to_path_buf);
        parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

/// Tries for this long to lock a file. Returns whether it is locked now.
pub(crate) fn try_lock_for(file: &File, timeout: Duration) -> io::Result<bool> {
    let lock = retry_for(timeout, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    });
    Ok(lock?.is_some())
}

/// Retries until the attempt succeeds. `None`: it did not succeed within this time.
#[expect(
    clippy::disallowed_methods,
    reason = "measures the wait for a lock, before any clock is injected"
)]
fn retry_for<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let began = Instant::now();
    loop {
        let result = attempt()?;
        if result.is_some() || began.elapsed() >= timeout {
            return Ok(result);
        }
        std::thread::park_timeout(LOCK_RETRY);
    }
}

/// Writes the holder's process id into the lock file.
pub(crate) fn note_holder(lock: &StoreLock) -> io::Result<()> {
    write_holder(&lock.file, "")
}

/// Writes the process id of a service that still reads its store and does not listen yet.
pub(crate) fn note_starting(lock: &StoreLock) -> io::Result<()> {
    write_holder(&lock.file, STARTING)
}

/// The suffix that [`note_starting`] adds to the process id.
pub(crate) const STARTING: &str = ", starting";

fn write_holder(mut lock: &File, state: &str) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("pid {}{state}\n", std::process::id()).as_bytes())
}
