//! Other parameters that the sender may have signed: changes by frameworks and proxies undone, and the contents of
//! signers that break Twilio's rule.
//!
//! A signed string has no delimiters. So one nameless parameter stands for any text after the URL.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::commands::doctor::offline::case::{BodyType, Case, Parameter};
use crate::commands::doctor::offline::finding::shown_name;
use crate::twilio::form;

/// The search drops each of this many parameters. A callback of Twilio has some thirty.
pub(super) const MAX_DROPPED: usize = 64;
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
const PLACES: [&str; 8] =
    ["FromCity", "FromState", "FromZip", "FromCountry", "ToCity", "ToState", "ToZip", "ToCountry"];

/// Other parameters signed besides the URL, each with the detail for the cause's text. Without parameters the URL alone
/// was signed.
pub(super) type FormContents = Vec<(Vec<Parameter>, String)>;

pub(super) fn values(
    parameters: &[Parameter],
    change: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<Parameter> {
    parameters.iter().map(|(name, value)| (name.clone(), change(value))).collect()
}

pub(super) fn names(parameters: &[Parameter], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Parameter> {
    parameters.iter().map(|(name, value)| (change(name), value.clone())).collect()
}

pub(super) fn replaced(mut text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((first, tail)) = text.split_first() {
        let after = text.strip_prefix(from);
        out.extend_from_slice(if after.is_some() { to } else { std::slice::from_ref(first) });
        text = after.unwrap_or(tail);
    }
    out
}

pub(super) fn crlf(value: &[u8]) -> Vec<u8> {
    replaced(&replaced(value, b"\r\n", b"\n"), b"\n", b"\r\n")
}

/// `+1555…` for ` 1555…`, and `whatsapp:+1555…` for `whatsapp: 1555…`. Blanks in a text stay.
pub(super) fn leading_plus(value: &[u8]) -> Vec<u8> {
    let at = value.iter().position(|byte| *byte == b' ');
    let (before, after) = value.split_at(at.unwrap_or(value.len()));
    let number = after.get(1..).unwrap_or_default();
    let is_number = number.len() >= 5 && number.iter().all(u8::is_ascii_digit);
    if is_number && (before.is_empty() || before.ends_with(b":")) {
        [before, b"+", number].concat()
    } else {
        value.to_vec()
    }
}

pub(super) fn body_with(parameters: &[Parameter], before: &[u8], after: &[u8]) -> Vec<Parameter> {
    let mut changed = parameters.to_vec();
    for (_, value) in changed.iter_mut().filter(|(name, _)| name == b"Body") {
        *value = [before, value, after].concat();
    }
    changed
}

pub(super) fn without_brackets(name: &[u8]) -> Vec<u8> {
    name.split(|byte| *byte == b'[').next().unwrap_or_default().to_vec()
}

/// One parameter for each name, with its values in wire order joined to one.
pub(super) fn repeated(
    parameters: &[Parameter],
    join: impl Fn(&[Vec<u8>]) -> Vec<u8>,
) -> Vec<Parameter> {
    let mut out: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    for (name, value) in parameters {
        match out.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.clone()),
            None => out.push((name.clone(), vec![value.clone()])),
        }
    }
    out.into_iter().map(|(name, values)| (name, join(&values))).collect()
}

pub(super) fn split_at_commas(parameters: &[Parameter]) -> Vec<Parameter> {
    let each = |(name, value): &Parameter| -> Vec<Parameter> {
        value.split(|byte| *byte == b',').map(|part| (name.clone(), part.to_vec())).collect()
    };
    parameters.iter().flat_map(each).collect()
}

/// The value decoded once more. A value with a delimiter of forms in it was not encoded twice.
pub(super) fn unescaped(value: &[u8]) -> Vec<u8> {
    match form::pairs(value).as_slice() {
        [(name, _)] if !value.contains(&b'=') => name.decoded().into_owned(),
        _ => value.to_vec(),
    }
}

pub(super) fn escaped(value: &[u8], blank: &str) -> Vec<u8> {
    percent_encode(value, &ESCAPED).to_string().replace("%20", blank).into_bytes()
}

/// Each character of the text as a single byte, if Latin-1 has all of them.
pub(super) fn to_latin1(value: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let bytes: Option<Vec<u8>> = text.chars().map(|each| u8::try_from(each).ok()).collect();
    bytes.filter(|bytes| !bytes.is_empty()).unwrap_or_else(|| value.to_vec())
}

