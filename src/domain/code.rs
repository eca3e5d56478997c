//! Codes: proof that a text contains the code of one message, without a stored code.
//!
//! The app registers `CodeHmac`, an HMAC-SHA256 under an app key over `MessageSid` and code. A hash without a key could
//! be reversed by trying a million codes. The SID makes the values of one code in two messages different. A typed code
//! is compared and dropped; no `Debug` prints it.

mod text;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::hex;
use crate::domain::mac::MacKey;
use crate::domain::sid::MessageSid;

/// HMAC-SHA256 over `MessageSid` and code, under the app's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeHmac([u8; 32]);

impl CodeHmac {
    /// 32 bytes in hexadecimal or base64.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = if text.len() == 64 {
            hex::decoded(text)?
        } else {
            let text = text.trim_end_matches('=');
            STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?
        };
        Some(Self(bytes.try_into().ok()?))
    }

    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

/// Base64 in text formats, 32 bytes in the store.
impl Serialize for CodeHmac {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return to.serialize_str(&self.to_base64());
        }
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for CodeHmac {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(from)?;
            return Self::parse(&text)
                .ok_or_else(|| D::Error::custom("expected 32 bytes in base64"));
        }
        Ok(Self(Deserialize::deserialize(from)?))
    }
}

impl fmt::Debug for CodeHmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeHmac(…)")
    }
}

/// An app key that computes a [`CodeHmac`].
#[derive(Debug, Clone)]
pub struct CodeKey(MacKey);

impl CodeKey {
    /// The secret is not decoded, as in a signing key.
    pub fn new(secret: &[u8]) -> Self {
        Self(MacKey::new(secret))
    }

    /// The value that the app registers for a message with that code.
    pub fn hmac(&self, sid: MessageSid, code: &str) -> CodeHmac {
        CodeHmac(self.0.tag([sid.as_str().as_bytes(), code.as_bytes()]))
    }

    fn made(&self, hmac: &CodeHmac, sid: MessageSid, code: &str) -> bool {
        self.0.made([sid.as_str().as_bytes(), code.as_bytes()], &hmac.0)
    }
}

/// A typed text or an entered code, to be compared with the codes of messages. Never stored.
#[derive(Clone)]
pub struct Probe {
    spellings: Vec<String>,
    keys: Vec<CodeKey>,
    has_code_shape: bool,
    is_explicit: bool,
}

impl Probe {
    /// The possible codes in a text. `None` without any, or without a key.
    pub fn new(text: &str, keys: &[CodeKey]) -> Option<Self> {
        if keys.is_empty() {
            return None;
        }
        let text::CodesInText { spellings, has_code_shape } = text::possible_codes(text);
        (!spellings.is_empty()).then(|| Self {
            spellings,
            keys: keys.to_vec(),
            has_code_shape,
            is_explicit: false,
        })
    }

    /// A code that the app received from a person, of any length. `None` without a key.
    pub fn entered(code: &str, keys: &[CodeKey]) -> Option<Self> {
        let spellings = text::spellings_of_code(code);
        let is_usable = !spellings.is_empty() && !keys.is_empty();
        is_usable.then(|| Self {
            spellings,
            keys: keys.to_vec(),
            has_code_shape: true,
            is_explicit: true,
        })
    }

    /// Whether one of the spellings is the code of that message.
    pub fn proves(&self, sid: MessageSid, code: &CodeHmac) -> bool {
        self.proven_with(sid, code, 1)
    }

    /// As [`Self::proves`], but only with spellings too long to match by chance. A short number may be a time, a year or a
    /// house number.
    pub fn proves_surely(&self, sid: MessageSid, code: &CodeHmac) -> bool {
        self.proven_with(sid, code, if self.is_explicit { 1 } else { text::SURE_CODE_BYTES })
    }

    fn proven_with(&self, sid: MessageSid, code: &CodeHmac, least: usize) -> bool {
        let spellings = || self.spellings.iter().filter(|spelling| spelling.len() >= least);
        self.keys.iter().any(|key| spellings().any(|spelling| key.made(code, sid, spelling)))
    }

