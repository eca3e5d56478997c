//! Decides whether an answer about one resource is Twilio's own, and describes any other answer.
//!
//! A proxy or a captive portal answers 2xx as well, so the status proves nothing. Twilio answers Feedback with
//! `account_sid`, `message_sid`, `outcome`, `date_created`, `date_updated` and `uri` (its API description, 2025-06 and
//! later); all but `outcome` may be null. Deliberately absent: any text of the body except an HTML title.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::domain::feedback::Feedback;
use crate::domain::sid::AccountSid;
use crate::upstream::answer::{UpstreamResponse, printable};

/// The longest HTML title that is quoted, in characters.
const MAX_TITLE: usize = 60;
/// Twilio's error codes have five digits. Codes of other servers' JSON, such as gRPC's or HTTP's, have fewer.
const ERROR_CODES: RangeInclusive<u64> = 10_000..=99_999;
/// Twilio's code for a resource that does not exist.
const NOT_FOUND: u64 = 20404;

impl UpstreamResponse {
    /// Why this is not Twilio's answer to the feedback, such as `200 with HTML`; `None` if it is.
    pub(super) fn unlike_feedback(&self, feedback: &Feedback) -> Option<String> {
        self.unlike("message", |body| {
            let uri = body.get("uri").and_then(Value::as_str).and_then(sids_in);
            let named = |field: &str| body.get(field).and_then(Value::as_str);
            let message = named("message_sid").or(uri.map(|(_, message)| message));
            let account = named("account_sid").or(uri.map(|(account, _)| account));
            let is_denied = named("outcome").is_some_and(|outcome| outcome == "unconfirmed");
            match message {
                None => Some("with JSON that names no message"),
                Some(sid) if sid != feedback.message.as_str() => Some("that names another message"),
                Some(_) if account.is_some_and(|sid| sid != feedback.account.as_str()) => {
                    Some("that names another account")
                }
                Some(_) => is_denied.then_some("that says unconfirmed"),
            }
        })
    }

    /// Why this is not Twilio's answer about the account; `None` if it is.
    pub(super) fn unlike_account(&self, account: AccountSid) -> Option<String> {
        self.unlike("account", |body| match body.get("sid").and_then(Value::as_str) {
            None => Some("with JSON that names no account"),
            Some(sid) => (sid != account.as_str()).then_some("that names another account"),
        })
    }

    /// Whether this is a complete error in Twilio's form: JSON with a numeric `code`.
    pub(super) fn is_twilios_error(&self) -> bool {
        self.broken.is_none() && self.code().is_some()
    }

    /// Whether this is Twilio's own 404, for a resource that does not exist.
    pub(super) fn is_twilios_404(&self) -> bool {
        self.status.as_u16() == 404 && self.code() == Some(NOT_FOUND)
    }

    /// Describes an answer that is not Twilio's by its status and body.
    pub(super) fn described(&self) -> String {
        self.unlike("resource", |_| Some("with JSON that is not Twilio's")).unwrap_or_default()
    }

    /// The error code of a body in Twilio's form. Its `status` repeats the HTTP status.
    fn code(&self) -> Option<u64> {
        let body = self.json()?;
        let number = |name: &str| body.get(name).and_then(Value::as_u64);
        let is_ours = number("status").is_none_or(|said| said == u64::from(self.status.as_u16()));
        number("code").filter(|code| is_ours && ERROR_CODES.contains(code))
    }

    fn unlike(
        &self,
        what: &str,
        mismatch: impl FnOnce(&Map<String, Value>) -> Option<&'static str>,
    ) -> Option<String> {
        let kind = match (&self.broken, self.json()) {
            (Some(broken), _) => format!("with a truncated body: {broken}"),
            (None, _) if self.is_oversized => "with a body that is too long".to_owned(),
            (None, Some(Value::Object(body))) => mismatch(body)?.to_owned(),
            (None, Some(_)) => format!("with JSON that names no {what}"),
            (None, None) => self.kind(),
        };
        let server = self.header(&reqwest::header::SERVER).map(printable);
        let server = server.filter(|server| !server.is_empty() && self.broken.is_none());
        let server = server.map(|server| format!(" (server: {server})")).unwrap_or_default();
        Some(format!("{} {kind}{server}", self.status.as_u16()))
    }

