//! One log line and one count for each decision about a request. `docs/logs.md` has every line and field.
//!
//! Deliberately absent: recipients, texts, tokens, and references (an app may put a name into one).

use actix_web::HttpRequest;
use tracing::field::display;

use crate::domain::matching::{ObserveOutcome, Reason, RegisterOutcome};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{DedupId, EvidenceTarget, Signal};
use crate::domain::trace::TraceParent;
use crate::inbound::rejection::Rejection;
use crate::inbound::trace;
use crate::telemetry::metrics::Metrics;

/// The reason of an event that names one message and holds the code of another.
const CODE_OF_ANOTHER: &str = "code_of_another";

/// The log fields of a signal. They are copied before the store takes the signal.
pub(super) struct SignalLog {
    pub(super) source: &'static str,
    /// The account of the evidence, if it is known.
    pub(super) account: Option<AccountSid>,
    /// The message that the evidence names, if it names one.
    pub(super) message: Option<MessageSid>,
    /// The id of the inbound message, call or event.
    pub(super) dedup_id: Option<DedupId>,
    pub(super) trace: Option<TraceParent>,
}

impl SignalLog {
    pub(super) fn of(signal: &Signal) -> Self {
        let evidence = signal.evidence.as_ref().ok();
        let message = evidence.and_then(|evidence| match &evidence.target {
            EvidenceTarget::Message(sid) => Some(*sid),
            EvidenceTarget::Reference(_)
            | EvidenceTarget::Person { .. }
            | EvidenceTarget::Caller { .. }
            | EvidenceTarget::Link(_) => None,
        });
        Self {
            source: signal.source.as_str(),
            account: evidence.map(|evidence| evidence.account),
            message,
            dedup_id: signal.dedup_ids.first().cloned(),
            trace: signal.trace,
        }
    }

    fn account(&self) -> Option<impl tracing::Value> {
        self.account.map(display)
    }

    fn trace(&self) -> Option<String> {
        self.trace.map(|trace| trace.trace_id_hex())
    }

    /// Logs and counts the outcome.
    pub(super) fn outcome(&self, metrics: &Metrics, observed: &ObserveOutcome) {
        let source = self.source;
        metrics.evidence(source, observed.as_str());
        self.log_other_code(metrics, observed);
        match observed {
            ObserveOutcome::Confirmed(sid) => tracing::info!(
                message_sid = %sid, account_sid = self.account(), source, trace_id = self.trace(),
                "confirmed {sid} by {source}"
            ),
            ObserveOutcome::AlreadyConfirmed(sid) => tracing::debug!(
                message_sid = %sid, account_sid = self.account(), source, trace_id = self.trace(),
                "{sid} was confirmed already"
            ),
            ObserveOutcome::NotConfirmed(reason) => {
                self.unmatched(metrics, "proves nothing", *reason);
            }
            ObserveOutcome::Parked { reason, .. } => self.unmatched(metrics, "parked", *reason),
        }
    }

    /// Logs an event that names one message and holds the code of another: the code decides.
    fn log_other_code(&self, metrics: &Metrics, observed: &ObserveOutcome) {
        let (Some(named), ObserveOutcome::Confirmed(sid) | ObserveOutcome::AlreadyConfirmed(sid)) =
            (self.message, observed)
        else {
            return;
        };
        if named == *sid {
            return;
        }
        metrics.unmatched(CODE_OF_ANOTHER);
        tracing::warn!(
            message_sid = %sid, named = %named, account_sid = self.account(),
            reason = CODE_OF_ANOTHER, trace_id = self.trace(),
            "an event names {named}, but its code is that of {sid}: {sid} counts; report the SID whose code was entered"
        );
    }

    /// Logs and counts evidence that confirmed no message, or none yet.
    fn unmatched(&self, metrics: &Metrics, outcome: &str, reason: Reason) {
        let reason = reason.as_str();
        metrics.unmatched(reason);
        tracing::info!(
            message_sid = self.message.map(display),
            account_sid = self.account(),
            source = self.source,
            signal = self.dedup_id.as_ref().map(dedup_value),
            reason,
            trace_id = self.trace(),
            "evidence {outcome}: {reason}"
        );
    }

