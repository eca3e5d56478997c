//! The folder: ours alone while we run (a lock of our own), in a format that we read (a file of our
//! own), and synced as a whole once it is open.

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

/// The holder of a path whose lock is free: its own lock moved away with its folder.
const DISPLACED: &str =
    "its folder was moved or deleted; a service notices that within seconds and ends";
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// Why a store cannot be opened. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error(
        "the store {path} is in use by another process ({holder}); stop that one first, or point \
         HEARDBACK_STORE elsewhere"
    )]
    InUse {
        path: String,
        /// Who wrote into the lock file.
        holder: String,
    },
    /// A newer release wrote it.
    #[error(
        "the store {path} has format {found}, this release reads {FORMAT} only; install the release that wrote it"
    )]
    NewerFormat { path: String, found: u32 },
    /// An older release wrote it.
    #[error(
        "the store {path} has format {found}, this release reads {FORMAT} only; run `heardback export` of the release \
         that wrote it, move the folder away, and `heardback import` the file with this release"
    )]
    OlderFormat { path: String, found: u32 },
    /// There is none.
    #[error(
        "there is no store in {path}; `heardback serve` makes it at its first start, and --store or \
         HEARDBACK_STORE says where another lies"
    )]
    Absent { path: String },
    /// A service had a store at this path, and there is none now.
    #[error(
        "the store {path} is gone: {marker} shows that a service had a store there. No empty store was created. If the \
         folder was moved, move it back; if its volume is not mounted, mount it; if it was deleted, restore the latest \
         backup with `heardback restore`. To begin with an empty store, delete {marker}"
    )]
    Gone { path: String, marker: String },
    /// A restore was begun, and did not come to its end.
    #[error(
        "the store {path} was not restored to its end; run `heardback restore` again, which begins \
         anew"
    )]
    HalfRestored { path: String },
    /// There is something in the folder, but not ours.
    #[error("{path} is not a Heardback store ({what}); point HEARDBACK_STORE at an empty folder")]
    NotOurs {
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The key that hashes recipients is neither in it nor in the settings.
    #[error(
        "the store {path} holds no key of its own to hash recipients with: it was made with \
         HEARDBACK_PHONE_KEY, so set that to the key it had (if it never had one, the store is \
         damaged: restore it from a backup)"
    )]
    NoPersonKey { path: String },
    /// It was made with another key than the one in the settings.
    #[error(
        "HEARDBACK_PHONE_KEY is not the key that the store {path} was made with, so nobody would be \
         found in it; set it to the key that the service has"
    )]
    OtherPersonKey { path: String },
    /// It is damaged.
    #[error(
        "the store {path} is damaged ({what}); keep a copy of the folder, and restore it from a \
         backup with `heardback restore` (on Fly: or from a snapshot of the volume)"
    )]
    Damaged {
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The seal's file is gone: it holds the number of synced batches.
    #[error(
        "the store {path} has no {SEAL_FILE} file, so records lost from the end of its log would go unnoticed; put that \
         file back, or restore it from a backup with `heardback restore`; if nothing but {SEAL_FILE} was deleted, `touch \
         {path}/{SEAL_FILE}` accepts the records that are there"
    )]
    SealMissing { path: String },
    /// Access to the folder is denied.
    #[error("cannot {doing} {path}: Permission denied; {denied}")]
    Denied {
        doing: &'static str,
        path: String,
        /// The file or folder, its owner, and the command that helps.
        denied: AccessDenied,
    },
    /// The system refuses.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        doing: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

impl OpenError {
    /// The exit code of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Gone { .. }) { EXIT_GONE } else { 1 }
    }
}

