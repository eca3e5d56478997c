//! Bytes as digits: where people read, hashes and ids are lower-case hexadecimal; in a store they are themselves.
//!
//! [`serialize`] and [`deserialize`] are for `#[serde(with)]`.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// As digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads lower-case digits, exactly so many.
#[must_use]
pub fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; N];
    for (to, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *to = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

/// Writes them.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() { to.serialize_str(&hex(bytes)) } else { bytes.serialize(to) }
}

/// Reads them.
///
/// # Errors
/// They are not so many.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
    if from.is_human_readable() {
        let text = Cow::<'de, str>::deserialize(from)?;
        let expected = "expected 32 lower-case hexadecimal digits";
        return bytes(&text).ok_or_else(|| serde::de::Error::custom(expected));
    }
    <[u8; 16]>::deserialize(from)
}
