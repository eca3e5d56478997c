//! The reasons why a store does not carry out a command.

use crate::domain::matching::Contradiction;

/// The label of [`StoreError::Unavailable`] for an account at its share of parked evidence.
pub const MAX_PARKED_LABEL: &str = "max_parked";

/// Why a command was not carried out. No part of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot take the command now: answer 503 with `Retry-After`.
    #[error("{reason}")]
    Unavailable {
        /// The cause and its remedy, for the operator.
        reason: String,
        /// The cause, as a label of a metric.
        label: &'static str,
    },
    /// The command contradicts a stored message.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}
