//! Parses an origin, `scheme://host[:port][/prefix]`, without changing one byte of it.
//!
//! A general URL parser normalises (case, default port, dots), and Twilio signs the text as it was configured. Errors
//! never repeat the text, because a URL may contain a password.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The parts of an origin, unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UrlOrigin<'a> {
    /// The whole text, without trailing slashes.
    pub(super) text: &'a str,
    /// The host, an IPv6 address without its brackets.
    pub(super) host: &'a str,
    /// The path prefix, empty or beginning with `/`.
    pub(super) prefix: &'a str,
}

/// Why a text is no accepted origin. Shared by the errors of both URL types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither `https://` nor `http://` at its beginning.
    #[error("it must begin with https:// (in lower case)")]
    Scheme,
    /// Plain http to a host that is not this machine.
    #[error("plain http is accepted only for loopback (127.0.0.0/8, [::1], localhost); use https")]
    PlainHttp,
    /// `user:password@` before the host.
    #[error("it must not carry a user name or password before the host")]
    Userinfo,
    /// A `?…`.
    #[error("it must not carry a query (from the `?` on)")]
    Query,
    /// A `#…`.
    #[error("it must not carry a fragment (from the `#` on)")]
    Fragment,
    /// A space, a control character, a backslash or something beyond ASCII.
    #[error(
        "it holds a character that no URL may hold (a space, a control character, a backslash or \
         one beyond ASCII; write such a host in its xn-- form)"
    )]
    Character,
    /// Twilio refuses to call a host whose name has an underscore.
    #[error("its host has an underscore, and Twilio refuses such hosts")]
    Underscore,
    /// No host, or not the shape of one.
    #[error("its host is not a host name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// `.`, `..` or an empty segment: clients and proxies remove them differently.
    #[error("its path must not hold `.`, `..` or an empty segment")]
    Path,
}

///
/// # Errors
/// The first flaw.
pub(super) fn read(text: &str) -> Result<UrlOrigin<'_>, OriginError> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(OriginError::Character);
    }
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(OriginError::Scheme),
    };
    if rest.contains('#') {
        return Err(OriginError::Fragment);
    }
    if rest.contains('?') {
        return Err(OriginError::Query);
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(OriginError::Userinfo);
    }
    let host = read_authority(authority)?;
    if !secure && !is_loopback(host) {
        return Err(OriginError::PlainHttp);
    }
    let prefix = path.trim_end_matches('/');
    if prefix.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(OriginError::Path);
    }
    Ok(UrlOrigin { text: text.trim_end_matches('/'), host, prefix })
}

/// Checks `host[:port]` and returns the host.
pub(super) fn read_authority(authority: &str) -> Result<&str, OriginError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(OriginError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| OriginError::Host)?;
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return Err(OriginError::Host),
        }
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        check_name(host)?;
        (host, port)
    };
    if let Some(port) = port {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || port.parse::<u16>().map_or(true, |port| port == 0) {
            return Err(OriginError::Port);
        }
    }
    Ok(host)
}

fn check_name(host: &str) -> Result<(), OriginError> {
    if host.contains('_') {
        return Err(OriginError::Underscore);
    }
    let dotted_digits = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if dotted_digits {
        return host.parse::<Ipv4Addr>().map(drop).map_err(|_| OriginError::Host);
    }
    // A trailing dot makes the name absolute (RFC 3986 §3.2.2).
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(OriginError::Host);
    }
    Ok(())
}

/// Whether this is a valid label of a host name (RFC 1123 §2.1).
pub(super) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether the host is this machine, without a DNS query.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flaw_has_its_own_word() {
        for (text, expected) in [
            ("", OriginError::Scheme),
            ("hooks.example.com", OriginError::Scheme),
            ("HTTPS://hooks.example.com", OriginError::Scheme),
            ("ftp://hooks.example.com", OriginError::Scheme),
            ("http://hooks.example.com", OriginError::PlainHttp),
            ("http://localhost.example.com", OriginError::PlainHttp),
            ("http://128.0.0.1", OriginError::PlainHttp),
            ("https://me:pass@hooks.example.com", OriginError::Userinfo),
            ("http://localhost@hooks.example.com", OriginError::Userinfo),
            ("https://hooks.example.com?a=1", OriginError::Query),
            ("https://hooks.example.com/#rc=3", OriginError::Fragment),
            ("https://hooks example.com", OriginError::Character),
            (" https://hooks.example.com", OriginError::Character),
            ("https://hooks.example.com\\x", OriginError::Character),
            ("https://hööks.example.com", OriginError::Character),
            ("https://my_hooks.example.com", OriginError::Underscore),
            ("https://", OriginError::Host),
            ("https:///twilio", OriginError::Host),
            ("https://hooks..example.com", OriginError::Host),
            ("https://-hooks.example.com", OriginError::Host),
            ("https://1.2.3", OriginError::Host),
            ("https://::1", OriginError::Host),
            ("https://[::1", OriginError::Host),
            ("https://[::1]x", OriginError::Host),
            ("https://[hooks]", OriginError::Host),
            ("https://hooks.example.com:", OriginError::Port),
            ("https://hooks.example.com:0", OriginError::Port),
            ("https://hooks.example.com:+1", OriginError::Port),
            ("https://hooks.example.com:65536", OriginError::Port),
            ("https://hooks.example.com/a/../b", OriginError::Path),
            ("https://hooks.example.com//b", OriginError::Path),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
