//! `X-Twilio-Webhooks-Signature-Settings`: the key that a request names as its signer.
//!
//! A comma list of `name=value`, read as both official libraries read it (`PyPI` twilio 9.13.0
//! `request_validator.py`, npm twilio 6.3.1 `webhooks.js`): the first `algorithm` with a value counts, in any case; an
//! entry without `=` is ignored. The header is not signed, so it only selects among the configured keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::twilio::signature::key::{Algorithm, SigningKey};

/// The longest header that is read, in bytes. An id has at most 128.
pub const MAX_SETTINGS: usize = 4 << 10;

/// The keys to verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeySelection<'a> {
    /// Auth tokens and app keys: no `SharedKey` is named.
    Tokens,
    /// The `SharedKey` of this id, if it is bound to this algorithm.
    Shared { id: &'a str, algorithm: Algorithm },
    /// No key: the named one does not exist.
    Nothing,
}

impl<'a> KeySelection<'a> {
    /// Without the header, or without an algorithm in it, the algorithm is HMAC-SHA1.
    pub(super) fn of(header: Option<&'a [u8]>) -> Self {
        let Some(header) = header else { return Self::Tokens };
        Self::read(header).unwrap_or(Self::Nothing)
    }

    fn read(header: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok().filter(|text| text.len() <= MAX_SETTINGS)?;
        let pairs = || text.split(',').filter_map(|entry| entry.split_once('='));
        let first = |asked: &str| {
            let mut values = pairs().filter(|(name, _)| name.trim() == asked);
            values.find_map(|(_, value)| Some(value.trim()).filter(|value| !value.is_empty()))
        };
        let algorithm = first("algorithm").map_or(Some(Algorithm::HmacSha1), Algorithm::parse)?;
        match (first("key"), algorithm) {
            (Some(id), algorithm) => Some(Self::Shared { id, algorithm }),
            (None, Algorithm::HmacSha1) => Some(Self::Tokens),
            (None, Algorithm::HmacSha256) => None,
        }
    }

    /// Whether this key is selected.
    pub(super) fn takes(&self, key: &SigningKey) -> bool {
        match (self, key.id()) {
            (Self::Tokens, None) => true,
            (Self::Shared { id, algorithm }, Some(known)) => {
                known.as_str() == *id && key.algorithm() == *algorithm
            }
            (Self::Tokens, Some(_)) | (Self::Shared { .. }, None) | (Self::Nothing, _) => false,
        }
    }
}

/// A signature, by its length.
pub(super) enum Tag {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Tag {
    pub(super) fn read(header: &[u8]) -> Option<Self> {
        // Strict: the alphabet with `+` and `/`, padded.
        let mut bytes = [0; 33];
        let length = STANDARD.decode_slice(header, &mut bytes).ok()?;
        let (tag, _) = bytes.split_at_checked(length)?;
        tag.try_into().map(Self::Sha1).or_else(|_| tag.try_into().map(Self::Sha256)).ok()
    }

    /// Whether the length fits the selected keys: a token's signature never has 32 bytes.
    pub(super) fn suits(&self, selection: KeySelection<'_>) -> bool {
        match (selection, self) {
            (KeySelection::Tokens, Self::Sha1(_)) | (KeySelection::Nothing, _) => true,
            (KeySelection::Tokens, Self::Sha256(_)) => false,
            (KeySelection::Shared { algorithm, .. }, tag) => algorithm == tag.algorithm(),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha1(_) => Algorithm::HmacSha1,
            Self::Sha256(_) => Algorithm::HmacSha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> KeySelection<'_> {
        KeySelection::of(Some(header.as_bytes()))
    }

    #[test]
    fn the_header_names_a_key_and_its_algorithm_in_any_order_and_says_more() {
        let (id, algorithm) = ("k1", Algorithm::HmacSha256);
        for header in [
            "key=k1,algorithm=HMAC_SHA256",
            "algorithm=HMAC_SHA256, key=k1",
            " key = k1 ,, algorithm=HMAC_SHA256,",
            "key=k1,algorithm=HMAC_SHA256,version=2",
            "key=k1,algorithm=hmac_sha256",
            "key=k1,algorithm=Hmac_Sha256",
            "key=k1,algorithm=,algorithm=HMAC_SHA256",
            "key=k1,algorithm=HMAC_SHA256,algorithm=HMAC_SHA1",
            "v2,key=k1,algorithm=HMAC_SHA256",
        ] {
            assert_eq!(of(header), KeySelection::Shared { id, algorithm }, "{header}");
        }
        let algorithm = Algorithm::HmacSha1;
        for header in
            ["key=k1", "key=k1,key=k2", "key=,key=k1", "key=k1,HMAC_SHA256", "key=k1,algorithm="]
        {
            assert_eq!(of(header), KeySelection::Shared { id, algorithm }, "{header}");
        }
    }

    #[test]
    fn without_a_key_it_is_an_auth_token_with_hmac_sha1() {
        assert_eq!(KeySelection::of(None), KeySelection::Tokens);
        for header in
            ["", " ", ",", "algorithm=HMAC_SHA1", "algorithm=hmac_sha1", "version=2", "k1", "key="]
        {
            assert_eq!(of(header), KeySelection::Tokens, "{header}");
        }
        assert_eq!(of("algorithm=HMAC_SHA256"), KeySelection::Nothing);
    }

    #[test]
    fn an_invalid_header_selects_no_key() {
        for header in [
            "key=k1,algorithm=HMAC_MD5",
            "key=k1,algorithm=none",
            "key=k1,algorithm=HMAC-SHA256",
            "key=k1,algorithm=HMAC_SHA256 HMAC_SHA1",
        ] {
            assert_eq!(of(header), KeySelection::Nothing, "{header}");
        }
        assert_eq!(KeySelection::of(Some(b"key=\xff")), KeySelection::Nothing);
        let long = format!("key=k1,{}", "v=1,".repeat(MAX_SETTINGS));
        assert_eq!(of(&long), KeySelection::Nothing);
    }
}
