//! Reads the figures of a scrape of `/metrics`.
//!
//! Only counts in memory are read, no records. If the store does not answer in time, the scrape omits its gauges.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use tokio::time::timeout;

use crate::admin::store_gauges::{StoreAnswer, StoreGauges};
use crate::store::sled::Usage;
use crate::store::{Clock, Store, StoreError};

/// Prometheus waits 10 s for a scrape by default, and a commit may take that long.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads the size of the store and the free space of its disk. May block on the file system.
pub type ReadDisk = Arc<dyn Fn() -> io::Result<Usage> + Send + Sync>;

pub async fn read_gauges(store: &Arc<dyn Store>, clock: &Clock, disk: &ReadDisk) -> StoreGauges {
    // One after the other, so that a scrape takes one place in the queue of the writer.
    let queries = async {
        let (stats, on_hold) = (store.stats().await?, store.on_hold().await?);
        Ok(StoreAnswer { stats, on_hold, evictable: store.evictable().await?, at: clock() })
    };
    let answer = in_time(queries).await.inspect_err(|error| {
        tracing::warn!(%error, "/metrics: store unavailable: {error}; its gauges are omitted");
    });
    let disk = Arc::clone(disk);
    StoreGauges {
        counts: store.counts(),
        queued: store.queued(),
        clock_jump: store.clock_guard().jump().map_or(0, |jump| jump.ahead.as_secs()),
        answer: answer.ok(),
        disk: web::block(move || disk()).await.ok().and_then(Result::ok),
        pool: store.pool(),
    }
}

/// The result of a query of the store, or an error if the store does not answer in time.
pub(super) async fn in_time<T>(
    query: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, String> {
    match timeout(STORE_TIMEOUT, query).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", STORE_TIMEOUT.as_secs())),
    }
}
