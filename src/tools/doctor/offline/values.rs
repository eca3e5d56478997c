//! What frameworks and proxies do to a form's values and names: each change undone, or made, so that
//! it comes out as it was signed.

use crate::tools::doctor::offline::case::Parameter;

/// One change to all parameters.
pub(super) struct Change {
    pub(super) id: &'static str,
    pub(super) says: &'static str,
    pub(super) fix: &'static str,
    pub(super) apply: fn(&[Parameter]) -> Vec<Parameter>,
}

const RAW: &str = "Pass the body on byte by byte, instead of parsing it and writing it anew.";
const ESCAPE: &str = "Escape values when the form is written: a + is %2B, a blank is + or %20.";

const fn change(
    id: &'static str,
    says: &'static str,
    fix: &'static str,
    apply: fn(&[Parameter]) -> Vec<Parameter>,
) -> Change {
    Change { id, says, fix, apply }
}

/// All of them, likeliest first.
pub(super) const CHANGES: [Change; 23] = [
    change(
        "plus_unescaped",
        "The body was re-encoded: a + in front of a number arrived as a blank.",
        ESCAPE,
        |parameters| values(parameters, leading_plus),
    ),
    change(
        "blank_was_plus",
        "The body was re-encoded: every + became a blank (%20).",
        ESCAPE,
        |parameters| values(parameters, |value| replaced(value, b" ", b"+")),
    ),
    change(
        "plus_was_blank",
        "The body was re-encoded: every blank became a + (%2B).",
        ESCAPE,
        |parameters| values(parameters, |value| replaced(value, b"+", b" ")),
    ),
    change(
        "trimmed_signed",
        "It was signed with its values trimmed, and sent with blanks around them.",
        RAW,
        |parameters| values(parameters, |value| value.trim_ascii().to_vec()),
    ),
    change(
        "blank_trimmed",
        "Values were trimmed on the way (as Laravel's TrimStrings does): Body ended in a blank.",
        RAW,
        |parameters| body_with(parameters, b"", b" "),
    ),
    change(
        "line_break_trimmed",
        "Values were trimmed on the way (as Laravel's TrimStrings does): Body ended in a line break.",
        RAW,
        |parameters| body_with(parameters, b"", b"\n"),
    ),
    change(
        "leading_blank_trimmed",
        "Values were trimmed on the way (as Laravel's TrimStrings does): Body began with a blank.",
        RAW,
        |parameters| body_with(parameters, b" ", b""),
    ),
    change(
        "lf_became_crlf",
        "The body's line breaks were changed: it was signed with LF and arrived with CRLF.",
        RAW,
        |parameters| values(parameters, |value| replaced(value, b"\r\n", b"\n")),
    ),
    change(
        "crlf_became_lf",
        "The body's line breaks were changed: it was signed with CRLF and arrived with LF.",
        RAW,
        |parameters| {
            values(parameters, |value| replaced(&replaced(value, b"\r\n", b"\n"), b"\n", b"\r\n"))
        },
    ),
    change(
        "empty_dropped",
        "It was signed without its empty parameters.",
        "Sign everything that is sent, empty parameters too.",
        |parameters| parameters.iter().filter(|(_, value)| !value.is_empty()).cloned().collect(),
    ),
    change(
        "dots_became_underscores",
        "Dots in parameter names became underscores (PHP does that to $_POST).",
        "Pass on the raw body (php://input) instead of $_POST.",
        |parameters| names(parameters, |name| replaced(name, b"_", b".")),
    ),
    change(
        "dots_signed_as_underscores",
        "Parameter names were signed with underscores, and sent with dots (PHP's $_POST changes them).",
        "Sign the names as they are sent.",
        |parameters| names(parameters, |name| replaced(name, b".", b"_")),
    ),
    change(
        "brackets",
        "Parameter names got brackets (as PHP, Rails and Express write lists): signed without them.",
        "Send each name as it was signed, without [].",
        |parameters| names(parameters, without_brackets),
    ),
    change(
        "repeated_first",
        "A parameter comes several times, and only its first value was signed.",
        "Sign each value that is sent, or send it once.",
        |parameters| repeated(parameters, |values| values.first().cloned().unwrap_or_default()),
    ),
    change(
        "repeated_last",
        "A parameter comes several times, and only its last value was signed.",
        "Sign each value that is sent, or send it once.",
        |parameters| repeated(parameters, |values| values.last().cloned().unwrap_or_default()),
    ),
    change(
        "repeated_joined",
        "A parameter comes several times, and its values were signed joined by commas.",
        "Sign name and value for each value (as Twilio's Python and Node helpers do).",
        |parameters| repeated(parameters, |values| values.join(&b","[..])),
    ),
    change(
        "repeated_run_together",
        "A parameter comes several times, and its values were signed in a row under one name.",
        "Sign name and value for each value (as Twilio's Python and Node helpers do).",
        |parameters| repeated(parameters, <[Vec<u8>]>::concat),
    ),
    change(
        "comma_was_repeated",
        "A parameter that was signed with several values arrived as one, joined by commas.",
        RAW,
        split_at_commas,
    ),
    change(
        "encoded_twice",
        "The body was encoded twice: its values hold escapes (%2B) of their own.",
        ESCAPE,
        |parameters| values(parameters, unescaped),
    ),
    change(
        "signed_encoded",
        "The values were signed as they stand in the body, escapes included, and not decoded.",
        "Sign decoded values.",
        |parameters| values(parameters, |value| escaped(value, b"+")),
    ),
    change(
        "signed_encoded_20",
        "The values were signed with their escapes (blanks as %20), and not decoded.",
        "Sign decoded values.",
        |parameters| values(parameters, |value| escaped(value, b"%20")),
    ),
    change(
        "mojibake",
        "The text's encoding was changed: UTF-8 was read as Latin-1 on the way.",
        "Read and write the body as UTF-8.",
        |parameters| values(parameters, to_latin1),
    ),
    change(
        "latin1",
        "The text's encoding was changed: it was signed as UTF-8 and sent as Latin-1.",
        "Read and write the body as UTF-8.",
        |parameters| values(parameters, from_latin1),
    ),
];

