//! Bytes as digits: where people read, hashes and ids are lower-case hexadecimal; in a store they are themselves.
//!
//! [`serialize`] and [`deserialize`] are for `#[serde(with)]`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// As digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// Reads digits in lower or upper case, two for each byte.
#[must_use]
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok());
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

/// Reads lower-case digits, exactly so many.
#[must_use]
pub fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = !text.bytes().any(|digit| digit.is_ascii_uppercase());
    decoded(text).filter(|_| is_lower)?.try_into().ok()
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
