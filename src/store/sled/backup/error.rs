//! The reasons why a file is no backup.

use std::io;

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
