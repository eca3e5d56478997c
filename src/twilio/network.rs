//! The scope of an IP address: public, private, or never a destination.
//!
//! An IPv6 address that embeds an IPv4 address has the scope of the embedded one, because the system may route it there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The scope of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkScope {
    Public,
    /// Loopback, RFC 1918, 100.64.0.0/10, and `fc00::/7`.
    Private,
    /// Link-local, multicast, reserved, or a cloud's metadata service: no app listens there.
    Forbidden,
}

/// Metadata services of clouds inside private ranges: Alibaba Cloud's, and Amazon's over IPv6.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

impl NetworkScope {
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> NetworkScope {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if address == METADATA_V4 => NetworkScope::Forbidden,
        (127 | 10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => {
            NetworkScope::Private
        }
        // "This network", link-local, protocol assignments, documentation, 6to4 relays, benchmarks, multicast, reserved.
        (0 | 224..=255, ..)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113) => NetworkScope::Forbidden,
        _ => NetworkScope::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> NetworkScope {
    let [first, second, third, fourth, fifth, sixth, high, low] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([one, two], [three, four]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(one, two, three, four))
    };
    match (first, second, third, fourth, fifth, sixth) {
        _ if address == METADATA_V6 => NetworkScope::Forbidden,
        _ if address.is_loopback() => NetworkScope::Private,
        _ if address.is_unspecified() => NetworkScope::Forbidden,
        // IPv4-mapped, IPv4-compatible, translated (RFC 2765, RFC 6052).
        (0, 0, 0, 0, 0, 0xffff | 0) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => {
            v4(high, low)
        }
        // 6to4.
        (0x2002, ..) => v4(second, third),
        (0xfc00..=0xfdff, ..) => NetworkScope::Private,
        // Local translation, Teredo and other assignments, documentation.
        (0x64, 0xff9b, ..) | (0x2001, 0..=0x1ff | 0xdb8, ..) | (0x3fff | 0x100, ..) => {
            NetworkScope::Forbidden
        }
        (0x2000..=0x3fff, ..) => NetworkScope::Public,
        _ => NetworkScope::Forbidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_the_scope_of_its_network() {
        use NetworkScope::{Forbidden, Private, Public};
        for (text, scope) in [
            ("1.1.1.1", Public),
            ("172.15.255.255", Public),
            ("172.32.0.1", Public),
            ("100.63.255.255", Public),
            ("100.128.0.1", Public),
            ("11.0.0.1", Public),
            ("192.169.0.1", Public),
            ("127.0.0.1", Private),
            ("127.255.255.254", Private),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("100.127.255.255", Private),
            ("100.100.100.200", Forbidden),
            ("0.0.0.0", Forbidden),
            ("0.1.2.3", Forbidden),
            ("169.254.169.254", Forbidden),
            ("192.0.0.170", Forbidden),
            ("192.0.2.1", Forbidden),
            ("198.18.0.1", Forbidden),
            ("198.51.100.1", Forbidden),
            ("203.0.113.1", Forbidden),
            ("224.0.0.1", Forbidden),
            ("240.0.0.1", Forbidden),
            ("255.255.255.255", Forbidden),
            ("2606:4700::1111", Public),
            ("2a00:1450::1", Public),
            ("::1", Private),
            ("fd00::1", Private),
            ("fdaa:0:1::3", Private),
            ("fc00::1", Private),
            ("fd00:ec2::254", Forbidden),
            ("::", Forbidden),
            ("fe80::1", Forbidden),
            ("fec0::1", Forbidden),
            ("ff02::1", Forbidden),
            ("2001::1", Forbidden),
            ("2001:db8::1", Forbidden),
            ("100::1", Forbidden),
            ("::ffff:127.0.0.1", Private),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:169.254.169.254", Forbidden),
            ("::ffff:1.1.1.1", Public),
            ("::7f00:1", Private),
            ("::ffff:0:127.0.0.1", Private),
            ("64:ff9b::127.0.0.1", Private),
            ("64:ff9b::169.254.169.254", Forbidden),
            ("64:ff9b::1.1.1.1", Public),
            ("64:ff9b:1::1.1.1.1", Forbidden),
            ("2002:7f00:1::1", Private),
            ("2002:a9fe:a9fe::1", Forbidden),
            ("2002:101:101::1", Public),
        ] {
            let address: IpAddr = text.parse().expect(text);
            assert_eq!(NetworkScope::of(address), scope, "{text}");
        }
    }
}
