//! Reload on SIGHUP: replaces the accounts and secrets of the running service.
//!
//! A request or a post in flight keeps its secrets. If any setting is invalid, none is applied. Listeners, store and limits
//! cannot change before a restart; a difference in them is logged.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::problems::Problems;
use crate::config::{AccountSettings, Settings};
use crate::domain::code::CodeKey;
use crate::domain::route;
use crate::domain::sid::AccountSid;
use crate::forward::{ForwardConfig, ForwardError, ForwardTarget, Forwarder, Limits};
use crate::inbound::keyring::{CurrentKeyRing, KeyRing, MAX_TRIED, Member, NamedKey};
use crate::inbound::send::credentials::SendCredentials;
use crate::serve::send;
use crate::telemetry::metrics::Metrics;
use crate::twilio::signature::SigningKey;
use crate::upstream::{Credential, UpstreamConfig, Upstreams};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const POST_TIMEOUT: Duration = Duration::from_secs(10);

pub struct Reloader {
    settings: Settings,
    keyring: Arc<CurrentKeyRing>,
    upstreams: Arc<Upstreams>,
    send_credentials: Arc<SendCredentials>,
    forwarder: Arc<Forwarder>,
    metrics: Arc<Metrics>,
}

impl Reloader {
    pub(super) fn new(
        settings: Settings,
        keyring: Arc<CurrentKeyRing>,
        (upstreams, forwarder): (Arc<Upstreams>, Arc<Forwarder>),
        (send_credentials, metrics): (Arc<SendCredentials>, Arc<Metrics>),
    ) -> Self {
        Self { settings, keyring, upstreams, send_credentials, forwarder, metrics }
    }

    /// Applies new settings, or logs their problems and changes nothing.
    pub fn reload(&mut self, settings: Result<Settings, Problems>) {
        match settings {
            Ok(settings) => self.apply(settings),
            Err(problems) => self.reject(&problems.to_string()),
        }
    }

    fn apply(&mut self, settings: Settings) {
        // The only steps that can fail come first. Only the last one of them changes anything.
        let targets = forward_targets(&settings);
        if !targets.is_empty()
            && let Err(error) = self.forwarder.prepare()
        {
            return self.reject(&error.to_string());
        }
        if let Err(error) = self.upstreams.replace(upstreams(&settings)) {
            return self.reject(&error.to_string());
        }
        self.forwarder.replace(targets);
        self.send_credentials.replace(send::credentials(&settings));
        let before = self.keyring.replace(keyring(&settings));
        let names = self.keyring.current().key_names();
        for ((account, key), known) in before.key_names() {
            if names.get(&(account.clone(), key.clone())) != Some(&known) {
                self.metrics.forget_key(&route::paths(), &account, &key);
            }
        }
        for setting in changed_fixed(&self.settings, &settings) {
            tracing::warn!(setting, "{setting} has changed, which has no effect before a restart");
        }
        for warning in
            settings.warnings.iter().filter(|known| !self.settings.warnings.contains(known))
        {
            tracing::warn!("{warning}");
        }
        let accounts = settings.accounts.iter().count();
        tracing::info!(accounts, "accounts and secrets reloaded");
        self.metrics.config_reload("done");
        // The fixed settings stay, for the next comparison.
        self.settings.warnings = settings.warnings;
    }

    fn reject(&self, problems: &str) {
        tracing::error!(
            problems,
            "reload refused: the new settings have problems, and nothing has changed; test them with `heardback check`, \
             and send SIGHUP again"
        );
        self.metrics.config_reload("refused");
    }
}

/// The settings that differ and cannot change before a restart. Only a setting that can be in a file is one of them,
/// because the flags and variables of a process do not change.
fn changed_fixed(now: &Settings, then: &Settings) -> Vec<&'static str> {
    let token = |settings: &Settings| {
        settings.ops_token.as_ref().map(|token| token.expose_secret().to_owned())
    };
    let rows = [
        ("HEARDBACK_OPS_TOKEN", token(now) != token(then)),
        ("HEARDBACK_CLICK_PATH_SECRET", now.click_secret != then.click_secret),
        ("HEARDBACK_STORE", now.store != then.store),
        ("HEARDBACK_PHONE_KEY", now.recipient_hash_key() != then.recipient_hash_key()),
    ];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// The client of the app's URLs. `total`: the most webhooks under way.
pub(super) fn forwarder(settings: &Settings, total: usize) -> Result<Arc<Forwarder>, ForwardError> {
    let config = ForwardConfig {
        timeout: settings.forward.timeout,
        allows_private: settings.forward.allows_private,
        limits: Limits { total, ..Limits::default() },
    };
    Forwarder::new(config, forward_targets(settings)).map(Arc::new)
}

/// The app's URL of each account and kind.
fn forward_targets(settings: &Settings) -> Vec<ForwardTarget> {
    settings.forwards().map(|(scope, url)| (scope, url.clone())).collect()
}

/// The keys whose signatures are valid, by account.
pub(super) fn keyring(settings: &Settings) -> KeyRing {
    let member = |account: &AccountSettings| member(account, &settings.app_keys);
    let first = member(settings.accounts.first());
    let others = settings.accounts.iter().skip(1).map(member).collect();
    let keyring = KeyRing::new(first, others, named_keys("app key", &settings.app_keys));
    if let Some(keys) = keyring.exceeds_tried() {
        tracing::warn!(
            keys,
            most = MAX_TRIED,
            "the settings have {keys} keys of one kind; a request that names no account is tried with {MAX_TRIED} of them: \
             have each app name its account (AccountSid in the body, or in the query of a GET)"
        );
    }
    keyring
}

fn member(account: &AccountSettings, shared: &[SecretString]) -> Member {
    let tokens = named_keys("token", &account.tokens);
    let keys = account.shared_keys.iter().map(|key| NamedKey {
        key: key.signing_key(),
        name: format!("shared {}", key.id.as_str()),
    });
    let own = named_keys("app key", &account.app_keys);
    let code_keys = account.app_secrets(shared).into_iter();
    Member {
        account: account.sid,
        account_keys: tokens.iter().cloned().chain(keys).collect(),
        // Without an app key, the app signs with the auth token.
        app_keys: if own.is_empty() && shared.is_empty() { tokens } else { own },
        code_keys: code_keys.map(|key| CodeKey::new(key.expose_secret().as_bytes())).collect(),
        region: account.region.clone(),
    }
}

fn named_keys(what: &str, secrets: &[SecretString]) -> Vec<NamedKey> {
    let key = |(number, secret): (usize, &SecretString)| NamedKey {
        key: SigningKey::new(secret.expose_secret().as_bytes()),
        name: format!("{what} {number}"),
    };
    (1..).zip(secrets).map(key).collect()
}

/// The base URL and the credentials of each account.
pub(super) fn upstreams(settings: &Settings) -> Vec<(AccountSid, UpstreamConfig)> {
    let config = |account: &AccountSettings| UpstreamConfig {
        base: account.upstream.as_str().to_owned(),
        credentials: credentials(account),
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: POST_TIMEOUT,
        user_agent: concat!("heardback/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    settings.accounts.iter().map(|account| (account.sid, config(account))).collect()
}

fn credentials(account: &AccountSettings) -> Vec<Credential> {
    let token =
        |token: &SecretString| Credential { user: account.sid.to_string(), secret: token.clone() };
    match &account.api_key {
        Some(key) => vec![Credential { user: key.sid.clone(), secret: key.secret.clone() }],
        None => account.tokens.iter().map(token).collect(),
    }
}
