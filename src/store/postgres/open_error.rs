//! The errors of opening a PostgreSQL store.

use crate::store::StoreError;

/// Why a PostgreSQL store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    #[error(
        "the database's schema has version {found}, this release needs {known}; run `heardback store migrate`"
    )]
    OlderSchema { found: i64, known: i64 },
    #[error(
        "the database's schema has version {found}, this release knows {known}; install the newer release"
    )]
    NewerSchema { found: i64, known: i64 },
    #[error(
        "HEARDBACK_PHONE_KEY is not the key that this database was made with; all receivers need the same key"
    )]
    OtherPersonKey,
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("cannot open the database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("cannot read the counters of the database: {0}")]
    Counters(#[from] StoreError),
    #[error(
        "the connection is in the schema {found:?} and not in the new schema {name:?}, as behind a pooler that ignores \
         `options`; nothing was changed there: connect to the server itself"
    )]
    OtherSchema { found: String, name: String },
    #[error("cannot start the threads of the database: {0}")]
    Threads(#[from] std::io::Error),
}
