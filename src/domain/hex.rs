//! Bytes as lower-case hexadecimal digits in text formats, and as bytes in the store.
//!
//! [`serialize`] and [`deserialize`] are for `#[serde(with)]`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// Decodes digits in lower or upper case, two for each byte.
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok());
    let digits = digits.collect::<Option<Vec<u8>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

/// Decodes exactly `2 * N` lower-case digits.
pub fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = !text.bytes().any(|digit| digit.is_ascii_uppercase());
    decoded(text).filter(|_| is_lower)?.try_into().ok()
}

///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() { to.serialize_str(&hex(bytes)) } else { bytes.serialize(to) }
}

///
/// # Errors
/// The length is wrong, or a character is no lower-case digit.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
    if from.is_human_readable() {
        let text = Cow::<'de, str>::deserialize(from)?;
        let expected = "expected 32 lower-case hexadecimal digits";
        return bytes(&text).ok_or_else(|| serde::de::Error::custom(expected));
    }
    <[u8; 16]>::deserialize(from)
}
