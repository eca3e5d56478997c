//! The functions that a store calls: after a commit, when it cannot go on, and for the disk's free space.

use std::sync::Arc;
use std::time::Duration;

use crate::store::sled::disk::file_names::EXIT_GONE;
use crate::store::sled::error::Fatal;

/// A group that was made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The entries that were written. An entry that the group changed twice counts once; the seal does not count.
    pub entries: usize,
    /// The time from the first command to the end of the sync.
    pub duration: Duration,
    /// The part of this time for the write and the sync.
    pub disk_time: Duration,
}

/// Called after each commit, for metrics.
pub type OnCommit = Arc<dyn Fn(Commit) + Send + Sync>;
/// Called when the store cannot go on. In the service it ends the process and does not return.
pub type OnFatal = Arc<dyn Fn(&Failure) + Send + Sync>;
/// Returns the free space of the store's disk in bytes.
pub type FreeSpace = Arc<dyn Fn() -> std::io::Result<u64> + Send + Sync>;

/// Why the store cannot go on.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The cause and its remedy.
    pub reason: String,
    /// Whether the open database has left its path. A restart cannot help then.
    pub is_displaced: bool,
}

impl Failure {
    pub(crate) fn of(fatal: &Fatal) -> Self {
        Self { reason: fatal.to_string(), is_displaced: matches!(fatal, Fatal::Displaced(_)) }
    }

    pub(crate) fn other(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_displaced: false }
    }

    /// The exit code of the process: 3 if the store left its path, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        if self.is_displaced { EXIT_GONE } else { 1 }
    }
}
