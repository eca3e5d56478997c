//! Backups: one file that holds the whole store as it stood at one moment.
//!
//! While the store is open (`live`) it is read in pieces, past the writer, and each batch that the writer
//! makes durable meanwhile goes into the same file by the `tee`; what was read first and then each
//! batch in turn is the store as it stood when the last of them was synced. Nobody waits for a backup.
//! A store that nobody has open is read as it lies (`stopped`). `frame` says how the file is laid out,
//! `whole` reads it, and `restore` makes a store of it. Deliberately absent: a way to read a backup that
//! is not whole.

mod frame;
mod live;
mod restore;
mod stopped;
mod tee;
mod whole;

pub use frame::Header;
pub use live::BackupPace;
pub use restore::{RestoreError, restore};
pub use stopped::{StoppedError, backup, verify};
pub use whole::contents;

pub(super) use tee::Tee;

use std::io;

use crate::store::RecordCounts;

/// What a store holds, or a backup of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContents {
    pub format: u32,
    /// Records of each kind.
    pub counts: RecordCounts,
    /// Entries, index entries included.
    pub entries: u64,
    /// Batches written since the store was made.
    pub batches: u64,
    /// Whether the key that hashes recipients lies in it, and not in `HEARDBACK_PHONE_KEY`.
    pub has_person_key: bool,
    /// Of a backup: when and by which release.
    pub header: Option<Header>,
}

/// Why a file is no backup to rely on. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It begins with something else.
    #[error("this is no backup of Heardback's")]
    NotABackup,
    /// A newer release made it.
    #[error("Heardback {made_by} made it in a way that this release cannot read; install that one")]
    Newer { made_by: String },
    /// Its end is missing.
    #[error("it ends in the midst: it was cut off while it was made or copied; make another one")]
    CutShort,
    /// Whoever made it gave up.
    #[error("it was broken off while it was made: {why}")]
    BrokenOff { why: String },
    /// Its bytes are not those that were written.
    #[error("it is damaged after byte {after}; use another copy of it, or an older backup")]
    Damaged {
        /// How many bytes are good.
        after: u64,
    },
    /// The records do not come to what the store said that they come to.
    #[error(
        "its records are not those of the store ({what}); make another backup, and if it is like \
         this one, restart the service: it looks at every record when it starts"
    )]
    Incomplete { what: String },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
}
