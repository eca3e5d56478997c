//! The signature header, and what may have happened to it on its way: quotes, escapes, another
//! alphabet, another length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::signature::Algorithm;
use crate::recording::Recording;
use crate::tools::doctor::offline::case::Case;
use crate::tools::doctor::offline::finding::Deviation;

const SIGNATURE: &str = "X-Twilio-Signature";
/// Bytes in an HMAC-SHA1 and in an HMAC-SHA256.
const SHA1_LEN: usize = 20;
const SHA256_LEN: usize = 32;
/// More signature headers than this are nobody's mistake.
const MOST_HEADERS: usize = 3;
/// Characters of base64 that the latter takes.
const SHA256_ENCODED: usize = 44;

/// A signature that can be verified, and what had to be repaired for that.
pub(super) struct Claimed {
    pub(super) header: String,
    /// By its length.
    pub(super) algorithm: Algorithm,
    pub(super) repaired: Option<Deviation>,
}

/// The signatures that the request may have meant to carry, or why it carries none.
pub(super) fn claimed(recording: &Recording) -> Result<Vec<Claimed>, Deviation> {
    let headers = recording.headers.iter();
    let headers: Vec<&str> = headers
        .filter(|(name, _)| name.eq_ignore_ascii_case(SIGNATURE))
        .map(|(_, value)| value.as_str())
        .collect();
    if headers.iter().all(|header| header.is_empty()) {
        return Err(unsigned());
    }
    let mut claimed = Vec::new();
    for (at, header) in headers.iter().enumerate().take(MOST_HEADERS) {
        claimed.extend(repaired(header).and_then(|(header, mut repaired)| {
            if at > 0 && repaired.is_none() {
                repaired = Some(Deviation::new(
                    "second_header",
                    "There are several X-Twilio-Signature headers, and only the first one counts.",
                    "See which proxy adds one, and have it leave the header alone.",
                ));
            }
            let algorithm = algorithm(&header)?;
            Some(Claimed { header, algorithm, repaired })
        }));
    }
    if claimed.is_empty() { Err(malformed()) } else { Ok(claimed) }
}

fn repaired(header: &str) -> Option<(String, Option<Deviation>)> {
    if algorithm(header).is_some() {
        return Some((header.to_owned(), None));
    }
    let repairs: [(&str, &str, String); 6] = [
        ("quoted", "in quotes or between blanks", header.trim_matches(['"', '\'', ' ']).to_owned()),
        (
            "percent_encoded",
            "percent-encoded",
            header
                .replace("%2B", "+")
                .replace("%2b", "+")
                .replace("%2F", "/")
                .replace("%2f", "/")
                .replace("%3D", "=")
                .replace("%3d", "="),
        ),
        ("plus_lost", "with its `+` turned into blanks", header.replace(' ', "+")),
        ("url_safe_base64", "in URL-safe base64", header.replace('-', "+").replace('_', "/")),
        (
            "padding_lost",
            "without the `=` at its end",
            format!("{}=", header.trim_end_matches('=')),
        ),
        ("hexadecimal", "in hexadecimal instead of base64", from_hex(header)),
    ];
    let found = repairs.into_iter().find(|(_, _, value)| algorithm(value).is_some())?;
    let (id, how, value) = found;
    let says = format!("X-Twilio-Signature came {how}.");
    let fix = "Send the base64 as it is, 28 characters for HMAC-SHA1; let no proxy rewrite it.";
    Some((value, Some(Deviation::new(id, says, fix))))
}

/// In base64; empty where it is no hexadecimal.
fn from_hex(text: &str) -> String {
    let text = text.strip_prefix("sha1=").or_else(|| text.strip_prefix("sha256=")).unwrap_or(text);
    if !text.is_ascii() || ![2 * SHA1_LEN, 2 * SHA256_LEN].contains(&text.len()) {
        return String::new();
    }
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    bytes.map_or_else(String::new, |bytes| STANDARD.encode(bytes))
}

/// What a signature of this length can have been made by.
fn algorithm(header: &str) -> Option<Algorithm> {
    match STANDARD.decode(header).ok()?.len() {
        SHA1_LEN => Some(Algorithm::HmacSha1),
        SHA256_LEN => Some(Algorithm::HmacSha256),
        _ => None,
    }
}

fn malformed() -> Deviation {
    Deviation::new(
        "malformed",
        "X-Twilio-Signature is not 20 bytes in base64, nor anything that could be repaired into it.",
        "Compare the header that was sent with the one recorded: something on the way cut or rewrote it.",
    )
}

/// Of a request without a whole signature only that much is kept.
pub(super) fn not_kept(case: &Case<'_>) -> Deviation {
    match case.signature_length() {
        None => unsigned(),
        Some(SHA256_ENCODED) => sha256(),
        Some(length) => Deviation::new(
            "malformed",
            format!(
                "X-Twilio-Signature had {length} characters and was no base64 of 20 bytes, which has 28."
            ),
            "See who cuts, quotes or escapes it on the way. Of such a request nothing else is kept; \
             record it by hand, and doctor tries to repair the header.",
        ),
    }
}

fn unsigned() -> Deviation {
    Deviation::new(
        "unsigned",
        "There is no X-Twilio-Signature: Twilio did not send this, or a proxy took the header away.",
        "Nothing to do if it was a stranger's. If it was Twilio's or your app's, let the proxy pass \
         every X-Twilio-* header on.",
    )
}

fn sha256() -> Deviation {
    Deviation::new(
        "sha256",
        "The signature has 32 bytes, which HMAC-SHA256 makes, and the request names no SharedKey that is \
         bound to it.",
        "An app of yours: sign with SHA-1, as Twilio's helper libraries do. A SharedKey webhook of \
         Twilio's: let the proxy pass X-Twilio-Webhooks-Signature-Settings on.",
    )
}
