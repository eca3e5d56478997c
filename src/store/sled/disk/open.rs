//! Opens a store: our lock, our format, the repairs that sled lacks, sled, then a scan of every record. A refusal comes
//! before any file changes, if the cause can be detected so early.

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
use crate::store::sled::disk::pre_open_copy::{PreOpenCopy, sled_files};
use crate::store::sled::disk::usage::free_space;
use crate::store::sled::hooks::FreeSpace;
use crate::store::sled::index::IndexBuilder;
use crate::store::sled::integrity::scan::{ScanResult, scan_records};
use crate::store::sled::integrity::seal::{Seal, SealFile, SealedCount};
use crate::store::sled::keys;
use crate::store::sled::options::Options;
use crate::store::sled::record::{decode, encode};
use ::sled::{Db, Tree};
use secrecy::SecretSlice;

/// sled's cache for a store that is only read, in bytes.
pub(crate) const READ_ONLY_CACHE: u64 = 8 << 20;

/// An open store, before anything is read from it.
pub(crate) struct Opened {
    pub(crate) db: Db,
    pub(crate) tree: Tree,
    /// Our own handle on sled's file, to sync it.
    pub(crate) file: File,
    /// Detects that the path no longer names that file.
    pub(crate) guard: PathGuard,
    /// Stores the number of batches after each sync.
    pub(crate) seal: SealFile,
    pub(crate) recipient_hash_key: RecipientHashKey,
    /// The secret of the key, if it is in the store.
    pub(crate) own_recipient_hash_key: Option<SecretSlice<u8>>,
    pub(crate) scan: ScanResult,
    /// The state of the clock at one of the last commits.
    pub(crate) last_seen: Option<LastSeen>,
    /// Excludes other processes while the store is open.
    pub(crate) lock: StoreLock,
    /// Whether the expected end of the log is unknown.
    pub(crate) is_end_unverified: bool,
}