/// Latin-1 bytes as UTF-8. Bytes that are UTF-8 already stay.
pub(super) fn from_latin1(value: &[u8]) -> Vec<u8> {
    if std::str::from_utf8(value).is_ok() {
        return value.to_vec();
    }
    value.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

/// A single content without a detail, if it applies.
pub(super) fn content(applies: bool, content: impl FnOnce() -> Vec<Parameter>) -> FormContents {
    if applies { vec![(content(), String::new())] } else { Vec::new() }
}

/// Any text after the URL.
fn text(text: Vec<u8>) -> Vec<Parameter> {
    vec![(Vec::new(), text)]
}

/// The raw body after the URL, for a form or for another body.
pub(super) fn raw_body(case: &Case<'_>, media: BodyType) -> FormContents {
    content(case.media == media && !case.is_body_gone(), || text(case.recording.body.clone()))
}

/// Names and values concatenated, after this sort.
pub(super) fn sorted_by(
    case: &Case<'_>,
    sort: fn(&mut Vec<Parameter>),
    names: bool,
) -> FormContents {
    content(case.media == BodyType::Form, || {
        let mut parameters = case.form.clone();
        sort(&mut parameters);
        let each = |(name, value): Parameter| if names { [name, value].concat() } else { value };
        text(parameters.into_iter().flat_map(each).collect())
    })
}

/// As `twilio::signature` sorts, so that equal contents are recognised.
pub(super) fn sort(parameters: &mut Vec<Parameter>) {
    parameters.sort_unstable();
    parameters.dedup();
}

pub(super) fn without_each(case: &Case<'_>) -> FormContents {
    let without =
        |name: &[u8]| case.form.iter().filter(|(other, _)| other != name).cloned().collect();
    let each = case.form.iter().take(MAX_DROPPED);
    each.map(|(name, _)| (without(name), shown_name(name))).collect()
}

/// A body under another content type, read as a form.
pub(super) fn untyped_form(case: &Case<'_>) -> FormContents {
    let body = &case.recording.body;
    let is_json = body.starts_with(b"{") || body.starts_with(b"[");
    let parameters = case.parameters();
    fields(case, (!is_json && parameters.len() <= MAX_DROPPED).then_some(parameters))
}

/// The fields of a body that is no form.
pub(super) fn fields(case: &Case<'_>, fields: Option<Vec<Parameter>>) -> FormContents {
    let fields = fields.filter(|_| case.media == BodyType::Other && !case.is_body_gone());
    fields.map(|fields| (fields, String::new())).into_iter().collect()
}

/// Twilio's parameters that are absent, each with its former value if that is known.
fn absent(parameters: &[Parameter]) -> Vec<Parameter> {
    const USUAL: [(&str, &[u8]); 6] = [
        ("Body", b""),
        ("ApiVersion", b"2010-04-01"),
        ("NumMedia", b"0"),
        ("NumSegments", b"1"),
        ("SmsStatus", b"received"),
        ("MessageType", b"text"),
    ];
    let is_sid = |(name, _): &&Parameter| name == b"MessageSid" || name == b"SmsSid";
    let sid = parameters.iter().find(is_sid).map(|(_, sid)| sid.as_slice());
    let sids = ["MessageSid", "SmsSid", "SmsMessageSid"].map(|name| Some((name, sid?)));
    let all = USUAL.into_iter().chain(sids.into_iter().flatten());
    let all = all.chain(PLACES.map(|name| (name, &b""[..])));
    let absent =
        all.filter(|(name, _)| !parameters.iter().any(|(known, _)| known == name.as_bytes()));
    absent.map(|(name, value)| (name.into(), value.into())).collect()
}

/// All absent parameters about places, empty.
pub(super) fn with_places(parameters: &[Parameter]) -> Vec<Parameter> {
    let mut absent = absent(parameters);
    absent.retain(|(name, _)| PLACES.iter().any(|place| place.as_bytes() == name));
    [parameters, &absent].concat()
}

/// One absent parameter at a time, with its name.
pub(super) fn with_each(case: &Case<'_>) -> FormContents {
    if case.form.is_empty() {
        return Vec::new();
    }
    let absent = absent(&case.form);
    let each = absent.iter().map(|more| (more, case.form.iter().chain([more]).cloned().collect()));
    each.map(|(more, all)| (all, shown_name(&more.0))).collect()
}
