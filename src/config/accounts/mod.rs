//! The accounts: that of the environment (`TWILIO_…`), those of `HEARDBACK_ACCOUNTS_FILE`, or both.
//!
//! No SID and no key occurs twice, because the key that signed a request selects its account.

mod file;
#[cfg(test)]
mod tests;

pub use file::account_sids;
use secrecy::{ExposeSecret, SecretString};

use crate::config::accounts::file::DefaultUpstream;
use crate::config::forward_urls::ForwardUrls;
use crate::config::names::{
    ACCOUNT_SID, ACCOUNTS_FILE, API_KEY, API_SECRET, APP_KEYS, AUTH_TOKEN, EDGE, REGION,
    SEND_API_KEYS, SHARED_KEYS, TOKEN_PLACE, TWILIO, UPSTREAM_URL,
};
use crate::config::problems::Problem;
use crate::config::reader::SettingsReader;
use crate::config::settings::{AccountSettings, AccountsSettings, ApiKey, Values};
use crate::config::table::settings_under;
use crate::twilio::api_url::{UpstreamUrl, UpstreamUrlError};

/// Reads the rows of [`TWILIO`], and all accounts. `None` after a problem.
pub(super) fn load(reader: &mut SettingsReader<'_>) -> Option<AccountsSettings> {
    reader.rows(settings_under(|heading| heading == TWILIO));
    let path = reader.values.accounts_file.as_ref().map(|path| path.display().to_string());
    let has_own = path.is_none() || environment_names_account(reader);
    let own = if has_own { environment(reader) } else { None };
    let upstream = default_upstream(reader);
    let mut accounts: Vec<AccountSettings> = own
        .into_iter()
        .zip(&upstream)
        .map(|(own, upstream)| AccountSettings {
            upstream: upstream.url.clone(),
            region: upstream.region.clone(),
            ..own
        })
        .collect();
    if let (Some(path), Some(upstream)) = (path, &upstream) {
        accounts.extend(file::read(reader, &path, upstream));
    }
    reject_duplicates(reader, &accounts);
    if !reader.problems.is_empty() {
        return None;
    }
    let mut accounts = accounts.into_iter();
    let first = accounts.next()?;
    Some(AccountsSettings { first, more: accounts.collect() })
}

/// Whether the environment names an account in addition to the file.
fn environment_names_account(reader: &SettingsReader<'_>) -> bool {
    [ACCOUNT_SID, API_KEY].into_iter().any(|name| reader.args.text(name).is_some())
        || [AUTH_TOKEN, SHARED_KEYS, API_SECRET, SEND_API_KEYS]
            .into_iter()
            .any(|name| reader.is_set(name))
}

fn environment(reader: &mut SettingsReader<'_>) -> Option<AccountSettings> {
    let own = std::mem::take(&mut reader.values.own);
    if reader.args.text(ACCOUNT_SID).is_none() {
        let place = "Twilio Console → Account → Account info (AC…)";
        reader.problem(Problem::missing(ACCOUNT_SID, place));
    }
    let api_key = api_key(reader, own.api_key, own.api_secret);
    let needs_no_token = !own.shared_keys.is_empty() && api_key.is_some();
    if own.tokens.is_empty() && !needs_no_token && !reader.is_broken(AUTH_TOKEN) {
        reader.problem(Problem::missing(AUTH_TOKEN, TOKEN_PLACE));
    }
    Some(AccountSettings {
        sid: own.sid?,
        number: None,
        tokens: own.tokens,
        shared_keys: own.shared_keys,
        app_keys: Vec::new(),
        forward: ForwardUrls::default(),
        api_key,
        send_api_keys: own.send_api_keys,
        // The caller sets both.
        upstream: UpstreamUrl::from_region(None, None).ok()?,
        region: None,
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
            let place =
                format!("{API_KEY} needs it; Twilio showed it once, when the key was created");
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

fn default_upstream(reader: &mut SettingsReader<'_>) -> Option<DefaultUpstream> {
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

fn reject_duplicates(reader: &mut SettingsReader<'_>, accounts: &[AccountSettings]) {
    for (at, account) in accounts.iter().enumerate() {
        let earlier = accounts.iter().take(at);
        for other in earlier {
            let mut ids = account.shared_keys.iter().map(|key| &key.id);
            let shares_id = ids.any(|id| other.shared_keys.iter().any(|key| key.id == *id));
            let mut keys = account.send_api_keys.iter().chain(&account.api_key).map(|key| &key.sid);
            let others = || other.send_api_keys.iter().chain(&other.api_key);
            let shares_key = keys.any(|sid| others().any(|known| known.sid == *sid));
            for (is_shared, what) in [
                (shares_key, "an API key that may send"),
                (other.sid == account.sid, "the SID"),
                (shares(&other.tokens, &account.tokens), "an auth token"),
                (shares(&other.app_keys, &account.app_keys), "an app key"),
                (shares_id, "a SharedKey's id"),
            ] {
                if is_shared {
                    let (one, two) = (other.name(), account.name());
                    let expected =
                        format!("{two} has {what} of {one}; each belongs to one account");
                    reader.problem(Problem::withheld(ACCOUNTS_FILE, expected));
                }
            }
        }
    }
}

fn shares(some: &[SecretString], others: &[SecretString]) -> bool {
    some.iter().any(|one| others.iter().any(|other| one.expose_secret() == other.expose_secret()))
}

/// Checks that every account has a key for its app, and that no key is in two places.
pub(super) fn check_app_keys(
    reader: &mut SettingsReader<'_>,
    accounts: &AccountsSettings,
    keys: &[SecretString],
) {
    for account in accounts.iter() {
        let name = account.name();
        if account.app_secrets(keys).is_empty() {
            let place = format!("{name} has no auth token for its app to sign with");
            reader.problem(Problem::missing(APP_KEYS, place));
        }
        if shares(&account.app_keys, keys) {
            let expected =
                format!("one of them is also an app key of {name}; keep it in one place");
            reader.problem(Problem::withheld(APP_KEYS, expected));
        }
    }
}