    /// Whether the text has the shape of a code. A code that fits no known message is taken for another message's.
    pub fn has_code_shape(&self) -> bool {
        self.has_code_shape
    }
}

/// Compares the spellings only: the keys do not belong to the signal.
impl PartialEq for Probe {
    fn eq(&self, other: &Self) -> bool {
        self.spellings == other.spellings
    }
}

impl Eq for Probe {}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe(…)")
    }
}

/// The most messages in each list of a [`TypedCode`].
const MAX_COMPARED: usize = 64;

/// The stored comparison of a typed code with the messages that were known when it arrived. It never contains the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypedCode {
    /// The messages whose code it is.
    #[serde(rename = "of")]
    pub matching: Vec<MessageSid>,
    /// The messages whose code is another one.
    #[serde(rename = "not_of")]
    pub not_matching: Vec<MessageSid>,
}

impl TypedCode {
    /// Compares a probe with the codes of messages. The flag says whether the message is recent: only then a short
    /// number may be its code. `None` if the probe contains no code.
    pub fn compared(
        probe: &Probe,
        codes: impl Iterator<Item = (MessageSid, CodeHmac, bool)>,
    ) -> Option<Self> {
        let mut typed = Self::default();
        for (sid, code, is_recent) in codes {
            let is_its_code =
                if is_recent { probe.proves(sid, &code) } else { probe.proves_surely(sid, &code) };
            let list = if is_its_code { &mut typed.matching } else { &mut typed.not_matching };
            if list.len() < MAX_COMPARED {
                list.push(sid);
            }
        }
        (probe.has_code_shape() || !typed.matching.is_empty()).then_some(typed)
    }

    /// Whether the code was compared with this message's. At the end of its lifetime, a message loses its code.
    pub fn is_compared_with(&self, sid: MessageSid) -> bool {
        self.matching.contains(&sid) || self.not_matching.contains(&sid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(digit: char) -> MessageSid {
        MessageSid::parse(&format!("SM{}", digit.to_string().repeat(32))).expect("valid")
    }

    #[test]
    fn a_code_is_found_however_it_is_typed_and_only_for_its_own_message() {
        let key = CodeKey::new(b"app key");
        for (code, texts) in [
            ("123456", ["123456", "it is 123456!", "123 456", "123-456"]),
            ("G-123456", ["G-123456", " G-123456 ", "g-123456", "G-123456"]),
            ("A1B2C3", ["a1b2c3", "A1B2C3 thanks", "(A1B2C3)", "A1 B2 C3"]),
        ] {
            let registered = key.hmac(sid('a'), code);
            for text in texts {
                let probe = Probe::new(text, std::slice::from_ref(&key)).expect(text);
                assert!(probe.proves(sid('a'), &registered), "{code} in {text}");
                assert!(!probe.proves(sid('b'), &registered), "another message's");
            }
            let other = [CodeKey::new(b"another key")];
            let probe = Probe::new(texts.first().expect("one"), &other).expect("words");
            assert!(!probe.proves(sid('a'), &registered), "another key's");
        }
    }

    #[test]
    fn small_talk_holds_no_code() {
        let keys = [CodeKey::new(b"app key")];
        for text in ["", "ok", "yes!", "12", "a b c"] {
            assert!(Probe::new(text, &keys).is_none(), "{text}");
        }
        assert!(Probe::new("123456", &[]).is_none(), "no key to try it with");
        assert!(!Probe::new("thanks", &keys).expect("a word").has_code_shape());
    }

    #[test]
    fn it_is_read_in_hexadecimal_and_both_base64s() {
        let hmac = CodeKey::new(b"app key").hmac(sid('a'), "123456");
        let hex = hex::hex(&hmac.0);
        let padded = hmac.to_base64();
        let url_safe = padded.replace('+', "-").replace('/', "_");
        for text in [hex.as_str(), padded.as_str(), padded.trim_end_matches('='), &url_safe] {
            assert_eq!(CodeHmac::parse(text), Some(hmac), "{text}");
        }
        for text in ["", "123456", "x", &"g".repeat(64), &"a".repeat(63)] {
            assert_eq!(CodeHmac::parse(text), None, "{text}");
        }
    }
}
