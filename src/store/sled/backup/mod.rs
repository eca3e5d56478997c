//! Backups: one file that holds the whole store as it was at one moment.
//!
//! An open store is read past the writer, so no caller waits for a backup. The file gets every entry, then each batch
//! that became durable meanwhile: together they are the store at the last sync. Deliberately absent: a way to read an
//! incomplete backup.

mod error;
mod frame;
mod live;
mod restore;
mod stopped;
pub(crate) mod tee;
mod whole;

pub use error::BackupError;
pub use frame::Header;
pub use live::BackupLimits;
pub use restore::{RestoreError, restore};
pub use stopped::{StoppedError, backup, verify};
pub use whole::{BackupContents, contents};
