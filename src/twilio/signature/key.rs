//! Signing keys: an auth token or an app key, always with HMAC-SHA1, or one of the customer's `SharedKeys` with the
//! algorithm that it is bound to.
//!
//! Deliberately absent: a way to sign with a key by another algorithm than its own.

use std::fmt;

use hmac::Hmac;
use sha1::Sha1;
use sha2::Sha256;

use crate::domain::mac::keyed;

/// The longest id of a `SharedKey`, in bytes. Twilio's have about 45.
const MAX_KEY_ID: usize = 128;

/// The algorithm of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Every auth token's, and every app key's.
    HmacSha1,
    /// A `SharedKey`'s, if it is bound to it.
    HmacSha256,
}

impl Algorithm {
    /// `HMAC_SHA1` or `HMAC_SHA256`, in any case, as Twilio's libraries accept it.
    pub fn parse(text: &str) -> Option<Self> {
        let is = |known: &Self| known.as_str().eq_ignore_ascii_case(text);
        [Self::HmacSha1, Self::HmacSha256].into_iter().find(is)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "HMAC_SHA1",
            Self::HmacSha256 => "HMAC_SHA256",
        }
    }
}

/// Names a `SharedKey`, such as `webhooks_sharedkey_01…`. Not secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// An id has 1 to 128 letters, digits, `_`, `-` and `.`, so it contains no separator of the header or of the settings.
    pub fn parse(text: &str) -> Option<Self> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let fits = (1..=MAX_KEY_ID).contains(&text.len()) && text.bytes().all(word);
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret that signs, used as its UTF-8 bytes.
#[derive(Clone)]
pub struct SigningKey {
    // Initialised once; a signature starts from a copy.
    pub(super) keyed: Keyed,
    shared: Option<KeyId>,
}

#[derive(Clone)]
pub(super) enum Keyed {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

impl Keyed {
    pub(super) fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
        match algorithm {
            Algorithm::HmacSha1 => Self::Sha1(keyed(secret)),
            Algorithm::HmacSha256 => Self::Sha256(keyed(secret)),
        }
    }
}

impl SigningKey {
    /// An auth token or an app key. The secret is not decoded, even if it looks like base64 or hexadecimal.
    pub fn new(secret: &[u8]) -> Self {
        Self { keyed: Keyed::new(Algorithm::HmacSha1, secret), shared: None }
    }

    /// One of the customer's `SharedKeys`, bound to its algorithm.
    pub fn shared(id: KeyId, algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { keyed: Keyed::new(algorithm, secret), shared: Some(id) }
    }

    /// `None` if it is no `SharedKey`.
    pub fn id(&self) -> Option<&KeyId> {
        self.shared.as_ref()
    }

    pub fn algorithm(&self) -> Algorithm {
        match self.keyed {
            Keyed::Sha1(_) => Algorithm::HmacSha1,
            Keyed::Sha256(_) => Algorithm::HmacSha256,
        }
    }
}

/// Shows no secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}
