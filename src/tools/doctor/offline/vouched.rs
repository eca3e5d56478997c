//! Once the URL's signature is good: does its `bodySHA256` vouch for the body that arrived?

use crate::domain::form;
use crate::domain::signature::body_hash;
use crate::tools::doctor::offline::case::{Case, Media};
use crate::tools::doctor::offline::contents::Reading;
use crate::tools::doctor::offline::finding::Deviation;

/// What is wrong with the hash, or with the body.
pub(super) fn deviations(case: &Case<'_>, url: &str, reading: &Reading) -> Vec<Deviation> {
    if case.media == Media::Nothing {
        return Vec::new();
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let claimed: Vec<String> = form::pairs(query.as_bytes())
        .into_iter()
        .filter(|(name, _)| *name == b"bodySHA256".as_slice().into())
        .map(|(_, hash)| String::from_utf8_lossy(&hash.decoded()).into_owned())
        .collect();
    if claimed.is_empty() {
        let needs_one = case.media == Media::Other && reading.deviations.is_empty();
        return if needs_one { vec![missing()] } else { Vec::new() };
    }
    let body = &case.recording.body;
    let hash = case.kept_hash().map_or_else(|| body_hash(body), str::to_owned);
    if claimed.iter().all(|claimed| *claimed == hash) {
        return Vec::new();
    }
    if claimed.iter().all(|claimed| claimed.eq_ignore_ascii_case(&hash)) {
        let says = "bodySHA256 is in upper case.";
        let fix = "Write it in lower-case hexadecimal, as Twilio does.";
        return vec![Deviation::new("body_hash_upper_case", says, fix)];
    }
    // With the recording of a hash alone there is nothing to try.
    let altered = if case.kept_hash().is_some() { None } else { alteration(body, &claimed) };
    let says = match altered {
        Some(how) => format!("The body is not the one that was signed: {how}."),
        None => {
            "The body is not the one that was signed: bodySHA256 does not match it, though URL and \
                 key are right."
                .to_owned()
        }
    };
    let fix = "Send exactly the bytes that were hashed, and let nothing on the way parse the body and \
               write it anew.";
    vec![Deviation::new("body_altered", says, fix)]
}

fn missing() -> Deviation {
    Deviation::new(
        "body_hash_missing",
        "URL and key are right, but the URL's query carries no bodySHA256, so nothing vouches for the body.",
        "Append bodySHA256 (the body's SHA-256 in lower-case hexadecimal) to the query, and sign the URL \
         with it; or send a form.",
    )
}

/// How the body differs from one that has such a hash.
fn alteration(body: &[u8], claimed: &[String]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(body);
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let json = |pretty: bool| {
        let value = value.as_ref()?;
        if pretty {
            serde_json::to_string_pretty(value).ok()
        } else {
            serde_json::to_string(value).ok()
        }
    };
    let before: [(&str, Option<String>); 9] = [
        ("a line break was added at its end", text.strip_suffix('\n').map(str::to_owned)),
        ("the line break at its end was cut off", Some(format!("{text}\n"))),
        ("blanks were added around it", Some(text.trim().to_owned())),
        ("its line breaks became CRLF", Some(text.replace("\r\n", "\n"))),
        ("its line breaks became LF", Some(text.replace("\r\n", "\n").replace('\n', "\r\n"))),
        ("the JSON was written anew, with blanks and line breaks", json(false)),
        ("the JSON was written anew, without its blanks and line breaks", json(true)),
        ("an empty object {} was signed for an empty body", Some("{}".to_owned())),
        ("the empty body was signed", Some(String::new())),
    ];
    let matches = |text: &String| claimed.contains(&body_hash(text.as_bytes()));
    before.into_iter().find(|(_, text)| text.as_ref().is_some_and(matches)).map(|(how, _)| how)
}
