//! SIDs, Twilio's identifiers: parsed once, at the edge.
//!
//! A SID is two letters and 32 hexadecimal digits. Twilio's `OpenAPI` allows either case, and two SIDs that differ in
//! case are two SIDs, so the case is never changed.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of every SID in bytes: two letters and 32 hexadecimal digits.
pub const SID_LEN: usize = 34;

/// The kind of a SID. Implemented by the empty types in [`kind`].
pub trait SidKind: Copy + Eq + Ord + std::hash::Hash + fmt::Debug + Send + Sync + 'static {
    /// Its name in errors, such as `MessageSid`.
    const NAME: &'static str;
    const PREFIXES: &'static [&'static str];
}

/// The kinds of SID that Heardback knows.
pub mod kind {
    use super::SidKind;

    /// A message, outbound or inbound: `SM…` or `MM…`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum MessageKind {}
    /// An account or subaccount: `AC…`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum AccountKind {}
    /// A Messaging Service: `MG…`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ServiceKind {}
    /// A voice call: `CA…`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum CallKind {}

    impl SidKind for MessageKind {
        const NAME: &'static str = "MessageSid";
        const PREFIXES: &'static [&'static str] = &["SM", "MM"];
    }
    impl SidKind for AccountKind {
        const NAME: &'static str = "AccountSid";
        const PREFIXES: &'static [&'static str] = &["AC"];
    }
    impl SidKind for ServiceKind {
        const NAME: &'static str = "MessagingServiceSid";
        const PREFIXES: &'static [&'static str] = &["MG"];
    }
    impl SidKind for CallKind {
        const NAME: &'static str = "CallSid";
        const PREFIXES: &'static [&'static str] = &["CA"];
    }
}

/// Names a message: `SM…` or `MM…`.
pub type MessageSid = Sid<kind::MessageKind>;
/// Names an account: `AC…`.
pub type AccountSid = Sid<kind::AccountKind>;
/// Names a Messaging Service: `MG…`.
pub type ServiceSid = Sid<kind::ServiceKind>;
/// Names a call: `CA…`.
pub type CallSid = Sid<kind::CallKind>;

/// A SID that has been checked: the right prefix and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid<K: SidKind> {
    text: [u8; SID_LEN],
    kind: PhantomData<K>,
}

/// Why a text is not the expected SID, and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SidError {
    /// The text is a SID of another kind.
    #[error("{got} is {what}; expected {expected}. {hint}")]
    WrongKind {
        /// The two letters found.
        got: String,
        what: &'static str,
        expected: String,
        hint: &'static str,
    },
    /// The text is no SID.
    #[error("expected {expected}, got {length} bytes that are not one")]
    Malformed {
        expected: String,
        /// The length of the text in bytes. The text may be personal and is not repeated.
        length: usize,
    },
}

/// The searched bytes of a text. The first event of a batch names its account within two kilobytes.
const SEARCHED_BYTES: usize = 16 << 10;
/// The most SIDs that are read there.
const MAX_SIDS: usize = 16;

/// The account SIDs in a text of any format, in its order, repeats included. At most 16, all from its first 16 KiB, so that
/// the cost is bounded for unauthenticated input.
pub fn accounts_in(text: &[u8]) -> impl Iterator<Item = AccountSid> {
    let text = text.get(..SEARCHED_BYTES).unwrap_or(text);
    let read = |at: usize| {
        let sid = text.get(at..at + SID_LEN)?;
        let digits = sid.get(2..)?;
        let is_sid = digits.iter().all(u8::is_ascii_hexdigit);
        is_sid.then(|| AccountSid::parse(std::str::from_utf8(sid).ok()?).ok()).flatten()
    };
    memchr::memmem::find_iter(text, "AC").filter_map(read).take(MAX_SIDS)
}

impl<K: SidKind> Sid<K> {
    ///
    /// # Errors
    /// [`SidError`] if the prefix is another kind's or the rest is not 32 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, SidError> {
        let malformed = || SidError::Malformed { expected: expected::<K>(), length: text.len() };
        let bytes: [u8; SID_LEN] = text.as_bytes().try_into().map_err(|_| malformed())?;
        let (prefix, digits) = bytes.split_at(2);
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed());
        }
        if K::PREFIXES.iter().any(|known| known.as_bytes() == prefix) {
            return Ok(Self { text: bytes, kind: PhantomData });
        }
        let prefix = std::str::from_utf8(prefix).map_err(|_| malformed())?;
        let (what, hint) = other_kind(prefix).ok_or_else(malformed)?;
        Err(SidError::WrongKind {
            got: format!("{prefix}…"),
            what,
            expected: expected::<K>(),
            hint,
        })
    }

    pub fn as_str(&self) -> &str {
        // Always ASCII: `parse` and `unpack` check it.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Appends the SID in its compact form: 17 bytes if the digits are lower case, otherwise 33.
    /// No packed SID is a prefix of another.
    pub fn pack_into(&self, out: &mut Vec<u8>) {
        let (prefix, digits) = self.text.split_at(2);
        let tag = K::PREFIXES.iter().position(|known| known.as_bytes() == prefix).unwrap_or(0);
        let tag = u8::try_from(tag).unwrap_or(0);
        if digits.iter().any(u8::is_ascii_uppercase) {
            out.push(tag | AS_WRITTEN);
            out.extend_from_slice(digits);
        } else {
            out.push(tag);
            let (pairs, _) = digits.as_chunks::<2>();
            out.extend(pairs.iter().map(|[high, low]| (nibble(*high) << 4) | nibble(*low)));
        }
    }

    /// The length of the packed SID at the beginning of these bytes; `None` if there are none.
    pub fn packed_len(bytes: &[u8]) -> Option<usize> {
        bytes.first().map(|tag| if tag & AS_WRITTEN == 0 { 17 } else { 33 })
    }

    /// `None` if these bytes are not exactly one SID that [`Self::pack_into`] wrote.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let prefix = K::PREFIXES.get(usize::from(tag & !AS_WRITTEN))?;
        let mut text = Vec::with_capacity(SID_LEN);
        text.extend_from_slice(prefix.as_bytes());
        if tag & AS_WRITTEN == 0 {
            text.extend(rest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]));
        } else {
            text.extend_from_slice(rest);
        }
        Self::parse(std::str::from_utf8(&text).ok()?).ok()
    }
}