    /// Logs evidence that the store did not write in time, and that is kept in memory.
    pub(super) fn deferred(&self, error: &str) {
        tracing::warn!(
            message_sid = self.message.map(display),
            account_sid = self.account(),
            source = self.source,
            signal = self.dedup_id.as_ref().map(dedup_value),
            error,
            trace_id = self.trace(),
            "evidence deferred: it is in memory, and is written when the store can write; a crash before that loses it"
        );
    }

    /// Logs and counts evidence that the store never wrote.
    pub(super) fn dropped(&self, metrics: &Metrics, error: &str) {
        metrics.evidence(self.source, "lost");
        tracing::error!(
            message_sid = self.message.map(display),
            account_sid = self.account(),
            source = self.source,
            signal = self.dedup_id.as_ref().map(dedup_value),
            error,
            trace_id = self.trace(),
            "evidence lost: the store did not write it; the caller got a normal answer"
        );
    }
}

/// Logs stored facts of a message, and the confirmations that they caused or withdrew.
pub(super) fn registered(
    metrics: &Metrics,
    trace: Option<TraceParent>,
    registered: &RegisterOutcome,
) {
    let message = &registered.message;
    let (sid, account_sid) = (message.sid, message.account);
    tracing::debug!(
        message_sid = %sid, %account_sid, state = message.state.as_str(),
        trace_id = trace.map(|trace| trace.trace_id_hex()), "facts of {sid} stored"
    );
    for confirmed in &registered.confirmed {
        metrics.evidence("parked", "confirmed");
        // The trace of the parked evidence, which the post continues.
        let trace = message.trace.filter(|_| *confirmed == sid);
        tracing::info!(
            message_sid = %confirmed, %account_sid, source = "parked",
            trace_id = trace.map(|trace| trace.trace_id_hex()),
            "confirmed {confirmed} by parked evidence"
        );
    }
    for withdrawn in &registered.withdrawn {
        metrics.evidence("parked", "withdrawn");
        tracing::info!(
            message_sid = %withdrawn, %account_sid,
            "confirmation of {withdrawn} withdrawn before Twilio had it: newer facts contradict it"
        );
    }
}

/// Logs a rejected request. Without a valid signature the level is debug, because scanners would fill the log. With a valid
/// signature it is warn, because the app or the settings are wrong.
pub(super) fn rejected(request: &HttpRequest, route: &str, rejection: &Rejection) {
    let reason = rejection.as_label();
    match rejection {
        Rejection::Unavailable { reason: detail, .. } => tracing::warn!(
            route,
            reason,
            detail,
            trace_id = trace::id(request),
            "request to {route} not stored; answered 503: {detail}. It is lost unless its sender repeats it; \
             docs/operations.md#heardbackservererrors has the action"
        ),
        Rejection::Unsupported { .. } | Rejection::Malformed(_) | Rejection::Contradiction(_) => {
            let detail = rejection.detail();
            tracing::warn!(
                route, reason, %detail, trace_id = trace::id(request),
                "signed request to {route} is unusable ({reason}): {detail}. None of it is stored; correct its sender"
            );
        }
        // `signature_limiter.rs` logs the network once.
        Rejection::Limited => {}
        Rejection::TooManySends => tracing::warn!(
            reason,
            trace_id = trace::id(request),
            "too many sends under way: answered 503, and sent nothing; if this persists, raise HEARDBACK_SEND_CONCURRENCY"
        ),
        Rejection::NotFound
        | Rejection::OtherApiPath
        | Rejection::UnknownMessage
        | Rejection::WrongMethod { .. }
        | Rejection::TooLarge { .. }
        | Rejection::TargetTooLong { .. }
        | Rejection::TooManyParameters
        | Rejection::Fragmented
        | Rejection::TooSlow { .. }
        | Rejection::Interrupted
        | Rejection::AfterTheEnd
        | Rejection::BadSignature(_)
        | Rejection::Unauthenticated
        | Rejection::OtherAccount
        | Rejection::Panicked => tracing::debug!(
            reason, detail = %rejection.detail(), trace_id = trace::id(request), "rejected: {reason}"
        ),
    }
}

/// The SID of an inbound message or a call, or the id of an event.
fn dedup_value(id: &DedupId) -> Box<dyn tracing::Value + '_> {
    match id {
        DedupId::Message(sid) => Box::new(display(sid)),
        DedupId::Call(sid) => Box::new(display(sid)),
        DedupId::Event(id) => Box::new(id.as_str()),
    }
}
