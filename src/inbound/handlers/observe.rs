//! Hands a parsed request to the store, and logs and counts the outcome.

use actix_web::HttpRequest;

use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::inbound::decision_log;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::trace;

/// Stores facts about a message, for an answer that a rejection alone does not decide.
pub(super) async fn remember(
    request: &HttpRequest,
    receiver: &Receiver,
    update: MessageUpdate,
) -> Result<RegisterOutcome, Rejection> {
    let registered = receiver.store.remember(update).await?;
    decision_log::registered(&receiver.metrics, trace::of(request), &registered);
    Ok(registered)
}

/// Stores a signal.
pub(super) async fn observe(
    request: &HttpRequest,
    receiver: &Receiver,
    signal: Signal,
) -> Result<ObserveOutcome, RejectionResponse> {
    let observed = write(receiver, signal).await;
    observed.map_err(|rejection| RejectionResponse::of(request, rejection))
}

/// Stores a signal, for an answer that a rejection alone does not decide.
pub(super) async fn write(
    receiver: &Receiver,
    signal: Signal,
) -> Result<ObserveOutcome, Rejection> {
    let log = SignalLog::of(&signal);
    let observed = receiver.store.observe(signal).await?;
    log.outcome(&receiver.metrics, &observed);
    Ok(observed)
}

/// Stores facts about a message.
pub(super) async fn register(
    request: &HttpRequest,
    receiver: &Receiver,
    update: MessageUpdate,
) -> Result<RegisterOutcome, RejectionResponse> {
    let registered = remember(request, receiver, update).await;
    registered.map_err(|rejection| RejectionResponse::of(request, rejection))
}
