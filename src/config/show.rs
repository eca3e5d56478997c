//! The values that `check` prints. Of a secret it says only whether it is set.

use std::time::Duration;

use crate::config::{AccountSettings, Settings};

/// A value of the environment's own account.
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

/// The accounts file, and each account in it.
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

/// Which key is bound to which algorithm: neither is secret.
pub(super) fn shared_key_ids(account: &AccountSettings) -> String {
    let keys = account.shared_keys.iter();
    let keys = keys.map(|key| format!("{} ({})", key.id.as_str(), key.algorithm.as_str()));
    let keys: Vec<String> = keys.collect();
    or_not_set(Some(keys.join(", ")).filter(|keys| !keys.is_empty()))
}

pub(super) fn key_count(count: usize) -> String {
    format!("set ({count} {})", if count == 1 { "key" } else { "keys" })
}

/// A duration as a setting takes it: `7d`, `1h 30m`.
#[must_use]
pub fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    let millis = u64::from(span.subsec_millis());
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (millis, "ms"),
    ];
    let words = parts.iter().filter(|(count, _)| *count > 0);
    words.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}
