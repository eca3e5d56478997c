//! Common ways to damage a signing key in the configuration of a client. A secret file ends with a line break, or
//! `docker --env-file` keeps the quotes. A shell cuts the key at `#` or `$`, or a paste misses its last character.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::form;
use crate::domain::hex;

/// Characters at which a shell, a `.env` file or a URL cuts a value.
const CUTS: [u8; 8] = [b'#', b'$', b'=', b'&', b'%', b'+', b' ', b'!'];

/// Each damaged form of a key, and the damage in words that follow "signed with the key and/but …".
pub(super) fn damaged(key: &str) -> Vec<(Vec<u8>, &'static str)> {
    let text = key;
    let key = text.as_bytes();
    let around = |before: &[u8], after: &[u8]| [before, key, after].concat();
    let mut forms = vec![
        (around(b"", b"\n"), "with a line break at its end"),
        (around(b"", b"\r\n"), "with a Windows line break at its end"),
        (around(b"", b"\r"), "with a carriage return at its end"),
        (around(b"", b"\\n"), "with the two characters \\n at its end"),
        (around(b"", b" "), "with a blank at its end"),
        (around(b" ", b""), "with a blank before it"),
        (around(b"\"", b"\""), "with double quotes around it"),
        (around(b"'", b"'"), "with single quotes around it"),
        (around(b"`", b"`"), "with backquotes around it"),
        (around(b"<", b">"), "with angle brackets around it"),
        (around("\u{feff}".as_bytes(), b""), "with a byte order mark before it"),
        (around(b"Bearer ", b""), "with the word Bearer before it"),
        (key.repeat(2), "twice in a row"),
        (key.to_ascii_lowercase(), "in lower case"),
        (key.to_ascii_uppercase(), "in upper case"),
        (STANDARD.encode(key).into_bytes(), "encoded as base64"),
        (hex::hex(key).into_bytes(), "encoded as hexadecimal digits"),
        (form_encoded(text), "encoded as a form value"),
        (form_decoded(key), "decoded as a form value"),
    ];
    forms.extend(STANDARD.decode(key).ok().map(|bytes| (bytes, "decoded from base64")));
    // An auth token of Twilio has 32 hexadecimal digits.
    let from_digits = hex::bytes::<16>(text);
    forms.extend(from_digits.map(|bytes| (bytes.to_vec(), "decoded from hexadecimal digits")));
    let cut = CUTS.iter().filter_map(|cut| key.split(|byte| byte == cut).next());
    forms.extend(cut.map(|form| (form.to_vec(), "cut off at a special character")));
    if let [first @ .., _] = key {
        forms.push((first.to_vec(), "without its last character"));
    }
    if let [_, rest @ ..] = key {
        forms.push((rest.to_vec(), "without its first character"));
    }
    forms.retain(|(form, _)| form != key && !form.is_empty());
    forms
}

fn form_encoded(key: &str) -> Vec<u8> {
    let pair = serde_urlencoded::to_string([("k", key)]).unwrap_or_default();
    pair.strip_prefix("k=").unwrap_or_default().as_bytes().to_vec()
}

fn form_decoded(key: &[u8]) -> Vec<u8> {
    match form::pairs(key).as_slice() {
        [(name, value)] if value.is_empty() && !key.ends_with(b"=") => name.decoded().into_owned(),
        _ => Vec::new(),
    }
}
