//! `store migrate`: brings the schema of a database to this release.

use crate::commands::store_access::{UsageError, postgres_options};
use crate::config::{StoreUrl, Values};
use crate::store::postgres::PostgresStore;

/// Runs the migrations that the database lacks. Returns the text for stdout.
pub(super) fn run(settings: &Values) -> anyhow::Result<String> {
    let StoreUrl::Postgres(url) = &settings.store else {
        let why =
            format!("{} needs no migration; `store migrate` is for postgres://…", settings.store);
        return Err(UsageError(why).into());
    };
    let version = PostgresStore::migrate(postgres_options(settings, url))?;
    Ok(format!("{url} has the schema of this release (version {version}).\n"))
}
