//! The error of a use case.

use crate::store::StoreError;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The store is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer cannot be serialised.
    #[error(transparent)]
    Answer(#[from] serde_json::Error),
    /// Another step failed.
    #[error("{0}")]
    Failed(String),
}
