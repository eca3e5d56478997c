//! The keys that are tried: first those that the receiver takes for this request, then all others,
//! then what people configure by mistake. Known by their place in the settings, never by what they are.
//!
//! This is the seam for whatever comes to sign besides (accounts of their own, say): whoever adds a
//! kind of key to the settings adds it to [`sources`], and says in [`wrong`] when it is the wrong one.

use secrecy::{ExposeSecret, SecretString};

use crate::config::{Account, Settings, SharedKey};
use crate::domain::sid::AccountSid;
use crate::domain::signature::{Algorithm, Content, KeyId, Presented, SigningKey, sign, verify};
use crate::tools::doctor::offline::case::{Case, Signer};
use crate::tools::doctor::offline::damage;
use crate::tools::doctor::offline::finding::Deviation;

/// By this id a secret is tried with SHA-256, whatever it is bound to.
const TRIED_ID: &str = "doctor";
/// What selects it.
const TRIED_SETTINGS: &[u8] = b"key=doctor,algorithm=HMAC_SHA256";

/// A key, and what is wrong if it is the one.
pub(super) struct Tryable {
    pub(super) name: String,
    pub(super) key: SigningKey,
    /// The only account that it speaks for.
    pub(super) owner: Option<AccountSid>,
    /// Empty for a key that the receiver takes.
    pub(super) wrong: Vec<Deviation>,
    pub(super) ring: Ring,
}

/// The groups of keys, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    /// The keys that the receiver takes.
    Taken,
    /// All other keys of the settings, and what is mistaken for a key.
    Wrong,
    /// Damaged forms of the keys. They are many, so no other deviation is tried with them.
    Damaged,
}

impl Ring {
    pub(super) const ALL: [Self; 3] = [Self::Taken, Self::Wrong, Self::Damaged];
}

/// The header that selects the [`Tryable`] keys of that algorithm.
pub(super) fn tried_settings(algorithm: Algorithm) -> Option<&'static [u8]> {
    match algorithm {
        Algorithm::HmacSha1 => None,
        Algorithm::HmacSha256 => Some(TRIED_SETTINGS),
    }
}

/// All of them, ready to be tried with that algorithm.
pub(super) fn keys(settings: &Settings, case: &Case<'_>, algorithm: Algorithm) -> Vec<Tryable> {
    let mut found: Vec<Tryable> = Vec::new();
    let mut damaged: Vec<Tryable> = Vec::new();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let sources = sources(settings, case.signer);
    for source in &sources {
        // The first name that a secret goes by is the one that counts.
        if seen.iter().any(|known| known == source.secret.as_bytes()) {
            continue;
        }
        seen.push(source.secret.as_bytes().to_vec());
        let Some(key) = key(source.secret.as_bytes(), algorithm) else { continue };
        let wrong = wrong(source, settings, case, algorithm);
        let owner = source.owner.map(|owner| owner.sid);
        let ring = if wrong.is_empty() { Ring::Taken } else { Ring::Wrong };
        found.push(Tryable { name: source.name.clone(), key, owner, wrong, ring });
    }
    let real = sources.iter().filter(|source| !matches!(source.kind, Kind::Mistake(_)));
    for source in real {
        for (secret, how) in damage::damaged(source.secret) {
            if seen.contains(&secret) {
                continue;
            }
            let Some(key) = key(&secret, algorithm) else { continue };
            seen.push(secret);
            let wrong = vec![key_damaged(&source.name, how)];
            let (name, owner) = (source.name.clone(), source.owner.map(|owner| owner.sid));
            damaged.push(Tryable { name, key, owner, wrong, ring: Ring::Damaged });
        }
    }
    found.extend(damaged);
    found
}

fn key(secret: &[u8], algorithm: Algorithm) -> Option<SigningKey> {
    Some(match algorithm {
        Algorithm::HmacSha1 => SigningKey::new(secret),
        Algorithm::HmacSha256 => SigningKey::shared(KeyId::parse(TRIED_ID)?, algorithm, secret),
    })
}

struct Source<'a> {
    name: String,
    secret: &'a str,
    /// The only account that it speaks for.
    owner: Option<&'a Account>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Token,
    App,
    Shared(&'a SharedKey),
    /// Nothing that may sign: what it is wrong with.
    Mistake(Deviation),
}

