//! The keys of the search: the settings' keys, damaged forms of them, and values that are mistaken for keys.
//!
//! A key is named by its place in the settings. The table of causes says which keys the receiver rejects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::commands::doctor::offline::case::Case;
use crate::commands::doctor::offline::finding::no_detail;
use crate::domain::route::RouteSigner;
use crate::domain::sid::AccountSid;
use crate::twilio::signature::{Algorithm, Content, KeyId, Presented, SigningKey, sign, verify};

/// The id under which any secret is tried with SHA-256, and the header that selects it.
const TRIED_ID: &str = "doctor";
const TRIED_SETTINGS: &[u8] = b"key=doctor,algorithm=HMAC_SHA256";

pub(super) struct KeySource {
    pub(super) name: String,
    pub(super) secret: Vec<u8>,
    /// The only account that it speaks for.
    pub(super) owner: Option<AccountSid>,
    pub(super) kind: KeyKind,
    /// The receiver's key with this secret.
    real: Option<SigningKey>,
    signature_algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Token,
    App,
    Shared,
    /// A key without the quotes and blanks around it.
    Unquoted,
    Damaged(&'static str),
    ApiSecret,
    AccountSid,
    Empty,
}

impl KeySource {
    /// The key for the search: it signs by the signature's algorithm.
    pub(super) fn tried(&self) -> Option<SigningKey> {
        match self.signature_algorithm {
            Algorithm::HmacSha1 => Some(SigningKey::new(&self.secret)),
            sha256 @ Algorithm::HmacSha256 => {
                Some(SigningKey::shared(KeyId::parse(TRIED_ID)?, sha256, &self.secret))
            }
        }
    }

    pub(super) fn damage(&self) -> Option<String> {
        let KeyKind::Damaged(how) = self.kind else { return None };
        Some(format!("{} {how}", self.name))
    }

    /// Applies if the key is of this kind, and the route is of this signer.
    pub(super) fn wrong_route(
        &self,
        case: &Case<'_>,
        signer: RouteSigner,
        kind: KeyKind,
    ) -> Option<String> {
        no_detail(self.kind == kind && case.signer == Some(signer))
    }

    /// Applies if the request names one of our accounts, but not the key's.
    pub(super) fn wrong_account(&self, case: &Case<'_>) -> Option<String> {
        let owner = self.owner.filter(|_| self.real.is_some())?;
        let named = case.account().filter(|named| named != owner.as_str())?;
        no_detail(case.config.accounts.iter().any(|account| account.sid.as_str() == named))
    }

    /// The algorithms of signature and key, if they differ.
    pub(super) fn other_algorithm(&self) -> Option<String> {
        let bound = self.real.as_ref()?.algorithm();
        let signature = self.signature_algorithm.as_str();
        (bound != self.signature_algorithm).then(|| {
            format!("{} by {signature}, but that key is bound to {}", self.name, bound.as_str())
        })
    }

    /// The name of a `SharedKey` without the header that selects it.
    pub(super) fn header_missing(&self, case: &Case<'_>) -> Option<String> {
        let is_missing = self.kind == KeyKind::Shared && case.settings_header().is_none();
        (is_missing && self.is_unselected(case)).then(|| self.name.clone())
    }

    /// The name of a key under a header that selects another one.
    pub(super) fn header_other(&self, case: &Case<'_>) -> Option<String> {
        let is_other = self.is_unselected(case) && self.header_missing(case).is_none();
        is_other.then(|| self.name.clone())
    }

    /// Whether the settings header keeps the receiver from trying this key. The receiver's own rule decides, with a
    /// signature that is valid for certain.
    fn is_unselected(&self, case: &Case<'_>) -> bool {
        let is_bound = |key: &&SigningKey| key.algorithm() == self.signature_algorithm;
        let Some(key) = self.real.as_ref().filter(is_bound) else { return false };
        let settings = case.settings_header();
        let signature = sign(key, "https://x/", &Content::Nothing);
        let presented = Presented {
            bases: &["https://x".to_owned()],
            path_and_query: "/",
            content: Content::Nothing,
            is_get: true,
            settings: settings.as_deref().map(str::as_bytes),
        };
        verify([key], &presented, Some(signature.as_bytes())).is_err()
    }
}

/// The header that selects the keys of the search.
pub(super) fn tried_settings(algorithm: Algorithm) -> Option<&'static [u8]> {
    (algorithm == Algorithm::HmacSha256).then_some(TRIED_SETTINGS)
}

