//! The error of a use case.

use crate::store::StoreError;

/// The reason why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record or an answer cannot be serialised.
    #[error("a record or an answer cannot be written as JSON: {0}; report this as a bug")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Address(String),
    #[error(
        "{messages} messages erased, but recordings of rejected requests remain: {error}; run the command again"
    )]
    RecordingsRemain { messages: u64, error: std::io::Error },
}
