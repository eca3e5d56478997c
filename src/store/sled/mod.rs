//! The store in one embedded sled, for one process on one machine.
//!
//! `disk` opens and guards the folder; `integrity` detects and repairs damage. `writer` is the only thread that writes: it
//! runs commands in groups on an `overlay`, and answers a group after one sync. `index` is held in memory and derived from
//! the records when the store opens. `keys` and `record` define the bytes on disk. `queries` and `reader` read beside the
//! writer. sled's `flush_async` is not used: it deadlocks from seven concurrent callers on.

pub mod backup;
pub mod disk;
mod error;
mod export;
mod forget;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod hooks;
mod index;
mod integrity;
mod keys;
mod options;
mod queries;
mod reader;
mod record;
mod rows;
mod store;
mod writer;

pub use disk::access::AccessDenied;
pub use disk::data_dir::OpenError;
pub use disk::offline_access::OfflineStore;
pub use disk::probe::{LockState, StoreProbe, lock_state, probe};
pub use disk::usage::{Usage, usage};
pub use hooks::{Commit, Failure, FreeSpace, OnCommit, OnFatal};
pub use options::Options;
pub use store::SledStore;
