//! The keys that the search tries: the settings' keys, damaged forms of them, and values that are mistaken for keys.
//! A key is named by its place in the settings. The table of causes says which of them the receiver does not accept.
//!
//! A new kind of key in the settings is added to [`sources`], with a row in the table if it is the wrong one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::commands::doctor::offline::case::Case;
use crate::commands::doctor::offline::finding::no_detail;
use crate::config::{AccountSettings, SharedKey};
use crate::domain::hex;
use crate::domain::route::RouteSigner;
use crate::twilio::form;
use crate::twilio::signature::{Algorithm, Content, KeyId, Presented, SigningKey, sign, verify};

/// The id under which any secret is tried with SHA-256, and the header that selects it.
const TRIED_ID: &str = "doctor";
const TRIED_SETTINGS: &[u8] = b"key=doctor,algorithm=HMAC_SHA256";
/// Characters at which a shell, a `.env` file or a URL cuts a value.
const CUTS: [u8; 8] = [b'#', b'$', b'=', b'&', b'%', b'+', b' ', b'!'];

/// A secret, and what it is.
#[derive(Clone)]
pub(super) struct KeySource<'a> {
    pub(super) name: String,
    pub(super) secret: Vec<u8>,
    /// The only account that it speaks for.
    pub(super) owner: Option<&'a AccountSettings>,
    pub(super) kind: KeyKind<'a>,
    /// The algorithm of the signature.
    made: Algorithm,
}

#[derive(Clone, Copy)]
pub(super) enum KeyKind<'a> {
    Token,
    App,
    Shared(&'a SharedKey),
    /// A key without the quotes and blanks around it.
    Unquoted,
    Damaged(&'static str),
    ApiSecret,
    AccountSid,
    Empty,
}

impl KeySource<'_> {
    /// The key as the receiver has it. `None`: the receiver has no such key.
    fn real(&self) -> Option<SigningKey> {
        match self.kind {
            KeyKind::Token | KeyKind::App => Some(SigningKey::new(&self.secret)),
            KeyKind::Shared(shared) => Some(shared.signing_key()),
            KeyKind::Unquoted
            | KeyKind::Damaged(_)
            | KeyKind::ApiSecret
            | KeyKind::AccountSid
            | KeyKind::Empty => None,
        }
    }

    pub(super) fn tried(&self) -> Option<SigningKey> {
        Some(match self.made {
            Algorithm::HmacSha1 => SigningKey::new(&self.secret),
            Algorithm::HmacSha256 => {
                SigningKey::shared(KeyId::parse(TRIED_ID)?, self.made, &self.secret)
            }
        })
    }

    pub(super) fn damage(&self) -> Option<String> {
        let KeyKind::Damaged(how) = self.kind else { return None };
        Some(format!("{} {how}", self.name))
    }

    /// The signature's algorithm and the key's, if they differ.
    pub(super) fn other_algorithm(&self) -> Option<String> {
        let bound = self.real()?.algorithm();
        let (made, bound) = (self.made, Some(bound).filter(|bound| *bound != self.made)?);
        let (made, bound) = (made.as_str(), bound.as_str());
        Some(format!("{} by {made}, but that key is bound to {bound}", self.name))
    }

    /// Whether the settings header keeps the receiver from trying this key. The receiver's own rule decides, with a
    /// signature that is certainly good.
    fn is_unselected(&self, case: &Case<'_>) -> bool {
        let Some(key) = self.real().filter(|key| key.algorithm() == self.made) else {
            return false;
        };
        let settings = case.settings_header();
        let signature = sign(&key, "https://x/", &Content::Nothing);
        let presented = Presented {
            bases: &["https://x".to_owned()],
            path_and_query: "/",
            content: Content::Nothing,
            is_get: true,
            settings: settings.as_deref().map(str::as_bytes),
        };
        verify([&key], &presented, Some(signature.as_bytes())).is_err()
    }
}

/// Whether the request names one of our accounts, but not the key's.
pub(super) fn other_account(key: &KeySource<'_>, case: &Case<'_>) -> Option<String> {
    let owner = key.owner.filter(|_| key.real().is_some())?;
    let named = case.account().filter(|named| named != owner.sid.as_str())?;
    let is_ours = |known: &AccountSettings| known.sid.as_str() == named;
    no_detail(case.config.accounts.iter().any(is_ours))
}

/// A `SharedKey` without the header that selects it.
pub(super) fn header_missing(key: &KeySource<'_>, case: &Case<'_>) -> Option<String> {
    let is_missing = case.settings_header().is_none() && matches!(key.kind, KeyKind::Shared(_));
    (is_missing && key.is_unselected(case)).then(|| key.name.clone())
}

/// A key under a header that selects another one.
pub(super) fn header_other(key: &KeySource<'_>, case: &Case<'_>) -> Option<String> {
    let is_other = key.is_unselected(case) && header_missing(key, case).is_none();
    is_other.then(|| key.name.clone())
}

/// The header that selects the keys of the search.
pub(super) fn tried_settings(algorithm: Algorithm) -> Option<&'static [u8]> {
    match algorithm {
        Algorithm::HmacSha1 => None,
        Algorithm::HmacSha256 => Some(TRIED_SETTINGS),
    }
}

