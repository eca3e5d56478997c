//! A connection that a writer keeps from transaction to transaction: the pool would test it each time.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, raw_sql};

use crate::store::postgres::error::TransactionError;

/// The connection goes back to the pool after this time: the pool replaces old connections.
const MAX_AGE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Kept(Option<Connection>);

struct Connection {
    pooled: PoolConnection<Postgres>,
    since: Instant,
    is_in_transaction: bool,
}

impl Kept {
    /// Begins a transaction: on the kept connection, or on another one if the server has closed it meanwhile.
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of a connection, by a clock without jumps"
    )]
    pub(super) async fn begin(
        &mut self,
        pool: &PgPool,
        statements: &'static str,
    ) -> Result<&mut PgConnection, TransactionError> {
        let now = Instant::now();
        self.0.take_if(|kept| now - kept.since > MAX_AGE);
        if let Some(kept) = &mut self.0 {
            kept.is_in_transaction = true;
            if raw_sql(statements).execute(&mut *kept.pooled).await.is_err() {
                self.close();
            }
        }
        let kept = if let Some(kept) = self.0.take() {
            kept
        } else {
            let pooled = pool.acquire().await?;
            let mut kept = Connection { pooled, since: now, is_in_transaction: true };
            raw_sql(statements).execute(&mut *kept.pooled).await?;
            kept
        };
        Ok(&mut self.0.insert(kept).pooled)
    }

    /// Ends the transaction. After an error the connection is not used again.
    pub(super) async fn end(&mut self, statement: &'static str) -> Result<(), TransactionError> {
        let Some(kept) = &mut self.0 else { return Ok(()) };
        let ended = raw_sql(statement).execute(&mut *kept.pooled).await;
        match ended {
            Ok(_) => {
                kept.is_in_transaction = false;
                Ok(())
            }
            Err(error) => {
                self.close();
                Err(error.into())
            }
        }
    }

    /// Closes the connection, whatever state it is in.
    pub(super) fn close(&mut self) {
        if let Some(kept) = &mut self.0 {
            kept.is_in_transaction = true;
        }
        self.0 = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_in_transaction {
            self.pooled.close_on_drop();
        }
    }
}
