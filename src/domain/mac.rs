//! HMAC-SHA-256 (RFC 2104): the tag of a text under a key, and the comparison of tags in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::hex;

/// An HMAC under a secret of any length (RFC 2104, section 2).
pub(crate) fn keyed<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
}

/// A key of HMAC-SHA-256. Its `Debug` shows no part of it.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// The secret is not decoded.
    pub fn new(secret: &[u8]) -> Self {
        Self(keyed(secret))
    }

    /// The tag of the concatenated pieces.
    pub fn tag<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        self.over(pieces).finalize().into_bytes().into()
    }

    /// Whether this is the tag of the concatenated pieces. The time depends only on lengths.
    pub fn made<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>, tag: &[u8]) -> bool {
        self.over(pieces).verify_slice(tag).is_ok()
    }

    /// The tag of a text in hexadecimal digits.
    pub fn hex_tag(&self, text: &str) -> String {
        hex::hex(&self.tag([text.as_bytes()]))
    }

    /// Whether these hexadecimal digits are the tag of the text.
    pub fn made_hex(&self, text: &str, digits: &str) -> bool {
        hex::decoded(digits).is_some_and(|tag| self.made([text.as_bytes()], &tag))
    }

    fn over<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        pieces.into_iter().for_each(|piece| mac.update(piece));
        mac
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}
