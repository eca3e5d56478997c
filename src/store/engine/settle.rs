//! Ends attempts, and puts messages back into the queue.

use crate::domain::feedback::{Lease, Settlement};
use crate::domain::matching::later;
use crate::domain::message::{Delivery, LastAttempt, Message, State};
use crate::domain::sid::MessageSid;
use crate::store::engine::backend::{Backend, EngineResult, SpaceFor};
use crate::store::outcome::{RequeueFrom, Requeued, SettleOutcome};

/// Ends an attempt, if its lease is still valid.
///
/// # Errors
/// The backend cannot go on.
pub fn settle<B: Backend>(
    backend: &mut B,
    lease: Lease,
    settlement: Settlement,
    attempt: Option<LastAttempt>,
) -> EngineResult<SettleOutcome, B::Error> {
    let Some(before) = backend.message(lease.message)? else {
        return Ok(Ok(SettleOutcome::LeaseLost));
    };
    if before.state != State::Confirmed || before.delivery.lease != Some(lease.token) {
        return Ok(Ok(SettleOutcome::LeaseLost));
    }
    let now = backend.now();
    let mut message = before.clone();
    message.delivery.lease = None;
    message.delivery.due_at = None;
    // New facts may withdraw a confirmation only while Twilio certainly does not have it.
    let may_withdraw = match &settlement {
        Settlement::Release { .. } => true,
        Settlement::Retry { .. } => attempt.as_ref().is_some_and(is_declined),
        Settlement::Reported | Settlement::Refused(_) => false,
    };
    message.parked_evidence = message.parked_evidence.filter(|_| may_withdraw);
    if let Some(attempt) = attempt {
        message.note_attempt(attempt);
    }
    match settlement {
        Settlement::Reported => {
            message.enter(State::Reported, now);
            message.reported_at = Some(now);
        }
        Settlement::Retry { after, spent } => {
            message.delivery.due_at = Some(later(now, after));
            message.delivery.spent = spent;
        }
        Settlement::Release { after } => {
            message.delivery.due_at = Some(later(now, after));
            message.delivery.attempts = message.delivery.attempts.saturating_sub(1);
        }
        Settlement::Refused(refusal) => {
            message.enter(State::Refused, now);
            message.refusal = Some(refusal);
        }
    }
    backend.replace(before, message)?;
    Ok(Ok(SettleOutcome::Applied))
}

/// Whether Twilio answered that it did not accept the feedback.
fn is_declined(attempt: &LastAttempt) -> bool {
    attempt.status.is_some_and(|status| status >= 400)
}

/// Ends the lease of an attempt that a process began before it ended. The message is due now, and its post may have reached
/// Twilio.
///
/// # Errors
/// The backend cannot go on.
pub fn release_interrupted<B: Backend>(backend: &mut B, before: Message) -> Result<(), B::Error> {
    let mut message = before.clone();
    message.delivery.lease = None;
    message.parked_evidence = None;
    message.delivery.due_at = Some(backend.now());
    backend.replace(before, message)
}

/// Puts a message back into the queue, if `from` selects it.
///
/// # Errors
/// The backend cannot go on.
pub fn requeue<B: Backend>(
    backend: &mut B,
    sid: MessageSid,
    from: RequeueFrom,
) -> EngineResult<Requeued, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Records) {
        return Ok(Err(full));
    }
    let Some(before) = backend.message(sid)? else { return Ok(Ok(Requeued::Unknown)) };
    if !from.matches(&before) {
        return Ok(Ok(Requeued::NotQueued(before.state)));
    }
    let now = backend.now();
    let mut message = before.clone();
    message.enter(State::Confirmed, now);
    message.refusal = None;
    message.delivery = Delivery { due_at: Some(now), ..Delivery::default() };
    backend.replace(before, message.clone())?;
    Ok(Ok(Requeued::Queued(Box::new(message))))
}
