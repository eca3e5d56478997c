//! The schema: committed migrations, and the check that a database has exactly them.

use std::borrow::Cow;

use sqlx::PgPool;
use sqlx::migrate::{Migrate as _, Migration, MigrationType, Migrator};

use crate::store::postgres::store::PostgresOpenError;

/// The version of this release's schema.
pub(super) const LATEST: i64 = 1;
/// How much newer a schema may be. While a release is deployed, receivers of the release before it run on its schema. So
/// a migration only adds what the release before it can ignore (docs/design.md, "PostgreSQL").
const NEWER: i64 = 1;

/// All migrations, the oldest first: version, description, SQL.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(LATEST, "rows", include_str!("../../../migrations/0001_rows.sql"))];

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
pub(super) async fn check(pool: &PgPool) -> Result<(), PostgresOpenError> {
    let found = version(pool).await?;
    if found < LATEST {
        return Err(PostgresOpenError::OlderSchema { found, known: LATEST });
    }
    if found > LATEST + NEWER {
        return Err(PostgresOpenError::NewerSchema { found, known: LATEST });
    }
    Ok(())
}

/// The version of the database's schema; 0 without one.
pub(super) async fn version(pool: &PgPool) -> Result<i64, PostgresOpenError> {
    let mut connection = pool.acquire().await?;
    let applied = connection.list_applied_migrations("_sqlx_migrations").await;
    Ok(match applied {
        Ok(applied) => applied.iter().map(|migration| migration.version).max().unwrap_or_default(),
        // Without the table of migrations the database has no schema of ours.
        Err(_) => 0,
    })
}
