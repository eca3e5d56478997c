//! The app's webhook URLs as typed values, and their parsers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::forward::ForwardKind;
use crate::twilio::app_url::AppUrl;

/// Switches the forward of one account off.
const OFF: &str = "off";

/// The URL of one kind, as it was set.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ForwardTo {
    /// The URL of all accounts, if there is one.
    #[default]
    Unset,
    Nowhere,
    Url(AppUrl),
}

/// The URLs that were set, by kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForwardUrls(BTreeMap<ForwardKind, ForwardTo>);

impl ForwardUrls {
    pub fn of(&self, kind: ForwardKind) -> &ForwardTo {
        self.0.get(&kind).unwrap_or(&ForwardTo::Unset)
    }

    pub(super) fn set(&mut self, kind: ForwardKind, to: ForwardTo) {
        self.0.insert(kind, to);
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForwardSettings {
    pub urls: ForwardUrls,
    pub timeout: Duration,
    /// Whether Twilio has a fallback URL or retries.
    pub has_fallback_url: bool,
    pub allows_private: bool,
}

impl ForwardSettings {
    /// The app's URL of the account with these `own` URLs, if its webhooks of this kind are forwarded.
    pub fn url<'a>(&'a self, own: &'a ForwardUrls, kind: ForwardKind) -> Option<&'a AppUrl> {
        let to = match own.of(kind) {
            ForwardTo::Unset => self.urls.of(kind),
            to @ (ForwardTo::Nowhere | ForwardTo::Url(_)) => to,
        };
        match to {
            ForwardTo::Url(url) => Some(url),
            ForwardTo::Unset | ForwardTo::Nowhere => None,
        }
    }
}

/// The key of a kind's URL in the accounts file.
pub(super) fn key_of(kind: ForwardKind) -> &'static str {
    match kind {
        ForwardKind::Message => "forward_message_url",
        ForwardKind::Call => "forward_call_url",
        ForwardKind::Status => "forward_status_url",
    }
}

pub(super) fn read_url(text: &str) -> Result<ForwardTo, String> {
    if text == OFF {
        return Ok(ForwardTo::Nowhere);
    }
    let url = AppUrl::parse(text).map(ForwardTo::Url);
    url.map_err(|error| {
        format!("{error}; expected the app's own URL, e.g. https://app.example.com/sms")
    })
}
