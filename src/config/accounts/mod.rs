//! Accounts: the environment's own (`TWILIO_…`), those of `HEARDBACK_ACCOUNTS_FILE`, or both.
//!
//! Each has its own secrets. No account and no key is there twice: a request is judged by whose key
//! signed it, so that must be one account.

mod file;
#[cfg(test)]
mod tests;

pub use file::account_sids;
use secrecy::{ExposeSecret, SecretString};

use crate::config::problems::Problem;
use crate::config::reader::SettingsReader;
use crate::config::shared_keys::SharedKey;
use crate::config::table::{ACCOUNT_SID, API_KEY, API_SECRET, APP_KEYS, AUTH_TOKEN, EDGE, REGION};
use crate::config::table::{SHARED_KEYS, TWILIO, UPSTREAM_URL};
use crate::config::{ApiKey, Values};
use crate::domain::sid::AccountSid;
use crate::twilio::api_url::{UpstreamUrl, UpstreamUrlError};

pub(super) const TOKEN_PLACE: &str = "Twilio Console → Account → API keys & tokens";
const FILE: &str = "HEARDBACK_ACCOUNTS_FILE";
/// Twilio has two at a time. A post may try each of them within one lease.
pub(super) const MAX_TOKENS: usize = 4;

/// One account or subaccount. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    pub sid: AccountSid,
    /// Its number in the accounts file, from 1; `None`: it is the environment's.
    pub number: Option<usize>,
    /// Auth tokens, primary first; at most four. Empty only where `SharedKeys` verify and an API key
    /// posts.
    pub tokens: Vec<SecretString>,
    /// What Twilio may sign with instead, each bound to its algorithm; no id is there twice.
    pub shared_keys: Vec<SharedKey>,
    /// What its own app signs with, besides those of [`Values::app_keys`](super::Values::app_keys).
    pub app_keys: Vec<SecretString>,
    /// What to post with; without it, the auth tokens.
    pub api_key: Option<ApiKey>,
    /// Where Twilio's API is, for this account.
    pub upstream: UpstreamUrl,
    /// The region that its tokens are of, such as `us1`; `None` where that is not known.
    pub region: Option<String>,
}

/// All accounts: at least one, none twice.
#[derive(Debug, Clone)]
pub struct AccountsSettings {
    first: AccountSettings,
    more: Vec<AccountSettings>,
}

impl AccountsSettings {
    /// The default: the environment's, or else the file's first.
    #[must_use]
    pub fn first(&self) -> &AccountSettings {
        &self.first
    }

