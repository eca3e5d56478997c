//! Hosts that Twilio cannot reach from the public internet, as far as the name or address shows it.
//!
//! The ranges are those of IANA's special-purpose address registries (RFC 6890); the names are the special-use
//! names (RFC 6761, 6762, 8375, 9476) and the suffixes of private DNS zones. DNS is not queried.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not globally reachable: network, prefix length, description.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 14] = [
    (Ipv4Addr::UNSPECIFIED, 8, "the address names no host"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "the address is shared by carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    (Ipv4Addr::new(169, 254, 0, 0), 16, LINK_LOCAL),
    (Ipv4Addr::new(172, 16, 0, 0), 12, PRIVATE),
    (Ipv4Addr::new(192, 0, 0, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 0, 2, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(192, 168, 0, 0), 16, PRIVATE),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "the address is for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(203, 0, 113, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "the address is multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, RESERVED),
];

const LOOPBACK: &str = "it is this machine";
const PRIVATE: &str = "the address is private";
const LINK_LOCAL: &str = "the address is link-local";
const RESERVED: &str = "the address is reserved";
const DOCUMENTATION: &str = "the address is for documentation";

/// Suffixes that public DNS does not have.
const PRIVATE_SUFFIXES: &str = "alt corp example flycast home home.arpa internal intranet invalid lan local \
     localdomain mail onion private test";

/// Why Twilio cannot reach that host; `None` if it may be public. An IPv6 address comes without brackets.
pub(super) fn why_unreachable(host: &str) -> Option<&'static str> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return special_v4(address);
    }
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return special_v6(address);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(LOOPBACK);
    }
    let Some((_, last)) = name.rsplit_once('.') else {
        return Some("a host name without a dot is known on its own network only");
    };
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Some("its last label is a number, so it is not a name in public DNS");
    }
    let is_private = |suffix: &str| {
        name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    PRIVATE_SUFFIXES.split(' ').any(is_private).then_some("public DNS does not have that name")
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let is_in = |network: Ipv4Addr, length: u32| {
        let mask = u32::MAX << (u32::BITS - length);
        address.to_bits() & mask == network.to_bits()
    };
    let mut networks = SPECIAL_V4.iter();
    networks.find(|(network, length, _)| is_in(*network, *length)).map(|(_, _, why)| *why)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        special_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(LOOPBACK),
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        [0xfc00..=0xfdff, ..] => Some(PRIVATE),
        [0xfe80..=0xfebf, ..] => Some(LINK_LOCAL),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(DOCUMENTATION),
        [0xff00..=0xffff, ..] => Some("the address is multicast"),
        // 2001::/23 is for protocols; of it Teredo and ORCHIDv2 are seen, and neither names a web server.
        [0x2001, 0..=0x1ff, ..] => Some(RESERVED),
        // Only 2000::/3 is allocated.
        [0x2000..=0x3fff, ..] => None,
        _ => Some(RESERVED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_name_that_only_a_private_network_knows_is_unreachable() {
        let words = "127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.5 169.254.169.254 \
             100.64.0.1 100.127.255.254 0.0.0.0 192.0.0.8 192.0.2.1 198.18.0.1 198.19.255.255 \
             198.51.100.7 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255 ::1 :: fd00::1 fc00::1 \
             fe80::1 fec0::1 ff02::1 2001:db8::1 3fff::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 \
             64:ff9b::a00:1 2002:a00:1::1 2001::1 100::1 localhost LocalHost localhost. \
             app.localhost app heardback intranet app.internal app.Internal. \
             heardback.process.myapp.internal printer.local svc.cluster.local hooks.test \
             hooks.example hooks.invalid nas.lan nas.home.arpa nas.home hooks.corp \
             localhost.localdomain app.flycast app.intranet x.onion 0x7f.0.0.0x1 foo.123";
        for host in words.split(' ') {
            assert!(why_unreachable(host).is_some(), "{host}");
        }
    }

    #[test]
    fn an_address_or_name_that_may_be_public_is_not_warned_of() {
        let words = "hooks.example.com example.org 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 \
             172.32.0.1 11.0.0.1 192.167.0.1 192.0.1.1 198.17.0.1 198.20.0.1 223.255.255.255 \
             2a09:8280:1::1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 \
             myapp.fly.dev internal.example.com local.example.com test.io mylocal.com \
             not-internal.io lan.de my-example.com x.ngrok-free.app xn--bcher-kva.de \
             hooks.example.com.";
        for host in words.split(' ') {
            assert_eq!(why_unreachable(host), None, "{host}");
        }
    }
}
