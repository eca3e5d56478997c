//! The signature header, and what may have happened to it on its way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::commands::doctor::offline::case::Case;
use crate::domain::hex;
use crate::twilio::signature::Algorithm;

const SIGNATURE: &str = "X-Twilio-Signature";
/// Bytes of an HMAC-SHA1 and of an HMAC-SHA256.
const SHA1_LEN: usize = 20;
const SHA256_LEN: usize = 32;
/// Base64 characters of an HMAC-SHA256.
const SHA256_ENCODED: usize = 44;

pub(super) fn headers<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a str> {
    let headers = case.recording.headers.iter();
    headers.filter(|(name, _)| name.eq_ignore_ascii_case(SIGNATURE)).map(|(_, value)| &**value)
}

/// The algorithm that makes signatures of this length.
pub(super) fn algorithm(header: &str) -> Option<Algorithm> {
    match STANDARD.decode(header).ok()?.len() {
        SHA1_LEN => Some(Algorithm::HmacSha1),
        SHA256_LEN => Some(Algorithm::HmacSha256),
        _ => None,
    }
}

pub(super) fn percent_decoded(header: &str) -> String {
    let escapes =
        [("%2B", "+"), ("%2b", "+"), ("%2F", "/"), ("%2f", "/"), ("%3D", "="), ("%3d", "=")];
    escapes.iter().fold(header.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// Hexadecimal digits in base64, or nothing.
pub(super) fn from_hex(header: &str) -> String {
    let digits = header.strip_prefix("sha1=").or_else(|| header.strip_prefix("sha256="));
    let bytes = hex::decoded(digits.unwrap_or(header));
    bytes.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default()
}

pub(super) fn is_absent(case: &Case<'_>) -> bool {
    if case.is_hashed() {
        return case.signature_length().is_none();
    }
    headers(case).all(str::is_empty)
}

/// Whether the recording holds no signature, but the length of one by HMAC-SHA256.
pub(super) fn was_sha256(case: &Case<'_>) -> bool {
    case.is_hashed() && case.signature_length() == Some(SHA256_ENCODED)
}

/// The length of a signature that was not recorded.
pub(super) fn lost_length(case: &Case<'_>) -> Option<String> {
    case.signature_length().filter(|_| case.is_hashed()).map(|length| length.to_string())
}
