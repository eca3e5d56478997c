//! Journal: what the routes say in the log, and count, of what came in. One line for each decision.
//!
//! Deliberately absent: people, texts, references (an app may put a name into one) and tokens; a message
//! is named by its SID. `docs/logs.md` has every line and field.

use actix_web::HttpRequest;
use tracing::field::display;

use crate::domain::matching::{ObserveOutcome, Reason, RegisterOutcome};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{DedupId, EvidenceTarget, Signal};
use crate::domain::trace::TraceParent;
use crate::inbound::rejection::Rejection;
use crate::inbound::{Receiver, trace};
use crate::telemetry::metrics::Metrics;

/// The reason of an event that names one message and holds the code of another.
const CODE_OF_ANOTHER: &str = "code_of_another";

/// What can be said of a signal whatever comes of it; noted before the store has it.
pub(super) struct SignalLog {
    pub(super) source: &'static str,
    /// Whose, as far as it is known.
    pub(super) account: Option<AccountSid>,
    /// The message that it names, if it names one.
    pub(super) message: Option<MessageSid>,
    /// The inbound message, call or event that it is.
    pub(super) once: Option<DedupId>,
    pub(super) trace: Option<TraceParent>,
}

impl SignalLog {
    pub(super) fn of(signal: &Signal) -> Self {
        let evidence = signal.evidence.as_ref().ok();
        let message = evidence.and_then(|evidence| match &evidence.named {
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
            once: signal.dedup_ids.first().cloned(),
            trace: signal.trace,
        }
    }

    fn account(&self) -> Option<impl tracing::Value> {
        self.account.map(display)
    }

    fn trace(&self) -> Option<String> {
        self.trace.map(|trace| trace.trace_id_hex())
    }

    /// What it came to.
    pub(super) fn outcome(&self, metrics: &Metrics, observed: &ObserveOutcome) {
        let source = self.source;
        metrics.evidence(source, observed.as_str());
        self.contradicts(metrics, observed);
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
    fn contradicts(&self, metrics: &Metrics, observed: &ObserveOutcome) {
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

    /// It has confirmed nothing, or nothing yet.
    fn unmatched(&self, metrics: &Metrics, outcome: &str, reason: Reason) {
        let reason = reason.as_str();
        metrics.unmatched(reason);
        tracing::info!(
            message_sid = self.message.map(display),
            account_sid = self.account(),
            source = self.source,
            signal = self.once.as_ref().map(dedup_value),
            reason,
            trace_id = self.trace(),
            "evidence {outcome}: {reason}"
        );
    }

    /// The store did not write it in time. It is kept in memory, and the caller gets a normal answer.
    pub(super) fn deferred(&self, why: &str) {
        tracing::warn!(
            message_sid = self.message.map(display),
            account_sid = self.account(),
            source = self.source,
            signal = self.once.as_ref().map(dedup_value),
            error = why,
            trace_id = self.trace(),
            "evidence deferred: it is in memory, and is written when the store can write; a crash before that loses it"
        );
    }

    /// The store never wrote it, and the caller got a normal answer.
    pub(super) fn dropped(&self, metrics: &Metrics, why: &str) {
        metrics.evidence(self.source, "lost");
        tracing::error!(
            message_sid = self.message.map(display),
            account_sid = self.account(),
            source = self.source,
            signal = self.once.as_ref().map(dedup_value),
            error = why,
            trace_id = self.trace(),
            "evidence lost: the store did not write it; the caller got a normal answer"
        );
    }
}

/// What is known of a message now, and what was confirmed thereby.
pub(super) fn remembered(receiver: &Receiver, request: &HttpRequest, remembered: &RegisterOutcome) {
    let message = &remembered.message;
    let (sid, account_sid) = (message.sid, message.account);
    tracing::debug!(
        message_sid = %sid, %account_sid, state = message.state.as_str(),
        trace_id = trace::id(request), "facts of {sid} stored"
    );
    for confirmed in &remembered.confirmed {
        receiver.metrics.evidence("parked", "confirmed");
        // The trace that its post will bear: that of what waited.
        let waited = message.trace.filter(|_| *confirmed == sid);
        tracing::info!(
            message_sid = %confirmed, %account_sid, source = "parked",
            trace_id = waited.map(|trace| trace.trace_id_hex()),
            "confirmed {confirmed} by parked evidence"
        );
    }
    for withdrawn in &remembered.withdrawn {
        receiver.metrics.evidence("parked", "withdrawn");
        tracing::info!(
            message_sid = %withdrawn, %account_sid,
            "confirmation of {withdrawn} withdrawn before it was posted: what is known since contradicts it"
        );
    }
}

/// A request that is refused. What strangers send is told to whoever asks for it: scanners would fill
/// the log. What is signed and cannot be used is somebody's mistake, and nobody else may notice it.
pub(super) fn refused(request: &HttpRequest, why: &Rejection) {
    let reason = why.as_label();
    match why {
        Rejection::Unavailable { reason: detail, .. } => tracing::warn!(
            reason,
            detail,
            trace_id = trace::id(request),
            "request not stored; answered 503"
        ),
        Rejection::Unsupported { .. } | Rejection::Malformed(_) | Rejection::Contradiction(_) => {
            tracing::warn!(
                reason, detail = %why.detail(), trace_id = trace::id(request),
                "request with a valid signature refused: {reason}"
            );
        }
        // Said once for all, in `forgers.rs`.
        Rejection::Limited => {}
        Rejection::NotFound
        | Rejection::UnknownMessage
        | Rejection::WrongMethod { .. }
        | Rejection::TooLarge { .. }
        | Rejection::TargetTooLong { .. }
        | Rejection::TooManyParameters { .. }
        | Rejection::Fragmented
        | Rejection::TooSlow { .. }
        | Rejection::Interrupted
        | Rejection::AfterTheEnd
        | Rejection::Mistrusted(_)
        | Rejection::OtherAccount
        | Rejection::Panicked => tracing::debug!(
            reason, detail = %why.detail(), trace_id = trace::id(request), "refused: {reason}"
        ),
    }
}

/// By its own name: an inbound message's SID, a call's, an event's id.
fn dedup_value(once: &DedupId) -> Box<dyn tracing::Value + '_> {
    match once {
        DedupId::Message(sid) => Box::new(display(sid)),
        DedupId::Call(sid) => Box::new(display(sid)),
        DedupId::Event(id) => Box::new(id.as_str()),
    }
}
