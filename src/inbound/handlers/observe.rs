//! Hands a parsed request to the store, and logs and counts the outcome.

use actix_web::HttpRequest;

use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::inbound::decision_log;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::trace;

/// Stores a signal.
pub(super) async fn observe(
    request: &HttpRequest,
    receiver: &Receiver,
    signal: Signal,
) -> Result<ObserveOutcome, RejectionResponse> {
    let log = SignalLog::of(&signal);
    let observed = receiver.store.observe(signal).await;
    let observed = observed.map_err(|error| RejectionResponse::of(request, error))?;
    log.outcome(&receiver.metrics, &observed);
    Ok(observed)
}

/// Stores facts about a message.
pub(super) async fn register(
    request: &HttpRequest,
    receiver: &Receiver,
    update: MessageUpdate,
) -> Result<RegisterOutcome, RejectionResponse> {
    let registered = receiver.store.remember(update).await;
    let registered = registered.map_err(|error| RejectionResponse::of(request, error))?;
    decision_log::registered(&receiver.metrics, trace::of(request), &registered);
    Ok(registered)
}
