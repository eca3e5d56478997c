//! The public URL: the prefix of every URL that Twilio and the app sign.
//!
//! The signature covers this text, so it is kept byte for byte, without a trailing slash. Neither `Host` nor
//! `X-Forwarded-*` can change it.

use std::fmt;

use crate::twilio::origin;
use crate::twilio::reachability;

/// The fragment of a webhook URL that asks Twilio for three more tries after a failed connection, a 5xx or a timeout, all
/// within 15 s (Twilio docs, "Webhooks: connection overrides"). Twilio neither sends nor signs a fragment.
pub const CONNECTION_OVERRIDES: &str = "#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000";

/// An origin, perhaps with a path prefix: `https://hooks.example.com` or
/// `https://example.com:8443/heardback`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicUrl {
    text: String,
    unreachable: Option<&'static str>,
    prefix_len: usize,
}

/// Why a text cannot be the public URL. The error never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PublicUrlError(#[from] origin::OriginError);

impl PublicUrl {
    /// https, or plain http to loopback; no user name, query, fragment or whitespace, and no underscore in the host
    /// (Twilio rejects those).
    ///
    /// # Errors
    /// [`PublicUrlError`] names the first flaw.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let origin = origin::read(text)?;
        Ok(Self {
            text: origin.text.to_owned(),
            unreachable: reachability::why_unreachable(origin.host),
            prefix_len: origin.prefix.len(),
        })
    }

    /// The URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path prefix (`/heardback`), which a reverse proxy strips; empty if there is none.
    pub fn prefix(&self) -> &str {
        self.text.get(self.text.len() - self.prefix_len..).unwrap_or_default()
    }

    /// Why Twilio cannot reach the host; `None` if the host may be public.
    pub fn why_unreachable(&self) -> Option<&'static str> {
        self.unreachable
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_one_is_kept_byte_for_byte_but_for_the_slash_at_its_end() {
        for (text, kept, prefix) in [
            ("https://hooks.example.com", "https://hooks.example.com", ""),
            ("https://hooks.example.com/", "https://hooks.example.com", ""),
            ("https://Hooks.Example.COM:443", "https://Hooks.Example.COM:443", ""),
            (
                "https://example.com/Heard%20back/",
                "https://example.com/Heard%20back",
                "/Heard%20back",
            ),
            ("https://[2001:db8::1]:8443/a/b", "https://[2001:db8::1]:8443/a/b", "/a/b"),
            ("http://127.9.9.9:8080", "http://127.9.9.9:8080", ""),
            ("http://[::1]:8080", "http://[::1]:8080", ""),
            ("http://localhost", "http://localhost", ""),
        ] {
            let url = PublicUrl::parse(text).expect(text);
            assert_eq!(url.as_str(), kept);
            assert_eq!(url.prefix(), prefix);
            let is_reachable = text.contains("example.com") || text.contains("Example.COM");
            assert_eq!(url.why_unreachable().is_none(), is_reachable, "{text}");
        }
    }

    #[test]
    fn a_password_in_it_is_refused_and_not_repeated() {
        let error = PublicUrl::parse("https://me:hunter2@hooks.example.com").expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
