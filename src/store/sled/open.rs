//! Opening: our lock, our format, then what sled cannot heal by itself, then sled, then a reading of
//! every record. Whatever is refused is refused before a file is touched, where that can be told.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::{Duration, Instant};

use ::sled::{Db, Tree};

use crate::domain::address::PersonKey;
use crate::store::sled::copy::{Copy, sled_files};
use crate::store::sled::keys;
use crate::store::sled::ledger::FreeSpace;
use crate::store::sled::record::{decode, encode};
use crate::store::sled::seal::{Seal, SealFile};
use crate::store::sled::survey::{Surveyed, survey};

/// The format that this release writes, and the only one it reads.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "heardback.lock";
pub(super) const DB_FILE: &str = "db";

/// A rolling restart may overlap with the old process by so much.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(10);
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
        /// The folder.
        path: String,
        /// Who wrote into the lock file.
        holder: String,
    },
    /// A newer release wrote it.
    #[error(
        "the store {path} has format {found}, this release reads up to {FORMAT}; install the \
         release that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The folder.
        path: String,
        /// Its format.
        found: u32,
    },
    /// There is something in the folder, but not ours.
    #[error("{path} is not a Heardback store ({what}); point HEARDBACK_STORE at an empty folder")]
    NotOurs {
        /// The folder.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// It is damaged.
    #[error(
        "the store {path} is damaged ({what}); keep a copy of the folder, and restore it from a \
         backup (on Fly: a snapshot of the volume)"
    )]
    Damaged {
        /// The folder.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The system refuses.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

/// An open store, before anything is read from it.
pub(super) struct Opened {
    pub(super) db: Db,
    pub(super) tree: Tree,
    /// Our own handle on sled's file, to sync it.
    pub(super) file: File,
    /// Where the number of batches goes after each sync.
    pub(super) seal: SealFile,
    pub(super) person_key: PersonKey,
    pub(super) surveyed: Surveyed,
    /// Held as long as the store is.
    pub(super) lock: File,
}

pub(super) fn open(
    path: &Path,
    person_key: Option<&[u8]>,
    patience: Duration,
    free_space: &FreeSpace,
) -> Result<Opened, OpenError> {
    let folder = Folder { path };
    folder.create()?;
    let lock = folder.lock(patience)?;
    let complete = folder.check_format()?;
    note_holder(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    folder.await_sled(patience)?;
    let copy = Copy::make(path, free_space).map_err(|error| folder.io("copy", error))?;
    let records = folder.records(complete, person_key);
    match &records {
        Ok(_) => copy.discard().map_err(|error| folder.io("tidy", error))?,
        // What the operator is told to keep a copy of must be what was there.
        Err(_) => copy.restore().map_err(|error| folder.io("put back the files of", error))?,
    }
    let Records { db, tree, surveyed, person_key } = records?;
    let file = File::open(path.join(DB_FILE)).map_err(|error| folder.io("open", error))?;
    db.flush().map_err(|error| folder.damaged(&error.to_string()))?;
    folder.sync(&file).map_err(|error| folder.io("sync", error))?;
    let seal = SealFile::open(path).and_then(|seal| {
        seal.note(surveyed.seal.batches)?;
        Ok(seal)
    });
    let seal = seal.map_err(|error| folder.io("write the SEAL file of", error))?;
    if !complete {
        folder.write_format(&format!("{FORMAT}\n"))?;
    }
    Ok(Opened { db, tree, file, seal, person_key, surveyed, lock })
}

/// Says in the lock file who holds it, for whoever finds it taken.
fn note_holder(mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(format!("pid {}\n", std::process::id()).as_bytes())
}

/// What sled holds, read through.
struct Records {
    db: Db,
    tree: Tree,
    surveyed: Surveyed,
    person_key: PersonKey,
}

/// Pending messages cannot be found by their recipients any more once the key is another one.
fn check_person_key(tree: &Tree, key: &PersonKey) -> Result<(), String> {
    let check = key.check().to_vec();
    let known = tree.get(keys::PERSON_CHECK).map_err(|error| error.to_string())?;
    if let Some(known) = &known
        && **known != *check
    {
        tracing::warn!(
            "HEARDBACK_PHONE_KEY is not the key that this store was made with: replies cannot be \
             matched to messages that were registered before"
        );
    }
    if known.is_none_or(|known| *known != *check) {
        tree.insert(keys::PERSON_CHECK, check).map_err(|error| error.to_string())?;
    }
    Ok(())
}

pub(super) struct Folder<'a> {
    pub(super) path: &'a Path,
}

impl Folder<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn io(&self, doing: &'static str, error: io::Error) -> OpenError {
        OpenError::Io { doing, path: self.name(), error }
    }

    pub(super) fn damaged(&self, what: &str) -> OpenError {
        OpenError::Damaged { path: self.name(), what: what.to_owned() }
    }

    fn records(&self, complete: bool, person_key: Option<&[u8]>) -> Result<Records, OpenError> {
        let db = match self.open_sled() {
            Err(OpenError::Damaged { what, .. }) if !complete => {
                // Nobody was ever answered for this store: its making was cut short.
                tracing::warn!(what, "the store was not made completely; making it anew");
                self.clear().map_err(|error| self.io("make anew", error))?;
                self.open_sled()?
            }
            opened => opened?,
        };
        let tree: Tree = (*db).clone();
        let damaged = |what: &dyn std::fmt::Display| self.damaged(&what.to_string());
        if !complete {
            let unsealed = tree.get(keys::SEAL).map_err(|error| damaged(&error))?.is_none();
            if unsealed {
                let seal = Seal::default().to_bytes();
                tree.insert(keys::SEAL, &seal).map_err(|error| damaged(&error))?;
            }
        }
        let noted = SealFile::read(self.path).filter(|_| complete);
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| survey(&tree, noted)));
        let surveyed = read
            .map_err(|_| self.damaged("sled panicked while reading it"))?
            .map_err(|loss| damaged(&loss))?;
        let stored = tree.get(keys::PERSON_KEY).map_err(|error| damaged(&error))?;
        let check = tree.get(keys::PERSON_CHECK).map_err(|error| damaged(&error))?;
        if complete && check.is_none() {
            return Err(self.damaged("its first record is gone"));
        }
        let secret = match (person_key, stored) {
            (Some(given), _) => given.to_vec(),
            (None, Some(stored)) => decode(&stored).map_err(|error| damaged(&error))?,
            (None, None) => {
                let mut secret = vec![0; 32];
                getrandom::fill(&mut secret)
                    .map_err(|error| self.io("read", io::Error::other(error)))?;
                let value = encode(&secret).map_err(|error| damaged(&error))?;
                tree.insert(keys::PERSON_KEY, value).map_err(|error| damaged(&error))?;
                secret
            }
        };
        let person_key = PersonKey::new(&secret);
        check_person_key(&tree, &person_key).map_err(|what| damaged(&what))?;
        Ok(Records { db, tree, surveyed, person_key })
    }

    /// Removes sled's files.
    fn clear(&self) -> io::Result<()> {
        for name in sled_files(self.path)? {
            fs::remove_file(self.path.join(name))?;
        }
        Ok(())
    }

    /// sled's own lock outlives our handles on it by a moment, and by more if somebody else has
    /// opened the folder with another tool.
    fn await_sled(&self, patience: Duration) -> Result<(), OpenError> {
        let db = match File::open(self.path.join(DB_FILE)) {
            Ok(db) => db,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io("open", error)),
        };
        let began = Instant::now();
        loop {
            match db.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                    std::thread::park_timeout(LOCK_RETRY);
                }
                Err(TryLockError::WouldBlock) => {
                    let holder = "unknown, it holds sled's lock only".to_owned();
                    return Err(OpenError::InUse { path: self.name(), holder });
                }
                Err(TryLockError::Error(error)) => return Err(self.io("lock", error)),
            }
        }
    }

    fn create(&self) -> Result<(), OpenError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(self.path);
        made.map_err(|error| self.io("create", error))
    }

    /// sled's own lock gives up at once; a rolling restart needs a moment.
    fn lock(&self, patience: Duration) -> Result<File, OpenError> {
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.path.join(LOCK_FILE))
            .map_err(|error| self.io("open the lock file of", error))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                    std::thread::park_timeout(LOCK_RETRY);
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // Best effort: the lock is what counts.
                    let _ = lock.read_to_string(&mut holder);
                    let holder = if holder.is_empty() { "unknown" } else { holder.trim() };
                    return Err(OpenError::InUse { path: self.name(), holder: holder.to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(self.io("lock", error)),
            }
        }
        Ok(lock)
    }

    /// Whether the store was made completely. Refuses what this release cannot read.
    fn check_format(&self) -> Result<bool, OpenError> {
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
        let mut words = text.split_whitespace();
        let number = words.next().and_then(|word| word.parse::<u32>().ok());
        let found = number.filter(|found| *found > 0).ok_or_else(|| OpenError::NotOurs {
            path: self.name(),
            what: format!("its {FORMAT_FILE} file holds no number"),
        })?;
        if found > FORMAT {
            return Err(OpenError::NewerFormat { path: self.name(), found });
        }
        let complete = words.next().is_none();
        if complete && !has_db {
            return Err(self.damaged("sled's file `db` is gone"));
        }
        Ok(complete)
    }

    fn write_format(&self, text: &str) -> Result<(), OpenError> {
        let write = || -> io::Result<()> {
            let draft = self.path.join(".FORMAT.new");
            let mut file = File::create(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, self.path.join(FORMAT_FILE))?;
            File::open(self.path)?.sync_all()
        };
        write().map_err(|error| self.io("write the FORMAT file of", error))
    }

    /// Once after opening: files and folders themselves, not only what is in the log.
    fn sync(&self, db: &File) -> io::Result<()> {
        db.sync_all()?;
        File::open(self.path.join("conf"))?.sync_all()?;
        File::open(self.path)?.sync_all()?;
        let parent = self.path.canonicalize()?.parent().map(Path::to_path_buf);
        parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}
