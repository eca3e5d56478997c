//! The app's own webhook URL, to which Heardback forwards Twilio's requests.
//!
//! It is written as at Twilio before. The signature covers its text byte for byte. Like Twilio, Heardback signs neither
//! `user:password@` nor `#fragment`: a user name and password become `Authorization`, and a fragment is dropped.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::forward::ForwardKind;
use crate::twilio::network::NetworkScope;
use crate::twilio::origin;
use crate::twilio::origin::OriginError;

/// An absolute URL over https or http, perhaps with a user name and a password. `Debug` shows neither those nor its query.
#[derive(Clone)]
pub struct AppUrl {
    is_https: bool,
    /// The host in lower case, an IPv6 address without its brackets.
    host: String,
    /// `host` or `host:port`, as it was written.
    authority: String,
    /// The length of the host in `authority`; the port follows.
    host_len: usize,
    /// Path and query; begins with `/`.
    target: String,
    /// `user:password`, as it was written.
    userinfo: Option<SecretString>,
    has_fragment: bool,
}

/// Why a text is no URL of an app. The error never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppUrlError {
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// HTTP clients rewrite these, so the signed text and the requested one would differ.
    #[error(
        "its path or query holds a character that HTTP clients rewrite; escape it, e.g. ' as %27"
    )]
    Rewritten,
    /// `1.2`, `0x7f.1`: some clients read these as IPv4 addresses.
    #[error("the last part of its host is a number, but the host is no IPv4 address")]
    Number,
    /// No app listens at this address.
    #[error("its address is link-local, multicast or reserved")]
    Forbidden,
}

impl AppUrl {
    /// # Errors
    /// [`AppUrlError`]: the first flaw.
    pub fn parse(text: &str) -> Result<Self, AppUrlError> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(OriginError::Character.into());
        }
        let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(OriginError::Scheme.into()),
        };
        let (rest, has_fragment) = match rest.split_once('#') {
            Some((rest, _)) => (rest, true),
            None => (rest, false),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        let host = origin::read_authority(authority)?;
        let address = host.parse::<IpAddr>();
        let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        if address.is_err() && is_number(last) {
            return Err(AppUrlError::Number);
        }
        if address.is_ok_and(|address| NetworkScope::of(address) == NetworkScope::Forbidden) {
            return Err(AppUrlError::Forbidden);
        }
        if target.contains(['"', '\'', '<', '>', '`', '{', '}', '^', '|']) || has_dots(target) {
            return Err(AppUrlError::Rewritten);
        }
        let brackets = if authority.starts_with('[') { 2 } else { 0 };
        Ok(Self {
            is_https,
            host: host.to_ascii_lowercase(),
            authority: authority.to_owned(),
            host_len: host.len() + brackets,
            target: if target.starts_with('/') { target.to_owned() } else { format!("/{target}") },
            userinfo: userinfo.map(SecretString::from),
            has_fragment,
        })
    }

    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The address that it names, if it names no host.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether its host is on a private network, as far as the text shows. A name may resolve to one nevertheless.
    pub fn is_private(&self) -> bool {
        let is_private = |address| NetworkScope::of(address) == NetworkScope::Private;
        self.address().map_or_else(|| origin::is_loopback(&self.host), is_private)
    }

    /// Whether it had a `#fragment`, which has no effect.
    pub fn has_fragment(&self) -> bool {
        self.has_fragment
    }

    /// `host` or `host:port`, as it was written.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The value of `Authorization`, if the URL has a user name.
    pub fn basic(&self) -> Option<SecretString> {
        self.userinfo.as_ref().map(|userinfo| authorization(userinfo.expose_secret()))
    }

    /// The origin, with user name and password, and the path, by which Twilio can reach the app itself. `None` if the app
    /// is not public, as far as the text shows.
    pub fn for_twilio(&self) -> Option<(SecretString, &str)> {
        if !self.is_https || self.is_private() {
            return None;
        }
        let userinfo = self
            .userinfo
            .as_ref()
            .map_or_else(String::new, |userinfo| format!("{}@", userinfo.expose_secret()));
        let path = self.target.split('?').next().unwrap_or_default();
        Some((format!("https://{userinfo}{}", self.authority).into(), path))
    }

    /// The URL with a further query, without user name and fragment.
    pub fn with_query(&self, query: &str) -> String {
        let (origin, target) = (self.origin(), &self.target);
        let separator = match (query.is_empty(), target.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        format!("{origin}{target}{separator}{query}")
    }

    /// The signed origin. Twilio drops the port of a voice webhook over https, and keeps every other port.
    pub fn signed_origin(&self, kind: ForwardKind) -> String {
        if kind == ForwardKind::Call && self.is_https {
            let host = self.authority.get(..self.host_len).unwrap_or(&self.authority);
            return format!("https://{host}");
        }
        self.origin()
    }

    /// Whether both URLs have the same origin and path.
    pub fn is_same_place(&self, url: &str) -> bool {
        let place = |url: &str| {
            let url = url.split(['?', '#']).next().unwrap_or_default();
            url.trim_end_matches('/').to_ascii_lowercase()
        };
        place(&self.with_query("")) == place(url)
    }

    fn origin(&self) -> String {
        format!("{}://{}", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

/// Without user name, password and query, which may be secrets.
impl fmt::Display for AppUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        write!(f, "{}{path}{}", self.origin(), if query.is_empty() { "" } else { "?…" })
    }
}

impl fmt::Debug for AppUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppUrl({self})")
    }
}

