//! Errors of the database, as a store reports them.

use std::time::Duration;

use crate::store::StoreError;

/// The label of a command that the database did not answer in time.
pub(super) const SLOW: &str = "slow";
/// The label of a command that got no connection of the pool in time.
pub(super) const POOL_EXHAUSTED: &str = "pool_exhausted";
/// The label of a command without a server.
pub(super) const UNREACHABLE: &str = "unreachable";

/// The SQLSTATE of a write at a read-only server.
const READ_ONLY: &str = "25006";

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable { reason: "the store is closed".to_owned(), label: "closed" }
}

/// The database did not answer a command in time.
pub(super) fn late(max_wait: Duration) -> StoreError {
    let reason = format!(
        "the database did not answer within {} s; find the slow transaction in pg_stat_activity",
        max_wait.as_secs_f32()
    );
    StoreError::Unavailable { reason, label: SLOW }
}

/// Why a transaction did not commit.
#[derive(Debug)]
pub(super) enum TransactionError {
    /// Another transaction was in the way. The transaction may be run again.
    Conflict(String),
    /// The database cannot carry it out now.
    Database(sqlx::Error),
    /// A row cannot be read.
    Damaged(String),
    /// The server is read-only.
    ReadOnly,
    /// The database did not answer in time.
    Late(Duration),
}

impl TransactionError {
    /// Whether another connection may reach a server that carries out the command: a read-only one was the primary before.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::ReadOnly => true,
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().as_deref() == Some(READ_ONLY)
            }
            Self::Conflict(_) | Self::Damaged(_) | Self::Late(_) | Self::Database(_) => false,
        }
    }

    /// Whether a command of a group may be the cause, so that the others succeed without it.
    pub(super) fn is_of_a_command(&self) -> bool {
        match self {
            Self::Damaged(_)
            | Self::Database(
                sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::RowNotFound,
            ) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                // Data that a column or an index cannot hold, and a group with too many rows or locks.
                ["21", "22", "23", "54"].iter().any(|class| code.starts_with(class))
                    || code == "53200"
            }
            Self::Conflict(_) | Self::ReadOnly | Self::Late(_) | Self::Database(_) => false,
        }
    }
}

impl From<sqlx::Error> for TransactionError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
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
            TransactionError::ReadOnly => {
                let (hint, label) = remedy(READ_ONLY);
                (format!("the database refuses with SQLSTATE {READ_ONLY}{hint}"), label)
            }
            TransactionError::Late(max_wait) => return late(max_wait),
            TransactionError::Database(error) => describe(&error),
        };
        Self::Unavailable { reason, label }
    }
}

/// The cause and its remedy, without values of rows: PostgreSQL puts these into `detail`, which is left out.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other errors are those of a connection")]
fn describe(error: &sqlx::Error) -> (String, &'static str) {
    match error {
        sqlx::Error::PoolTimedOut => (
            "all connections to the database are in use; raise HEARDBACK_STORE_CONNECTIONS, or find the slow \
             transaction in pg_stat_activity"
                .to_owned(),
            POOL_EXHAUSTED,
        ),
        sqlx::Error::PoolClosed => ("the store is closed".to_owned(), "closed"),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let (hint, label) = remedy(&code);
            (format!("the database refuses with SQLSTATE {code}: {}{hint}", error.message()), label)
        }
        error => (format!("cannot reach the database: {error}; check its address, and whether it runs"), UNREACHABLE),
    }
}

/// What to do about a SQLSTATE, and its label.
fn remedy(code: &str) -> (&'static str, &'static str) {
    match code {
        "53100" => ("; the database server's disk is full: extend it", "disk_full"),
        "53300" => (
            "; the database server has no connection left: lower HEARDBACK_STORE_CONNECTIONS of the receivers, or raise max_connections",
            "server_full",
        ),
        "28P01" | "28000" => ("; check the user and the password of HEARDBACK_STORE", "refused"),
        "42501" => ("; grant the rights of docs/postgres.md", "refused"),
        "42P01" | "42703" | "3F000" => ("; run `heardback store migrate`", "schema"),
        READ_ONLY => {
            ("; the server is read-only, as after a failover: connect to the primary", "read_only")
        }
        "26000" | "42P05" => (
            "; a pooler separates statements from their transaction: set HEARDBACK_STORE_POOLER if it prepares no statements itself, otherwise unset it",
            "pooler",
        ),
        "57P01" | "57P02" | "57P03" => ("; the server stops or starts", "unavailable"),
        _ => ("", "unavailable"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_cause_has_its_own_remedy() {
        let causes = [
            ("53100", "disk_full", "extend it"),
            ("53300", "server_full", "max_connections"),
            ("28P01", "refused", "password"),
            ("42501", "refused", "docs/postgres.md"),
            ("42P01", "schema", "heardback store migrate"),
            ("25006", "read_only", "primary"),
            ("26000", "pooler", "HEARDBACK_STORE_POOLER"),
            ("57P03", "unavailable", "stops or starts"),
        ];
        for (code, label, words) in causes {
            let (hint, found) = remedy(code);
            assert!(found == label && hint.contains(words), "{code}: {found}: {hint}");
        }
        assert_eq!(remedy("XX000"), ("", "unavailable"));
    }
}