pub(crate) fn open(options: &Options) -> Result<Opened, OpenError> {
    let Options { path, lock_timeout, .. } = options;
    let folder = Folder { path };
    let marker = options.marks_path.then(|| PathMarker::of(path)).flatten();
    if options.must_exist {
        folder.check_exists()?;
    } else {
        marker.as_ref().map_or(Ok(()), |marker| folder.check_not_gone(marker))?;
        folder.create()?;
    }
    let lock = folder.lock(*lock_timeout)?;
    let complete = folder.check_format()?;
    if options.must_exist && !complete {
        return Err(OpenError::Absent { path: folder.name() });
    }
    let sealed = complete.then(|| folder.sealed_count()).transpose()?;
    let note = if options.must_exist { note_holder } else { note_starting };
    note(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    folder.wait_for_sled_lock(*lock_timeout)?;
    let (ScannedDb { db, tree, scan }, (recipient_hash_key, own_recipient_hash_key)) = folder
        .with_copy(&options.free_space, || {
            let index = IndexBuilder::by(options.policy);
            let read = folder.open_and_scan(sealed, options.cache, Some(index))?;
            let recipient_hash_key = folder.recipient_hash_key(&read.tree, complete, options)?;
            Ok((read, recipient_hash_key))
        })?;
    let file = File::open(path.join(DB_FILE)).map_err(|error| folder.io("open", error))?;
    db.flush().map_err(|error| folder.damaged(&error.to_string()))?;
    folder.sync(&file).map_err(|error| folder.io("sync", error))?;
    let seal = SealFile::open(path).and_then(|seal| {
        seal.note(scan.seal.batches)?;
        Ok(seal)
    });
    let seal = seal.map_err(|error| folder.io("write the SEAL file of", error))?;
    if !complete {
        // The name of the seal's file is synced before the store is complete: without it, a complete store is refused.
        let result = File::open(path).and_then(|folder| folder.sync_all());
        result.map_err(|error| folder.io("sync", error))?;
        folder.write_format(&format!("{FORMAT}\n"))?;
    }
    if let Some(marker) = marker {
        marker.write();
    }
    let guard =
        PathGuard::of(path, &file).map_err(|error| folder.io("read the metadata of", error))?;
    let is_end_unverified = sealed == Some(SealedCount::Torn);
    if is_end_unverified {
        tracing::warn!(
            path = %folder.name(),
            "the SEAL file of the store {} holds no number, as after a power cut; records missing from the end of the \
             log would not be detected; `heardback verify-store` checks the existing ones",
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
        recipient_hash_key,
        own_recipient_hash_key,
        scan,
        last_seen,
        lock,
        is_end_unverified,
    })
}

/// Opens a store to read it, not to serve it: interrupted posts stay claimed, and the recipient hash key is not
/// touched.
pub(crate) fn open_read_only(path: &Path, timeout: Duration) -> Result<ReadOnlyStore, OpenError> {
    let folder = Folder { path };
    folder.check_exists()?;
    let lock = folder.lock(timeout)?;
    let complete = folder.check_format()?;
    if !complete {
        return Err(OpenError::Absent { path: folder.name() });
    }
    let sealed = Some(folder.sealed_count()?);
    note_holder(&lock).map_err(|error| folder.io("write the lock file of", error))?;
    folder.wait_for_sled_lock(timeout)?;
    let read = folder
        .with_copy(&free_space(path), || folder.open_and_scan(sealed, READ_ONLY_CACHE, None))?;
    let file = File::open(path.join(DB_FILE)).map_err(|error| folder.io("open", error))?;
    read.db.flush().map_err(|error| folder.damaged(&error.to_string()))?;
    folder.sync(&file).map_err(|error| folder.io("sync", error))?;
    Ok(ReadOnlyStore { read, _lock: lock })
}

/// A store that is only read.
pub(crate) struct ReadOnlyStore {
    // Dropped in this order: sled closes before the lock is free.
    pub(crate) read: ScannedDb,
    _lock: StoreLock,
}

/// sled's database after a scan of every record.
pub(crate) struct ScannedDb {
    pub(crate) db: Db,
    pub(crate) tree: Tree,
    pub(crate) scan: ScanResult,
}

/// Stores the check value of the recipient hash key, and warns if it changed: pending messages are found only with the
/// earlier key.
fn check_recipient_hash_key(tree: &Tree, key: &RecipientHashKey) -> Result<(), String> {
    let check = key.fingerprint().to_vec();
    let known = tree.get(keys::PERSON_CHECK).map_err(|error| error.to_string())?;
    if let Some(known) = &known
        && **known != *check
    {
        tracing::warn!(
            "HEARDBACK_PHONE_KEY is not the key that this store was created with: replies cannot be \
             matched to messages registered earlier"
        );
    }
    if known.is_none_or(|known| *known != *check) {
        tree.insert(keys::PERSON_CHECK, check).map_err(|error| error.to_string())?;
    }
    Ok(())
}

impl Folder<'_> {
    /// Copies sled's files before `read`, and restores the copy if `read` fails.
    fn with_copy<T>(
        &self,
        free_space: &FreeSpace,
        read: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let copy =
            PreOpenCopy::create(self.path, free_space).map_err(|error| self.io("copy", error))?;
        let read = read();
        match &read {
            Ok(_) => copy.discard().map_err(|error| self.io("delete the copy in", error))?,
            // The error says to keep a copy of the folder, so the folder must hold the original files.
            Err(_) => copy.restore().map_err(|error| self.io("restore the files of", error))?,
        }
        read
    }

    /// Opens sled and reads every record. `sealed`: the content of the `SEAL` file; `None` if the store was not created
    /// completely.
    fn open_and_scan(
        &self,
        sealed: Option<SealedCount>,
        cache: u64,
        index: Option<IndexBuilder>,
    ) -> Result<ScannedDb, OpenError> {
        let complete = sealed.is_some();
        let db = match self.open_sled(cache) {
            Err(OpenError::Damaged { what, .. }) if !complete => {
                // The store holds no acknowledged record, because its creation was interrupted.
                tracing::warn!(what, "the store's creation was interrupted; creating it again");
                self.clear().map_err(|error| self.io("delete sled's files in", error))?;
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
        let synced_batches = match sealed {
            Some(SealedCount::Batches(batches)) => Some(batches),
            Some(SealedCount::Torn | SealedCount::Missing) | None => None,
        };
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| {
            scan_records(&tree, synced_batches, index)
        }));
        let scan = read
            .map_err(|_| self.damaged("sled panicked while reading it"))?
            .map_err(|loss| damaged(&loss))?;
        Ok(ScannedDb { db, tree, scan })
    }

    fn recipient_hash_key(
        &self,
        tree: &Tree,
        complete: bool,
        options: &Options,
    ) -> Result<(RecipientHashKey, Option<SecretSlice<u8>>), OpenError> {
        let damaged = |what: &dyn std::fmt::Display| self.damaged(&what.to_string());
        let stored = tree.get(keys::RECIPIENT_HASH_KEY).map_err(|error| damaged(&error))?;
        let check = tree.get(keys::PERSON_CHECK).map_err(|error| damaged(&error))?;
        if complete && check.is_none() {
            return Err(self.damaged("its first record is missing"));
        }
        let secret = match (options.recipient_hash_key.as_deref(), stored) {
            (Some(given), _) => given.to_vec(),
            (None, Some(stored)) => decode(&stored).map_err(|error| damaged(&error))?,
            // A new key would not match recipients that were hashed with the lost key.
            (None, None) if complete => {
                return Err(OpenError::NoPersonKey { path: self.name() });
            }
            (None, None) => {
                let mut secret = vec![0; 32];
                #[expect(clippy::disallowed_methods, reason = "creates the store's own secret")]
                getrandom::fill(&mut secret)
                    .map_err(|error| self.io("generate a key for", io::Error::other(error)))?;
                let value = encode(&secret).map_err(|error| damaged(&error))?;
                tree.insert(keys::RECIPIENT_HASH_KEY, value).map_err(|error| damaged(&error))?;
                secret
            }
        };
        let recipient_hash_key = RecipientHashKey::new(&secret);
        let fits = check.is_some_and(|check| *check == recipient_hash_key.fingerprint());
        if options.must_exist && !fits {
            return Err(OpenError::OtherPersonKey { path: self.name() });
        }
        check_recipient_hash_key(tree, &recipient_hash_key).map_err(|what| damaged(&what))?;
        let is_own = options.recipient_hash_key.is_none();
        Ok((recipient_hash_key, is_own.then(|| secret.into())))
    }

    /// Removes sled's files.
    fn clear(&self) -> io::Result<()> {
        for name in sled_files(self.path)? {
            fs::remove_file(self.path.join(name))?;
        }
        Ok(())
    }
}
