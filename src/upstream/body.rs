//! Body: whether an answer about one resource is Twilio's own, and how any other answer is named.
//!
//! A proxy's error page, a captive portal and a stand-in answer 2xx as well, so the status proves nothing.
//! Twilio answers Feedback with `account_sid`, `message_sid`, `outcome`, `date_created`, `date_updated` and
//! `uri` (its API description, 2025-06 and later); all but `outcome` may be null. Deliberately absent: any text of the
//! body beyond an HTML title, for it may hold anything.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::domain::feedback::Feedback;
use crate::domain::sid::AccountSid;
use crate::upstream::answer::{UpstreamResponse, printable};

/// The longest HTML title that is quoted, in characters.
const TITLE_CAP: usize = 60;
/// Twilio's error codes have five digits. Codes of other servers' JSON, such as gRPC's or HTTP's, have fewer.
const ERROR_CODES: RangeInclusive<u64> = 10_000..=99_999;
/// Twilio's code for a resource that does not exist.
const NOT_FOUND: u64 = 20404;

impl UpstreamResponse {
    /// Why this is not Twilio's answer to that feedback, such as `200 with HTML`; `None` if it is.
    pub(super) fn unlike_feedback(&self, feedback: &Feedback) -> Option<String> {
        self.unlike("message", |body| {
            let uri = body.get("uri").and_then(Value::as_str).and_then(named_in);
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

    /// Why this is not Twilio's answer about that account; `None` if it is.
    pub(super) fn unlike_account(&self, account: AccountSid) -> Option<String> {
        self.unlike("account", |body| match body.get("sid").and_then(Value::as_str) {
            None => Some("with JSON that names no account"),
            Some(sid) => (sid != account.as_str()).then_some("that names another account"),
        })
    }

    /// Whether this is an error in Twilio's words: JSON with a numeric `code`, read whole.
    pub(super) fn is_twilios_error(&self) -> bool {
        self.broken.is_none() && self.code().is_some()
    }

    /// Whether this is Twilio's own 404, for a resource that does not exist.
    pub(super) fn is_twilios_404(&self) -> bool {
        self.status.as_u16() == 404 && self.code() == Some(NOT_FOUND)
    }

    /// Names an answer that is not Twilio's by its status and body.
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
        judge: impl FnOnce(&Map<String, Value>) -> Option<&'static str>,
    ) -> Option<String> {
        let kind = match (&self.broken, self.json()) {
            (Some(broken), _) => format!("with a truncated body: {broken}"),
            (None, _) if self.is_oversized => "with a body that is too long".to_owned(),
            (None, Some(Value::Object(body))) => judge(&body)?.to_owned(),
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
        // Changes ASCII letters only, so that its offsets hold in `text`.
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

/// The account and the message that a `uri` of Twilio's names.
fn named_in(uri: &str) -> Option<(&str, &str)> {
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
    let title: String = printable(&words.join(" ")).chars().take(TITLE_CAP).collect();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
