//! The operator's page, over real HTTP and in a real browser.

mod access;
mod browser;
mod filled;
mod newcomer;
mod shown;

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::harness::http_client::{Answer, Line};

pub(crate) const TOKEN: &str = "an operator's token, long enough";

/// Sends a request to the operator's listener, as a browser on this machine would.
pub(crate) fn ask(ops: SocketAddr, method: &str, path: &str, more: &[&str], body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\n");
    if !more.iter().any(|line| line.starts_with("Host:")) {
        let _ = write!(request, "Host: {ops}\r\n");
    }
    for line in more {
        request.push_str(line);
        request.push_str("\r\n");
    }
    if method == "POST" {
        let length = body.len();
        request.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        let _ = write!(request, "Content-Length: {length}\r\n");
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut line = Line::open(ops);
    line.send(request.as_bytes());
    line.answer().expect("an answer")
}

pub(crate) fn get(ops: SocketAddr, path: &str, more: &[&str]) -> Answer {
    ask(ops, "GET", path, more, "")
}

/// The hidden fields of the forms on a page.
pub(crate) fn csrf_token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf_token\" value=\"").expect("a form");
    rest.split('"').next().expect("an end").to_owned()
}

/// The session's cookie, as a browser sends it.
pub(crate) fn logged_in(ops: SocketAddr) -> String {
    let body = serde_urlencoded::to_string([("token", TOKEN)]).expect("encodes");
    let answer = ask(ops, "POST", "/login", &[], &body);
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/")));
    let cookie = answer.header("Set-Cookie").expect("a cookie");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(TOKEN), "{cookie}");
    format!("Cookie: {}", cookie.split(';').next().expect("a pair"))
}
