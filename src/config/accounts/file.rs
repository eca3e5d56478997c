//! `HEARDBACK_ACCOUNTS_FILE`: TOML, one `[[account]]` table for each.
//!
//! Read by hand from the parsed table, and not by derive: all problems are wanted at once, and serde's
//! words for a value of the wrong type repeat the value, which may be a secret. No value is shown.

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use crate::config::ApiKey;
use crate::config::accounts::{AccountSettings, DefaultUpstream, FILE, MAX_TOKENS};
use crate::config::parse::{MIN_KEY_BYTES, RANDOM_HEX, is_api_key_sid, is_short};
use crate::config::problems::Problem;
use crate::config::reader::{SettingsReader, split, without_newline};
use crate::config::shared_keys::SharedKey;
use crate::domain::sid::AccountSid;
use crate::twilio::api_url::UpstreamUrl;

const KNOWN: [&str; 12] = [
    "sid",
    "auth_tokens",
    "auth_tokens_file",
    "shared_keys",
    "app_keys",
    "app_keys_file",
    "api_key",
    "api_secret",
    "api_secret_file",
    "edge",
    "region",
    "upstream_url",
];
const KNOWN_OF_A_SHARED_KEY: [&str; 4] = ["id", "algorithm", "secret", "secret_file"];

/// Reads the accounts of the file. What is wrong with one leaves it out, and is a problem.
pub(super) fn read(
    reader: &mut SettingsReader<'_>,
    path: &str,
    place: &DefaultUpstream,
) -> Vec<AccountSettings> {
    let text = match reader.file(path) {
        Ok(text) => text,
        Err(error) => {
            blame(reader, format!("{path:?} cannot be read: {error}"));
            return Vec::new();
        }
    };
    let table = match parsed(&text) {
        Ok(table) => table,
        Err(what) => {
            blame(reader, what);
            return Vec::new();
        }
    };
    for key in table.keys().filter(|key| *key != "account") {
        blame(reader, format!("{} is not known; expected [[account]] tables", shown(key)));
    }
    let Some(Value::Array(tables)) = table.get("account") else {
        blame(reader, "there is no [[account]] in it".to_owned());
        return Vec::new();
    };
    let mut accounts = Vec::with_capacity(tables.len());
    for (number, value) in (1..).zip(tables) {
        let Value::Table(table) = value else {
            blame(reader, format!("account {number} is not a table"));
            continue;
        };
        let mut row = Row { reader, table, name: format!("account {number}") };
        accounts.extend(row.account(number, place));
    }
    accounts
}

/// The SIDs of the accounts in the text of an accounts file, without a look at anything else in it.
///
/// # Errors
/// The text is no TOML. The words quote nothing of it.
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

fn blame(reader: &mut SettingsReader<'_>, what: String) {
    reader.problem(Problem::withheld(FILE, what));
}

/// Lines and columns count from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// A key's name, unless it could be anything.
fn shown(key: &str) -> String {
    let is_word = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word && key.len() <= 24 { format!("the key {key}") } else { "a key".to_owned() }
}

/// One table, and what to call it.
struct Row<'r, 'e> {
    reader: &'r mut SettingsReader<'e>,
    table: &'r Table,
    name: String,
}

