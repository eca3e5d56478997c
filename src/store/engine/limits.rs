//! The errors of a store at one of its limits.

use crate::store::engine::backend::EngineConfig;
use crate::store::error::{MAX_PARKED_LABEL, StoreError};

/// The store has the most messages or links that it may have.
pub(crate) fn too_many(records: &str, config: &EngineConfig) -> StoreError {
    let max = config.max_messages;
    let reason = format!(
        "the limit of {max} {records} (HEARDBACK_MAX_MESSAGES) is reached, and too few of them can be evicted"
    );
    StoreError::Unavailable { reason, label: "max_messages" }
}

/// An account has the most parked evidence that it may have.
pub(crate) fn too_many_parked(rows: u64, config: &EngineConfig) -> StoreError {
    let max = config.max_parked;
    let reason = format!(
        "{rows} pieces of evidence are parked already, which is the account's share of the limit of {max} \
         (HEARDBACK_MAX_PARKED); register their messages, or raise the limit"
    );
    StoreError::Unavailable { reason, label: MAX_PARKED_LABEL }
}
