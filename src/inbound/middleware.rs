//! Runs around every public request: limits the target, counts the answer, ends the span, catches panics, and sets the
//! connection's deadline.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web;
use futures_util::FutureExt;

use crate::domain::route;
use crate::inbound::limits::connections::Connection;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::route_label::route_label;
use crate::inbound::trace;

/// The longest path and query, in bytes. On a GET the query holds the whole callback. A text of 1,600 characters of three
/// bytes each has 14,400, escaped; some twenty other fields, ten media URLs and add-ons may come with it.
const MAX_TARGET: usize = 32 << 10;

/// Rejects a target that is too long, before it is compared with any route.
fn check_target(request: &ServiceRequest) -> Result<(), RejectionResponse> {
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let length = authority + uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length <= MAX_TARGET {
        return Ok(());
    }
    Err(RejectionResponse::of(request.request(), Rejection::TargetTooLong { max: MAX_TARGET }))
}

/// A panic ends only its own request: the store's writer holds no partial change, and a poisoned lock is reused.
pub(super) async fn observe_request(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started_at = crate::telemetry::clock::monotonic();
    let receiver = request.app_data::<web::Data<Receiver>>().cloned();
    let checked = check_target(&request);
    // A target that is too long is compared with no route.
    let route = if checked.is_ok() { route_label(request.request()) } else { route::label(None) };
    let traces = receiver.as_deref().and_then(|receiver| receiver.traces.as_deref());
    let span = traces.map(|_| trace::begin(&request));
    let is_over =
        request.conn_data::<Arc<Connection>>().is_some_and(|connection| connection.is_over());
    let answered = if is_over {
        Err(RejectionResponse::of(request.request(), Rejection::AfterTheEnd).into())
    } else if let Err(rejection) = checked {
        Err(rejection.into())
    } else {
        let answer = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind().await;
        let panicked =
            |_| RejectionResponse::panicked(receiver.as_ref().map(web::Data::get_ref), route);
        answer.unwrap_or_else(|panic| Err(panicked(panic).into()))
    };
    let status = match &answered {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(receiver) = &receiver {
        receiver.metrics.http_requests(route, status.as_u16(), started_at.elapsed());
    }
    if let Some(span) = span {
        span.end(status.as_u16());
    }
    if let Ok(response) = &answered
        && let Some(connection) = response.request().conn_data::<Arc<Connection>>()
    {
        if response.response().head().keep_alive() {
            connection.reset_deadline();
        } else {
            connection.close_soon();
        }
    }
    answered
}
