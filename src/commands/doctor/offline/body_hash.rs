//! Compares `bodySHA256` of a signed URL with the body that arrived.

use crate::commands::doctor::offline::case::{BodyType, Case};
use crate::twilio::form;
use crate::twilio::signature;

/// The hashes in the signed URL, and the body's.
pub(super) struct Hashes<'a> {
    case: &'a Case<'a>,
    signed: Vec<String>,
    actual: String,
    is_expected: bool,
}

impl<'a> Hashes<'a> {
    pub(super) fn new(case: &'a Case<'a>, url: &str, is_expected: bool) -> Self {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let pairs = form::pairs(query.as_bytes()).into_iter();
        let signed = pairs.filter(|(name, _)| *name == b"bodySHA256".as_slice().into());
        let signed = signed.map(|(_, hash)| String::from_utf8_lossy(&hash.decoded()).into());
        Self { case, signed: signed.collect(), actual: case.body_hash(), is_expected }
    }

    /// A body that is no form needs a hash in the URL.
    pub(super) fn is_missing(&self) -> bool {
        self.signed.is_empty() && self.case.media == BodyType::Other && self.is_expected
    }

    pub(super) fn is_upper_case(&self) -> bool {
        let is_same = |hash: &String| hash.eq_ignore_ascii_case(&self.actual);
        self.is_other() && self.signed.iter().all(is_same)
    }

    pub(super) fn is_other(&self) -> bool {
        self.case.media != BodyType::Nothing && self.signed.iter().any(|hash| *hash != self.actual)
    }

    /// The difference between the body and the signed one. Nothing can be tried on a body that was not recorded.
    pub(super) fn alteration(&self) -> &'static str {
        let body = &self.case.recording.body;
        let text = String::from_utf8_lossy(body);
        let json = serde_json::from_slice::<serde_json::Value>(body).ok();
        let before = [
            ("a line break was added at its end", text.strip_suffix('\n').map(str::to_owned)),
            ("the line break at its end was cut off", Some(format!("{text}\n"))),
            ("its line breaks became CRLF", Some(text.replace("\r\n", "\n"))),
            ("its line breaks became LF", Some(text.replace("\r\n", "\n").replace('\n', "\r\n"))),
            (
                "the JSON was written anew, with blanks and line breaks",
                json.as_ref().map(ToString::to_string),
            ),
            (
                "the JSON was written anew, without its blanks and line breaks",
                json.as_ref().map(|json| format!("{json:#}")),
            ),
        ];
        let is_signed =
            |text: &String| self.signed.contains(&signature::body_hash(text.as_bytes()));
        let mut known = before.iter().filter(|(_, text)| text.as_ref().is_some_and(is_signed));
        let known = if self.case.is_body_gone() { None } else { known.next() };
        known.map_or("bodySHA256 does not match it, though URL and key are right", |(how, _)| how)
    }
}
