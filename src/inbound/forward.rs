//! Forwards a webhook to the app while the evidence is written, and answers Twilio.
//!
//! A person who wrote or called is served first: the answer does not depend on the store. A status callback has no person,
//! so its answer is an error unless both the store and the app have it.

use std::future::Future;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join;

use crate::domain::forward::{ForwardFailure, ForwardKind};
use crate::domain::sid::AccountSid;
use crate::domain::signal::Signal;
use crate::forward::{AppAnswer, Failed};
use crate::inbound::decision_log::SignalLog;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::{RETRY_AFTER_SECONDS, RejectionResponse};
use crate::inbound::trace;
use crate::inbound::webhook::HandOff;

/// Serves a person. `otherwise` is the `TwiML` for Twilio if the app fails and Twilio has no fallback URL.
pub(super) async fn serve_person(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    hand_off: HandOff,
    signal: Result<Signal, Rejection>,
    otherwise: String,
) -> Result<HttpResponse, RejectionResponse> {
    let work = async move {
        let evidence = async {
            match signal {
                Ok(signal) => receiver.deferred.observe(SignalLog::of(&signal), signal).await,
                // Counts and logs it.
                Err(rejection) => drop(RejectionResponse::of(&request, rejection)),
            }
        };
        let kind = hand_off.0.kind;
        let (answer, ()) = join(forward(&request, &receiver, hand_off), evidence).await;
        Ok(answer.unwrap_or_else(|failure| {
            // The app never saw the message, so Twilio must see an error: it may try again.
            let must_know = kind == ForwardKind::Message && is_withheld(failure);
            if receiver.has_fallback_url || must_know {
                error(failure)
            } else {
                HttpResponse::Ok().content_type("text/xml").body(otherwise)
            }
        }))
    };
    detached(work).await
}

/// Answers a status callback. `stored` writes its facts.
pub(super) async fn serve_callback(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    hand_off: HandOff,
    stored: impl Future<Output = Result<(), Rejection>> + 'static,
) -> Result<HttpResponse, RejectionResponse> {
    let work = async move {
        let (answer, stored) = join(forward(&request, &receiver, hand_off), stored).await;
        match stored {
            Err(rejection @ Rejection::Unavailable { .. }) => {
                return Err(RejectionResponse::of(&request, rejection));
            }
            // A repeated request would be refused, too. Counts and logs it.
            Err(rejection) => drop(RejectionResponse::of(&request, rejection)),
            Ok(()) => {}
        }
        Ok(answer.unwrap_or_else(error))
    };
    detached(work).await
}

/// A task of its own, because actix drops the future of a request whose client has gone.
async fn detached(
    work: impl Future<Output = Result<HttpResponse, RejectionResponse>> + 'static,
) -> Result<HttpResponse, RejectionResponse> {
    match actix_web::rt::spawn(work).await {
        Ok(answer) => answer,
        Err(end) => match end.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_) => Ok(error(ForwardFailure::Busy)),
        },
    }
}

async fn forward(
    request: &HttpRequest,
    receiver: &Receiver,
    HandOff(hand_off): HandOff,
) -> Result<HttpResponse, ForwardFailure> {
    let (account, kind) = (hand_off.account, hand_off.kind);
    let began = crate::telemetry::clock::monotonic();
    let result = receiver.forwarder.forward(hand_off).await;
    let took = began.elapsed();
    let log = ForwardLog { request, receiver, account, kind, took };
    log.record(&result);
    result.map(answer).map_err(|failed| failed.failure)
}

/// The app's answer. A 401 lacks `WWW-Authenticate`, so Twilio does not repeat the request with credentials.
fn answer(answer: AppAnswer) -> HttpResponse {
    let AppAnswer { status, content_type, cookies, body } = answer;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).ok();
    if let Some(content_type) = content_type.as_deref().and_then(value) {
        response.insert_header((CONTENT_TYPE, content_type));
    }
    for cookie in cookies.iter().filter_map(|cookie| value(cookie)) {
        response.append_header((SET_COOKIE, cookie));
    }
    response.body(body)
}

/// Whether other webhooks kept Heardback from sending this one to the app.
fn is_withheld(failure: ForwardFailure) -> bool {
    matches!(failure, ForwardFailure::Busy | ForwardFailure::Waited)
}

/// 502, at which Twilio uses its fallback URL or its retries. A 503 would say that the evidence is not stored.
fn error(failure: ForwardFailure) -> HttpResponse {
    let mut response = HttpResponse::BadGateway();
    if is_withheld(failure) {
        response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
    }
    response.finish()
}

/// The count, and for a failure the log line, of one forwarded webhook.
struct ForwardLog<'a> {
    request: &'a HttpRequest,
    receiver: &'a Receiver,
    account: AccountSid,
    kind: ForwardKind,
    took: Duration,
}

impl ForwardLog<'_> {
    fn record(&self, result: &Result<AppAnswer, Failed>) {
        let failed = match result {
            Ok(answer) if answer.status < 400 => None,
            Ok(answer) => {
                let detail = format!("status {}", answer.status);
                Some(Failed { failure: ForwardFailure::ClientError, detail })
            }
            Err(failed) => Some(failed.clone()),
        };
        let Self { request, receiver, account, kind, took } = self;
        let failure = failed.as_ref().map(|failed| failed.failure);
        receiver.metrics.forward(*kind, failure, *took);
        let Some(Failed { failure, detail }) = failed else { return };
        receiver.forward_failures.record((*account, *kind), failure, &detail, (receiver.clock)());
        let reason = failure.as_str();
        let kind = kind.as_str();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let trace_id = trace::id(request);
        if failure == ForwardFailure::ClientError {
            tracing::warn!(
                account_sid = %account, kind, reason, detail, ms, trace_id,
                "the app refused a {kind} webhook: {detail}; Twilio got this answer"
            );
        } else if is_withheld(failure) {
            tracing::warn!(
                account_sid = %account, kind, reason, detail, ms, trace_id,
                "a {kind} webhook was not sent to the app: {reason}; Twilio got the answer for failures \
                 (docs/forward.md); its evidence is not affected"
            );
        } else {
            tracing::warn!(
                account_sid = %account, kind, reason, detail, ms, trace_id,
                "the app did not answer a {kind} webhook: {reason}; Twilio got the answer for failures \
                 (docs/forward.md); its evidence is not affected"
            );
        }
    }
}
