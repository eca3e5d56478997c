//! The `TwiML` response to a call: reject it, or redirect it to the app.
//!
//! `<Reject>` costs nothing, because the call is never answered (Twilio, `TwiML` "Reject").

use std::fmt;

use crate::twilio::origin;
use crate::twilio::origin::OriginError;

/// The address of the app's own `TwiML` for a call: absolute, https or on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUrl(String);

impl RedirectUrl {
    /// The address may have a path and a query, and is not changed.
    ///
    /// # Errors
    /// [`OriginError`]: the first flaw.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let authority = text.find("://").map_or(0, |at| at + 3);
        let (_, rest) = text.split_at_checked(authority).ok_or(OriginError::Scheme)?;
        let end = rest.find(['/', '?', '#']).map_or(text.len(), |at| authority + at);
        let (host, path) = text.split_at_checked(end).ok_or(OriginError::Host)?;
        origin::read(host)?;
        if path.contains('#') {
            return Err(OriginError::Fragment);
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(OriginError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The response to a call: a redirect to the app, or a rejection.
pub fn answer_to_a_call(redirect: Option<&RedirectUrl>) -> String {
    match redirect {
        Some(url) => {
            format!("<Response><Redirect>{}</Redirect></Response>", escaped(url.as_str()))
        }
        None => "<Response><Reject/></Response>".to_owned(),
    }
}

/// Escapes a text for XML 1.0.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_rejected_or_sent_on() {
        assert_eq!(answer_to_a_call(None), "<Response><Reject/></Response>");
        let url = RedirectUrl::parse("https://app.example.com/voice?a=1&b=<'\">").expect("valid");
        assert_eq!(
            answer_to_a_call(Some(&url)),
            "<Response><Redirect>https://app.example.com/voice?a=1&amp;b=&lt;&apos;&quot;&gt;\
             </Redirect></Response>"
        );
    }

    #[test]
    fn only_an_absolute_address_over_https_or_to_this_machine_is_one() {
        for good in [
            "https://app.example.com",
            "https://app.example.com/voice/",
            "https://app.example.com:8443/a//b/../c?d=e?f",
            "http://127.0.0.1:3000/voice",
            "https://app.example.com?x=1",
        ] {
            assert_eq!(RedirectUrl::parse(good).expect(good).as_str(), good);
        }
        for (bad, error) in [
            ("http://app.example.com/voice", OriginError::PlainHttp),
            ("/voice", OriginError::Scheme),
            ("app.example.com/voice", OriginError::Scheme),
            ("javascript:alert(1)", OriginError::Scheme),
            ("", OriginError::Scheme),
            ("https://", OriginError::Host),
            ("https:///voice", OriginError::Host),
            ("https://a:b@app.example.com/", OriginError::Userinfo),
            ("https://app.example.com/#rc=3", OriginError::Fragment),
            ("https://app.example.com/a b", OriginError::Character),
            ("https://app.example.com\\@evil.example/", OriginError::Character),
            ("https://app.example.com/é", OriginError::Character),
        ] {
            assert_eq!(RedirectUrl::parse(bad), Err(error), "{bad}");
        }
    }
}
