//! The format of a store and the names of its files.

/// The format that this release writes, and the only one that it reads. Nothing older was released.
pub(crate) const FORMAT: u32 = 5;
pub(crate) const FORMAT_FILE: &str = "FORMAT";
/// The content of that file while a store is restored. It is no number, so no release opens the store.
pub(crate) const RESTORING: &str = "restoring";
/// The new `FORMAT` file until it is synced.
pub(crate) const FORMAT_DRAFT: &str = ".FORMAT.new";
pub(crate) const LOCK_FILE: &str = "heardback.lock";
pub(crate) const DB_FILE: &str = "db";
/// The exit code of a service whose store is not at its path any more, so that a supervisor can leave it stopped.
pub(crate) const EXIT_GONE: u8 = 3;
