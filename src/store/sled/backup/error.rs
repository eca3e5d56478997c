//! The errors of reading a backup.

use std::io;

/// Why a file is not a complete backup. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file begins with other bytes than a backup.
    #[error("this is no backup of Heardback's")]
    NotABackup,
    /// The backup has a newer layout.
    #[error(
        "the backup is of Heardback {made_by}, and this release cannot read its layout; install that release"
    )]
    Newer { made_by: String },
    /// The end of the backup is missing.
    #[error(
        "the backup has no end: it was interrupted while it was made or copied; make another one"
    )]
    CutShort,
    /// The service aborted the backup.
    #[error("the backup was aborted while it was made: {why}")]
    Aborted { why: String },
    /// The file's bytes are not those that were written.
    #[error("the backup is damaged after byte {after}; use another copy of it, or an older backup")]
    Damaged {
        /// The number of bytes before the damage.
        after: u64,
    },
    /// The backup's entries differ from those that the store had.
    #[error(
        "the backup's records are not those of the store ({what}); make another backup, and if it \
         has the same fault, restart the service: it checks every record when it starts"
    )]
    Incomplete { what: String },
    #[error("the backup cannot be read: {0}")]
    Read(io::Error),
}
