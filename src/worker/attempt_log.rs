//! Settlement: stores the results of attempts, with retries.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::domain::feedback::{Lease, Settlement};
use crate::domain::message::LastAttempt;
use crate::store::{SettleOutcome, Store};
use crate::worker::observer::Observer;

/// The first wait after an error of the store; each further one is longer.
pub(super) const STORE_WAIT: Duration = Duration::from_secs(1);
/// How often a result is offered to the store. After that the lease expires and the message is posted again.
const SETTLE_TRIES: u32 = 3;

/// The result of an attempt, with the details of its post if there was one.
pub(super) struct EndedAttempt {
    pub(super) lease: Lease,
    pub(super) settlement: Settlement,
    pub(super) attempt: Option<LastAttempt>,
}

/// The store of the results, and the observer of the stored ones.
pub(super) type AttemptLog = (Arc<dyn Store>, Arc<dyn Observer>);

/// Stores results in one group of the store's. A result that is not stored when the process is killed is posted again,
/// and each sync of its own would delay the others.
pub(super) async fn settle_all(log: AttemptLog, ended: Vec<EndedAttempt>) {
    join_all(ended.into_iter().map(|end| settle(&log, end))).await;
}

pub(super) async fn settle((store, observer): &AttemptLog, end: EndedAttempt) {
    let EndedAttempt { lease, settlement, attempt } = end;
    let (message_sid, result) = (lease.message, settlement.as_str());
    let mut wait = STORE_WAIT;
    for left in (0..SETTLE_TRIES).rev() {
        match store.settle(lease, settlement.clone(), attempt.clone()).await {
            Ok(SettleOutcome::Applied) => return observer.settled(result),
            Ok(SettleOutcome::LeaseLost) => {
                return tracing::warn!(%message_sid, "{message_sid}: lease expired before the result was stored; another attempt owns it");
            }
            Err(error) => {
                tracing::warn!(
                    %message_sid, %error, tries_left = left,
                    "{message_sid}: {result} not stored: {error}"
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
