//! The trace that a request came in with, and its span in it where spans are exported. A `traceparent` is
//! taken at its word: it decides nothing, it is only passed on.
//!
//! A span is opened once it is known that the caller holds a secret, so that strangers cannot fill a
//! collector. Where no spans are exported nothing is noted, and nothing made.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderValue;
use actix_web::{HttpMessage as _, HttpRequest};

use crate::domain::trace::TraceParent;
use crate::inbound::{Receiver, route_label};
use crate::telemetry::traces::{RequestSpan, SpanIds, now};

const TRACEPARENT: &str = "traceparent";

/// A request whose span may yet be opened. Shared by whoever answers and whoever looks on.
#[derive(Clone)]
pub(super) struct PendingSpan(Rc<Inner>);

struct Inner {
    began: SystemTime,
    span: RefCell<Option<RequestSpan>>,
}

impl PendingSpan {
    /// The request was answered.
    pub(super) fn end(self, status: u16) {
        if let Some(span) = self.0.span.take() {
            span.answered(status);
        }
    }
}

/// Notes when a request came in, if spans are exported.
pub(super) fn begin(receiver: &Receiver, request: &ServiceRequest) -> Option<PendingSpan> {
    receiver.traces.as_ref()?;
    let noted = PendingSpan(Rc::new(Inner { began: now(), span: RefCell::new(None) }));
    request.extensions_mut().insert(noted.clone());
    Some(noted)
}

/// Opens the span of a request whose caller has shown that they hold a secret.
pub(super) fn open(receiver: &Receiver, request: &HttpRequest) {
    open_below(receiver, request, sent(request));
}

/// Opens the span of a visit to a link. Whoever was sent the link is a stranger to everybody's traces: no span of
/// ours goes into one that they name.
pub(super) fn open_visit(receiver: &Receiver, request: &HttpRequest) {
    open_below(receiver, request, None);
}

fn open_below(receiver: &Receiver, request: &HttpRequest, caller: Option<TraceParent>) {
    let Some(traces) = &receiver.traces else { return };
    if let Some(noted) = request.extensions().get::<PendingSpan>() {
        let route = route_label(request.match_pattern().as_deref());
        let caller = caller.map(|caller| SpanIds {
            trace_id: caller.trace_id(),
            span_id: caller.span_id(),
            sampled: caller.is_sampled(),
        });
        let span = traces.start_request(noted.0.began, request.method().as_str(), route, caller);
        *noted.0.span.borrow_mut() = Some(span);
    }
}

/// Where the request is in a trace: at its own span if that is open, else at its caller's.
pub(super) fn of(request: &HttpRequest) -> Option<TraceParent> {
    own(request).or_else(|| sent(request))
}

/// The request's own span, if that is open.
pub(super) fn own(request: &HttpRequest) -> Option<TraceParent> {
    let noted = request.extensions().get::<PendingSpan>().cloned()?;
    let ids = noted.0.span.borrow().as_ref().map(RequestSpan::ids)?;
    TraceParent::new(ids.trace_id, ids.span_id, u8::from(ids.sampled))
}

/// The trace's id, as log lines bear it.
pub(super) fn id(request: &HttpRequest) -> Option<String> {
    of(request).map(|trace| trace.trace_id_hex())
}

/// `None` where there is none, more than one, or one that is malformed.
fn sent(request: &HttpRequest) -> Option<TraceParent> {
    let mut headers = request.headers().get_all(TRACEPARENT).map(HeaderValue::to_str);
    let first = headers.next()?.ok()?;
    TraceParent::parse(first).filter(|_| headers.next().is_none())
}
