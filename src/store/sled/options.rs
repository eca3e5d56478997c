//! The options of opening a store. Tests replace the clock, the free space and the end of the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::matching::{DEFAULT_MAX_PARKED, Policy};
use crate::store::sled::disk::usage::free_space;
use crate::store::sled::hooks::{FreeSpace, OnCommit, OnFatal};
use crate::store::{Clock, ClockGuard};

/// The time that an old process may need to release the store during a rolling restart.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How to open a store.
pub struct Options {
    pub path: PathBuf,
    /// The key that hashes recipients. `None`: a random key, kept in the store.
    pub recipient_hash_key: Option<Vec<u8>>,
    /// The store must exist, and `recipient_hash_key` must be the key of its records. For a command, which would otherwise create a
    /// store, or find no recipient, without an error.
    pub must_exist: bool,
    /// Keep a marker beside the folder, and create no empty store while the marker exists. For a service: its supervisor
    /// restarts it after its folder was moved or deleted.
    pub marks_path: bool,
    pub policy: Policy,
    /// The limit of messages, and of links. Beyond it, a new message evicts a finished one, or is refused if there is
    /// none; a new link is refused.
    pub max_messages: u64,
    /// The limit of rows of parked evidence that are not orphaned, and of orphaned rows. An account may have as many rows
    /// as are free. Beyond this share, evidence that would be parked is refused.
    pub max_parked: u64,
    /// The size of sled's cache, in bytes. sled takes about twice as much memory.
    pub cache: u64,
    pub clock: Arc<ClockGuard>,
    /// The time to wait until another process releases the folder.
    pub lock_timeout: Duration,
    pub free_space: FreeSpace,
    pub on_commit: OnCommit,
    pub on_fatal: OnFatal,
}

impl Options {
    /// The defaults. The wall clock is trusted. The process ends with [`crate::store::sled::Failure::exit_code`] if the
    /// store cannot go on.
    pub fn new(path: &Path, policy: Policy, clock: Clock) -> Self {
        Self {
            path: path.to_path_buf(),
            recipient_hash_key: None,
            must_exist: false,
            marks_path: false,
            policy,
            max_messages: 1_000_000,
            max_parked: DEFAULT_MAX_PARKED,
            // sled's own default of 1 GiB would kill a small machine.
            cache: 8 << 20,
            clock: ClockGuard::believing(clock),
            lock_timeout: LOCK_TIMEOUT,
            free_space: free_space(path),
            on_commit: Arc::new(|_| {}),
            on_fatal: Arc::new(|failure| {
                let error = &*failure.reason;
                tracing::error!(error, "the store cannot go on; ending the process");
                std::process::exit(failure.exit_code().into());
            }),
        }
    }
}
