//! The app's answer, read within limits, and judged: whether Twilio can use it.

use std::borrow::Cow;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE};
use secrecy::ExposeSecret as _;

use crate::domain::forward::{ForwardFailure, ForwardKind};
use crate::forward::headers::{MAX_HEADERS, cookie_for_twilio};
use crate::twilio::app_url::AppUrl;
use crate::twilio::twiml_urls::{DocumentUrl, with_absolute_urls};

/// The most bytes of an answer: Twilio's limit for `TwiML`.
pub(super) const MAX_ANSWER: usize = 64 << 10;

/// The parts of an app's answer that Twilio gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppAnswer {
    /// 2xx or 4xx.
    pub status: u16,
    pub content_type: Option<Vec<u8>>,
    /// The values of `Set-Cookie`.
    pub cookies: Vec<Vec<u8>>,
    pub body: Vec<u8>,
}

/// The failure of reading an answer: a fault of it, or of the connection.
pub(super) enum ReadError {
    Unusable(ForwardFailure, String),
    Connection(reqwest::Error),
}

/// Reads the answer to its end.
pub(super) async fn read(
    mut response: reqwest::Response,
    url: &AppUrl,
    kind: ForwardKind,
) -> Result<AppAnswer, ReadError> {
    let status = response.status().as_u16();
    let unusable = |failure, detail: String| Err(ReadError::Unusable(failure, detail));
    match status {
        200..=299 | 400..=499 => {}
        300..=399 => return unusable(ForwardFailure::Redirect, format!("status {status}")),
        _ => return unusable(ForwardFailure::ServerError, format!("status {status}")),
    }
    let headers = response.headers();
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    if encoding.is_some_and(|encoding| encoding != b"identity") {
        let detail = "the answer is compressed, although the request did not allow it";
        return unusable(ForwardFailure::Encoded, detail.to_owned());
    }
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
    let cookies = headers.get_all(SET_COOKIE).iter();
    let cookies: Vec<_> = cookies.map(|cookie| cookie_for_twilio(cookie.as_bytes())).collect();
    let header_len = cookies.iter().chain(&content_type).map(Vec::len).sum::<usize>();
    let too_large = |what: &str, most: usize| {
        unusable(ForwardFailure::TooLarge, format!("{what} exceeds {most} bytes"))
    };
    if header_len > MAX_HEADERS {
        return too_large("the header of the answer", MAX_HEADERS);
    }
    if response.content_length().is_some_and(|length| length > MAX_ANSWER as u64) {
        return too_large("the answer", MAX_ANSWER);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Connection)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return too_large("the answer", MAX_ANSWER);
        }
        body.extend_from_slice(&chunk);
    }
    let expects_twiml = kind != ForwardKind::Status && status < 300;
    if expects_twiml && is_html_page(content_type.as_deref(), &body) {
        let detail = "the answer is an HTML page; Twilio expects TwiML";
        return unusable(ForwardFailure::Html, detail.to_owned());
    }
    if expects_twiml && !is_plain(content_type.as_deref()) {
        body = for_twilio(body, url);
    }
    Ok(AppAnswer { status, content_type, cookies, body })
}

fn is_plain(content_type: Option<&[u8]>) -> bool {
    let essence = content_type.unwrap_or_default().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"text/plain"))
}

/// `TwiML` whose relative URLs lead to the app, if Twilio can reach it.
fn for_twilio(body: Vec<u8>, url: &AppUrl) -> Vec<u8> {
    let Some((origin, path)) = url.for_twilio() else { return body };
    let base = DocumentUrl { origin: origin.expose_secret(), path };
    match with_absolute_urls(&body, base) {
        Cow::Owned(absolute) => absolute,
        Cow::Borrowed(_) => body,
    }
}

/// Whether an answer is an HTML page. The content type alone does not decide: Flask sends `TwiML` as `text/html`.
fn is_html_page(content_type: Option<&[u8]>, body: &[u8]) -> bool {
    if is_plain(content_type) {
        return false;
    }
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let begins =
        |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    begins(b"<!doctype html") || begins(b"<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_urls_change_only_if_twilio_can_reach_the_app() {
        let twiml = b"<Response><Redirect>next</Redirect></Response>".to_vec();
        let changed = |url: &str| {
            let url = AppUrl::parse(url).expect(url);
            String::from_utf8(for_twilio(twiml.clone(), &url)).expect("ASCII")
        };
        let absolute = changed("https://u:p@app.example.com:8443/a/voice?t=1");
        assert!(absolute.contains(">https://u:p@app.example.com:8443/a/next<"), "{absolute}");
        for private in ["http://app:3000/voice", "https://10.0.0.1/voice", "https://localhost/"] {
            assert_eq!(changed(private).as_bytes(), twiml, "{private}");
        }
    }

    #[test]
    fn a_page_is_told_from_twiml_by_its_first_tag() {
        for (content_type, body, expected) in [
            ("text/html; charset=utf-8", "<!doctype html><title>x</title>", true),
            ("text/html", "\u{feff}\n <HTML lang=en>", true),
            ("text/xml", "<!DOCTYPE HTML>", true),
            ("", "<html>", true),
            ("text/html; charset=utf-8", "<?xml version=\"1.0\"?><Response/>", false),
            ("text/html", "<Response><Message>&lt;html></Message></Response>", false),
            ("text/plain", "<html> is a tag", false),
            ("text/plain; charset=utf-8", "<!doctype html>", false),
            ("text/html", "", false),
        ] {
            let content_type = (!content_type.is_empty()).then_some(content_type.as_bytes());
            assert_eq!(is_html_page(content_type, body.as_bytes()), expected, "{body}");
        }
    }
}
