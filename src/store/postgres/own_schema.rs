//! A schema with a random name, which is created in a database and removed with all its tables.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::store::postgres::open_error::PostgresOpenError;
use crate::store::postgres::runtime::OwnRuntime;

/// A schema of our own in the database of a user.
pub struct OwnSchema {
    connect: PgConnectOptions,
    name: String,
}

impl OwnSchema {
    /// Creates a schema `PREFIX_…` that nothing else uses. No other part of the database changes.
    ///
    /// # Errors
    /// The server refuses, or the connections would be in another schema.
    pub fn create(connect: &PgConnectOptions, prefix: &str) -> Result<Self, PostgresOpenError> {
        let mut random = [0; 8];
        #[expect(clippy::disallowed_methods, reason = "the name is random")]
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        let random = u64::from_be_bytes(random);
        let name = format!("{prefix}_{random:016x}");
        let (plain, schema) = (connect.clone(), name.clone());
        let connect = plain.clone().options([("search_path", &name)]);
        let inside = connect.clone();
        OwnRuntime::start()?.block_on(async move {
            run(&plain, format!("CREATE SCHEMA {schema}")).await?;
            let found = match current_schema(&inside).await {
                Ok(found) if found.as_deref() == Some(schema.as_str()) => return Ok(()),
                found => found,
            };
            run(&plain, format!("DROP SCHEMA {schema}")).await?;
            Err(PostgresOpenError::OtherSchema { found: found?.unwrap_or_default(), name: schema })
        })?;
        Ok(Self { connect, name })
    }

    /// How to connect to it.
    pub fn connect_options(&self) -> &PgConnectOptions {
        &self.connect
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes it with all its tables.
    ///
    /// # Errors
    /// The server refuses.
    pub fn remove(self) -> Result<(), PostgresOpenError> {
        let Self { connect, name } = self;
        let statement = format!("DROP SCHEMA {name} CASCADE");
        OwnRuntime::start()?.block_on(async move { Ok(run(&connect, statement).await?) })
    }
}

/// `statement` has a name of random digits and no text of a user.
async fn run(connect: &PgConnectOptions, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(connect).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

async fn current_schema(connect: &PgConnectOptions) -> Result<Option<String>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(connect).await?;
    let (schema,) =
        sqlx::query_as("SELECT current_schema()::text").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(schema)
}
