//! A secret in a path instead of a signature, for a client that cannot sign.
//!
//! It proves less: one logged request reveals it, and it does not cover the body. So it is off by default, applies to
//! one route, and is compared in constant time.

use std::fmt;

use crate::domain::mac::MacKey;

/// Shorter secrets could be guessed.
pub const MIN_LEN: usize = 16;
/// The authenticated text, so that only MACs are compared.
const TEXT: &[u8] = b"heardback path secret";

/// The MAC that recognises the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ClickSecret {
    tag: [u8; 32],
}

impl ClickSecret {
    /// `None` if the secret is too short, or has characters that a path escapes.
    pub fn parse(text: &str) -> Option<Self> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if text.len() < MIN_LEN || !text.bytes().all(is_safe) {
            return None;
        }
        Some(Self { tag: MacKey::new(text.as_bytes()).tag([TEXT]) })
    }

    /// Whether this is the secret. The time depends only on the length.
    pub fn is(&self, presented: &str) -> bool {
        MacKey::new(presented.as_bytes()).made([TEXT], &self.tag)
    }
}

impl fmt::Debug for ClickSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClickSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_opens() {
        let secret = ClickSecret::parse("q8Zt-0b_Fh.3~WxYz12").expect("a secret");
        assert!(secret.is("q8Zt-0b_Fh.3~WxYz12"));
        for wrong in ["", "q8Zt-0b_Fh.3~WxYz1", "Q8zt-0b_fh.3~wxyz12", "q8Zt-0b_Fh.3~WxYz12 "] {
            assert!(!secret.is(wrong), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains("q8Zt"));
    }

    #[test]
    fn a_text_that_is_short_or_unsafe_in_a_path_is_no_secret() {
        for text in
            ["", "0123456789abcde", "0123456789abcde/", "0123456789abcde%20", "0123456789abcdeé"]
        {
            assert!(ClickSecret::parse(text).is_none(), "{text}");
        }
        assert!(ClickSecret::parse("0123456789abcdef").is_some());
    }
}
