//! Errors of the database, as a store reports them.

use std::time::Duration;

use crate::store::StoreError;
use crate::store::postgres::queue::late;

/// Why a transaction did not commit.
#[derive(Debug)]
pub(super) enum TransactionError {
    /// Another transaction was in the way. The transaction may be run again.
    Conflict(String),
    /// The database cannot carry it out now.
    Database(sqlx::Error),
    /// A row cannot be read.
    Damaged(String),
    /// The database did not answer in time.
    Late(Duration),
}

impl TransactionError {
    /// Whether a command of a group may be the cause, so that the others succeed without it.
    pub(super) fn is_of_a_command(&self) -> bool {
        match self {
            Self::Conflict(_) | Self::Late(_) => false,
            Self::Damaged(_) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                // Data that a column or an index cannot hold, and a group with too many rows or locks.
                ["21", "22", "23", "54"].iter().any(|class| code.starts_with(class))
                    || code == "53200"
            }
            Self::Database(
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::RowNotFound,
            ) => true,
            Self::Database(_) => false,
        }
    }
}

impl From<sqlx::Error> for TransactionError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // serialization_failure, deadlock_detected, lock_not_available
            Some(code @ ("40001" | "40P01" | "55P03")) => {
                Self::Conflict(format!("SQLSTATE {code}"))
            }
            _ => Self::Database(error),
        }
    }
}

impl From<serde_json::Error> for TransactionError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<TransactionError> for StoreError {
    fn from(error: TransactionError) -> Self {
        let (reason, label) = match error {
            TransactionError::Conflict(cause) => (
                format!("other transactions were in the way several times ({cause}); try again"),
                "busy",
            ),
            TransactionError::Damaged(cause) => {
                (format!("a row of the database cannot be read: {cause}"), "unreadable")
            }
            TransactionError::Late(max_wait) => return late(max_wait),
            TransactionError::Database(error) => describe(&error),
        };
        Self::Unavailable { reason, label }
    }
}

/// The cause and its remedy, without values of rows: PostgreSQL puts these into `detail`, which is left out.
fn describe(error: &sqlx::Error) -> (String, &'static str) {
    match error {
        sqlx::Error::PoolTimedOut => (
            "all connections to the database are in use; raise HEARDBACK_STORE_CONNECTIONS, or find the slow \
             transaction in pg_stat_activity"
                .to_owned(),
            "busy",
        ),
        sqlx::Error::PoolClosed => ("the store is closed".to_owned(), "closed"),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let (hint, label) = match &*code {
                "53100" => ("; the database server's disk is full: extend it", "disk_full"),
                "53300" => ("; the database server has no connection left: lower HEARDBACK_STORE_CONNECTIONS of the receivers, or raise max_connections", "busy"),
                "28P01" | "28000" => ("; check the user and the password of HEARDBACK_STORE", "refused"),
                "42501" => ("; grant the rights of docs/postgres.md", "refused"),
                "42P01" | "42703" | "3F000" => ("; run `heardback store migrate`", "schema"),
                "25006" => ("; the server is read-only, as after a failover: connect to the primary", "read_only"),
                "57P01" | "57P02" | "57P03" => ("; the server stops or starts", "unavailable"),
                _ => ("", "unavailable"),
            };
            (format!("the database refuses with SQLSTATE {code}: {}{hint}", error.message()), label)
        }
        error => (format!("cannot reach the database: {error}"), "unavailable"),
    }
}
