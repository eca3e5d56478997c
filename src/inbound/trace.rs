//! The trace context of a request, and the request's own span if spans are exported.
//!
//! A `traceparent` is passed on and decides nothing. A span is opened only for a verified request or a known click link,
//! so that unauthenticated clients cannot fill a collector.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpMessage as _, HttpRequest};

use crate::domain::trace::TraceParent;
use crate::inbound::route_label::route_label;
use crate::telemetry::traces::{RequestSpan, Traces, now};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request whose span may be opened. The request's extensions hold a clone.
#[derive(Clone)]
pub(super) struct PendingSpan(Rc<Inner>);

struct Inner {
    started_at: SystemTime,
    span: RefCell<Option<RequestSpan>>,
}

impl PendingSpan {
    /// Ends the span, if it was opened, with the status of the answer.
    pub(super) fn end(self, status: u16) {
        if let Some(span) = self.0.span.take() {
            span.answered(status);
        }
    }
}

/// Records the arrival of a request. Only for a service that exports spans.
pub(super) fn begin(request: &ServiceRequest) -> PendingSpan {
    let pending = PendingSpan(Rc::new(Inner { started_at: now(), span: RefCell::new(None) }));
    request.extensions_mut().insert(pending.clone());
    pending
}

/// Opens the span of a verified request, as a child of its caller's.
pub(super) fn open(traces: Option<&Traces>, request: &HttpRequest) {
    open_below(traces, request, parent(request));
}

/// Opens the span of a visit to a link. A visitor is unauthenticated, so the span is no child of a span that they name.
pub(super) fn open_visit(traces: Option<&Traces>, request: &HttpRequest) {
    open_below(traces, request, None);
}

fn open_below(traces: Option<&Traces>, request: &HttpRequest, parent: Option<TraceParent>) {
    let Some(traces) = traces else { return };
    if let Some(pending) = request.extensions().get::<PendingSpan>() {
        let route = route_label(request);
        let span =
            traces.start_request(pending.0.started_at, request.method().as_str(), route, parent);
        *pending.0.span.borrow_mut() = Some(span);
    }
}

/// The position of the request in a trace: its own span if that is open, its caller's otherwise.
pub(super) fn of(request: &HttpRequest) -> Option<TraceParent> {
    own(request).or_else(|| parent(request))
}

/// The request's own span, if it is open.
pub(super) fn own(request: &HttpRequest) -> Option<TraceParent> {
    let pending = request.extensions().get::<PendingSpan>().cloned()?;
    pending.0.span.borrow().as_ref()?.context()
}

/// The id of the request's trace, for log lines.
pub(super) fn id(request: &HttpRequest) -> Option<String> {
    of(request).map(|trace| trace.trace_id_hex())
}

/// The caller's span. `None` if the header is absent, repeated or malformed.
fn parent(request: &HttpRequest) -> Option<TraceParent> {
    let mut headers = request.headers().get_all(TRACEPARENT).map(HeaderValue::to_str);
    let first = headers.next()?.ok()?;
    TraceParent::parse(first).filter(|_| headers.next().is_none())
}