    /// The kind of a body that is not JSON.
    fn kind(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim_start_matches('\u{feff}').trim();
        // Changes ASCII letters only, so that its offsets are valid in `text`.
        let lower = text.to_ascii_lowercase();
        let media = self.header(&reqwest::header::CONTENT_TYPE).unwrap_or_default();
        let media = media.to_ascii_lowercase();
        if text.is_empty() {
            "with an empty body".to_owned()
        } else if media.contains("html") || lower.contains("<html") || lower.contains("<!doctype") {
            title(text, &lower).map_or_else(
                || "with HTML".to_owned(),
                |title| format!("with HTML, titled \"{title}\""),
            )
        } else if lower.starts_with('<') {
            "with XML".to_owned()
        } else if media.contains("json") || lower.starts_with(['{', '[']) {
            "with JSON that is cut short or malformed".to_owned()
        } else if std::str::from_utf8(&self.body).is_ok() {
            "with plain text".to_owned()
        } else {
            "with binary data".to_owned()
        }
    }
}

/// The account and the message in a `uri` of Twilio's.
fn sids_in(uri: &str) -> Option<(&str, &str)> {
    let mut parts = uri.split('/').skip_while(|part| *part != "Accounts").skip(1);
    let account = parts.next()?;
    (parts.next()? == "Messages").then_some(())?;
    Some((account, parts.next()?))
}

