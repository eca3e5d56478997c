//! The options of a PostgreSQL store.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::domain::matching::{DEFAULT_MAX_PARKED, Policy};
use crate::store::postgres::diagnosis::MAX_CONNECT;
use crate::store::{Clock, ClockGuard};

/// The default of the most commands of a transaction.
const GROUP: usize = 64;

/// How to open a PostgreSQL store.
pub struct PostgresOptions {
    pub connect: PgConnectOptions,
    /// The key of the recipients' hashes. All receivers need the same one, so it never comes from the database.
    pub recipient_hash_key: Vec<u8>,
    pub policy: Policy,
    pub max_messages: u64,
    pub max_parked: u64,
    /// The most connections of this receiver.
    pub max_connections: u32,
    /// The writers, each with one transaction at a time.
    pub writers: u32,
    /// The most commands of a transaction.
    pub group: usize,
    /// The longest wait for a free connection, and of a command for its outcome.
    pub acquire_timeout: Duration,
    /// The age at which a connection is replaced: managed databases close old connections.
    pub max_lifetime: Duration,
    pub idle_timeout: Duration,
    /// Whether a pooler without prepared statements of its own gives each transaction another connection, as PgBouncer before
    /// 1.21 does in transaction mode. Statements are then prepared in each transaction, so commands take longer.
    pub pooler: bool,
    /// The guard of this receiver's wall clock, by which the ages of app events are judged. `None`: it is believed.
    pub clock_guard: Option<Arc<ClockGuard>>,
    /// A clock for tests. `None`: the database's clock, which is the same for all receivers.
    pub clock: Option<Clock>,
}

impl PostgresOptions {
    /// The longest wait of a command. The rest of the time is for the diagnosis of an outage.
    pub(super) fn max_wait(&self) -> Duration {
        self.acquire_timeout.saturating_sub(MAX_CONNECT).max(self.acquire_timeout / 2)
    }

    #[must_use]
    pub fn new(connect: PgConnectOptions, recipient_hash_key: Vec<u8>, policy: Policy) -> Self {
        Self {
            connect,
            recipient_hash_key,
            policy,
            max_messages: 1_000_000,
            max_parked: DEFAULT_MAX_PARKED,
            max_connections: 8,
            writers: 2,
            group: GROUP,
            acquire_timeout: Duration::from_secs(2),
            max_lifetime: Duration::from_mins(10),
            idle_timeout: Duration::from_mins(5),
            pooler: false,
            clock_guard: None,
            clock: None,
        }
    }
}
