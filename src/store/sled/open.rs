//! Opening: our lock, our format, then what sled cannot heal by itself, then sled, then a reading of
//! every record. Whatever is refused is refused before a file is touched, where that can be told.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::sled::{Config, Db, Tree};

use crate::domain::address::PersonKey;
use crate::store::sled::keys;
use crate::store::sled::record::{decode, encode};

/// The format that this release writes, and the only one it reads.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "heardback.lock";
const DB_FILE: &str = "db";
/// Where a damaged snapshot goes. sled builds a new one from its log.
const ASIDE: &str = "set-aside";

/// sled keeps about twice this in memory; its default of 1 GB would kill a small machine.
const CACHE: u64 = 8 << 20;
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
    pub(super) person_key: PersonKey,
    /// Held as long as the store is.
    pub(super) lock: File,
}

pub(super) fn open(
    path: &Path,
    person_key: Option<&[u8]>,
    patience: Duration,
) -> Result<Opened, OpenError> {
    let folder = Folder { path };
    folder.create()?;
    let lock = folder.lock(patience)?;
    let complete = folder.check_format()?;
    let db = folder.open_sled()?;
    let tree: Tree = (*db).clone();
    let damaged = |what: &dyn std::fmt::Display| folder.damaged(&what.to_string());
    let stored = tree.get(keys::PERSON_KEY).map_err(|error| damaged(&error))?;
    if complete && tree.get(keys::PERSON_CHECK).map_err(|error| damaged(&error))?.is_none() {
        return Err(folder.damaged("its first record is gone"));
    }
    let secret = match (person_key, stored) {
        (Some(given), _) => given.to_vec(),
        (None, Some(stored)) => decode(&stored).map_err(|error| damaged(&error))?,
        (None, None) => {
            let mut secret = vec![0; 32];
            getrandom::fill(&mut secret)
                .map_err(|error| folder.io("read", io::Error::other(error)))?;
            let value = encode(&secret).map_err(|error| damaged(&error))?;
            tree.insert(keys::PERSON_KEY, value).map_err(|error| damaged(&error))?;
            secret
        }
    };
    let person_key = PersonKey::new(&secret);
    check_person_key(&tree, &person_key).map_err(|what| damaged(&what))?;
    let file = File::open(path.join(DB_FILE)).map_err(|error| folder.io("open", error))?;
    db.flush().map_err(|error| damaged(&error))?;
    folder.sync(&file).map_err(|error| folder.io("sync", error))?;
    if !complete {
        folder.write_format(&format!("{FORMAT}\n"))?;
    }
    Ok(Opened { db, tree, file, person_key, lock })
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

struct Folder<'a> {
    path: &'a Path,
}

impl Folder<'_> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, doing: &'static str, error: io::Error) -> OpenError {
        OpenError::Io { doing, path: self.name(), error }
    }

    fn damaged(&self, what: &str) -> OpenError {
        OpenError::Damaged { path: self.name(), what: what.to_owned() }
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
        let holder = format!("pid {}\n", std::process::id());
        let noted = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(holder.as_bytes()));
        noted.map_err(|error| self.io("write the lock file of", error))?;
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
            Err(error) => return Err(self.io("read the FORMAT file of", error)),
        };
        let mut words = text.split_whitespace();
        let found = words.next().and_then(|word| word.parse::<u32>().ok()).ok_or_else(|| {
            OpenError::NotOurs {
                path: self.name(),
                what: format!("its {FORMAT_FILE} file holds no number"),
            }
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

    /// Opens sled, healing what it cannot heal itself (`facts/sled.md` §0.3).
    fn open_sled(&self) -> Result<Db, OpenError> {
        for unfinished in self.snapshots()?.iter().filter(|name| is_unfinished(name)) {
            tracing::warn!(file = %unfinished.display(), "removing an unfinished snapshot of sled's");
            fs::remove_file(unfinished).map_err(|error| self.io("heal", error))?;
        }
        let first = match self.try_sled() {
            Ok(db) => return Ok(db),
            Err(error) => error,
        };
        let snapshots = self.snapshots()?;
        if snapshots.is_empty() {
            return Err(self.damaged(&first));
        }
        tracing::warn!(error = %first, "sled cannot open; trying without its snapshots");
        let aside = self.path.join(ASIDE);
        let moved = |from: &Path, to: &Path| -> io::Result<()> {
            fs::create_dir_all(to)?;
            for snapshot in &snapshots {
                let name = snapshot.file_name().unwrap_or_default();
                fs::rename(from.join(name), to.join(name))?;
            }
            Ok(())
        };
        moved(self.path, &aside).map_err(|error| self.io("heal", error))?;
        self.try_sled().map_err(|second| {
            let back = moved(&aside, self.path).and_then(|()| fs::remove_dir(&aside));
            match back {
                Ok(()) => self.damaged(&second),
                Err(error) => self.io("put the snapshots back into", error),
            }
        })
    }

    /// sled panics over some kinds of damage instead of returning an error.
    fn try_sled(&self) -> Result<Db, String> {
        let config = Config::new().path(self.path).cache_capacity(CACHE).flush_every_ms(Some(500));
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
        opened
            .map_err(|_| "sled panicked while opening it".to_owned())?
            .map_err(|error| error.to_string())
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

    /// Once after opening: files and folders themselves, not only what is in the log.
    fn sync(&self, db: &File) -> io::Result<()> {
        db.sync_all()?;
        File::open(self.path.join("conf"))?.sync_all()?;
        File::open(self.path)?.sync_all()?;
        let parent = self.path.canonicalize()?.parent().map(Path::to_path_buf);
        parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

fn is_unfinished(snapshot: &Path) -> bool {
    snapshot.extension().is_some_and(|extension| extension == "generating")
}
