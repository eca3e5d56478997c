//! With which of the settings' keys a recording is signed: the first that its route and account take.

use secrecy::{ExposeSecret, SecretString};

use crate::config::{AccountSettings, Settings};
use crate::twilio::signature::SigningKey;

const SELECTS_KEY: &str = "X-Twilio-Webhooks-Signature-Settings";

/// A key, and what to call it.
pub(super) struct ReplayKey {
    pub(super) key: SigningKey,
    /// In words.
    pub(super) name: String,
    /// The header that names it, where it is a `SharedKey`.
    pub(super) selects: Option<(String, String)>,
}

impl ReplayKey {
    fn plain(secret: &SecretString, name: String) -> Self {
        Self { key: SigningKey::new(secret.expose_secret().as_bytes()), name, selects: None }
    }
}

/// What Twilio signs with for an account.
pub(super) fn account_key(account: &AccountSettings) -> Result<ReplayKey, String> {
    if let Some(token) = account.tokens.first() {
        return Ok(ReplayKey::plain(
            token,
            format!("token 1 of {}", account.place("TWILIO_AUTH_TOKEN")),
        ));
    }
    let shared = account.shared_keys.first();
    let shared = shared.ok_or_else(|| format!("{} has no key to sign with", account.sid))?;
    let (id, algorithm) = (shared.id.as_str(), shared.algorithm.as_str());
    let selects = Some((SELECTS_KEY.to_owned(), format!("key={id},algorithm={algorithm}")));
    Ok(ReplayKey { key: shared.signing_key(), name: format!("the SharedKey {id}"), selects })
}

/// What the app signs with. Where no account is named, a key that speaks for all is better than one account's.
pub(super) fn app_key(
    settings: &Settings,
    account: Option<&AccountSettings>,
) -> Result<ReplayKey, String> {
    const NAME: &str = "HEARDBACK_APP_KEYS";
    if let (None, Some(shared)) = (account, settings.app_keys.first()) {
        return Ok(ReplayKey::plain(shared, format!("app key 1 of {NAME}")));
    }
    let account = account.unwrap_or(settings.accounts.first());
    let name = match (account.app_keys.is_empty(), settings.app_keys.is_empty()) {
        (false, _) => format!("app key 1 of {}", account.place(NAME)),
        (true, false) => format!("app key 1 of {NAME}"),
        (true, true) => format!("token 1 of {}", account.place("TWILIO_AUTH_TOKEN")),
    };
    let secrets = account.app_secrets(&settings.app_keys);
    let secret = secrets.first().ok_or_else(|| format!("{} has no app key", account.sid))?;
    Ok(ReplayKey::plain(secret, name))
}
