//! An address to listen on: an IP address or a host name, and a port.
//!
//! Parsing resolves no name: `check` may run on a machine that cannot. `serve` resolves it when it binds. Every name but
//! `localhost` counts as reachable from other machines, and `serve` verifies that `localhost` is loopback.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// RFC 1035: the longest host name, and the longest label in one.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// `0.0.0.0:8080`, `[::]:8080`.
    Socket(SocketAddr),
    /// `fly-local-6pn:9091`. The host is in lower case.
    Name { host: String, port: u16 },
}

impl ListenAddr {
    /// Parses `ADDRESS:PORT` or `NAME:PORT`. `None`: neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(mut address) = text.parse::<SocketAddr>() {
            // `[::ffff:127.0.0.1]` is 127.0.0.1, also in every rule about loopback.
            if let IpAddr::V4(mapped) = address.ip().to_canonical() {
                address.set_ip(mapped.into());
            }
            return Some(Self::Socket(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
        is_host_name(host).then(|| Self::Name { host: host.to_ascii_lowercase(), port })
    }

    /// Parses a setting's text. The error names the expected form.
    pub(crate) fn read(text: &str, example: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!(
                "expected an address or a host name, and a port, e.g. {example}, [::]:8080 or localhost:8080; an \
                 IPv6 address stands in brackets"
            )
        })
    }

    /// The port. 0: the system chooses one.
    pub fn port(&self) -> u16 {
        match self {
            Self::Socket(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }

    /// Whether only this machine can connect. `localhost` is the only such name.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Socket(address) => address.ip().is_loopback(),
            Self::Name { host, .. } => host.trim_end_matches('.') == "localhost",
        }
    }

    /// The address at which this machine reaches the listener. `[::]` accepts IPv4 as well, and falls back to `0.0.0.0`,
    /// so 127.0.0.1 reaches both.
    #[must_use]
    pub fn from_here(&self) -> Self {
        match self {
            Self::Socket(address) if address.ip().is_unspecified() => {
                Self::Socket((Ipv4Addr::LOCALHOST, address.port()).into())
            }
            Self::Socket(_) | Self::Name { .. } => self.clone(),
        }
    }

    /// Whether both certainly have the same port of the same address. Two names may still resolve to one address.
    pub(super) fn collides_with(&self, other: &Self) -> bool {
        if self.port() != other.port() || self.port() == 0 {
            return false;
        }
        let is_everywhere = |addr: &Self| match addr {
            Self::Socket(address) => address.ip().is_unspecified(),
            Self::Name { .. } => false,
        };
        self == other || is_everywhere(self) || is_everywhere(other)
    }
}

impl Default for ListenAddr {
    fn default() -> Self {
        Self::Socket((Ipv4Addr::LOCALHOST, 0).into())
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Labels of letters, digits, `-` and `_`. A resolver reads a name whose last label is a number as an IPv4 address
/// (`127.1`, `1.2.3.256`): that is a typing error.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = host.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    host.len() <= MAX_NAME && host.split('.').all(is_label) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ListenAddr {
        ListenAddr::parse(text).unwrap_or_else(|| unreachable!("{text}"))
    }

    #[test]
    fn addresses_and_host_names_are_accepted_and_anything_else_is_refused() {
        for text in [
            "0.0.0.0:8080",
            "[::]:8080",
            "[::1]:0",
            "localhost:8080",
            "fly-local-6pn:9091",
            "heardback.internal:9091",
            "a_b.example.:1",
            "4chan.org:80",
            "x:65535",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert_eq!(parsed("LocalHost:80").to_string(), "localhost:80");
        for text in [
            "",
            ":",
            ":80",
            "8080",
            "localhost",
            "localhost:",
            "localhost:65536",
            "localhost:+80",
            "localhost:-1",
            "localhost: 80",
            "::1:80",
            "[localhost]:80",
            "[::1]",
            "*:80",
            "127.1:80",
            "1.2.3.256:80",
            "0x7f.1:80",
            "a..b:80",
            ".a:80",
            "-a:80",
            "a b:80",
            "http://a:80",
            "a/b:80",
            "é:80",
            "0x7f000001:80",
        ] {
            assert_eq!(ListenAddr::parse(text), None, "{text}");
        }
        let long = format!("{}:80", "a".repeat(64));
        assert_eq!(ListenAddr::parse(&long), None);
        let long = format!("{}b:80", "a.".repeat(127));
        assert_eq!(ListenAddr::parse(&long), None);
    }

    #[test]
    fn only_loopback_addresses_and_localhost_count_as_loopback() {
        for text in [
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
            "localhost:1",
            "LOCALHOST.:1",
        ] {
            assert!(parsed(text).is_loopback(), "{text}");
        }
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            "[::ffff:0.0.0.0]:1",
            "10.0.0.1:1",
            "[fdaa::3]:1",
            "fly-local-6pn:1",
            "localhost.example.com:1",
            "notlocalhost:1",
            "loopback:1",
            "ip6-localhost:1",
        ] {
            assert!(!parsed(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_over_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9091", "127.0.0.1:9091"),
            ("[::]:9091", "127.0.0.1:9091"),
            ("[::ffff:0.0.0.0]:9091", "127.0.0.1:9091"),
            ("[::1]:9091", "[::1]:9091"),
            ("10.0.0.1:9091", "10.0.0.1:9091"),
            ("fly-local-6pn:9091", "fly-local-6pn:9091"),
        ] {
            assert_eq!(parsed(listen).from_here().to_string(), reached);
        }
    }

    #[test]
    fn two_listeners_collide_on_one_port_of_one_address() {
        for (one, other, collide) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "localhost:1", true),
            ("a:1", "A:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("[::]:0", "[::]:0", false),
            ("a:1", "b:1", false),
        ] {
            assert_eq!(parsed(one).collides_with(&parsed(other)), collide, "{one} {other}");
            assert_eq!(parsed(other).collides_with(&parsed(one)), collide, "{other} {one}");
        }
    }
}
