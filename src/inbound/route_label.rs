//! The label of a request's route, in metrics, spans and findings.

use actix_web::HttpRequest;

use crate::domain::route;

/// Most paths are the path of a route, so the patterns of all routes are rarely compared.
pub(super) fn route_label(request: &HttpRequest) -> &'static str {
    let by_pattern = || route::label(request.match_pattern().as_deref());
    route::by_path(request.path()).unwrap_or_else(by_pattern)
}
