//! Listeners: resolves host names and binds each of their addresses that this machine has.
//!
//! `[::]` accepts IPv4 as well, independent of `net.ipv6.bindv6only`; on a system without IPv6 it becomes `0.0.0.0`. An
//! operator's listener without a token is an error unless all of its addresses are loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};

use anyhow::{Context as _, anyhow, bail};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::config::{ListenAddr, Settings};

/// Connections that wait to be accepted. If the queue is full, a client connects one or three seconds later; Twilio's
/// timeout is five.
const BACKLOG: i32 = 2048;
/// Attempts to find a port that is free on all addresses of a name with port 0.
const BIND_ATTEMPTS: u32 = 16;

pub struct Listeners {
    /// The public listeners, for Twilio and the app; at least one.
    pub public: Vec<TcpListener>,
    /// The operator's listeners; at least one.
    pub ops: Vec<TcpListener>,
}

impl Listeners {
    /// Resolves and binds both listeners.
    ///
    /// # Errors
    /// A name does not resolve, an address is in use or not of this machine, or the operator's listener would be open to
    /// other machines without a token.
    pub fn bind(settings: &Settings) -> anyhow::Result<Self> {
        const OPS: &str = "HEARDBACK_OPS_LISTEN";
        let public = resolve("HEARDBACK_LISTEN", &settings.listen)?;
        let ops = resolve(OPS, &settings.ops_listen)?;
        let open = ops.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (Some(open), None) = (open, &settings.ops_token) {
            let listen = &settings.ops_listen;
            bail!(
                "{OPS} {listen} resolves to {}, which is open to other machines: set HEARDBACK_OPS_TOKEN, or {OPS}=127.0.0.1:{}",
                open.ip(),
                listen.port()
            );
        }
        Ok(Self { public: bind("HEARDBACK_LISTEN", &public)?, ops: bind(OPS, &ops)? })
    }
}

fn resolve(setting: &str, listen: &ListenAddr) -> anyhow::Result<Vec<SocketAddr>> {
    let (host, port) = match listen {
        ListenAddr::Socket(address) => return Ok(vec![*address]),
        ListenAddr::Name { host, port } => (host, *port),
    };
    let found = (host.as_str(), port).to_socket_addrs();
    let found = found.with_context(|| format!("cannot resolve {host} ({setting})"))?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        bail!("{host} has no address ({setting})");
    }
    Ok(addresses)
}

/// Binds all addresses to one port. Of several, those that this machine does not have are skipped with a warning.
fn bind(setting: &str, addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    for _ in 0..BIND_ATTEMPTS {
        let mut bound: Vec<TcpListener> = Vec::new();
        let mut skipped = Vec::new();
        let mut is_in_use = false;
        for address in addresses {
            let mut address = *address;
            if let (0, Some(first)) = (address.port(), bound.first()) {
                address.set_port(first.local_addr()?.port());
            }
            match listen(setting, address) {
                Ok(listener) => bound.push(listener),
                Err(error) if addresses.len() > 1 && is_missing(&error) => {
                    skipped.push((address, error));
                }
                Err(error) => {
                    let chosen = addresses.iter().all(|address| address.port() == 0);
                    is_in_use = chosen && !bound.is_empty() && is(&error, Errno::ADDRINUSE);
                    if is_in_use {
                        break;
                    }
                    return Err(describe(setting, address, error));
                }
            }
        }
        if is_in_use {
            continue;
        }
        if bound.is_empty()
            && let Some((address, error)) = skipped.pop()
        {
            return Err(describe(setting, address, error));
        }
        for (address, error) in skipped {
            tracing::warn!(
                setting, %address, %error,
                "{setting}: not listening on {address}, which this machine does not have: {error}"
            );
        }
        return Ok(bound);
    }
    bail!("no port is free on all of {addresses:?} ({setting}); name one")
}

/// Binds one address; `0.0.0.0` instead of `[::]` on a system without IPv6.
fn listen(setting: &str, address: SocketAddr) -> io::Result<TcpListener> {
    let listener = listen_on(address);
    match listener {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_missing(&error) => {
            let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::warn!(
                setting, %address, %error,
                "{setting} {address}: this system has no IPv6 ({error}); listening on {instead} instead"
            );
            listen_on(instead)
        }
        listener => listener,
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    if family == AddressFamily::INET6 {
        set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// Whether the machine lacks the address, or its whole family.
fn is_missing(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].into_iter().any(|errno| is(error, errno))
}

fn describe(setting: &str, address: SocketAddr, error: io::Error) -> anyhow::Error {
    let port = address.port();
    let hint = if is(&error, Errno::AFNOSUPPORT) {
        let instead = if address.ip().is_loopback() { "127.0.0.1" } else { "0.0.0.0" };
        format!("; this system has no IPv6: set {setting}={instead}:{port}")
    } else if is(&error, Errno::ADDRNOTAVAIL) {
        format!(
            "; this machine has no such address: `ip addr` shows its addresses, {setting}=[::]:{port} listens on all"
        )
    } else if is(&error, Errno::ADDRINUSE) {
        format!("; another process listens there: stop it, or set {setting} to another port")
    } else if is(&error, Errno::ACCESS) {
        format!(
            "; ports below 1024 need root or CAP_NET_BIND_SERVICE: set {setting} to a higher one"
        )
    } else {
        String::new()
    };
    anyhow!(error).context(format!("cannot listen on {address} ({setting}){hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn every_address_of_a_name_is_bound_to_one_port_and_a_missing_one_is_skipped() {
        // 203.0.113.1 is reserved for documentation (RFC 5737): no machine has it.
        for _ in 0..20 {
            let both = addresses(&["127.0.0.1:0", "203.0.113.1:0", "127.0.0.2:0"]);
            let bound = bind("HEARDBACK_LISTEN", &both).expect("bound");
            let bound: Vec<SocketAddr> =
                bound.iter().map(|listener| listener.local_addr().expect("bound")).collect();
            assert_eq!(bound.len(), 2, "{bound:?}");
            assert!(bound[0].port() != 0 && bound[0].port() == bound[1].port(), "{bound:?}");
        }
        for nowhere in [&["203.0.113.1:0"][..], &["203.0.113.1:0", "203.0.113.2:0"]] {
            let error = bind("HEARDBACK_LISTEN", &addresses(nowhere)).expect_err("not here");
            let error = format!("{error:#}");
            assert!(error.contains("203.0.113.") && error.contains("ip addr"), "{error}");
        }
    }

    #[test]
    fn a_port_in_use_on_one_address_is_an_error_that_names_the_address() {
        let taken = TcpListener::bind("127.0.0.2:0").expect("bound");
        let port = taken.local_addr().expect("bound").port();
        let both = [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")];
        let both = addresses(&both.each_ref().map(String::as_str));
        let error = format!("{:#}", bind("HEARDBACK_LISTEN", &both).expect_err("taken"));
        assert!(error.contains(&format!("127.0.0.2:{port} (HEARDBACK_LISTEN)")), "{error}");
        assert!(error.contains("another process"), "{error}");
    }

    #[test]
    fn localhost_and_every_literal_resolve_and_a_name_without_an_address_is_an_error() {
        let of = |text: &str| resolve("S", &ListenAddr::parse(text).expect("one"));
        assert!(of("localhost:80").expect("known").iter().all(|it| it.ip().is_loopback()));
        assert_eq!(of("[::1]:80").expect("itself").len(), 1);
        let error = format!("{:#}", of("no-such-host.invalid:80").expect_err("none"));
        assert!(error.contains("no-such-host.invalid") && error.contains("(S)"), "{error}");
    }
}
