//! The store's format number, its file names, and the exit code for a missing store.

/// The only format that this release reads and writes. No older format was released.
pub(crate) const FORMAT: u32 = 6;
pub(crate) const FORMAT_FILE: &str = "FORMAT";
/// The content of the `FORMAT` file during a restore. It is not a number, so no release opens the store.
pub(crate) const RESTORING: &str = "restoring";
/// The new `FORMAT` file until it is synced.
pub(crate) const FORMAT_DRAFT: &str = ".FORMAT.new";
pub(crate) const LOCK_FILE: &str = "heardback.lock";
pub(crate) const DB_FILE: &str = "db";
/// The exit code if the store is no longer at its path. A supervisor can then leave the service stopped.
pub(crate) const EXIT_GONE: u8 = 3;
