//! Our own click links: a short address that stands for one message.
//!
//! The token is unguessable, because it is the proof that a person received the message. The store keeps only its hash.
//! The target is the registered one; a request cannot change it. The random bytes of a token are an argument.

pub mod request;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::reference::Reference;
use crate::domain::sid::{AccountSid, MessageSid};

/// Random bytes in a token: 96 bits, and sixteen characters, which fit into any SMS.
pub const TOKEN_BYTES: usize = 12;
pub const TOKEN_LEN: usize = 16;
/// The longest target, in bytes. A record of the store stays under 4 KiB.
pub const MAX_TARGET: usize = 2048;

/// The unguessable part of a click link's address.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(String);

impl LinkToken {
    /// A token of random bytes. It ends in a letter or a digit, because some phones that turn text into links cut a dash
    /// or an underscore from the end of an address (Android's `Patterns.WEB_URL` ends at a word's end).
    pub fn from_random(bytes: [u8; TOKEN_BYTES]) -> Self {
        let mut token = URL_SAFE_NO_PAD.encode(bytes);
        if let Some(stripped) = token.strip_suffix(['-', '_']) {
            token = format!("{stripped}0");
        }
        Self(token)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let is_token = text.len() == TOKEN_LEN
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        is_token.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash that the store keeps.
    pub fn id(&self) -> LinkId {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        LinkId(id)
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken(…)")
    }
}

/// The store's key of a link, from which the token cannot be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId(#[serde(with = "crate::domain::hex")] [u8; 16]);

impl LinkId {
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The destination of a link: an absolute https address without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkTarget(String);

impl LinkTarget {
    /// Parses an absolute https address of printable ASCII, as a `Location` header carries it.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let rest = rest.and_then(|_| text.get(8..))?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        // Browsers read a backslash as a slash, and the text before an `@` is not the host.
        let is_plain = text.len() <= MAX_TARGET
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'));
        let is_host = !name.is_empty() && !host.contains('@');
        (is_plain && is_host).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host with its port, which a person sees before the redirect.
    pub fn host(&self) -> &str {
        let rest = self.0.get(8..).unwrap_or_default();
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }
}

/// Text formats may be written by hand, so they are checked. The store's own format is not.
impl<'de> Deserialize<'de> for LinkTarget {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let is_by_hand = from.is_human_readable();
        let text = String::deserialize(from)?;
        if !is_by_hand {
            return Ok(Self(text));
        }
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected an https address"))
    }
}

/// The setting for click links: which request is evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Links {
    Off,
    /// A page with a button, whose press is the evidence: scanners and previews send GET only.
    #[default]
    ConfirmOnPost,
    /// A page with a button, and without a script that presses it. A press is evidence only if the browser says that
    /// a person pressed (`Sec-Fetch-User`).
    ConfirmOnPress,
    /// A GET is evidence, except from known crawlers.
    ConfirmOnGet,
}

impl Links {
    pub const ALL: [Self; 4] =
        [Self::Off, Self::ConfirmOnPost, Self::ConfirmOnPress, Self::ConfirmOnGet];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::ConfirmOnPost => "confirm-on-post",
            Self::ConfirmOnPress => "confirm-on-press",
            Self::ConfirmOnGet => "confirm-on-get",
        }
    }
}

/// A stored link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub account: AccountSid,
    pub target: LinkTarget,
    /// The message that contains it, once its SID is known.
    pub message: Option<MessageSid>,
    pub reference: Option<Reference>,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_https_address_is_a_target() {
        for good in [
            "https://example.com",
            "https://example.com:8443/a?b=c&d=%20#e",
            "HTTPS://example.com/",
            "https://[::1]/x",
        ] {
            assert!(LinkTarget::parse(good).is_some(), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_TARGET));
        for bad in [
            "http://example.com",
            "javascript:alert(1)",
            "//example.com",
            "https://",
            "https:///path",
            "https://:443/",
            "https://user:pass@example.com/",
            "https://example.com/a b",
            "https://example.com\\@evil.example/",
            "https://example.com/\r\nSet-Cookie: a=b",
            "https://bücher.example/",
            "",
            long.as_str(),
        ] {
            assert!(LinkTarget::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_host_of_a_target_includes_its_port() {
        for (text, host) in [
            ("https://example.com", "example.com"),
            ("https://example.com:8443/a?b", "example.com:8443"),
            ("https://example.com?@evil.example", "example.com"),
            ("https://[::1]/x", "[::1]"),
        ] {
            assert_eq!(
                LinkTarget::parse(text).map(|to| to.host().to_owned()).as_deref(),
                Some(host)
            );
        }
    }

    #[test]
    fn a_token_ends_in_a_letter_or_a_digit_as_an_address_in_a_text_must() {
        for last in 0..=u8::MAX {
            let token = LinkToken::from_random([last; TOKEN_BYTES]);
            let text = token.as_str();
            assert!(text.ends_with(|c: char| c.is_ascii_alphanumeric()), "{text}");
            assert_eq!(LinkToken::parse(text), Some(token.clone()));
        }
    }

    #[test]
    fn a_token_survives_its_address_and_its_id_does_not_give_it_away() {
        let token = LinkToken::from_random([0xfb; TOKEN_BYTES]);
        assert_eq!(LinkToken::parse(token.as_str()), Some(token.clone()));
        for bad in ["", "short", "0123456789abcde/", "0123456789abcdefg", "../../etc/passwd"] {
            assert_eq!(LinkToken::parse(bad), None, "{bad}");
        }
        assert!(!format!("{token:?} {:?}", token.id()).contains(token.as_str()));
        assert_ne!(token.id(), LinkToken::from_random([0xfa; TOKEN_BYTES]).id());
    }
}