/// Keeps other processes away from a store until it is dropped.
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

    /// sled's own lock outlives our handles on it by a moment, and by more if somebody else has
    /// opened the folder with another tool.
    pub(crate) fn await_sled(&self, patience: Duration) -> Result<(), OpenError> {
        let db = match File::open(self.path.join(DB_FILE)) {
            Ok(db) => db,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io("open", error)),
        };
        if locked(&db, patience).map_err(|error| self.io("lock", error))? {
            return Ok(());
        }
        let holder = "unknown, it holds sled's lock only".to_owned();
        Err(OpenError::InUse { path: self.name(), holder })
    }

    pub(crate) fn check_there(&self) -> Result<(), OpenError> {
        if self.has_store()? {
            return Ok(());
        }
        Err(OpenError::Absent { path: self.name() })
    }

    /// Whether the folder holds a store. A folder that cannot be read is an error, and not an absent store.
    fn has_store(&self) -> Result<bool, OpenError> {
        let is_there = |name: &str| self.path.join(name).try_exists();
        is_there(FORMAT_FILE)
            .and_then(|format| Ok(format || is_there(DB_FILE)?))
            .map_err(|error| self.io("open", error))
    }

    /// Refuses to create a store where a service had one. Creates nothing, so the folder can be moved back.
    pub(crate) fn check_not_gone(&self, marker: &PathMarker) -> Result<(), OpenError> {
        if !marker.exists() || self.has_store()? {
            return Ok(());
        }
        // That service may still run, on the moved or deleted folder.
        if PathClaim::take(self.path).is_none() {
            return Err(OpenError::InUse { path: self.name(), holder: DISPLACED.to_owned() });
        }
        Err(OpenError::Gone { path: self.name(), marker: marker.name() })
    }

    pub(crate) fn create(&self) -> Result<(), OpenError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(self.path);
        made.map_err(|error| self.io("create", error))
    }

    /// sled's own lock gives up at once; a rolling restart needs a moment.
    pub(crate) fn lock(&self, patience: Duration) -> Result<StoreLock, OpenError> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.path.join(LOCK_FILE))
            .map_err(|error| self.io("open the lock file of", error))?;
        if locked(&file, patience).map_err(|error| self.io("lock", error))? {
            let claim = awaited(patience, || Ok(PathClaim::take(self.path)))
                .map_err(|error| self.io("claim", error))?;
            return match claim {
                Some(claim) => Ok(StoreLock { file, _claim: claim }),
                None => Err(OpenError::InUse { path: self.name(), holder: DISPLACED.to_owned() }),
            };
        }
        let mut holder = String::new();
        // Best effort: the lock is what counts.
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.is_empty() { "unknown" } else { holder.trim() };
        Err(OpenError::InUse { path: self.name(), holder: holder.to_owned() })
    }

    /// Whether the store was made completely. Refuses a store of another format.
    pub(crate) fn check_format(&self) -> Result<bool, OpenError> {
        let has_db = self.path.join(DB_FILE).exists();
        let text = match fs::read_to_string(self.path.join(FORMAT_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !has_db => {
                self.write_format(&format!("{FORMAT} creating\n"))?;
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let what = format!("there is a sled database, but no {FORMAT_FILE} file");
                return Err(OpenError::NotOurs { path: self.name(), what });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = format!("its {FORMAT_FILE} file is no text");
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
            return Err(self.damaged("sled's file `db` is gone"));
        }
        Ok(complete)
    }

    /// The content of the seal's file of a complete store.
    pub(crate) fn noted(&self) -> Result<SealedCount, OpenError> {
        match SealFile::read(self.path).map_err(|error| self.io("read the SEAL file of", error))? {
            SealedCount::Missing => Err(OpenError::SealMissing { path: self.name() }),
            noted @ (SealedCount::Batches(_) | SealedCount::Torn) => Ok(noted),
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

    /// Once after opening: files and folders themselves, not only what is in the log.
    pub(crate) fn sync(&self, db: &File) -> io::Result<()> {
        db.sync_all()?;
        File::open(self.path.join("conf"))?.sync_all()?;
        File::open(self.path)?.sync_all()?;
        let parent = self.path.canonicalize()?.parent().map(Path::to_path_buf);
        parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

/// Takes a lock, waiting for it if need be. Returns whether it was to be had.
pub(crate) fn locked(file: &File, patience: Duration) -> io::Result<bool> {
    let lock = awaited(patience, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    });
    Ok(lock?.is_some())
}

/// Tries until it succeeds. `None`: not within this time.
#[expect(
    clippy::disallowed_methods,
    reason = "measures the wait for a lock, before any clock is injected"
)]
fn awaited<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let began = Instant::now();
    loop {
        let taken = attempt()?;
        if taken.is_some() || began.elapsed() >= patience {
            return Ok(taken);
        }
        std::thread::park_timeout(LOCK_RETRY);
    }
}

/// Writes the holder's process id into the lock file.
pub(crate) fn note_holder(lock: &StoreLock) -> io::Result<()> {
    note(&lock.file, "")
}

/// The same, for a service that still reads its store and does not listen yet.
pub(crate) fn note_starting(lock: &StoreLock) -> io::Result<()> {
    note(&lock.file, STARTING)
}

/// The text that [`note_starting`] adds to the holder's process id.
pub(crate) const STARTING: &str = ", starting";

fn note(mut lock: &File, state: &str) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("pid {}{state}\n", std::process::id()).as_bytes())
}
