//! Backups: one file that holds the whole store as it stood at one moment.
//!
//! While the store is open (`live`) it is read in pieces, past the writer, and each batch that the writer
//! makes durable meanwhile goes into the same file by the `tee`; what was read first and then each
//! batch in turn is the store as it stood when the last of them was synced. Nobody waits for a backup.
//! A store that nobody has open is read as it lies (`stopped`). `frame` says how the file is laid out,
//! `whole` reads it, and `restore` makes a store of it. Deliberately absent: a way to read a backup that
//! is not whole.

mod error;
mod frame;
mod live;
mod restore;
mod stopped;
pub(crate) mod tee;
mod whole;

pub use error::BackupError;
pub use frame::Header;
pub use live::BackupPace;
pub use restore::{RestoreError, restore};
pub use stopped::{StoppedError, backup, verify};
pub use whole::{BackupContents, contents};
