//! Whether a request is this machine's own: all that keeps the operator's page where there is no token.
//!
//! The listener is on loopback then, so whoever asks is on this machine, or behind a proxy that is.
//! Deliberately absent: any trust in what a proxy says; that it says anything is enough.

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::http::header::HeaderName;

/// Whether `Host` names this machine, with or without a port. A number cannot be made to lead elsewhere, so
/// the address that is listened on is as good as the names.
pub(super) fn is_this_machine(request: &HttpRequest, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let names = ["localhost", "127.0.0.1", "[::1]"];
    let number = name.trim_start_matches('[').trim_end_matches(']');
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
        || number.parse() == Ok(request.app_config().local_addr().ip())
}

/// Whoever reaches a proxy on this machine reaches us as this machine, even with our own name: nginx sends
/// the upstream's unless it is told otherwise. It then says nothing of itself, but older ones speak HTTP/1.0,
/// as no browser does. One that says nothing and speaks 1.1 cannot be told from a browser.
pub(super) fn came_through_a_proxy(request: &HttpRequest) -> bool {
    let tells = |name: &HeaderName| {
        let name = name.as_str();
        ["forwarded", "via", "x-real-ip"].contains(&name) || name.starts_with("x-forwarded-")
    };
    request.version() < Version::HTTP_11 || request.headers().keys().any(tells)
}
