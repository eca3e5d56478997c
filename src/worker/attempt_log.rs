//! Settlement: records the results that the store has, and offers the others again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::domain::feedback::EndedAttempt;
use crate::store::{SettleOutcome, SettleResults, Store, StoreError};
use crate::worker::observer::Observer;

/// The first wait after an error of the store; each further one is longer.
pub(super) const STORE_WAIT: Duration = Duration::from_secs(1);
/// How often a result is offered to the store. After that the lease expires and the message is posted again.
const SETTLE_TRIES: u32 = 3;

/// The store of the results, and the observer of the stored ones.
pub(super) type AttemptLog = (Arc<dyn Store>, Arc<dyn Observer>);

/// Stores results in one group of the store's. A result that is not stored when the process is killed is posted again,
/// and each sync of its own would delay the others.
pub(super) async fn settle_all(log: &AttemptLog, ended: Vec<EndedAttempt>) {
    let results = log.0.settle_all(&ended).await;
    finish(log, ended, results).await;
}

/// Records the results of settlements, and tries the failed ones again.
pub(super) async fn finish(log: &AttemptLog, ended: Vec<EndedAttempt>, results: SettleResults) {
    let failed = ended.into_iter().zip(results).filter_map(|(end, result)| {
        let is_settled = note(log, &end, result, SETTLE_TRIES - 1);
        (!is_settled).then(|| retry(log, end))
    });
    join_all(failed).await;
}

/// Offers a result to the store again, after longer and longer waits.
async fn retry(log: &AttemptLog, end: EndedAttempt) {
    let mut wait = STORE_WAIT;
    for left in (0..SETTLE_TRIES - 1).rev() {
        tokio::time::sleep(wait).await;
        wait *= 2;
        let (settlement, attempt) = (end.settlement.clone(), end.attempt.clone());
        let result = log.0.settle(end.lease, settlement, attempt).await;
        if note(log, &end, result, left) {
            return;
        }
    }
    let message_sid = end.lease.message;
    tracing::error!(
        %message_sid,
        "{message_sid}: result not stored; the message is posted again when its lease expires. `heardback doctor` names the \
         store's fault"
    );
}

/// Records the result of a settlement. Returns whether the attempt needs no further try.
fn note(
    (_, observer): &AttemptLog,
    end: &EndedAttempt,
    result: Result<SettleOutcome, StoreError>,
    tries_left: u32,
) -> bool {
    let (message_sid, word) = (end.lease.message, end.settlement.as_str());
    match result {
        Ok(SettleOutcome::Applied) => {
            observer.settled(word);
            true
        }
        Ok(SettleOutcome::LeaseLost) => {
            tracing::warn!(%message_sid, "{message_sid}: lease expired before the result was stored; another attempt owns it");
            true
        }
        Err(error) => {
            tracing::warn!(
                %message_sid, %error, tries_left,
                "{message_sid}: result `{word}` not stored: {error}; tries left: {tries_left}"
            );
            false
        }
    }
}