/// Set in the tag of a packed SID whose digits are stored as text, because of their case.
const AS_WRITTEN: u8 = 0x80;

fn nibble(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        b'a'..=b'f' => hex - b'a' + 10,
        _ => 0,
    }
}

fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn expected<K: SidKind>() -> String {
    format!("{} ({}… and 32 hexadecimal digits)", K::NAME, K::PREFIXES.join("… or "))
}

/// The meaning of other prefixes that clients send by mistake, and the fix.
fn other_kind(prefix: &str) -> Option<(&'static str, &'static str)> {
    Some(match prefix {
        "SM" | "MM" => ("a message's SID", "Send the SID of the thing that the field names."),
        "AC" => ("an account's SID", "Send the SID of the thing that the field names."),
        "MG" => ("a Messaging Service's SID", "It goes into MessagingServiceSid."),
        "CA" => ("a call's SID", "Feedback exists for messages only."),
        "VE" | "VL" => (
            "a Verify verification's SID",
            "Twilio Verify reports its own conversions; Message Feedback does not apply to it.",
        ),
        "SK" => ("an API key's SID", "It belongs into TWILIO_API_KEY."),
        "PN" => ("a phone number's SID", "Send the SID of the message."),
        "IM" => (
            "the SID of a message in a conversation",
            "Send the SID that the message has on its channel (ChannelMessageSid of its delivery receipt).",
        ),
        "OR" | "IS" | "CH" => ("a conversation's SID", "Send the SID of the message."),
        _ => return None,
    })
}

impl<K: SidKind> fmt::Display for Sid<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<K: SidKind> fmt::Debug for Sid<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<K: SidKind> std::str::FromStr for Sid<K> {
    type Err = SidError;
    fn from_str(text: &str) -> Result<Self, SidError> {
        Self::parse(text)
    }
}

/// Text in JSON, packed in the store.
impl<K: SidKind> Serialize for Sid<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(self.as_str());
        }
        let mut packed = Vec::with_capacity(SID_LEN);
        self.pack_into(&mut packed);
        serializer.serialize_bytes(&packed)
    }
}

impl<'de, K: SidKind> Deserialize<'de> for Sid<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            return Self::parse(&text).map_err(D::Error::custom);
        }
        let packed = <&[u8]>::deserialize(deserializer)?;
        Self::unpack(packed).ok_or_else(|| D::Error::custom("not a packed SID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOWER: &str = "SM0123456789abcdef0123456789abcdef";
    const UPPER: &str = "MM0123456789ABCDEF0123456789abcdef";

    #[test]
    fn a_sid_of_any_case_survives_packing() {
        for (text, length) in [(LOWER, 17), (UPPER, 33)] {
            let sid = MessageSid::parse(text).expect("valid");
            let mut packed = Vec::new();
            sid.pack_into(&mut packed);
            assert_eq!(packed.len(), length);
            assert_eq!(MessageSid::packed_len(&packed), Some(length));
            assert_eq!(MessageSid::unpack(&packed), Some(sid));
            assert_eq!(sid.as_str(), text);
        }
    }

    #[test]
    fn another_things_sid_is_refused_with_a_reason_that_helps() {
        let verify = MessageSid::parse("VE0123456789abcdef0123456789abcdef").expect_err("refused");
        assert!(verify.to_string().contains("Verify reports its own conversions"), "{verify}");
        let call = MessageSid::parse("CA0123456789abcdef0123456789abcdef").expect_err("refused");
        assert!(call.to_string().contains("a call's SID"), "{call}");
    }

    #[test]
    fn a_text_that_is_no_sid_is_refused_without_repeating_it() {
        for text in ["", "SM", "+15551234567", "SM0123456789abcdef0123456789abcdeg", "ŚM"] {
            let error = MessageSid::parse(text).expect_err("refused").to_string();
            assert!(text.len() < 3 || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn accounts_are_found_in_any_text_up_to_a_limit() {
        let one = format!("AC{}", "1".repeat(32));
        let other = format!("AC{}", "aF".repeat(16));
        let json =
            format!(r#"[{{"source":"/Accounts/{one}/x","data":{{"accountSid":"{other}"}}}}]"#);
        let found: Vec<_> = accounts_in(json.as_bytes()).map(|sid| sid.to_string()).collect();
        assert_eq!(found, [one.clone(), other]);
        for none in
            ["", "AC", "ACAC", &one[..33], &"ACX".repeat(1 << 19), "AC\u{e9}".repeat(99).as_str()]
        {
            assert_eq!(accounts_in(none.as_bytes()).count(), 0, "{none:.20}");
        }
        assert_eq!(accounts_in(format!("AC-{one}").as_bytes()).count(), 1);
        assert_eq!(accounts_in(one.repeat(1000).as_bytes()).count(), MAX_SIDS);
        assert_eq!(accounts_in((" ".repeat(SEARCHED_BYTES) + &one).as_bytes()).count(), 0);
    }
}
