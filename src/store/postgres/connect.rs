//! The pool of connections of a store.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::store::postgres::options::PostgresOptions;

/// A pool with one connection. The pool retries a failing connection, and then reports only its timeout; a connection
/// beside it has the cause.
pub(super) async fn connected(options: &PostgresOptions) -> Result<PgPool, sqlx::Error> {
    let connect = connect_options(options);
    match pool_options(options).connect_with(connect.clone()).await {
        Err(sqlx::Error::PoolTimedOut) => {
            let close = PgConnection::connect_with(&connect).await?.close().await;
            close.and(Err(sqlx::Error::PoolTimedOut))
        }
        connected => connected,
    }
}

fn pool_options(options: &PostgresOptions) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .max_lifetime(options.max_lifetime)
        .idle_timeout(options.idle_timeout)
}

/// A pooler that prepares no statements also refuses startup parameters that it does not know.
fn connect_options(options: &PostgresOptions) -> PgConnectOptions {
    let connect = options.connect.clone();
    if options.pooler {
        connect.statement_cache_capacity(0).extra_float_digits(None)
    } else {
        connect
    }
}
