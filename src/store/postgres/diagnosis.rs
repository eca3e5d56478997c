//! Why no connection became free in time: the pool retries a failing connection, and then reports only its timeout.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;

use crate::store::StoreError;
use crate::store::postgres::error::{TransactionError, UNREACHABLE};

/// A server that does not accept a connection within this time counts as unreachable.
pub(super) const MAX_CONNECT: Duration = Duration::from_millis(300);
/// Commands that fail within this time share one attempt to connect.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The latest diagnosis, and its time.
#[derive(Default)]
pub(super) struct OutageDiagnosis(Mutex<Option<(Instant, Option<StoreError>)>>);

impl OutageDiagnosis {
    /// The error of a connection beside the pool. `None`: it succeeds, so the pool or the server is busy.
    #[expect(clippy::disallowed_methods, reason = "bounds a wait, by a clock without jumps")]
    pub(super) async fn cause(&self, pool: &PgPool) -> Option<StoreError> {
        let mut latest = self.0.lock().await;
        if let Some((at, cause)) = &*latest
            && at.elapsed() < MAX_AGE
        {
            return cause.clone();
        }
        let options = pool.connect_options();
        let connecting = PgConnection::connect_with(&options);
        let cause = match tokio::time::timeout(MAX_CONNECT, connecting).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(TransactionError::from(error).into()),
            Err(_) => Some(StoreError::Unavailable {
                reason: format!(
                    "the database server accepts no connection within {} s; check its address and its load",
                    MAX_CONNECT.as_secs_f32()
                ),
                label: UNREACHABLE,
            }),
        };
        *latest = Some((Instant::now(), cause.clone()));
        cause
    }
}
