//! The errors after which a sled store cannot go on.

use crate::store::sled::disk::path_guard::Displaced;
use crate::store::sled::record::Damaged;

/// The store cannot go on: a record cannot be read, or a write cannot be made durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("sled: {0}")]
    Sled(#[from] ::sled::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Displaced(#[from] Displaced),
    #[error("cannot sync {path}: {error}")]
    Sync { path: String, error: std::io::Error },
}
