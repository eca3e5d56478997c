//! `HEARDBACK_ACCOUNTS_FILE`: TOML with one `[[account]]` table for each account.
//!
//! The parsed table is read without serde, which stops at the first error and whose errors quote the value. All problems
//! are reported at once, and none shows a value.

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use crate::config::forward_urls::{ForwardUrls, key_of, read_url};
use crate::config::names::ACCOUNTS_FILE;
use crate::config::parse::{
    MAX_TOKENS, MIN_KEY_BYTES, RANDOM_HEX, SEND_API_KEY_EXPECTED, is_api_key_sid, is_short,
    send_api_key,
};
use crate::config::problems::Problem;
use crate::config::reader::{SettingsReader, split, without_newline};
use crate::config::settings::{AccountSettings, ApiKey};
use crate::config::shared_keys::SharedKey;
use crate::domain::forward::ForwardKind;
use crate::domain::sid::AccountSid;
use crate::twilio::api_url::UpstreamUrl;

const KNOWN: [&str; 20] = [
    "sid",
    "auth_tokens",
    "auth_tokens_file",
    "shared_keys",
    "app_keys",
    "app_keys_file",
    "api_key",
    "api_secret",
    "api_secret_file",
    "send_api_keys",
    "send_api_keys_file",
    "forward_message_url",
    "forward_message_url_file",
    "forward_call_url",
    "forward_call_url_file",
    "forward_status_url",
    "forward_status_url_file",
    "edge",
    "region",
    "upstream_url",
];
const KNOWN_OF_A_SHARED_KEY: [&str; 4] = ["id", "algorithm", "secret", "secret_file"];

/// The origin for posts of accounts without an origin of their own.
pub(super) struct DefaultUpstream {
    /// Whether it is `HEARDBACK_UPSTREAM_URL`, which takes precedence over every edge and region.
    pub(super) given: bool,
    pub(super) url: UpstreamUrl,
    pub(super) region: Option<String>,
}

/// Reads the accounts of the file. An account with an error is left out, and is a problem.
pub(super) fn read(
    reader: &mut SettingsReader<'_>,
    path: &str,
    upstream: &DefaultUpstream,
) -> Vec<AccountSettings> {
    let text = reader.file(path).map_err(|error| format!("{path:?} cannot be read: {error}"));
    let table = match text.and_then(|text| parsed(&text)) {
        Ok(table) => table,
        Err(why) => {
            problem(reader, why);
            return Vec::new();
        }
    };
    for key in table.keys().filter(|key| *key != "account") {
        problem(reader, format!("{} is unknown; expected [[account]] tables", shown(key)));
    }
    let Some(Value::Array(tables)) = table.get("account") else {
        problem(reader, "there is no [[account]] in it".to_owned());
        return Vec::new();
    };
    let mut accounts = Vec::with_capacity(tables.len());
    for (number, value) in (1..).zip(tables) {
        let Value::Table(table) = value else {
            problem(reader, format!("account {number} is not a table"));
            continue;
        };
        let mut row = Row { reader, table, name: format!("account {number}") };
        accounts.extend(row.account(number, upstream));
    }
    accounts
}

/// The SIDs of the accounts in the text of an accounts file. The rest of the file is not checked.
///
/// # Errors
/// The text is no TOML. The error quotes no part of it.
pub fn account_sids(text: &str) -> Result<Vec<AccountSid>, String> {
    let table = parsed(text)?;
    let accounts = table.get("account").and_then(Value::as_array).into_iter().flatten();
    let sids = accounts.filter_map(|account| account.get("sid")?.as_str());
    Ok(sids.filter_map(|sid| AccountSid::parse(sid.trim()).ok()).collect())
}

fn parsed(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        // The error's `Display` quotes the line.
        format!("line {line}, column {column}: {}", error.message())
    })
}

fn problem(reader: &mut SettingsReader<'_>, why: String) {
    reader.problem(Problem::withheld(ACCOUNTS_FILE, why));
}

/// Lines and columns count from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// The name of a key, unless it may be a secret.
fn shown(key: &str) -> String {
    let is_word = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word && key.len() <= 24 { format!("the key {key}") } else { "a key".to_owned() }
}

