//! The rules across the settings of the app's webhook URLs, and the URLs as `check` prints them.

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

pub fn setting_of(kind: ForwardKind) -> &'static str {
    match kind {
        ForwardKind::Message => FORWARD_MESSAGE_URL,
        ForwardKind::Call => FORWARD_CALL_URL,
        ForwardKind::Status => FORWARD_STATUS_URL,
    }
}

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

/// The default URL of a kind, and then each account's own, without user names, passwords and queries.
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

/// Checks the network and the scheme of each URL, and that none is a URL of Heardback's own.
pub(super) fn check(reader: &mut SettingsReader<'_>, accounts: &AccountsSettings) {
    let forward = reader.values.forward.clone();
    for kind in ForwardKind::ALL {
        check_url(reader, setting_of(kind), String::new(), forward.urls.of(kind));
        for account in accounts.iter() {
            let place = format!("{}: {}: ", account.name(), key_of(kind));
            check_url(reader, ACCOUNTS_FILE, place, account.forward.of(kind));
        }
    }
    if reader.values.call_redirect.is_some() && !forward.has_fallback_url {
        for account in accounts.iter() {
            if forward.url(&account.forward, ForwardKind::Call).is_some() {
                reader.warn(format!(
                    "HEARDBACK_CALL_REDIRECT_URL is used for calls of {} only if the app's call URL fails",
                    account.sid
                ));
            }
        }
    }
}

/// Checks the URL of a setting. `place`: the beginning of a problem's text, if the setting has several URLs.
fn check_url(
    reader: &mut SettingsReader<'_>,
    setting: &'static str,
    place: String,
    to: &ForwardTo,
) {
    let ForwardTo::Url(url) = to else { return };
    if let Some(problem) = url_problem(reader, url) {
        reader.problem(Problem::withheld(setting, place.clone() + &problem));
    }
    if url.has_fragment() {
        let place = if place.is_empty() { format!("{setting}: ") } else { place };
        reader.warn(format!(
            "{place}the part after # has no effect, because Heardback does not repeat a request. Put it after \
             Heardback's URL at Twilio"
        ));
    }
}

fn url_problem(reader: &SettingsReader<'_>, url: &AppUrl) -> Option<String> {
    let allows_private = reader.values.forward.allows_private;
    if !url.is_https() && !allows_private {
        return Some(format!(
            "plain http needs a private address and {FORWARD_PRIVATE}=true; expected https"
        ));
    }
    if !url.is_https() && url.address().is_some() && !url.is_private() {
        return Some("plain http to a public address; expected https".to_owned());
    }
    if url.is_private() && !allows_private {
        return Some(format!(
            "the host is on a private network; expected a public one, or {FORWARD_PRIVATE}=true"
        ));
    }
    let is_own = reader.values.public_urls.iter().any(|base| {
        route::paths().iter().any(|path| url.is_same_place(&format!("{}{path}", base.as_str())))
    });
    is_own.then(|| "this is Heardback's own URL; expected the app's".to_owned())
}
