//! The texts of the values that `check` prints. A secret is only shown as set or not set.

use std::time::Duration;

use jiff::{Span, SpanRound, Unit};

use crate::config::settings::{AccountSettings, Settings};

/// A value of the environment's account.
pub(super) fn of_own_account(
    settings: &Settings,
    of: impl FnOnce(&AccountSettings) -> String,
) -> String {
    let own = settings.accounts.iter().find(|account| account.number.is_none());
    or_not_set(own.map(of))
}

pub(super) fn or_not_set(value: Option<String>) -> String {
    value.unwrap_or_else(|| "not set".to_owned())
}

pub(super) fn accounts_file(settings: &Settings) -> String {
    let Some(path) = &settings.accounts_file else { return or_not_set(None) };
    let one = |account: &AccountSettings| {
        let tokens = key_count(account.tokens.len());
        let shared = shared_key_ids(account);
        let posts = account.api_key.as_ref().map_or("the auth token", |key| key.sid.as_str());
        let (sid, upstream) = (account.sid, &account.upstream);
        format!("{sid}: tokens {tokens}, SharedKeys {shared}, posts with {posts} to {upstream}")
    };
    let accounts = settings.accounts.iter().filter(|account| account.number.is_some());
    let accounts: Vec<String> = accounts.map(one).collect();
    format!("{}; {}", path.display(), accounts.join("; "))
}

/// The ids of the keys and their algorithms; neither is secret.
pub(super) fn shared_key_ids(account: &AccountSettings) -> String {
    let keys = account.shared_keys.iter();
    let keys = keys.map(|key| format!("{} ({})", key.id.as_str(), key.algorithm.as_str()));
    let keys: Vec<String> = keys.collect();
    or_not_set(Some(keys.join(", ")).filter(|keys| !keys.is_empty()))
}

pub(super) fn key_count(count: usize) -> String {
    format!("set ({count} {})", if count == 1 { "key" } else { "keys" })
}

/// A duration in the form of a setting: `7d`, `1h 30m`.
pub fn written(span: Duration) -> String {
    let days = SpanRound::new().largest(Unit::Day).days_are_24_hours();
    let span = Span::try_from(span).and_then(|span| span.round(days)).unwrap_or_default();
    format!("{span:#}")
}
