//! The schema: committed migrations, and the check that a database has exactly them.

use std::borrow::Cow;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, PgPool};

use crate::store::postgres::open_error::PostgresOpenError;

/// All migrations, the oldest first: version, description, SQL.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "rows", include_str!("../../../migrations/0001_rows.sql"))];
/// The version of this release's schema.
pub(super) const LATEST: i64 = 1;
/// How much newer a schema may be. While a release is deployed, receivers of the release before it run on its schema. So
/// a migration only adds what the release before it can ignore (docs/design.md, "PostgreSQL").
const NEWER: i64 = 1;

/// The SQLSTATE of a table that does not exist.
const UNDEFINED_TABLE: &str = "42P01";

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
    Ok(LATEST)
}

/// Refuses a database with another schema.
pub(super) async fn check(pool: &PgPool, begin: &'static str) -> Result<(), PostgresOpenError> {
    let found = version(&mut *pool.begin_with(begin).await?).await?;
    if found < LATEST {
        return Err(PostgresOpenError::OlderSchema { found, known: LATEST });
    }
    if found > LATEST + NEWER {
        return Err(PostgresOpenError::NewerSchema { found, known: LATEST });
    }
    Ok(())
}

/// The version of the database's schema; 0 without one.
pub(super) async fn version(connection: &mut PgConnection) -> Result<i64, PostgresOpenError> {
    match connection.list_applied_migrations("_sqlx_migrations").await {
        Ok(applied) => Ok(applied.iter().map(|migration| migration.version).max().unwrap_or(0)),
        Err(MigrateError::Execute(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some(UNDEFINED_TABLE) =>
        {
            Ok(0)
        }
        Err(error) => Err(error.into()),
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