fn title(text: &str, lower: &str) -> Option<String> {
    let open = lower.find("<title")?;
    let start = open + lower.get(open..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    let words: Vec<_> = text.get(start..end)?.split_whitespace().collect();
    let title: String = printable(&words.join(" ")).chars().take(MAX_TITLE).collect();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;

    use reqwest::StatusCode;
    use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, SERVER};

    use super::*;

    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
    const MESSAGE: &str = "SM0123456789abcdef0123456789abcdef";

    fn feedback() -> Feedback {
        Feedback {
            account: ACCOUNT.parse().expect("valid"),
            message: MESSAGE.parse().expect("valid"),
        }
    }

    fn answer(media: &'static str, body: impl Into<Vec<u8>>) -> UpstreamResponse {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        let (status, broken) = (StatusCode::OK, None);
        let (body, json) = (body.into(), OnceCell::new());
        UpstreamResponse { status, headers, body, json, broken, is_oversized: false }
    }

    fn kind(media: &'static str, body: impl Into<Vec<u8>>) -> Option<String> {
        answer(media, body).unlike_feedback(&feedback())
    }

    /// Each shape of the API descriptions (2025-06 and now), of the documentation and of the guide.
    #[test]
    fn every_documented_shape_of_twilios_answer_is_accepted() {
        let uri = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{MESSAGE}/Feedback.json");
        let dates = r#""date_created":"Thu, 30 Jul 2015 20:00:00 +0000","date_updated":null"#;
        for body in [
            format!(
                r#"{{"account_sid":"{ACCOUNT}",{dates},"message_sid":"{MESSAGE}","outcome":"confirmed","uri":"{uri}"}}"#
            ),
            format!(
                r#"{{"account_sid":"{ACCOUNT}",{dates},"message_sid":"{MESSAGE}","outcome":"confirmed","uri":"uri"}}"#
            ),
            format!(
                r#"{{"account_sid":null,"message_sid":"{MESSAGE}","outcome":"confirmed","uri":null}}"#
            ),
            format!(r#"{{"message_sid":null,"outcome":"confirmed","uri":"{uri}"}}"#),
            format!(r#"{{"outcome":"confirmed","uri":"https://api.twilio.com{uri}"}}"#),
            format!("\n {{\"message_sid\":\"{MESSAGE}\"}}\n"),
            format!(r#"{{"message_sid":"{MESSAGE}","added_later":{{"a":[1]}}}}"#),
        ] {
            assert_eq!(kind("application/json", body.clone()), None, "{body}");
            assert_eq!(
                kind("text/plain", body.clone()),
                None,
                "the media type decides nothing: {body}"
            );
        }
    }

    #[test]
    fn any_other_body_is_named_by_its_kind() {
        let other = MESSAGE.replace('a', "b");
        let upper = MESSAGE.replace("abcdef", "ABCDEF");
        let account = ACCOUNT.replace('a', "b");
        for (media, body, expected) in [
            ("application/json", String::new(), "200 with an empty body"),
            ("text/html", " \r\n".to_owned(), "200 with an empty body"),
            ("text/html", format!("<html>{MESSAGE}</html>"), "200 with HTML"),
            ("text/html", "hello".to_owned(), "200 with HTML"),
            ("text/plain", "<!DOCTYPE html>\n<p>x".to_owned(), "200 with HTML"),
            (
                "application/json",
                "<HTML><Title lang=\"en\">\n Sign in +15551234567 </TITLE></HTML>".to_owned(),
                "200 with HTML, titled \"Sign in +…\"",
            ),
            ("text/html", "<title>never closed".to_owned(), "200 with HTML"),
            ("text/html", "<title></title>".to_owned(), "200 with HTML"),
            ("application/xml", "<TwilioResponse/>".to_owned(), "200 with XML"),
            ("text/plain", "OK".to_owned(), "200 with plain text"),
            ("application/json", "OK".to_owned(), "200 with JSON that is cut short or malformed"),
            (
                "",
                format!("{{\"message_sid\":\"{MESSAGE}\""),
                "200 with JSON that is cut short or malformed",
            ),
            (
                "",
                format!("{{\"message_sid\":\"{MESSAGE}\"}}{{}}"),
                "200 with JSON that is cut short or malformed",
            ),
            ("", "{}".to_owned(), "200 with JSON that names no message"),
            ("", "null".to_owned(), "200 with JSON that names no message"),
            ("", format!("\"{MESSAGE}\""), "200 with JSON that names no message"),
            (
                "",
                format!("[{{\"message_sid\":\"{MESSAGE}\"}}]"),
                "200 with JSON that names no message",
            ),
            ("", "{\"message_sid\":7}".to_owned(), "200 with JSON that names no message"),
            (
                "",
                "{\"ok\":true,\"outcome\":\"confirmed\"}".to_owned(),
                "200 with JSON that names no message",
            ),
            ("", format!("{{\"message_sid\":\"{other}\"}}"), "200 that names another message"),
            ("", format!("{{\"message_sid\":\"{upper}\"}}"), "200 that names another message"),
            (
                "",
                format!("{{\"uri\":\"/2010-04-01/Accounts/{ACCOUNT}/Messages/{other}\"}}"),
                "200 that names another message",
            ),
            (
                "",
                format!("{{\"message_sid\":\"{MESSAGE}\",\"account_sid\":\"{account}\"}}"),
                "200 that names another account",
            ),
            (
                "",
                format!("{{\"message_sid\":\"{MESSAGE}\",\"outcome\":\"unconfirmed\"}}"),
                "200 that says unconfirmed",
            ),
        ] {
            assert_eq!(kind(media, body.clone()).as_deref(), Some(expected), "{media} {body}");
        }
        assert_eq!(kind("", vec![0xff, 0x00]).as_deref(), Some("200 with binary data"));
    }

    #[test]
    fn the_server_that_answered_is_named_and_a_cut_body_is_no_answer() {
        let mut html = answer("text/html", "<html>");
        html.headers.insert(SERVER, HeaderValue::from_static("nginx/1.25"));
        let named = html.unlike_feedback(&feedback());
        assert_eq!(named.as_deref(), Some("200 with HTML (server: nginx/1.25)"));
        let mut long = answer("application/json", "");
        long.is_oversized = true;
        let named = long.unlike_feedback(&feedback());
        assert_eq!(named.as_deref(), Some("200 with a body that is too long"));
        let mut cut = answer("application/json", format!("{{\"message_sid\":\"{MESSAGE}\"}}"));
        cut.broken = Some("the answer broke off: eof".to_owned());
        let named = cut.unlike_feedback(&feedback());
        assert_eq!(named.as_deref(), Some("200 with a truncated body: the answer broke off: eof"));
    }

    #[test]
    fn an_account_is_believed_only_if_the_answer_names_it() {
        let account = AccountSid::parse(ACCOUNT).expect("valid");
        let about = |body: String| answer("application/json", body).unlike_account(account);
        assert_eq!(about(format!("{{\"sid\":\"{ACCOUNT}\",\"status\":\"active\"}}")), None);
        let other = ACCOUNT.replace('a', "b");
        let named = about(format!("{{\"sid\":\"{other}\"}}"));
        assert_eq!(named.as_deref(), Some("200 that names another account"));
        assert_eq!(about("{}".to_owned()).as_deref(), Some("200 with JSON that names no account"));
    }
}
