//! Figures about the connections and transactions of a store that a database server keeps.

use std::time::Duration;

/// The figures of one receiver: its connections now, and counts since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolFigures {
    pub in_use: u64,
    pub idle: u64,
    /// The most connections.
    pub limit: u64,
    /// Connections taken from the pool for a transaction.
    pub acquired: u64,
    /// The time that transactions waited for a connection.
    pub acquire_wait: Duration,
    /// The time that transactions waited for the locks of other transactions.
    pub lock_wait: Duration,
    /// Transactions that changed rows.
    pub committed: u64,
    /// Transactions without a change.
    pub unchanged: u64,
    /// Transactions that ran again because of another one.
    pub conflicts: u64,
    /// Transactions that the database did not carry out.
    pub failed: u64,
}
