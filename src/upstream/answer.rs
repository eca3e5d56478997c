//! Reads an answer of Twilio's API into a [`Verdict`] (docs/design.md, "Posting to Twilio").
//!
//! An answer that settles a message (done, missing, never) is complete and Twilio's own (`body.rs`): a 2xx names the
//! message, a 4xx has Twilio's form of an error. For any other verdict the status is enough. Deliberately absent:
//! sockets, and any clock except for a `Retry-After` without a `Date`.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::Url;
use reqwest::header::{DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::domain::feedback::{Feedback, OutcomeDetail, Verdict};
use crate::domain::redact::redacted;

/// The longest message that is kept, in characters. Twilio's own are shorter.
const MAX_MESSAGE: usize = 200;

/// An answer as far as it was received.
#[derive(Debug)]
pub(crate) struct UpstreamResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body as JSON, once it was read.
    pub(crate) json: OnceCell<Option<Value>>,
    /// The error that truncated the body.
    pub(crate) broken: Option<String>,
    /// The body was longer than any of Twilio's and is not kept.
    pub(crate) is_oversized: bool,
}

impl UpstreamResponse {
    /// The meaning of the answer to this feedback.
    pub(crate) fn verdict(&self, feedback: &Feedback) -> Verdict {
        match self.status.as_u16() {
            status @ 200..=299 => match self.unlike_feedback(feedback) {
                None => Verdict::Done { status },
                Some(kind) => Verdict::Uncertain { why: self.because(None, kind) },
            },
            300..=399 => Verdict::Pause { why: self.why_redirected() },
            401 | 403 => Verdict::Pause { why: self.detail() },
            408 | 425 => Verdict::Retry { why: self.detail(), after: self.retry_after() },
            429 => Verdict::Throttle { why: self.detail(), after: self.retry_after() },
            // The error page of a proxy is not Twilio's answer.
            400..=499 if !self.is_twilios_error() => {
                Verdict::Uncertain { why: self.because(None, self.described()) }
            }
            404 => Verdict::Missing { why: self.detail() },
            400..=499 => Verdict::Never { why: self.detail() },
            // 5xx, and numbers that are not HTTP statuses.
            _ => Verdict::Retry { why: self.detail(), after: self.retry_after() },
        }
    }

    /// The `Date` of Twilio's own complete answer: it names the requested message or account, or has Twilio's form of
    /// an error.
    pub(super) fn twilios_date(&self, sid: &str) -> Option<Timestamp> {
        if self.broken.is_some() {
            return None;
        }
        let body = self.json()?;
        let is_named = || {
            ["message_sid", "sid"]
                .iter()
                .any(|name| body.get(*name).and_then(Value::as_str) == Some(sid))
        };
        let is_error = || {
            let status = body.get("status").and_then(Value::as_u64);
            body.get("code").is_some_and(Value::is_u64)
                && status == Some(u64::from(self.status.as_u16()))
        };
        let is_twilios = if self.status.is_success() { is_named() } else { is_error() };
        Timestamp::try_from(self.date().filter(|_| is_twilios)?).ok()
    }

    fn date(&self) -> Option<SystemTime> {
        self.header(&DATE).and_then(|date| httpdate::parse_http_date(date).ok())
    }

