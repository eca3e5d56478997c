//! Ends: how attempts that are over are written down.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::domain::feedback::{Lease, Settlement};
use crate::domain::message::LastAttempt;
use crate::store::{SettleOutcome, Store};
use crate::worker::{Observer, STORE_WAIT};

/// Times that an end is offered to the store; after that the lease lapses and it is tried anew.
const SETTLE_TRIES: u32 = 3;

/// An attempt that is over: how it ends in the store, and how it went if anything was sent.
pub(super) struct EndedAttempt {
    pub(super) lease: Lease,
    pub(super) settlement: Settlement,
    pub(super) attempt: Option<LastAttempt>,
}

/// Where ends are written down, and who is told.
pub(super) type AttemptLog = (Arc<dyn Store>, Arc<dyn Observer>);

/// Writes ends down in one group of the store's: what is not written down when the process is killed is
/// posted again, and each sync of its own would make the others wait for it.
pub(super) async fn settle_all(book: AttemptLog, ends: Vec<EndedAttempt>) {
    join_all(ends.into_iter().map(|end| settle(&book, end))).await;
}

/// Writes one end down; what the store does not take is offered again.
pub(super) async fn settle((store, observer): &AttemptLog, end: EndedAttempt) {
    let EndedAttempt { lease, settlement, attempt } = end;
    let (message_sid, end) = (lease.message, settlement.as_str());
    let mut wait = STORE_WAIT;
    for left in (0..SETTLE_TRIES).rev() {
        match store.settle(lease, settlement.clone(), attempt.clone()).await {
            Ok(SettleOutcome::Applied) => return observer.settled(end),
            Ok(SettleOutcome::LeaseLost) => {
                return tracing::warn!(%message_sid, "{message_sid}: lease expired before the result was stored; another attempt owns it");
            }
            Err(error) => {
                tracing::warn!(
                    %message_sid, %error, tries_left = left,
                    "{message_sid}: {end} not stored: {error}"
                );
            }
        }
        if left > 0 {
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
    tracing::error!(%message_sid, "{message_sid}: result not stored; the message is posted again when its lease expires");
}
