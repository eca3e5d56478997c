//! Resolves the host of the app's URL, and passes on allowed addresses only.
//!
//! This prevents DNS rebinding: each new connection resolves the name again, and the client connects only to addresses that
//! passed this check.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::twilio::network::NetworkScope;

/// The networks that a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AllowedNetworks {
    Public,
    /// Public and private ones, over https.
    PublicAndPrivate,
    /// Private ones only, over plain http.
    Private,
}

impl AllowedNetworks {
    pub(super) fn allow(self, address: IpAddr) -> bool {
        match NetworkScope::of(address) {
            NetworkScope::Public => self != Self::Private,
            NetworkScope::Private => self != Self::Public,
            NetworkScope::Forbidden => false,
        }
    }
}

/// The host has addresses, and none is allowed.
#[derive(Debug, thiserror::Error)]
#[error("the host resolves to no allowed address")]
pub(super) struct ForbiddenAddress;

pub(super) struct CheckedResolver(pub(super) AllowedNetworks);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0;
        Box::pin(async move {
            // The client replaces the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|found| networks.allow(found.ip())).collect();
            if allowed.is_empty() {
                return Err(ForbiddenAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_reaches_private_networks_only_and_no_client_reaches_metadata() {
        use AllowedNetworks::{Private, Public, PublicAndPrivate};
        for (address, allowed_by) in [
            ("1.1.1.1", &[Public, PublicAndPrivate][..]),
            ("127.0.0.1", &[PublicAndPrivate, Private]),
            ("fdaa::3", &[PublicAndPrivate, Private]),
            ("::ffff:10.1.2.3", &[PublicAndPrivate, Private]),
            ("169.254.169.254", &[]),
            ("::ffff:169.254.169.254", &[]),
            ("0.0.0.0", &[]),
        ] {
            let parsed = address.parse().expect(address);
            for networks in [Public, PublicAndPrivate, Private] {
                let expected = allowed_by.contains(&networks);
                assert_eq!(networks.allow(parsed), expected, "{address} {networks:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_unless_private_networks_are_allowed() {
        let resolve =
            |networks| CheckedResolver(networks).resolve("localhost".parse().expect("a name"));
        let refused = resolve(AllowedNetworks::Public).await.err().expect("refused");
        assert!(refused.is::<ForbiddenAddress>(), "{refused}");
        let allowed = resolve(AllowedNetworks::Private).await.expect("allowed");
        assert!(allowed.into_iter().all(|address| address.ip().is_loopback()));
    }
}