impl Row<'_, '_> {
    fn account(&mut self, number: usize, place: &DefaultUpstream) -> Option<AccountSettings> {
        let sid = self.sid();
        self.refuse_unknown(&KNOWN);
        let tokens = self.secrets("auth_tokens");
        let app_keys = self.secrets("app_keys").unwrap_or_default();
        let shared_keys = self.shared_keys();
        let api_key = self.api_key();
        if tokens.is_none() && (shared_keys.is_empty() || api_key.is_none()) {
            self.problem("auth_tokens is missing: only shared_keys and an api_key make up for it");
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
        let (upstream, region) = self.place(place)?;
        let number = Some(number);
        let sid = sid?;
        Some(AccountSettings {
            sid,
            number,
            tokens,
            shared_keys,
            app_keys,
            api_key,
            upstream,
            region,
        })
    }

    fn problem(&mut self, what: &str) {
        let what = format!("{}: {what}", self.name);
        self.reader.problem(Problem::withheld(FILE, what));
    }

    fn refuse_unknown(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(&format!("{} is not known; expected {}", shown(key), known.join(", ")));
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

    /// Empty is not there, as everywhere.
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
                self.problem(&format!("{key} and {file_key} are both there; keep one of them"));
                None
            }
            (Some(given), None) => Some(SecretString::from(given)),
            (None, path) => self.secret_file(&file_key, &path?),
        }
    }

    fn secret_file(&mut self, key: &str, path: &str) -> Option<SecretString> {
        match self.reader.file(path) {
            Ok(text) if !text.trim().is_empty() => Some(without_newline(&text)),
            Ok(_) => {
                self.problem(&format!("the file of {key} is empty"));
                None
            }
            // Not the path: it may be the secret itself, under the wrong key.
            Err(error) => {
                self.problem(&format!("the file of {key} cannot be read: {error}"));
                None
            }
        }
    }

    /// A list of secrets, or a file that holds them by comma. `None` where it is not there.
    fn secrets(&mut self, key: &str) -> Option<Vec<SecretString>> {
        let file_key = format!("{key}_file");
        let path = self.text(&file_key);
        let secrets = match (self.table.get(key), path) {
            (Some(_), Some(_)) => {
                self.problem(&format!("{key} and {file_key} are both there; keep one of them"));
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
                    row.problem("it has the id of another one");
                }
                keys.push(key);
            }
        }
        keys
    }

    fn shared_key(&mut self) -> Option<SharedKey> {
        self.refuse_unknown(&KNOWN_OF_A_SHARED_KEY);
        let (id, algorithm) = (self.text("id"), self.text("algorithm"));
        let secret = self.secret("secret");
        let Some(secret) = secret else {
            self.problem("it has no secret");
            return None;
        };
        let (id, algorithm) = (id.unwrap_or_default(), algorithm.unwrap_or_default());
        SharedKey::read(&id, &algorithm, &secret).map_err(|what| self.problem(what)).ok()
    }

    fn api_key(&mut self) -> Option<ApiKey> {
        let (sid, secret) = (self.text("api_key"), self.secret("api_secret"));
        if sid.as_deref().is_some_and(|sid| !is_api_key_sid(sid)) {
            self.problem("api_key must be the key's SID: SK… and 32 hexadecimal digits");
        }
        match (sid, secret) {
            (Some(sid), Some(secret)) => Some(ApiKey { sid, secret }),
            (Some(_), None) => {
                self.problem("api_key needs its api_secret");
                None
            }
            (None, Some(_)) => {
                self.problem("api_secret needs its api_key (SK…)");
                None
            }
            (None, None) => None,
        }
    }

    /// Where its posts go: its own URL, else `HEARDBACK_UPSTREAM_URL`, else its own edge and region,
    /// else the environment's. And the region that its tokens are of.
    fn place(&mut self, place: &DefaultUpstream) -> Option<(UpstreamUrl, Option<String>)> {
        let (edge, region) = (self.text("edge"), self.text("region"));
        let url = self.text("upstream_url");
        let own_region = region.clone().or_else(|| edge.as_ref().map(|_| "us1".to_owned()));
        if let Some(url) = url {
            let parsed = UpstreamUrl::parse(&url);
            let parsed = parsed.map_err(|error| self.problem(&format!("upstream_url: {error}")));
            return Some((parsed.ok()?, own_region));
        }
        if edge.is_none() && region.is_none() {
            return Some((place.url.clone(), place.region.clone()));
        }
        let own = UpstreamUrl::from_region(edge.as_deref(), region.as_deref());
        let own = own.map_err(|error| {
            self.problem(&error.to_string().replace("TWILIO_EDGE", "edge"));
        });
        let own = own.ok()?;
        Some((if place.given { place.url.clone() } else { own }, own_region))
    }
}
