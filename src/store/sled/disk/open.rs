//! Opening: our lock, our format, then what sled cannot heal by itself, then sled, then a reading of
//! every record. Whatever is refused is refused before a file is touched, where that can be told.

use std::fs::{self, File};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use crate::domain::address::RecipientHashKey;
use crate::domain::clock::LastSeen;
use crate::store::sled::disk::data_dir::{
    Folder, OpenError, StoreLock, note_holder, note_starting,
};
use crate::store::sled::disk::file_names::{DB_FILE, FORMAT};
use crate::store::sled::disk::path_guard::PathGuard;
use crate::store::sled::disk::path_marker::PathMarker;
use crate::store::sled::disk::pre_open_copy::{Copy, sled_files};
use crate::store::sled::disk::usage::free_space;
use crate::store::sled::hooks::FreeSpace;
use crate::store::sled::index::IndexBuilder;
use crate::store::sled::integrity::scan::{ScanResult, survey};
use crate::store::sled::integrity::seal::{Seal, SealFile, SealedCount};
use crate::store::sled::keys;
use crate::store::sled::options::Options;
use crate::store::sled::record::{decode, encode};
use ::sled::{Db, Tree};
use secrecy::SecretSlice;

/// What sled keeps in memory of a store that is only looked at, in bytes.
pub(crate) const STILL_CACHE: u64 = 8 << 20;

/// An open store, before anything is read from it.
pub(crate) struct Opened {
    pub(crate) db: Db,
    pub(crate) tree: Tree,
    /// Our own handle on sled's file, to sync it.
    pub(crate) file: File,
    /// Notices that the path no longer names that file.
    pub(crate) guard: PathGuard,
    /// Where the number of batches goes after each sync.
    pub(crate) seal: SealFile,
    pub(crate) person_key: RecipientHashKey,
    /// The secret of the key, if it is in the store.
    pub(crate) own_person_key: Option<SecretSlice<u8>>,
    pub(crate) surveyed: ScanResult,
    /// The clock at one of the last commits.
    pub(crate) last_seen: Option<LastSeen>,
    /// Held as long as the store is.
    pub(crate) lock: StoreLock,
    /// Whether the expected end of the log is unknown.
    pub(crate) is_end_unverified: bool,
}

