//! The rules across the settings of the app's webhook URLs, and their texts for `check`.

use std::time::Duration;

use crate::config::forward_urls::{ForwardTo, key_of};
use crate::config::names::{
    ACCOUNTS_FILE, FORWARD_CALL_URL, FORWARD_MESSAGE_URL, FORWARD_PRIVATE, FORWARD_STATUS_URL,
};
use crate::config::parse;
use crate::config::problems::Problem;
use crate::config::reader::SettingsReader;
use crate::config::settings::{AccountsSettings, Settings};
use crate::domain::forward::ForwardKind;
use crate::domain::route;
use crate::domain::sid::AccountSid;
use crate::twilio::app_url::AppUrl;

/// A second below Twilio's timeout.
const MAX_TIMEOUT: Duration = Duration::from_secs(14);

impl Settings {
    /// The app's URL of each account and kind.
    pub fn forwards(&self) -> impl Iterator<Item = ((AccountSid, ForwardKind), &AppUrl)> {
        self.accounts.iter().flat_map(|account| {
            let urls = ForwardKind::ALL.into_iter();
            urls.filter_map(|kind| {
                Some(((account.sid, kind), self.forward.url(&account.forward, kind)?))
            })
        })
    }
}

/// The setting of a kind's URL.
pub fn setting_of(kind: ForwardKind) -> &'static str {
    match kind {
        ForwardKind::Message => FORWARD_MESSAGE_URL,
        ForwardKind::Call => FORWARD_CALL_URL,
        ForwardKind::Status => FORWARD_STATUS_URL,
    }
}

/// The path of a kind's webhook.
pub fn route_of(kind: ForwardKind) -> &'static str {
    match kind {
        ForwardKind::Message => route::MESSAGE,
        ForwardKind::Call => route::CALL,
        ForwardKind::Status => route::STATUS,
    }
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse::duration(text)?;
    let fits = (Duration::from_millis(100)..=MAX_TIMEOUT).contains(&timeout);
    let expected = "expected 100ms to 14s: Twilio gives up after 15 s".to_owned();
    fits.then_some(timeout).ok_or(expected)
}

/// The URLs of the accounts that have one, without their secrets.
pub(super) fn shown_url(settings: &Settings, kind: ForwardKind) -> String {
    let default = match settings.forward.urls.of(kind) {
        ForwardTo::Url(url) => url.to_string(),
        ForwardTo::Nowhere => "off".to_owned(),
        ForwardTo::Unset => "not set".to_owned(),
    };
    let own = settings.accounts.iter().filter_map(|account| match account.forward.of(kind) {
        ForwardTo::Url(url) => Some(format!("{}: {url}", account.sid)),
        ForwardTo::Nowhere => Some(format!("{}: off", account.sid)),
        ForwardTo::Unset => None,
    });
    std::iter::once(default).chain(own).collect::<Vec<_>>().join("; ")
}

/// Checks the rules across settings: the network, the scheme, and that no URL leads back here.
pub(super) fn check(reader: &mut SettingsReader<'_>, accounts: &AccountsSettings) {
    let forward = reader.values.forward.clone();
    for kind in ForwardKind::ALL {
        let of_all = (setting_of(kind).to_owned(), forward.urls.of(kind));
        let own = accounts.iter().map(|account| {
            let place = format!("{}: {}", account.name(), key_of(kind));
            (place, account.forward.of(kind))
        });
        for (place, to) in std::iter::once(of_all).chain(own) {
            let ForwardTo::Url(url) = to else { continue };
            let is_own = place != setting_of(kind);
            let setting = if is_own { ACCOUNTS_FILE } else { setting_of(kind) };
            if let Some(expected) = flaw(reader, url) {
                let expected = if is_own { format!("{place}: {expected}") } else { expected };
                reader.problem(Problem::withheld(setting, expected));
            }
            if url.has_fragment() {
                reader.warn(format!(
                    "{place}: the part after # has no effect: Heardback does not repeat a request. Put it after \
                     Heardback's URL at Twilio"
                ));
            }
        }
    }
    if reader.values.call_redirect.is_some() && !forward.has_fallback_url {
        for account in accounts.iter() {
            if forward.url(&account.forward, ForwardKind::Call).is_some() {
                reader.warn(format!(
                    "HEARDBACK_CALL_REDIRECT_URL answers a call of {} only if {FORWARD_CALL_URL} fails",
                    account.sid
                ));
            }
        }
    }
}

fn flaw(reader: &SettingsReader<'_>, url: &AppUrl) -> Option<String> {
    let allows_private = reader.values.forward.allows_private;
    if !url.is_https() && !allows_private {
        return Some(format!(
            "plain http is for loopback and private networks, with {FORWARD_PRIVATE}=true; expected https"
        ));
    }
    if !url.is_https() && url.address().is_some() && !url.is_private() {
        return Some("plain http to a public address; expected https".to_owned());
    }
    if url.is_private() && !allows_private {
        return Some(format!(
            "its host is on a private network; expected a public one, or {FORWARD_PRIVATE}=true"
        ));
    }
    let ours = reader.values.public_urls.iter();
    let mut ours =
        ours.flat_map(|base| route::paths().map(|path| format!("{}{path}", base.as_str())));
    if ours.any(|ours| url.is_same_place(&ours)) {
        return Some("it is Heardback's own URL; expected the app's".to_owned());
    }
    None
}