/// One table, with its name in problems.
struct Row<'r, 'e> {
    reader: &'r mut SettingsReader<'e>,
    table: &'r Table,
    name: String,
}

impl Row<'_, '_> {
    fn account(&mut self, number: usize, upstream: &DefaultUpstream) -> Option<AccountSettings> {
        let sid = self.sid();
        self.reject_unknown(&KNOWN);
        let tokens = self.secrets("auth_tokens");
        let app_keys = self.secrets("app_keys").unwrap_or_default();
        let shared_keys = self.shared_keys();
        let api_key = self.api_key();
        let send_api_keys = self.send_api_keys();
        if tokens.is_none() && (shared_keys.is_empty() || api_key.is_none()) {
            self.problem("auth_tokens is missing: only shared_keys with an api_key can replace it");
        }
        let tokens = tokens.unwrap_or_default();
        if tokens.len() > MAX_TOKENS {
            self.problem(&format!("more than {MAX_TOKENS} auth_tokens; Twilio has two at a time"));
        }
        if app_keys.iter().any(is_short) {
            self.problem(&format!(
                "app_keys: expected at least {MIN_KEY_BYTES} bytes for each key, e.g. {RANDOM_HEX}"
            ));
        }
        let forward = self.forward();
        let (upstream, region) = self.upstream(upstream)?;
        Some(AccountSettings {
            sid: sid?,
            number: Some(number),
            tokens,
            shared_keys,
            app_keys,
            forward,
            api_key,
            send_api_keys,
            upstream,
            region,
        })
    }

    fn problem(&mut self, why: &str) {
        problem(self.reader, format!("{}: {why}", self.name));
    }

