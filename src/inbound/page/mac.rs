//! HMAC-SHA-256, as the page's door uses it: a tag of a text, and whether one is. Nothing else is compared.

use std::fmt;
use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key of HMAC-SHA-256. Its `Debug` shows nothing of it.
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(key.to_vec())
    }

    fn keyed(&self, text: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of every length (RFC 2104 §2): there is no such error.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        mac.update(text.as_bytes());
        Some(mac)
    }

    pub(super) fn mac(&self, text: &str) -> Vec<u8> {
        self.keyed(text).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
    }

    /// Whether it made this tag of this text. Takes as long whatever is presented, its length aside.
    pub(super) fn made(&self, text: &str, tag: &str) -> bool {
        let tag = unhex(tag);
        tag.is_some_and(|tag| self.keyed(text).is_some_and(|mac| mac.verify_slice(&tag).is_ok()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// In hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}