impl PartialEq for AppUrl {
    fn eq(&self, other: &Self) -> bool {
        let userinfo = |url: &Self| url.userinfo.as_ref().map(|it| it.expose_secret().to_owned());
        self.with_query("") == other.with_query("") && userinfo(self) == userinfo(other)
    }
}

/// Whether a WHATWG URL parser reads a host with this last label as an IPv4 address.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    let is_hexadecimal =
        hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a segment of the path is `.` or `..`, escaped or not.
fn has_dots(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        matches!(segment.as_str(), "." | "..")
    })
}

fn authorization(userinfo: &str) -> SecretString {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut pair: Vec<u8> = percent_decode_str(user).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> AppUrl {
        AppUrl::parse(text).expect(text)
    }

    #[test]
    fn the_signed_text_is_the_written_one_without_user_name_and_fragment() {
        for (text, whole) in [
            ("https://app.example.com/sms", "https://app.example.com/sms"),
            ("https://App.Example.com:443/Sms/", "https://App.Example.com:443/Sms/"),
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com?a=1", "https://app.example.com/?a=1"),
            ("https://u:p%40w@app.example.com/sms#rc=3&rp=5xx", "https://app.example.com/sms"),
            ("http://127.0.0.1:3000/a//b?c=%C3%A9+", "http://127.0.0.1:3000/a//b?c=%C3%A9+"),
            ("http://[::1]:3000/", "http://[::1]:3000/"),
            ("https://u@h/x?y=@#", "https://h/x?y=@"),
        ] {
            assert_eq!(url(text).with_query(""), whole);
        }
        assert_eq!(url("https://h/x").with_query("a=1"), "https://h/x?a=1");
        assert_eq!(url("https://h/x?b=2").with_query("a=1"), "https://h/x?b=2&a=1");
    }

    #[test]
    fn only_a_call_over_https_is_signed_without_its_port() {
        let (https, http) = (url("https://h:8443/x"), url("http://[::1]:80/x"));
        assert_eq!(https.signed_origin(ForwardKind::Call), "https://h");
        assert_eq!(https.signed_origin(ForwardKind::Message), "https://h:8443");
        assert_eq!(https.signed_origin(ForwardKind::Status), "https://h:8443");
        assert_eq!(http.signed_origin(ForwardKind::Call), "http://[::1]:80");
        assert_eq!(url("https://[::1]:1/").signed_origin(ForwardKind::Call), "https://[::1]");
    }

    #[test]
    fn user_name_and_password_are_sent_and_never_shown() {
        let url = url("https://me:hush%3A%40@app.example.com/sms?token=hush#rc=1");
        let basic = url.basic().expect("credentials");
        assert_eq!(basic.expose_secret(), "Basic bWU6aHVzaDpA");
        assert!(url.has_fragment());
        assert_eq!(format!("{url} {url:?}").matches("hush").count(), 0);
        assert_eq!(url.to_string(), "https://app.example.com/sms?…");
    }

    #[test]
    fn a_text_that_clients_read_differently_is_refused() {
        let origin = AppUrlError::Origin;
        for (text, error) in [
            ("", origin(OriginError::Scheme)),
            ("/sms", origin(OriginError::Scheme)),
            ("HTTPS://app.example.com/", origin(OriginError::Scheme)),
            ("ftp://app.example.com/", origin(OriginError::Scheme)),
            ("https://", origin(OriginError::Host)),
            ("https:///sms", origin(OriginError::Host)),
            ("https://app.example.com:0/", origin(OriginError::Port)),
            ("https://app.example.com/a b", origin(OriginError::Character)),
            ("https://app.example.com\\@evil.example/", origin(OriginError::Character)),
            ("https://app.example.com/é", origin(OriginError::Character)),
            ("https://127.1/", origin(OriginError::Host)),
            ("https://2130706433/", origin(OriginError::Host)),
            ("https://0x7f.1/", AppUrlError::Number),
            ("https://0x7f000001/", AppUrlError::Number),
            ("https://a.0x/", AppUrlError::Number),
            ("https://app.1./", AppUrlError::Number),
            ("https://169.254.169.254/latest", AppUrlError::Forbidden),
            ("https://[fe80::1]/", AppUrlError::Forbidden),
            ("https://[::ffff:169.254.169.254]/", AppUrlError::Forbidden),
            ("https://0.0.0.0/", AppUrlError::Forbidden),
            ("https://app.example.com/it's", AppUrlError::Rewritten),
            ("https://app.example.com/?a=\"", AppUrlError::Rewritten),
            ("https://app.example.com/a/../b", AppUrlError::Rewritten),
            ("https://app.example.com/a/%2E%2e/b", AppUrlError::Rewritten),
            ("https://app.example.com/./b", AppUrlError::Rewritten),
        ] {
            assert_eq!(AppUrl::parse(text).expect_err(text), error, "{text}");
        }
    }

    #[test]
    fn a_private_host_shows_in_the_text() {
        for text in ["http://localhost:3000/", "https://10.0.0.1/", "https://[fd00::1]/"] {
            assert!(url(text).is_private(), "{text}");
        }
        for text in ["https://app.internal/", "https://1.1.1.1/", "http://app:3000/"] {
            assert!(!url(text).is_private(), "{text}");
        }
    }

    #[test]
    fn the_same_place_differs_in_query_fragment_and_case_at_most() {
        let url = url("https://Hooks.example.com/twilio/message/?a=1");
        assert!(url.is_same_place("https://hooks.example.com/twilio/message"));
        assert!(!url.is_same_place("https://hooks.example.com/twilio/call"));
    }
}
