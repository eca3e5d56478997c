//! Whether a request comes from this machine: the only protection of the operator's page without a token.
//!
//! Without a token the listener is on loopback, so a client is on this machine, or behind a proxy on it. Deliberately
//! absent: any trust in the values of a proxy's headers; their presence is enough.

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::http::header::HeaderName;

/// Whether `Host` names this machine, with or without a port. DNS rebinding needs a name, so the address of the listener
/// is as safe as the names of loopback.
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

/// Whether the request has a mark of a proxy. A proxy may forward any client, even with our own name in `Host`: nginx
/// sends the upstream's name by default, adds no header, and speaks HTTP/1.0, unlike browsers. A proxy that adds no
/// header and speaks HTTP/1.1 looks like a browser.
pub(super) fn came_through_a_proxy(request: &HttpRequest) -> bool {
    let is_proxy_header = |name: &HeaderName| {
        let name = name.as_str();
        ["forwarded", "via", "x-real-ip"].contains(&name) || name.starts_with("x-forwarded-")
    };
    request.version() < Version::HTTP_11 || request.headers().keys().any(is_proxy_header)
}
