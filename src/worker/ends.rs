//! Ends: how attempts that are over are written down.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::domain::feedback::{Lease, Settlement};
use crate::store::{Settled, Store};
use crate::worker::{Observer, STORE_WAIT};

/// Times that an end is offered to the store; after that the lease lapses and it is tried anew.
const SETTLE_TRIES: u32 = 3;

/// Where ends are written down, and who is told.
pub(super) type Book = (Arc<dyn Store>, Arc<dyn Observer>);

/// Writes ends down in one group of the store's: what is not written down when the process is killed is
/// posted again, and each sync of its own would make the others wait for it.
pub(super) async fn settle_all(book: Book, ends: Vec<(Lease, Settlement)>) {
    join_all(ends.into_iter().map(|(lease, end)| settle(&book, lease, end))).await;
}

/// Writes one end down; what the store does not take is offered again.
pub(super) async fn settle((store, observer): &Book, lease: Lease, end: Settlement) {
    let message_sid = lease.message;
    let mut wait = STORE_WAIT;
    for left in (0..SETTLE_TRIES).rev() {
        match store.settle(lease, end.clone()).await {
            Ok(Settled::Applied) => return observer.settled(end.as_str()),
            Ok(Settled::LeaseLost) => {
                return tracing::warn!(%message_sid, "{message_sid} was somebody else's by then");
            }
            Err(error) => {
                let end = end.as_str();
                tracing::warn!(%message_sid, left, "{message_sid}: {end} not stored: {error}");
            }
        }
        if left > 0 {
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
    tracing::error!(%message_sid, "{message_sid} will be tried again when its lease has lapsed");
}