fn sources(settings: &Settings, signer: Signer) -> Vec<Source<'_>> {
    const APP_KEYS: &str = "HEARDBACK_APP_KEYS";
    let mut tokens = Vec::new();
    let mut apps = numbered("app key", APP_KEYS, &settings.app_keys, None, || Kind::App);
    let mut shared = Vec::new();
    for account in settings.accounts.iter() {
        let place = account.place("TWILIO_AUTH_TOKEN");
        let owner = Some(account);
        let of_app =
            numbered("app key", &account.place(APP_KEYS), &account.app_keys, owner, || Kind::App);
        // Where there is no app key, the app signs with the token.
        let has_app_keys = !of_app.is_empty() || !settings.app_keys.is_empty();
        let stands_in = signer == Signer::App && !has_app_keys;
        let kind = || if stands_in { Kind::App } else { Kind::Token };
        tokens.extend(numbered("token", &place, &account.tokens, owner, kind));
        apps.extend(of_app);
        shared.extend(account.shared_keys.iter().map(|shared| Source {
            name: format!("the SharedKey {}", shared.id.as_str()),
            secret: shared.secret.expose_secret(),
            owner,
            kind: Kind::Shared(shared),
        }));
    }
    let mut sources: Vec<Source<'_>> = match signer {
        Signer::App => apps.into_iter().chain(tokens).collect(),
        Signer::Twilio | Signer::Unknown => tokens.into_iter().chain(apps).collect(),
    };
    sources.extend(shared);
    let bare: Vec<Source<'_>> = sources
        .iter()
        .map(|source| Source {
            name: source.name.clone(),
            secret: source.secret.trim_matches(['"', '\'', ' ', '\t', '\r', '\n']),
            owner: None,
            kind: Kind::Mistake(quoted(&source.name)),
        })
        .collect();
    sources.extend(bare);
    let mut mistake = |name: &str, secret, what| {
        sources.push(Source {
            name: name.to_owned(),
            secret,
            owner: None,
            kind: Kind::Mistake(what),
        });
    };
    for account in settings.accounts.iter() {
        if let Some(key) = &account.api_key {
            mistake("the API key's secret", key.secret.expose_secret(), api_secret());
        }
        mistake("the account SID", account.sid.as_str(), account_sid());
    }
    mistake("an empty key", "", empty());
    sources
}

fn numbered<'a>(
    word: &str,
    setting: &str,
    secrets: &'a [SecretString],
    owner: Option<&'a Account>,
    kind: impl Fn() -> Kind<'a>,
) -> Vec<Source<'a>> {
    let named = |(at, secret): (usize, &'a SecretString)| Source {
        name: format!("{word} {} of {setting}", at + 1),
        secret: secret.expose_secret(),
        owner,
        kind: kind(),
    };
    secrets.iter().enumerate().map(named).collect()
}

/// What is wrong if this key, with this algorithm, signed this request.
fn wrong(
    source: &Source<'_>,
    settings: &Settings,
    case: &Case<'_>,
    algorithm: Algorithm,
) -> Vec<Deviation> {
    let mut wrong = Vec::new();
    let mut add = |(id, says, fix): Words| wrong.push(Deviation::new(id, says, fix));
    let real = match &source.kind {
        Kind::Mistake(what) => return vec![what.clone()],
        Kind::Token | Kind::App => SigningKey::new(source.secret.as_bytes()),
        Kind::Shared(shared) => shared.signing_key(),
    };
    match (&source.kind, case.signer) {
        (Kind::Token, Signer::App) => add(TOKEN_ON_APP),
        (Kind::App, Signer::Twilio) => add(APP_ON_TWILIO),
        (Kind::Shared(_), Signer::App) => add(SHARED_ON_APP),
        (Kind::Token | Kind::App | Kind::Shared(_) | Kind::Mistake(_), _) => {}
    }
    if source.owner.is_some_and(|owner| names_another(settings, case, owner)) {
        add(OTHER_ACCOUNTS_KEY);
    }
    if real.algorithm() != algorithm {
        wrong.push(other_algorithm(&source.name, algorithm, real.algorithm()));
    } else if !is_selected(&real, case) {
        wrong.push(not_selected(source, case));
    }
    wrong
}

/// Whether the request names an account of ours, but not that one. One that is not ours is another
/// matter, whoever signed.
fn names_another(settings: &Settings, case: &Case<'_>, owner: &Account) -> bool {
    let named = case.field("AccountSid").or_else(|| case.field("account_sid"));
    let named = named.filter(|named| named != owner.sid.as_str());
    named.is_some_and(|named| settings.accounts.iter().any(|known| known.sid.as_str() == named))
}

