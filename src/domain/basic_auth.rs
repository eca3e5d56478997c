//! HTTP Basic authentication (RFC 7617): the parsed header, and the comparison with known credentials in constant time.
//!
//! Deliberately absent: the secrets. A known credential is kept as a tag, so that only tags of equal length are compared.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::domain::mac::MacKey;

/// The longest header value that is decoded, in bytes. Twilio's user names and secrets have 34 and 32.
const MAX_HEADER: usize = 1024;
/// The authenticated text.
const TEXT: &[u8] = b"heardback basic credential";

/// The user name and the password of a request, not verified yet.
pub struct PresentedCredential(MacKey);

impl PresentedCredential {
    /// Parses the value of an `Authorization` header. `None` for another scheme and for a malformed value.
    pub fn parse(header: &[u8]) -> Option<Self> {
        if header.len() > MAX_HEADER {
            return None;
        }
        let (scheme, encoded) = header.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let encoded = encoded.trim_ascii();
        let decoded = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
        decoded.contains(&b':').then(|| Self(MacKey::new(&decoded)))
    }
}

impl fmt::Debug for PresentedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedCredential(…)")
    }
}

/// The tag of a known user name and secret.
#[derive(Clone)]
pub struct CredentialTag([u8; 32]);

impl CredentialTag {
    /// The user name contains no colon.
    pub fn new(user: &str, secret: &str) -> Self {
        Self(MacKey::new(format!("{user}:{secret}").as_bytes()).tag([TEXT]))
    }
}

impl fmt::Debug for CredentialTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialTag(…)")
    }
}

/// Whether the presented credential is one of the known ones. Every known credential is compared, so the time depends only
/// on their number.
pub fn is_known(presented: &PresentedCredential, known: &[CredentialTag]) -> bool {
    known.iter().fold(false, |found, tag| presented.0.made([TEXT], &tag.0) | found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "AC0123456789abcdef0123456789abcdef";

    fn header(scheme: &str, text: &str) -> Vec<u8> {
        format!("{scheme} {}", STANDARD.encode(text)).into_bytes()
    }

    #[test]
    fn only_a_known_user_with_its_own_secret_is_known() {
        let known = [CredentialTag::new(USER, "one"), CredentialTag::new("SK1", "two:three")];
        let check = |text: &str| {
            PresentedCredential::parse(&header("Basic", text))
                .is_some_and(|it| is_known(&it, &known))
        };
        assert!(check(&format!("{USER}:one")) && check("SK1:two:three"));
        for wrong in ["", ":", "SK1:one", "SK1:two", "SK1:two:three ", "SK1", "sk1:two:three"] {
            assert!(!check(wrong), "{wrong}");
        }
        assert!(!check(&format!("{USER}:")) && !check(&format!("{USER}:two:three")));
        let presented = PresentedCredential::parse(&header("basic", "a:b")).expect("parsed");
        assert!(!is_known(&presented, &[]));
        assert!(!format!("{presented:?}{known:?}").contains("one"));
    }

    #[test]
    fn another_scheme_and_a_malformed_value_are_no_credential() {
        let good = header("BASIC", "a:b");
        assert!(PresentedCredential::parse(&good).is_some());
        assert!(PresentedCredential::parse(b"Basic  YTpi ").is_some(), "blanks");
        for bad in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"Basic !!!",
            b"Bearer YTpi",
            b"YTpi",
            b"Basic YTpi,YTpi",
            b"Basic YWI=",
            &header("Basic", &format!("a:{}", "b".repeat(MAX_HEADER))),
        ] {
            assert!(PresentedCredential::parse(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