    pub(super) fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_slice(&self.body).ok()).as_ref()
    }

    /// The `code` and `message` of the answer, or the reason of its status.
    pub(super) fn detail(&self) -> OutcomeDetail {
        let body = self.json();
        let field = |name: &str| body.and_then(|body| body.get(name));
        let code = field("code").and_then(Value::as_u64).and_then(|code| code.try_into().ok());
        let message = field("message").and_then(Value::as_str).map(printable);
        let message = message.filter(|message| !message.is_empty());
        let not_twilios = || {
            let reason = self.status.canonical_reason().unwrap_or("an unknown status");
            format!("{reason} (the answer was not Twilio's JSON)")
        };
        self.because(code, message.unwrap_or_else(not_twilios))
    }

    pub(super) fn because(&self, code: Option<u32>, message: String) -> OutcomeDetail {
        OutcomeDetail { status: Some(self.status.as_u16()), code, message }
    }

    /// Names the host only: the rest of a `Location` may be secret.
    pub(super) fn why_redirected(&self) -> OutcomeDetail {
        let target = self.header(&LOCATION).and_then(|location| Url::parse(location).ok());
        let host = target.as_ref().and_then(Url::host_str).map(printable);
        let to = host.map_or_else(String::new, |host| format!(" to {host}"));
        self.because(None, format!("redirected{to}, which is not followed"))
    }

    fn retry_after(&self) -> Option<Duration> {
        // Compared with the sender's `Date`, so that a wrong clock here does not matter.
        self.header(&RETRY_AFTER)
            .and_then(|value| parse_retry_after(value, self.date().unwrap_or_else(now)))
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[expect(clippy::disallowed_methods, reason = "a Retry-After date without a Date beside it")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The wait of a `Retry-After` (RFC 9110 §10.2.3): whole seconds, or an HTTP date. Zero for a date that is over, `None`
/// for any other value. `domain::retry` limits it.
fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a u64 are a long wait.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// Makes a foreign text fit for the log and the store: one short line, without phone numbers and secrets.
pub(crate) fn printable(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Redacted before it is cut: a cut number might not be recognised.
    redacted(text.trim()).chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feedback() -> Feedback {
        let account = "AC0123456789abcdef0123456789abcdef".parse().expect("valid");
        Feedback { account, message: "SM0123456789abcdef0123456789abcdef".parse().expect("valid") }
    }

    fn answer(status: u16, body: &str, broken: Option<&str>) -> Verdict {
        let status = StatusCode::from_u16(status).expect("a status");
        let (headers, broken) = (HeaderMap::new(), broken.map(str::to_owned));
        let is_oversized = false;
        let (body, json) = (body.into(), OnceCell::new());
        UpstreamResponse { status, headers, body, json, broken, is_oversized }.verdict(&feedback())
    }

    #[test]
    fn every_status_has_its_verdict() {
        let table: &[(&str, &[u16])] = &[
            ("uncertain", &[200, 201, 202, 204, 226, 299]),
            ("pause", &[300, 301, 302, 303, 304, 307, 308, 399, 401, 403]),
            ("missing", &[404]),
            ("retry", &[100, 199, 408, 425, 500, 502, 503, 504, 521, 599, 600, 999]),
            ("throttle", &[429]),
            ("never", &[400, 402, 405, 406, 409, 410, 413, 415, 422, 426, 431, 451, 499]),
        ];
        for (word, statuses) in table {
            for status in *statuses {
                let error = format!(r#"{{"code":20001,"message":"No","status":{status}}}"#);
                assert_eq!(answer(*status, &error, None).as_str(), *word, "{status}");
            }
        }
    }

    #[test]
    fn a_4xx_that_is_not_twilios_settles_nothing_and_its_kind_is_named() {
        for status in [400, 404, 405, 410, 413, 451] {
            for (body, kind) in [
                ("", "with an empty body"),
                ("<html><title>Blocked</title></html>", "with HTML, titled \"Blocked\""),
                ("{}", "with JSON that is not Twilio's"),
                (r#"{"code":"blocked"}"#, "with JSON that is not Twilio's"),
                (
                    r#"{"code":5,"message":"Not Found","details":[]}"#,
                    "with JSON that is not Twilio's",
                ),
                (r#"{"code":404,"message":"no route"}"#, "with JSON that is not Twilio's"),
                (r#"{"code":20404,"status":502}"#, "with JSON that is not Twilio's"),
                ("Not Found", "with plain text"),
            ] {
                let Verdict::Uncertain { why } = answer(status, body, None) else {
                    panic!("{status} {body}")
                };
                assert_eq!(why.message, format!("{status} {kind}"));
            }
        }
    }

    #[test]
    fn a_verdict_that_settles_a_message_needs_a_complete_answer() {
        for (status, word) in [
            (200, "uncertain"),
            (400, "uncertain"),
            (404, "uncertain"),
            (401, "pause"),
            (429, "throttle"),
        ] {
            assert_eq!(answer(status, "", Some("broke off")).as_str(), word, "{status}");
        }
    }

    #[test]
    fn only_twilios_own_answer_has_a_trusted_date() {
        let sid = "SM0123456789abcdef0123456789abcdef";
        let echo = format!(r#"{{"message_sid":"{sid}","outcome":"confirmed"}}"#);
        let error =
            r#"{"code":20003,"message":"Authenticate","more_info":"https://x","status":401}"#;
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let known = Timestamp::from_second(784_111_777).ok();
        for (status, body, date, broken, expected) in [
            (201, echo.as_str(), date, None, known),
            (401, error, date, None, known),
            (201, echo.as_str(), "yesterday", None, None),
            (201, echo.as_str(), date, Some("broke off"), None),
            (200, r#"{"message_sid":"SM1"}"#, date, None, None),
            (200, "<html>Sign in</html>", date, None, None),
            (403, error, date, None, None),
            (502, "Bad Gateway", date, None, None),
            (200, error, date, None, None),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let headers = HeaderMap::from_iter([(DATE, date.parse().expect("a header"))]);
            let broken = broken.map(str::to_owned);
            let answer = UpstreamResponse {
                status,
                headers,
                body: body.into(),
                json: OnceCell::new(),
                broken,
                is_oversized: false,
            };
            assert_eq!(answer.twilios_date(sid), expected, "{status} {body} {date}");
        }
    }

    #[test]
    fn twilios_message_is_kept_short_and_on_one_line() {
        let long = format!(r#"{{"code":20404,"message":"a\nb\u0007{}"}}"#, "x".repeat(500));
        let verdict = answer(400, &long, None);
        let why = verdict.detail().expect("a reason");
        assert_eq!((why.status, why.code), (Some(400), Some(20404)));
        assert!(why.message.starts_with("a b x"), "{}", why.message);
        assert_eq!(why.message.chars().count(), MAX_MESSAGE);
    }

    #[test]
    fn a_body_of_any_form_yields_a_reason() {
        for body in ["", "[]", "null", "<html>", r#"{"code":"x","message":7}"#, r#"{"code":-1}"#] {
            let verdict = answer(502, body, None);
            let why = verdict.detail().expect("a reason");
            assert_eq!(why.message, "Bad Gateway (the answer was not Twilio's JSON)", "{body}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Fri, 06 Nov 2026 08:49:37 GMT").expect("a date");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, expected) in [
            ("120", seconds(120)),
            (" 0 ", seconds(0)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Fri, 06 Nov 2026 08:51:37 GMT", seconds(120)),
            ("Friday, 06-Nov-26 08:51:37 GMT", seconds(120)),
            ("Fri, 06 Nov 2026 08:00:00 GMT", seconds(0)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
    }

    #[test]
    fn phone_numbers_and_credentials_are_not_kept() {
        assert_eq!(printable("no +15551234567, +49 and 1+1"), "no +…, +49 and 1+1");
        assert_eq!(printable("you sent Basic QUMxOnNlY3JldA=="), "you sent Basic …");
        let cut = format!("{} +15551234567", "x".repeat(MAX_MESSAGE - 8));
        assert!(!printable(&cut).contains("555"), "a number at the cut is redacted");
    }
}