/// Each secret, the likeliest first.
pub(super) fn sources<'a>(case: &Case<'a>, made: Algorithm) -> Vec<KeySource<'a>> {
    const APP_KEYS: &str = "HEARDBACK_APP_KEYS";
    let config = case.config;
    let source = |name: String, secret: &[u8], owner, kind| KeySource {
        name,
        secret: secret.to_vec(),
        owner,
        kind,
        made,
    };
    let numbered = |word: &str, setting: &str, secrets: &'a [SecretString], owner, kind| {
        let each = secrets.iter().enumerate().map(|(at, secret)| {
            let name = format!("{word} {} of {setting}", at + 1);
            source(name, secret.expose_secret().as_bytes(), owner, kind)
        });
        each.collect::<Vec<_>>()
    };
    let mut tokens = Vec::new();
    let mut apps = numbered("app key", APP_KEYS, &config.app_keys, None, KeyKind::App);
    let mut shared = Vec::new();
    for account in config.accounts.iter() {
        let owner = Some(account);
        let own =
            numbered("app key", &account.place(APP_KEYS), &account.app_keys, owner, KeyKind::App);
        // Without an app key, the app signs with the token.
        let has_app_keys = !own.is_empty() || !config.app_keys.is_empty();
        let stands_in = case.signer == Some(RouteSigner::App) && !has_app_keys;
        let kind = if stands_in { KeyKind::App } else { KeyKind::Token };
        let place = account.place("TWILIO_AUTH_TOKEN");
        tokens.extend(numbered("token", &place, &account.tokens, owner, kind));
        apps.extend(own);
        shared.extend(account.shared_keys.iter().map(|key| {
            let name = format!("the SharedKey {}", key.id.as_str());
            source(name, key.secret.expose_secret().as_bytes(), owner, KeyKind::Shared(key))
        }));
    }
    let mut sources = match case.signer {
        Some(RouteSigner::App) => [apps, tokens, shared].concat(),
        Some(RouteSigner::Twilio) | None => [tokens, apps, shared].concat(),
    };
    let real = sources.clone();
    for key in &real {
        let text = String::from_utf8_lossy(&key.secret).into_owned();
        let bare = text.trim_matches(['"', '\'', ' ', '\t', '\r', '\n']);
        sources.push(source(key.name.clone(), bare.as_bytes(), None, KeyKind::Unquoted));
    }
    for account in config.accounts.iter() {
        if let Some(key) = &account.api_key {
            let secret = key.secret.expose_secret().as_bytes();
            sources.push(source(
                "the API key's secret".to_owned(),
                secret,
                None,
                KeyKind::ApiSecret,
            ));
        }
        let sid = account.sid.as_str().as_bytes();
        sources.push(source("the account SID".to_owned(), sid, None, KeyKind::AccountSid));
    }
    sources.push(source("an empty key".to_owned(), b"", None, KeyKind::Empty));
    for key in &real {
        let forms = damaged(&key.secret).into_iter();
        sources.extend(
            forms.map(|(form, how)| {
                source(key.name.clone(), &form, key.owner, KeyKind::Damaged(how))
            }),
        );
    }
    sources
}

/// Each damaged form of a key at the sender, and the damage in words that follow "signed with the key".
fn damaged(key: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let text = std::str::from_utf8(key).unwrap_or_default();
    let around = |before: &str, after: &str| [before.as_bytes(), key, after.as_bytes()].concat();
    let mut forms = vec![
        (around("", "\n"), "with a line break at its end"),
        (around("", "\r\n"), "with a Windows line break at its end"),
        (around("", "\r"), "with a carriage return at its end"),
        (around("", "\\n"), "with the two characters \\n at its end"),
        (around("", " "), "with a blank at its end"),
        (around(" ", ""), "with a blank before it"),
        (around("\"", "\""), "with double quotes around it"),
        (around("'", "'"), "with single quotes around it"),
        (around("`", "`"), "with backquotes around it"),
        (around("<", ">"), "with angle brackets around it"),
        (around("\u{feff}", ""), "with a byte order mark before it"),
        (around("Bearer ", ""), "with the word Bearer before it"),
        (key.repeat(2), "twice in a row"),
        (key.to_ascii_lowercase(), "in lower case"),
        (key.to_ascii_uppercase(), "in upper case"),
        (STANDARD.encode(key).into_bytes(), "encoded as base64"),
        (hex::hex(key).into_bytes(), "encoded as hexadecimal digits"),
        (form_encoded(text), "encoded as a form value"),
        (form_decoded(key), "decoded as a form value"),
        (STANDARD.decode(key).unwrap_or_default(), "decoded from base64"),
        (hex::decoded(text).unwrap_or_default(), "decoded from hexadecimal digits"),
    ];
    let cut = CUTS.iter().filter_map(|cut| key.split(|byte| byte == cut).next());
    forms.extend(cut.map(|form| (form.to_vec(), "cut off at a special character")));
    if let ([first @ .., _], [_, rest @ ..]) = (key, key) {
        forms.push((first.to_vec(), "without its last character"));
        forms.push((rest.to_vec(), "without its first character"));
    }
    forms.retain(|(form, _)| form != key && !form.is_empty());
    forms
}

fn form_encoded(key: &str) -> Vec<u8> {
    let pair = serde_urlencoded::to_string([("k", key)]).unwrap_or_default();
    pair.strip_prefix("k=").unwrap_or_default().as_bytes().to_vec()
}

fn form_decoded(key: &[u8]) -> Vec<u8> {
    match form::pairs(key).as_slice() {
        [(name, value)] if value.is_empty() && !key.ends_with(b"=") => name.decoded().into_owned(),
        _ => Vec::new(),
    }
}