    fn reject_unknown(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(&format!("{} is unknown; expected {}", shown(key), known.join(", ")));
        }
    }

    fn sid(&mut self) -> Option<AccountSid> {
        let Some(text) = self.text("sid") else {
            self.problem("sid is missing (AC…)");
            return None;
        };
        match AccountSid::parse(&text) {
            Ok(sid) => {
                self.name = format!("{} ({sid})", self.name);
                Some(sid)
            }
            Err(error) => {
                self.problem(&format!("sid: {error}"));
                None
            }
        }
    }

    /// Empty counts as unset.
    fn text(&mut self, key: &str) -> Option<String> {
        let Some(text) = self.table.get(key)?.as_str() else {
            self.problem(&format!("{key} must be text in quotes"));
            return None;
        };
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn secret(&mut self, key: &str) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        let (given, path) = (self.text(key), self.text(&file_key));
        match (given, path) {
            (Some(_), Some(_)) => {
                self.problem(&format!("{key} and {file_key} are both set; keep one of them"));
                None
            }
            (Some(given), None) => Some(SecretString::from(given)),
            (None, path) => self.secret_file(&file_key, &path?),
        }
    }

    fn secret_file(&mut self, key: &str, path: &str) -> Option<SecretString> {
        let why = match self.reader.file(path) {
            Ok(text) if !text.trim().is_empty() => return Some(without_newline(&text)),
            Ok(_) => "is empty".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        // The path is not shown: it may be the secret itself, under the wrong key.
        self.problem(&format!("the file of {key} {why}"));
        None
    }

    /// A list of secrets, or a file with secrets separated by commas. `None` if both are unset.
    fn secrets(&mut self, key: &str) -> Option<Vec<SecretString>> {
        let file_key = format!("{key}_file");
        let path = self.text(&file_key);
        let secrets = match (self.table.get(key), path) {
            (Some(_), Some(_)) => {
                self.problem(&format!("{key} and {file_key} are both set; keep one of them"));
                return Some(Vec::new());
            }
            (None, None) => return None,
            (None, Some(path)) => {
                let list = self.secret_file(&file_key, &path);
                return Some(list.map(|list| split(list.expose_secret())).unwrap_or_default());
            }
            (Some(Value::Array(values)), None) => {
                let secrets = values.iter().map(|value| Some(SecretString::from(value.as_str()?)));
                secrets.collect::<Option<Vec<_>>>()
            }
            (Some(_), None) => None,
        };
        let sound = secrets.filter(|secrets| {
            !secrets.is_empty() && secrets.iter().all(|secret| !secret.expose_secret().is_empty())
        });
        if sound.is_none() {
            self.problem(&format!("{key} must be a list of texts, none empty: [\"…\", \"…\"]"));
        }
        Some(sound.unwrap_or_default())
    }

    fn shared_keys(&mut self) -> Vec<SharedKey> {
        let values = match self.table.get("shared_keys") {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => {
                self.problem("shared_keys must be a list of { id, algorithm, secret }");
                return Vec::new();
            }
        };
        let mut keys: Vec<SharedKey> = Vec::with_capacity(values.len());
        for (number, value) in (1..).zip(values) {
            let name = format!("{}: shared key {number}", self.name);
            let Value::Table(table) = value else {
                self.problem(&format!("shared key {number} must be {{ id, algorithm, secret }}"));
                continue;
            };
            let mut row = Row { reader: self.reader, table, name };
            if let Some(key) = row.shared_key() {
                if keys.iter().any(|known| known.id == key.id) {
                    row.problem("it has the id of another key");
                }
                keys.push(key);
            }
        }
        keys
    }

    fn shared_key(&mut self) -> Option<SharedKey> {
        self.reject_unknown(&KNOWN_OF_A_SHARED_KEY);
        let (id, algorithm) = (self.text("id"), self.text("algorithm"));
        let secret = self.secret("secret");
        let Some(secret) = secret else {
            self.problem("it has no secret");
            return None;
        };
        let (id, algorithm) = (id.unwrap_or_default(), algorithm.unwrap_or_default());
        SharedKey::read(&id, &algorithm, &secret).map_err(|why| self.problem(why)).ok()
    }

    /// The app's URLs. They may hold passwords, so each is read as a secret.
    fn forward(&mut self) -> ForwardUrls {
        let mut urls = ForwardUrls::default();
        for kind in ForwardKind::ALL {
            let key = key_of(kind);
            let Some(text) = self.secret(key) else { continue };
            match read_url(text.expose_secret().trim()) {
                Ok(to) => urls.set(kind, to),
                Err(why) => self.problem(&format!("{key}: {why}")),
            }
        }
        urls
    }

    fn api_key(&mut self) -> Option<ApiKey> {
        let (sid, secret) = (self.text("api_key"), self.secret("api_secret"));
        if sid.as_deref().is_some_and(|sid| !is_api_key_sid(sid)) {
            self.problem("api_key must be the key's SID: SK… and 32 hexadecimal digits");
        }
        match (&sid, &secret) {
            (Some(_), None) => self.problem("api_key needs its api_secret"),
            (None, Some(_)) => self.problem("api_secret needs its api_key (SK…)"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        Some(ApiKey { sid: sid?, secret: secret? })
    }

    fn send_api_keys(&mut self) -> Vec<ApiKey> {
        let mut keys = Vec::new();
        for secret in self.secrets("send_api_keys").unwrap_or_default() {
            match send_api_key(&secret) {
                Some(key) => keys.push(key),
                None => self.problem(&format!("send_api_keys: {SEND_API_KEY_EXPECTED}")),
            }
        }
        keys
    }

    /// The origin for its posts, and the region of its tokens. The first that is set: its own URL,
    /// `HEARDBACK_UPSTREAM_URL`, its own edge and region, those of the environment.
    fn upstream(&mut self, default: &DefaultUpstream) -> Option<(UpstreamUrl, Option<String>)> {
        let (edge, region) = (self.text("edge"), self.text("region"));
        let url = self.text("upstream_url");
        let own_region = region.clone().or_else(|| edge.as_ref().map(|_| "us1".to_owned()));
        if let Some(url) = url {
            let parsed = UpstreamUrl::parse(&url);
            let parsed = parsed.map_err(|error| self.problem(&format!("upstream_url: {error}")));
            return Some((parsed.ok()?, own_region));
        }
        if edge.is_none() && region.is_none() {
            return Some((default.url.clone(), default.region.clone()));
        }
        let own = UpstreamUrl::from_region(edge.as_deref(), region.as_deref());
        let own = own.map_err(|error| {
            self.problem(&error.to_string().replace("TWILIO_EDGE", "edge"));
        });
        let own = own.ok()?;
        Some((if default.given { default.url.clone() } else { own }, own_region))
    }
}
