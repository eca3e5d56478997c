//! The HTTP clients: one for each set of allowed networks.

use std::time::Duration;

use crate::domain::forward::ForwardFailure;
use crate::domain::redact::redacted;
use crate::domain::root_cause::root_cause;
use crate::forward::resolver::{AllowedNetworks, CheckedResolver, ForbiddenAddress};
use crate::twilio::app_url::AppUrl;

/// The longest time for a connection. Twilio allows 5 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle timeouts of common app servers (gunicorn 2 s, Node 5 s), so that they rarely close a connection
/// while it is used. A burst of webhooks shares connections.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Each idle connection has a file descriptor beyond those of the webhooks under way.
const MAX_IDLE: usize = 8;

/// The most characters of an error's text.
const MAX_DETAIL: usize = 200;

pub(super) struct Clients {
    https: reqwest::Client,
    http: reqwest::Client,
    allows_private: bool,
}

impl Clients {
    /// Builds both clients, and opens no connection.
    ///
    /// # Errors
    /// The TLS roots cannot be read.
    pub(super) fn new(allows_private: bool) -> Result<Self, reqwest::Error> {
        Ok(Self {
            https: client(networks(true, allows_private))?,
            http: client(networks(false, allows_private))?,
            allows_private,
        })
    }

    /// The client for this URL. `None` if its address or its scheme is not allowed.
    pub(super) fn of(&self, url: &AppUrl) -> Option<&reqwest::Client> {
        let networks = networks(url.is_https(), self.allows_private);
        // A resolver is not used for a URL with an address.
        let is_allowed = url.address().is_none_or(|address| networks.allow(address));
        let has_scheme = url.is_https() || self.allows_private;
        (is_allowed && has_scheme).then_some(if url.is_https() { &self.https } else { &self.http })
    }
}

fn networks(is_https: bool, allows_private: bool) -> AllowedNetworks {
    match (is_https, allows_private) {
        (true, false) => AllowedNetworks::Public,
        (true, true) => AllowedNetworks::PublicAndPrivate,
        (false, _) => AllowedNetworks::Private,
    }
}

fn client(networks: AllowedNetworks) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .dns_resolver(CheckedResolver(networks))
        .build()
}

/// The kind of an I/O error, and its root cause without a URL.
pub(super) fn describe(error: reqwest::Error) -> (ForwardFailure, String) {
    let error = error.without_url();
    let root = root_cause(&error);
    let failure = match () {
        () if root.is::<ForbiddenAddress>() => ForwardFailure::Address,
        () if error.is_connect() => ForwardFailure::Connect,
        () => ForwardFailure::Broken,
    };
    // The text comes from the system, from TLS or from the parser of HTTP. It may quote the app.
    let text = redacted(&root.to_string());
    (failure, text.chars().filter(|letter| !letter.is_control()).take(MAX_DETAIL).collect())
}
