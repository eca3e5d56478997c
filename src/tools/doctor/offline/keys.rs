//! The keys that are tried: first those that the route takes, then all others, then what people
//! configure by mistake. Known by their place in the settings, never by what they are.

use secrecy::{ExposeSecret, SecretString};

use crate::config::Settings;
use crate::domain::signature::SigningKey;
use crate::tools::doctor::offline::case::Signer;
use crate::tools::doctor::offline::finding::Deviation;

/// A key, and what is wrong if it is the one.
pub(super) struct Tryable {
    pub(super) name: String,
    pub(super) key: SigningKey,
    /// `None` for a key that the route takes.
    pub(super) wrong: Option<Deviation>,
}

/// All of them, those that the route takes first.
pub(super) fn keys(settings: &Settings, signer: Signer) -> Vec<Tryable> {
    let mut list = List::default();
    let tokens = named("token", "TWILIO_AUTH_TOKEN", &settings.tokens);
    let app_keys = named("app key", "HEARDBACK_APP_KEYS", &settings.app_keys);
    let (own, others, wrong) = match signer {
        Signer::Twilio => (tokens, app_keys, Some(APP_ON_TWILIO)),
        Signer::App => (app_keys, tokens, Some(TOKEN_ON_APP)),
        Signer::Unknown => (tokens, app_keys, None),
    };
    for (name, secret) in &own {
        list.add(name, secret, None);
    }
    for (name, secret) in &others {
        list.add(name, secret, wrong.map(|(id, says, fix)| Deviation::new(id, says, fix)));
    }
    for (name, secret) in own.iter().chain(&others) {
        let bare = secret.trim_matches(['"', '\'', ' ', '\t', '\r', '\n']);
        list.add(name, bare, Some(quoted(name)));
    }
    if let Some(key) = &settings.api_key {
        list.add("the API key's secret", key.secret.expose_secret(), Some(api_secret()));
    }
    list.add("the account SID", settings.account.as_str(), Some(account_sid()));
    list.add("an empty key", "", Some(empty()));
    list.found
}

#[derive(Default)]
struct List {
    seen: Vec<String>,
    found: Vec<Tryable>,
}

impl List {
    /// The first name that a secret goes by is the one that counts.
    fn add(&mut self, name: &str, secret: &str, wrong: Option<Deviation>) {
        if !self.seen.iter().any(|seen| seen == secret) {
            self.seen.push(secret.to_owned());
            let key = SigningKey::new(secret.as_bytes());
            self.found.push(Tryable { name: name.to_owned(), key, wrong });
        }
    }
}

fn named<'a>(word: &str, setting: &str, secrets: &'a [SecretString]) -> Vec<(String, &'a str)> {
    let numbered = secrets.iter().enumerate();
    numbered
        .map(|(at, secret)| (format!("{word} {} of {setting}", at + 1), secret.expose_secret()))
        .collect()
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
