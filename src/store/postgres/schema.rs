//! The schema: committed migrations, and the check that a database has exactly them.

use std::borrow::Cow;

use sqlx::PgPool;
use sqlx::migrate::{Migrate as _, Migration, MigrationType, Migrator};

use crate::store::postgres::store::PostgresOpenError;

/// All migrations, the oldest first: version, description, SQL.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "rows", include_str!("../../../migrations/0001_rows.sql"))];

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            sqlx::SqlStr::from_static(sql),
            false,
        )
    });
    Migrator::with_migrations(migrations.to_vec())
}

/// Brings the schema to this release's version. Returns the version.
///
/// # Errors
/// The database refuses, or its schema is newer.
pub(super) async fn migrate(pool: &PgPool) -> Result<i64, PostgresOpenError> {
    migrator().run(pool).await?;
    Ok(latest())
}

fn latest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// Refuses a database with another schema.
pub(super) async fn check(pool: &PgPool, begin: &'static str) -> Result<(), PostgresOpenError> {
    let mut transaction = pool.begin_with(begin).await?;
    let applied = transaction.list_applied_migrations("_sqlx_migrations").await;
    let found = match applied {
        Ok(applied) => applied.iter().map(|migration| migration.version).max().unwrap_or_default(),
        // Without the table of migrations the database has no schema of ours.
        Err(_) => 0,
    };
    match found.cmp(&latest()) {
        std::cmp::Ordering::Less => Err(PostgresOpenError::OlderSchema { found, known: latest() }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => {
            Err(PostgresOpenError::NewerSchema { found, known: latest() })
        }
    }
}

/// A number of the schema's name. All receivers of a store get the same one.
pub(super) async fn lock_salt(pool: &PgPool, begin: &'static str) -> Result<i64, sqlx::Error> {
    let mut transaction = pool.begin_with(begin).await?;
    let (salt,): (i64,) =
        sqlx::query_as("SELECT coalesce(hashtextextended(current_schema(), 0), 0)")
            .fetch_one(&mut *transaction)
            .await?;
    Ok(salt)
}