fn values(parameters: &[Parameter], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Parameter> {
    parameters.iter().map(|(name, value)| (name.clone(), change(value))).collect()
}

fn names(parameters: &[Parameter], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Parameter> {
    parameters.iter().map(|(name, value)| (change(name), value.clone())).collect()
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

/// ` 15551234567` or `whatsapp: 1555…` was `+1555…`; the blanks of a text stay.
fn leading_plus(value: &[u8]) -> Vec<u8> {
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

fn body_with(parameters: &[Parameter], before: &[u8], after: &[u8]) -> Vec<Parameter> {
    let each = |(name, value): &Parameter| {
        let value = if name == b"Body" { [before, value, after].concat() } else { value.clone() };
        (name.clone(), value)
    };
    parameters.iter().map(each).collect()
}

fn without_brackets(name: &[u8]) -> Vec<u8> {
    name.split(|byte| *byte == b'[').next().unwrap_or_default().to_vec()
}

/// The values of each name, in wire order, made one.
fn repeated(parameters: &[Parameter], join: impl Fn(&[Vec<u8>]) -> Vec<u8>) -> Vec<Parameter> {
    let mut out: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    for (name, value) in parameters {
        match out.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.clone()),
            None => out.push((name.clone(), vec![value.clone()])),
        }
    }
    out.into_iter().map(|(name, values)| (name, join(&values))).collect()
}

fn split_at_commas(parameters: &[Parameter]) -> Vec<Parameter> {
    let each = |(name, value): &Parameter| -> Vec<Parameter> {
        value.split(|byte| *byte == b',').map(|part| (name.clone(), part.to_vec())).collect()
    };
    parameters.iter().flat_map(each).collect()
}

/// Decoded once more.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut pairs = crate::domain::form::pairs(value).into_iter();
    // A value with a delimiter of forms in it was not encoded twice.
    match (pairs.next(), pairs.next(), value.contains(&b'=')) {
        (Some((name, _)), None, false) => name.decoded().into_owned(),
        (Some(_) | None, Some(_) | None, true | false) => value.to_vec(),
    }
}

fn escaped(value: &[u8], blank: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b' ' => out.extend_from_slice(blank),
            b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => out.push(*byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// Each character of the text as the byte of its number, where all of them have one.
fn to_latin1(value: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let bytes: Option<Vec<u8>> =
        text.chars().map(|each| u8::try_from(u32::from(each)).ok()).collect();
    bytes.filter(|bytes| !bytes.is_empty()).unwrap_or_else(|| value.to_vec())
}

/// Bytes that are no UTF-8 as the characters of their numbers.
fn from_latin1(value: &[u8]) -> Vec<u8> {
    if std::str::from_utf8(value).is_ok() {
        return value.to_vec();
    }
    value.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}
