//! The trace that a request came in with. It is taken at its word: it decides nothing, it is only passed on.

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;

use crate::domain::trace::TraceParent;

const TRACEPARENT: &str = "traceparent";

/// `None` where there is none, more than one, or one that is malformed.
pub(super) fn of(request: &HttpRequest) -> Option<TraceParent> {
    let mut headers = request.headers().get_all(TRACEPARENT).map(HeaderValue::to_str);
    let first = headers.next()?.ok()?;
    TraceParent::parse(first).filter(|_| headers.next().is_none())
}