    /// Each of them, the default first.
    pub fn iter(&self) -> impl Iterator<Item = &AccountSettings> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// Where posts go unless an account says otherwise.
pub(super) struct DefaultUpstream {
    /// `HEARDBACK_UPSTREAM_URL`, which beats every edge and region.
    pub(super) given: bool,
    pub(super) url: UpstreamUrl,
    pub(super) region: Option<String>,
}

/// Reads all of them, after the rows of [`TWILIO`]. `None` after a problem.
pub(super) fn gather(reader: &mut SettingsReader<'_>) -> Option<AccountsSettings> {
    reader.rows(|setting| setting.heading == TWILIO);
    let path = reader.values.accounts_file.as_ref().map(|path| path.display().to_string());
    let own = if path.is_none() || is_meant(reader) { environment(reader) } else { None };
    let place = place(reader);
    let mut accounts: Vec<AccountSettings> = own
        .into_iter()
        .zip(&place)
        .map(|(own, place)| AccountSettings {
            upstream: place.url.clone(),
            region: place.region.clone(),
            ..own
        })
        .collect();
    if let (Some(path), Some(place)) = (path, &place) {
        accounts.extend(file::read(reader, &path, place));
    }
    refuse_twins(reader, &accounts);
    if !reader.problems.is_empty() {
        return None;
    }
    let mut accounts = accounts.into_iter();
    let first = accounts.next()?;
    Some(AccountsSettings { first, more: accounts.collect() })
}

/// Whether the environment names an account of its own beside the file.
fn is_meant(reader: &SettingsReader<'_>) -> bool {
    [ACCOUNT_SID, API_KEY].into_iter().any(|name| reader.args.text(name).is_some())
        || [AUTH_TOKEN, SHARED_KEYS, API_SECRET].into_iter().any(|name| reader.is_set(name))
}

fn environment(reader: &mut SettingsReader<'_>) -> Option<AccountSettings> {
    let own = std::mem::take(&mut reader.values.own);
    if reader.args.text(ACCOUNT_SID).is_none() {
        let place = "Twilio Console → Account → Account info (AC…)";
        reader.problem(Problem::missing(ACCOUNT_SID, place));
    }
    let api_key = api_key(reader, own.api_key, own.api_secret);
    let (tokens, shared_keys) = (own.tokens.unwrap_or_default(), own.shared_keys);
    let has_instead = !shared_keys.is_empty() && api_key.is_some();
    if tokens.is_empty() && !has_instead && !reader.is_broken(AUTH_TOKEN) {
        reader.problem(Problem::missing(AUTH_TOKEN, TOKEN_PLACE));
    }
    // The caller knows where it posts.
    let upstream = UpstreamUrl::from_region(None, None).ok()?;
    let app_keys = Vec::new();
    let (number, region) = (None, None);
    Some(AccountSettings {
        sid: own.sid?,
        number,
        tokens,
        shared_keys,
        app_keys,
        api_key,
        upstream,
        region,
    })
}

fn api_key(
    reader: &mut SettingsReader<'_>,
    sid: Option<String>,
    secret: Option<SecretString>,
) -> Option<ApiKey> {
    let is_given = reader.args.text(API_KEY).is_some();
    match secret {
        None if is_given && !reader.is_broken(API_SECRET) => {
            let place = format!("{API_KEY} needs it; Twilio showed it once, when the key was made");
            reader.problem(Problem::missing(API_SECRET, place));
            None
        }
        Some(_) if !is_given => {
            let place = format!("{API_SECRET} is set, so its SK… is needed: {TOKEN_PLACE}");
            reader.problem(Problem::missing(API_KEY, place));
            None
        }
        secret => Some(ApiKey { sid: sid?, secret: secret? }),
    }
}

fn place(reader: &mut SettingsReader<'_>) -> Option<DefaultUpstream> {
    let Values { edge, region, upstream_url, .. } = reader.values.clone();
    if let Some(url) = upstream_url {
        if edge.as_ref().or(region.as_ref()).is_some() {
            reader.warn(format!("{UPSTREAM_URL} is set, so {EDGE} and {REGION} are ignored"));
        }
        return Some(DefaultUpstream { given: true, url, region });
    }
    if reader.is_broken(UPSTREAM_URL) {
        return None;
    }
    let url = UpstreamUrl::from_region(edge.as_deref(), region.as_deref());
    let url = url.map_err(|error| {
        let (name, found) = match error {
            UpstreamUrlError::Edge => (EDGE, edge),
            UpstreamUrlError::Region
            | UpstreamUrlError::RegionAlone { .. }
            | UpstreamUrlError::Origin(_)
            | UpstreamUrlError::Path => (REGION, region.clone()),
        };
        reader.problem(Problem::shown(name, &found.unwrap_or_default(), error.to_string()));
    });
    let region = region.or_else(|| Some("us1".to_owned()));
    Some(DefaultUpstream { given: false, url: url.ok()?, region })
}

fn refuse_twins(reader: &mut SettingsReader<'_>, accounts: &[AccountSettings]) {
    for (at, account) in accounts.iter().enumerate() {
        let earlier = accounts.iter().take(at);
        for other in earlier {
            let (one, two) = (other.name(), account.name());
            let mut twins = |what: &str| {
                let expected = format!("{two} has {what} {one}; each belongs to one account");
                reader.problem(Problem::withheld(FILE, expected));
            };
            if other.sid == account.sid {
                twins("the SID of");
            }
            if shares(&other.tokens, &account.tokens) {
                twins("an auth token of");
            }
            if shares(&other.app_keys, &account.app_keys) {
                twins("an app key of");
            }
            let ids =
                |of: &AccountSettings| of.shared_keys.iter().map(|key| key.id.clone()).collect();
            let (ids, others): (Vec<_>, Vec<_>) = (ids(account), ids(other));
            if ids.iter().any(|id| others.contains(id)) {
                twins("a SharedKey's id of");
            }
        }
    }
}

impl AccountSettings {
    /// What to call it in a problem.
    fn name(&self) -> String {
        match self.number {
            Some(number) => format!("account {number} ({})", self.sid),
            None => format!("TWILIO_ACCOUNT_SID ({})", self.sid),
        }
    }

    /// Where one of its secrets stands: in that environment variable, or in the file.
    #[must_use]
    pub fn place(&self, setting: &str) -> String {
        match self.number {
            Some(number) => format!("account {number} of {FILE}"),
            None => setting.to_owned(),
        }
    }

    /// What its app signs with, `shared` being the keys of every account's app: the auth tokens where
    /// there are no app keys at all.
    #[must_use]
    pub fn app_secrets<'a>(&'a self, shared: &'a [SecretString]) -> Vec<&'a SecretString> {
        let keys: Vec<_> = self.app_keys.iter().chain(shared).collect();
        if keys.is_empty() { self.tokens.iter().collect() } else { keys }
    }
}

pub(super) fn shares(some: &[SecretString], others: &[SecretString]) -> bool {
    some.iter().any(|one| others.iter().any(|other| one.expose_secret() == other.expose_secret()))
}

/// What app keys and accounts have to be for each other.
pub(super) fn check_app_keys(
    reader: &mut SettingsReader<'_>,
    accounts: &AccountsSettings,
    keys: &[SecretString],
) {
    for account in accounts.iter() {
        let name = account.name();
        if account.app_secrets(keys).is_empty() {
            let place = format!("{name} has no auth token that its app could sign with instead");
            reader.problem(Problem::missing(APP_KEYS, place));
        }
        if shares(&account.app_keys, keys) {
            let expected =
                format!("one of them is an app key of {name} as well; keep it in one place");
            reader.problem(Problem::withheld(APP_KEYS, expected));
        }
    }
}