/// Whether the request's settings header lets the receiver try this key. Asked of the receiver's own
/// rule, with a signature that is certainly good.
fn is_selected(key: &SigningKey, case: &Case<'_>) -> bool {
    let settings = case.settings();
    let signature = sign(key, "https://x/", &Content::Nothing);
    let presented = Presented {
        bases: &["https://x".to_owned()],
        path_and_query: "/",
        content: Content::Nothing,
        is_get: true,
        settings: settings.as_deref().map(str::as_bytes),
    };
    verify([key], &presented, Some(signature.as_bytes())).is_ok()
}

type Words = (&'static str, &'static str, &'static str);

const TOKEN_ON_APP: Words = (
    "token_on_app_route",
    "It is signed with the account's auth token, but this route takes app keys (HEARDBACK_APP_KEYS).",
    "Let your app sign with an app key. Passing on what Twilio sent, it has to sign anew, too.",
);
const APP_ON_TWILIO: Words = (
    "app_key_on_twilio_route",
    "It is signed with an app key, but this route is Twilio's and takes the account's auth tokens.",
    "Your app calls the routes under /app/; to pass on what Twilio sent: /app/twilio/….",
);
const OTHER_ACCOUNTS_KEY: Words = (
    "other_accounts_key",
    "It names an account, and is signed with a key that speaks for another one only.",
    "Each subaccount signs with its own token: compare AccountSid with where that key stands.",
);
const SHARED_ON_APP: Words = (
    "shared_key_on_app_route",
    "It is signed with a SharedKey of Twilio's, but this route takes app keys (HEARDBACK_APP_KEYS).",
    "Point Twilio at the routes under /twilio/; let your app sign with an app key.",
);

fn other_algorithm(name: &str, made: Algorithm, bound: Algorithm) -> Deviation {
    let (made, bound) = (made.as_str(), bound.as_str());
    Deviation::new(
        "algorithm",
        format!("It is signed with {name} by {made}, but that key is bound to {bound}."),
        "A SharedKey: write its algorithm into TWILIO_SHARED_KEYS as Twilio has it. A token or an app \
         key: sign with HMAC-SHA1, as Twilio's helper libraries do.",
    )
}

fn not_selected(source: &Source<'_>, case: &Case<'_>) -> Deviation {
    let name = &source.name;
    let (id, says) = match (&source.kind, case.settings()) {
        (Kind::Shared(_), None) => (
            "settings_header_missing",
            format!(
                "It is signed with {name}, but X-Twilio-Webhooks-Signature-Settings is missing."
            ),
        ),
        (Kind::Token | Kind::App | Kind::Shared(_) | Kind::Mistake(_), _) => (
            "settings_header_other",
            format!(
                "It is signed with {name}, but X-Twilio-Webhooks-Signature-Settings names another key or \
                 algorithm."
            ),
        ),
    };
    let fix = "Let the proxy pass every X-Twilio-* header on as it came.";
    Deviation::new(id, says, fix)
}

fn key_damaged(name: &str, how: &str) -> Deviation {
    Deviation::new(
        "key_damaged",
        format!("It is signed with {name} {how}: the sender's copy of the key is damaged."),
        "Set the key at the sender again, exactly as it stands in the settings here, and restart the sender.",
    )
}

fn quoted(name: &str) -> Deviation {
    Deviation::new(
        "key_quoted",
        format!(
            "It is signed with {name} without the quotes or blanks that stand around it there."
        ),
        "Take them out of the setting. `docker --env-file` keeps quotes as part of the value.",
    )
}

fn api_secret() -> Deviation {
    Deviation::new(
        "api_secret",
        "It is signed with the API key's secret, and nothing may sign with that.",
        "Let your app sign with an app key of HEARDBACK_APP_KEYS.",
    )
}

fn account_sid() -> Deviation {
    Deviation::new(
        "account_sid",
        "It is signed with the account's SID, which is no secret: name and token are swapped in the \
         sender's settings.",
        "Put the auth token or the app key where the sender keeps its secret.",
    )
}

fn empty() -> Deviation {
    Deviation::new(
        "empty_key",
        "It is signed with an empty key: where the sender runs, the setting with its secret is not set.",
        "Set it there, and restart the sender.",
    )
}