/// The secrets for a signature by this algorithm, the likeliest first.
pub(super) fn sources(case: &Case<'_>, signature_algorithm: Algorithm) -> Vec<KeySource> {
    const APP_KEYS: &str = "HEARDBACK_APP_KEYS";
    let source = |name: &str, secret: &[u8], owner, kind| {
        let (name, secret) = (name.to_owned(), secret.to_vec());
        KeySource { name, secret, owner, kind, real: None, signature_algorithm }
    };
    let numbered = |word: &str, place: &str, secrets: &[SecretString], owner, kind| {
        let each = (1..).zip(secrets).map(|(number, secret)| {
            let secret = secret.expose_secret().as_bytes();
            let real = Some(SigningKey::new(secret));
            KeySource {
                real,
                ..source(&format!("{word} {number} of {place}"), secret, owner, kind)
            }
        });
        each.collect::<Vec<_>>()
    };
    let mut sources = numbered("app key", APP_KEYS, &case.config.app_keys, None, KeyKind::App);
    let mut mistaken = vec![source("an empty key", b"", None, KeyKind::Empty)];
    for account in case.config.accounts.iter() {
        let owner = Some(account.sid);
        // Without an app key, the app signs with the token.
        let has_app_keys = !account.app_keys.is_empty() || !case.config.app_keys.is_empty();
        let is_app_key = case.signer == Some(RouteSigner::App) && !has_app_keys;
        let kind = if is_app_key { KeyKind::App } else { KeyKind::Token };
        let place = account.place("TWILIO_AUTH_TOKEN");
        sources.extend(numbered("token", &place, &account.tokens, owner, kind));
        let place = account.place(APP_KEYS);
        sources.extend(numbered("app key", &place, &account.app_keys, owner, KeyKind::App));
        sources.extend(account.shared_keys.iter().map(|key| {
            let name = format!("the SharedKey {}", key.id.as_str());
            let secret = key.secret.expose_secret().as_bytes();
            let real = Some(key.signing_key());
            KeySource { real, ..source(&name, secret, owner, KeyKind::Shared) }
        }));
        let sid = account.sid.as_str().as_bytes();
        mistaken.push(source("the account SID", sid, None, KeyKind::AccountSid));
        mistaken.extend(account.api_key.iter().map(|key| {
            let secret = key.secret.expose_secret().as_bytes();
            source("the API key's secret", secret, None, KeyKind::ApiSecret)
        }));
    }
    for key in &sources {
        let text = String::from_utf8_lossy(&key.secret);
        let bare = text.trim_matches(['"', '\'', ' ', '\t', '\r', '\n']).as_bytes();
        if bare != key.secret {
            mistaken.push(source(&key.name, bare, None, KeyKind::Unquoted));
        }
        for (secret, damage) in damaged(&key.secret) {
            mistaken.push(source(&key.name, &secret, key.owner, KeyKind::Damaged(damage)));
        }
    }
    sources.extend(mistaken);
    sources
}

/// Each damaged form of a key at the sender, and the damage in words that follow "signed with the key".
fn damaged(key: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let around = |before: &str, after: &str| [before.as_bytes(), key, after.as_bytes()].concat();
    let mut forms = vec![
        (around("", "\n"), "with a line break at its end"),
        (around("", "\r\n"), "with a Windows line break at its end"),
        (around("", " "), "with a blank at its end"),
        (around(" ", ""), "with a blank before it"),
        (around("\"", "\""), "with double quotes around it"),
        (around("'", "'"), "with single quotes around it"),
        (around("\u{feff}", ""), "with a byte order mark before it"),
        (key.repeat(2), "twice in a row"),
        (key.to_ascii_lowercase(), "in lower case"),
        (key.to_ascii_uppercase(), "in upper case"),
        (STANDARD.encode(key).into_bytes(), "encoded as base64"),
    ];
    forms.extend(key.split_last().map(|(_, rest)| (rest.to_vec(), "without its last character")));
    forms.extend(key.split_first().map(|(_, rest)| (rest.to_vec(), "without its first character")));
    forms.retain(|(form, _)| form != key && !form.is_empty());
    forms
}
