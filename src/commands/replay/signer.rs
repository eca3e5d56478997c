//! The account and the key that sign a recording, if it may be signed again.
//!
//! Recorded rejections contain forgeries, and our signature would make them valid: so the recording's own signature has
//! to be one of a known key. The new key is the first configured key that the route and the account accept.

use secrecy::{ExposeSecret, SecretString};

use crate::commands::doctor::offline::prove;
use crate::config::{AccountSettings, Settings};
use crate::recording::{REFUSED_NOTE, Recording};
use crate::twilio::signature::SigningKey;

const FORGED: &str =
    "forged, or signed with a key that is not among the settings: see `heardback doctor`";
const UNSIGNED: &str = "no known key signed it; if you wrote it by hand: see --unproven";
const OTHER_ACCOUNT: &str = "it is signed with a key of another account than the one it names";

/// The account to sign for: the named one, otherwise the signer's. `None`: any of ours.
///
/// With `unproven` the operator answers for recordings without a valid signature, but never for those that the service
/// rejected and recorded.
///
/// # Errors
/// The reason not to sign it.
pub(super) fn proven_account<'a>(
    recording: &Recording,
    named: Option<&'a AccountSettings>,
    settings: &'a Settings,
    unproven: bool,
) -> Result<Option<&'a AccountSettings>, &'static str> {
    let was_rejected = recording.note(REFUSED_NOTE).is_some();
    if unproven && !was_rejected {
        return Ok(named);
    }
    let reason = if was_rejected { FORGED } else { UNSIGNED };
    let owner = prove(settings, recording).ok_or(reason)?.owner;
    match (named, owner) {
        (Some(named), Some(owner)) if named.sid != owner => Err(OTHER_ACCOUNT),
        (None, Some(owner)) => Ok(settings.accounts.iter().find(|account| account.sid == owner)),
        (named, _) => Ok(named),
    }
}

pub(crate) struct ReplayKey {
    pub(crate) key: SigningKey,
    /// Its place in the settings.
    pub(super) name: String,
    /// The header that selects it, if it is a `SharedKey`.
    pub(crate) selects: Option<(String, String)>,
}

fn plain((secret, name): (&SecretString, String)) -> ReplayKey {
    let key = SigningKey::new(secret.expose_secret().as_bytes());
    ReplayKey { key, name, selects: None }
}

fn token(account: &AccountSettings) -> Option<(&SecretString, String)> {
    let place = account.place("TWILIO_AUTH_TOKEN");
    Some((account.tokens.first()?, format!("token 1 of {place}")))
}

/// Twilio's key for an account.
pub(crate) fn account_key(account: &AccountSettings) -> Result<ReplayKey, String> {
    if let Some(token) = token(account) {
        return Ok(plain(token));
    }
    let shared = account.shared_keys.first();
    let shared = shared.ok_or_else(|| format!("{} has no key to sign with", account.sid))?;
    let (id, algorithm) = (shared.id.as_str(), shared.algorithm.as_str());
    let header = "X-Twilio-Webhooks-Signature-Settings".to_owned();
    let selects = Some((header, format!("key={id},algorithm={algorithm}")));
    Ok(ReplayKey { key: shared.signing_key(), name: format!("the SharedKey {id}"), selects })
}

/// The app's key. If no account is named, a key for all accounts goes before one account's.
pub(super) fn app_key(
    settings: &Settings,
    named: Option<&AccountSettings>,
) -> Result<ReplayKey, String> {
    const NAME: &str = "HEARDBACK_APP_KEYS";
    let account = named.unwrap_or(settings.accounts.first());
    let shared = settings.app_keys.first().map(|key| (key, format!("app key 1 of {NAME}")));
    let own = account.app_keys.first();
    let own = own.map(|key| (key, format!("app key 1 of {}", account.place(NAME))));
    let key = if named.is_some() { own.or(shared) } else { shared.or(own) };
    let key = key.or_else(|| token(account));
    key.map(plain).ok_or_else(|| format!("{} has no app key", account.sid))
}
