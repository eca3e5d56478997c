//! How a store is opened: what is asked of it, and what it asks of the machine. Tests give it a clock,
//! a disk and an end of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::matching::{DEFAULT_MAX_PARKED, Policy};
use crate::store::sled::disk::usage::free_space;
use crate::store::sled::hooks::{FreeSpace, OnCommit, OnFatal};
use crate::store::{Clock, ClockGuard};

/// The time that an old process may need to release the store during a rolling restart.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How to open a store.
pub struct Options {
    pub path: PathBuf,
    /// The key that hashes recipients; `None`: a random one, kept in the store.
    pub person_key: Option<Vec<u8>>,
    /// It has to be there, with the key that its records were made with: for a command, which would
    /// otherwise make a store, or find nobody, and not say so.
    pub must_be_there: bool,
    /// Keep a marker beside the folder, and create no empty store while there is one: for a service, whose supervisor
    /// starts it again after its folder was moved or deleted.
    pub marks_path: bool,
    /// What judgement depends on.
    pub policy: Policy,
    /// The most messages, and the most links. Beyond it, a new message evicts a finished one, or is refused if
    /// there is none; a new link is refused.
    pub max_messages: u64,
    /// The most rows of parked evidence that are not orphaned, and the most that are. An account may hold as many as are
    /// left free; beyond its share, evidence that would be parked is refused.
    pub max_parked: u64,
    /// How much of itself sled keeps in memory, in bytes; it takes about twice as much.
    pub cache: u64,
    /// The wall clock, and the trusted time to expire and remove records by.
    pub clock: Arc<ClockGuard>,
    /// How long to wait for another process to let go of the folder.
    pub lock_patience: Duration,
    /// Tells how much room there is.
    pub free_space: FreeSpace,
    /// Told of each commit.
    pub on_commit: OnCommit,
    /// Told that the store cannot go on.
    pub on_fatal: OnFatal,
}

impl Options {
    /// The defaults: the wall clock is trusted, the free space is the disk's, the lock is awaited for ten seconds, and
    /// the process ends with [`crate::store::sled::Failure::exit_code`] when the store cannot go on.
    pub fn new(path: &Path, policy: Policy, clock: Clock) -> Self {
        Self {
            path: path.to_path_buf(),
            person_key: None,
            must_be_there: false,
            marks_path: false,
            policy,
            max_messages: 1_000_000,
            max_parked: DEFAULT_MAX_PARKED,
            // sled's own default of 1 GiB would kill a small machine.
            cache: 8 << 20,
            clock: ClockGuard::believing(clock),
            lock_patience: LOCK_PATIENCE,
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