pub(crate) fn open(options: &Options) -> Result<Opened, OpenError> {
    let Options { path, lock_patience: patience, .. } = options;
    let folder = Folder { path };
    let marker = options.marks_path.then(|| PathMarker::of(path)).flatten();
    if options.must_be_there {
        folder.check_there()?;
    } else {
        marker.as_ref().map_or(Ok(()), |marker| folder.check_not_gone(marker))?;
        folder.create()?;
    }
    let lock = folder.lock(*patience)?;
    let complete = folder.check_format()?;
    if options.must_be_there && !complete {
        return Err(OpenError::Absent { path: folder.name() });
    }
    let noted = complete.then(|| folder.noted()).transpose()?;
    let note = if options.must_be_there { note_holder } else { note_starting };
    note(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    folder.await_sled(*patience)?;
    let (Read { db, tree, surveyed }, (person_key, own_person_key)) =
        folder.keeping_a_copy(&options.free_space, || {
            let places = IndexBuilder::by(options.policy);
            let read = folder.read_through(noted, options.cache, Some(places))?;
            let person_key = folder.person_key(&read.tree, complete, options)?;
            Ok((read, person_key))
        })?;
    let file = File::open(path.join(DB_FILE)).map_err(|error| folder.io("open", error))?;
    db.flush().map_err(|error| folder.damaged(&error.to_string()))?;
    folder.sync(&file).map_err(|error| folder.io("sync", error))?;
    let seal = SealFile::open(path).and_then(|seal| {
        seal.note(surveyed.seal.batches)?;
        Ok(seal)
    });
    let seal = seal.map_err(|error| folder.io("write the SEAL file of", error))?;
    if !complete {
        // The name of the seal's file is synced before the store is complete: without it, a complete store is refused.
        let synced = File::open(path).and_then(|folder| folder.sync_all());
        synced.map_err(|error| folder.io("sync", error))?;
        folder.write_format(&format!("{FORMAT}\n"))?;
    }
    if let Some(marker) = marker {
        marker.write();
    }
    let guard = PathGuard::of(path, &file).map_err(|error| folder.io("look at", error))?;
    let is_end_unverified = noted == Some(SealedCount::Torn);
    if is_end_unverified {
        tracing::warn!(
            path = %folder.name(),
            "the SEAL file of the store {} holds no number, as after a power cut: whether records are missing from the end \
             of the log is not known; `heardback verify-store` reads those that are there",
            folder.name()
        );
    }
    let last_seen =
        tree.get(keys::LAST_SEEN).map_err(|error| folder.damaged(&error.to_string()))?;
    let last_seen = last_seen.and_then(|value| keys::read_last_seen(&value));
    Ok(Opened {
        db,
        tree,
        file,
        guard,
        seal,
        person_key,
        own_person_key,
        surveyed,
        last_seen,
        lock,
        is_end_unverified,
    })
}

/// Opens a store that is to be looked at, and not to be served: nothing is taken back, and it keeps its keys.
pub(crate) fn open_read_only(path: &Path, patience: Duration) -> Result<Still, OpenError> {
    let folder = Folder { path };
    folder.check_there()?;
    let lock = folder.lock(patience)?;
    let complete = folder.check_format()?;
    if !complete {
        return Err(OpenError::Absent { path: folder.name() });
    }
    let noted = Some(folder.noted()?);
    note_holder(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    folder.await_sled(patience)?;
    let read = folder
        .keeping_a_copy(&free_space(path), || folder.read_through(noted, STILL_CACHE, None))?;
    let file = File::open(path.join(DB_FILE)).map_err(|error| folder.io("open", error))?;
    read.db.flush().map_err(|error| folder.damaged(&error.to_string()))?;
    folder.sync(&file).map_err(|error| folder.io("sync", error))?;
    Ok(Still { read, _lock: lock })
}

/// A store that is only looked at.
pub(crate) struct Still {
    // Dropped in this order.
    pub(crate) read: Read,
    _lock: StoreLock,
}

/// What sled holds, read through.
pub(crate) struct Read {
    pub(crate) db: Db,
    pub(crate) tree: Tree,
    pub(crate) surveyed: ScanResult,
}

/// Pending messages cannot be found by their recipients any more once the key is another one.
fn check_person_key(tree: &Tree, key: &RecipientHashKey) -> Result<(), String> {
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

impl Folder<'_> {
    /// If it cannot be read, the files are what they were before.
    fn keeping_a_copy<T>(
        &self,
        free_space: &FreeSpace,
        read: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let copy = Copy::make(self.path, free_space).map_err(|error| self.io("copy", error))?;
        let read = read();
        match &read {
            Ok(_) => copy.discard().map_err(|error| self.io("tidy", error))?,
            // What the operator is told to keep a copy of must be what was there.
            Err(_) => copy.restore().map_err(|error| self.io("put back the files of", error))?,
        }
        read
    }

    /// `noted`: the content of the seal's file; `None` for a store that was not made completely.
    fn read_through(
        &self,
        noted: Option<SealedCount>,
        cache: u64,
        places: Option<IndexBuilder>,
    ) -> Result<Read, OpenError> {
        let complete = noted.is_some();
        let db = match self.open_sled(cache) {
            Err(OpenError::Damaged { what, .. }) if !complete => {
                // Nobody was ever answered for this store: its making was cut short.
                tracing::warn!(what, "the store was not made completely; making it anew");
                self.clear().map_err(|error| self.io("make anew", error))?;
                self.open_sled(cache)?
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
        let noted = match noted {
            Some(SealedCount::Batches(batches)) => Some(batches),
            Some(SealedCount::Torn | SealedCount::Missing) | None => None,
        };
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| survey(&tree, noted, places)));
        let surveyed = read
            .map_err(|_| self.damaged("sled panicked while reading it"))?
            .map_err(|loss| damaged(&loss))?;
        Ok(Read { db, tree, surveyed })
    }

    fn person_key(
        &self,
        tree: &Tree,
        complete: bool,
        options: &Options,
    ) -> Result<(RecipientHashKey, Option<SecretSlice<u8>>), OpenError> {
        let damaged = |what: &dyn std::fmt::Display| self.damaged(&what.to_string());
        let stored = tree.get(keys::PERSON_KEY).map_err(|error| damaged(&error))?;
        let check = tree.get(keys::PERSON_CHECK).map_err(|error| damaged(&error))?;
        if complete && check.is_none() {
            return Err(self.damaged("its first record is gone"));
        }
        let secret = match (options.person_key.as_deref(), stored) {
            (Some(given), _) => given.to_vec(),
            (None, Some(stored)) => decode(&stored).map_err(|error| damaged(&error))?,
            // A key of our own would find nobody whom the lost one stood for.
            (None, None) if complete => {
                return Err(OpenError::NoPersonKey { path: self.name() });
            }
            (None, None) => {
                let mut secret = vec![0; 32];
                #[expect(clippy::disallowed_methods, reason = "the store makes its own secret")]
                getrandom::fill(&mut secret)
                    .map_err(|error| self.io("read", io::Error::other(error)))?;
                let value = encode(&secret).map_err(|error| damaged(&error))?;
                tree.insert(keys::PERSON_KEY, value).map_err(|error| damaged(&error))?;
                secret
            }
        };
        let person_key = RecipientHashKey::new(&secret);
        let fits = check.is_some_and(|check| *check == person_key.check());
        if options.must_be_there && !fits {
            return Err(OpenError::OtherPersonKey { path: self.name() });
        }
        check_person_key(tree, &person_key).map_err(|what| damaged(&what))?;
        let is_own = options.person_key.is_none();
        Ok((person_key, is_own.then(|| secret.into())))
    }

    /// Removes sled's files.
    fn clear(&self) -> io::Result<()> {
        for name in sled_files(self.path)? {
            fs::remove_file(self.path.join(name))?;
        }
        Ok(())
    }
}
