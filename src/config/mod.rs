//! Settings: everything parsed into domain types before anything starts, all problems at once.
//!
//! Fail closed: there is no default for a secret, and nothing here switches verification off. The
//! environment and the file system are arguments, so tests need neither; [`process_env`] is the one
//! place in the program that reads the real one (clap aside).

mod accounts;
mod listen;
mod parse;
pub mod problems;
mod reader;
mod setting;
mod shared_keys;
#[cfg(test)]
mod shared_keys_tests;
mod show;
mod signing_key;
mod table;
#[cfg(test)]
mod tests;
mod traces;
mod unread;

pub use accounts::{AccountSettings, AccountsSettings, account_sids};
pub use listen::ListenAddr;
pub use setting::{Setting, SettingsArgs, secrets};
pub use shared_keys::SharedKey;
pub use show::written;
pub use signing_key::{ChosenKey, KeyPlace, signing_key};
pub use table::SETTINGS;
pub use traces::TraceSettings;

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::config::parse::{RANDOM_HEX, URL_EXPECTED};
use crate::config::problems::{Problem, Problems};
use crate::config::reader::SettingsReader;
use crate::config::table::{
    EVENT_WINDOW, MAX_MESSAGES, MAX_PARKED, OPS_LISTEN, OPS_TOKEN, PHONE_KEY, PUBLIC_URL,
    RECORD_REFUSED, REPLY_WINDOW, STORE_URL, TWILIO,
};
use crate::domain::click_link;
use crate::domain::click_link::Links;
use crate::domain::matching::{Policy, Resend};
use crate::domain::path_secret::PathSecret;
use crate::domain::sid::AccountSid;
use crate::twilio::api_url::UpstreamUrl;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::twiml::RedirectUrl;

/// What follows the public URL in a click link: `/c/` and a token.
const LINK_PATH_LEN: usize = 3 + click_link::TOKEN_LEN;
/// A click link that takes more than this much of an SMS is a warning.
const LONG_LINK: usize = 64;

/// The environment, as a question: what does this variable hold?
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
/// The file system, as a question: what does this file hold?
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// All settings of the service. Each value of the table is a field of [`Values`], which this dereferences to. Its
/// `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The accounts, each with its keys.
    pub accounts: AccountsSettings,
    /// Whether spans go to a collector.
    pub traces: Option<TraceSettings>,
    /// Valid values that are probably a mistake. They contain no secret.
    pub warnings: Vec<String>,
    values: Values,
}

/// The values of the table. A field whose row has not been read has the default of its type.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Values {
    own: OwnAccount,
    edge: Option<String>,
    region: Option<String>,
    upstream_url: Option<UpstreamUrl>,
    /// The origins that Twilio and the app sign; at least one.
    pub public_urls: Vec<PublicUrl>,
    /// The file that named some of them.
    pub accounts_file: Option<PathBuf>,
    /// What every account's app may sign with. Empty: see [`AccountSettings::app_secrets`].
    pub app_keys: Vec<SecretString>,
    /// Opens a path for click callbacks that nobody signed; without it there is none.
    pub click_secret: Option<PathSecret>,
    /// Where Twilio gets the app's `TwiML` for a call; without it, calls are rejected.
    pub call_redirect: Option<RedirectUrl>,
    /// Posts at the same time: 1 to 64.
    pub upstream_concurrency: usize,
    /// Where the records are.
    pub store: StoreUrl,
    /// Whether the store may be on a file system that can lose acknowledged records.
    pub allow_unsafe_store: bool,
    /// Keys the hash of recipients' addresses; without it, the store makes its own.
    pub phone_key: Option<SecretString>,
    pub listen: ListenAddr,
    pub ops_listen: ListenAddr,
    /// What the operator's page asks for; never without it where other machines can reach it.
    pub ops_token: Option<SecretString>,
    /// The header that names the client's address; without it, it is the peer's.
    pub client_ip_header: Option<String>,
    /// How long to retry a post.
    pub give_up_after: Duration,
    /// How long a message waits for evidence.
    pub pending_ttl: Duration,
    /// How old a message may be for inferred evidence to confirm it; at most `pending_ttl`.
    pub reply_window: Duration,
    /// How old a message may be for an app's event with only a `To` to confirm it; at most `pending_ttl`.
    pub event_window: Duration,
    /// How long finished records are kept.
    pub retention: Duration,
    /// Above it, new messages are refused for now.
    pub max_messages: u64,
    /// The most parked evidence.
    pub max_parked: u64,
    /// Whether the status `read` counts as evidence.
    pub read_confirms: bool,
    /// Which of several messages under one reference is confirmed.
    pub resend: Resend,
    /// The tag of a message that holds its reference, in Event Streams.
    pub reference_tag: Option<String>,
    /// Whether known crawlers' clicks are no evidence.
    pub ignore_crawlers: bool,
    /// What happens when somebody opens one of our click links.
    pub links: Links,
    /// Whether to decide and record, but never post.
    pub dry_run: bool,
    /// The folder that keeps the last requests refused for their signature; `None`: none are kept.
    pub record_refused: Option<PathBuf>,
    /// What to log and how.
    pub log: LogSettings,
}

/// The account that the environment names.
#[derive(Debug, Clone, Default)]
struct OwnAccount {
    sid: Option<AccountSid>,
    tokens: Option<Vec<SecretString>>,
    shared_keys: Vec<SharedKey>,
    api_key: Option<String>,
    api_secret: Option<SecretString>,
}

/// A Twilio API key: least privilege, and revocable by itself.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `SK…`; not secret.
    pub sid: String,
    pub secret: SecretString,
}

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sled:PATH`: a folder on this machine.
    Sled(PathBuf),
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sled(PathBuf::new())
    }
}

/// What to log and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives of `tracing-subscriber`'s `EnvFilter`, already checked.
    pub filter: String,
    /// The shape of a line.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

impl Deref for Settings {
    type Target = Values;

    fn deref(&self) -> &Values {
        &self.values
    }
}

impl DerefMut for Settings {
    fn deref_mut(&mut self) -> &mut Values {
        &mut self.values
    }
}

impl Settings {
    /// Makes settings of the command line, this process's environment and the files that it names. A variable
    /// that resembles a setting but is none is a problem or a warning.
    ///
    /// # Errors
    /// Every [`Problem`] there is, not just the first.
    pub fn of_process(args: &SettingsArgs) -> Result<Self, Problems> {
        let (unread, warnings) = unread::judge(&process_variables(), &process_env);
        match Self::gather(args, &process_env, &process_file) {
            Ok(mut settings) if unread.is_empty() => {
                settings.warnings.extend(warnings);
                Ok(settings)
            }
            Ok(_) => Err(unread),
            Err(mut problems) => {
                problems.append(unread);
                Err(problems)
            }
        }
    }

    /// Makes settings of the command line (which has taken in the environment's part), the secrets
    /// in the environment, and the files that `…_FILE` variables name.
    ///
    /// # Errors
    /// Every [`Problem`] there is, not just the first.
    pub fn gather(args: &SettingsArgs, env: Env<'_>, read: ReadFile<'_>) -> Result<Self, Problems> {
        let mut reader = SettingsReader::new(args.clone(), env, read);
        let accounts = accounts::gather(&mut reader);
        reader.rows(|setting| setting.heading != TWILIO);
        if let Some(accounts) = &accounts {
            let app_keys = reader.values.app_keys.clone();
            accounts::check_app_keys(&mut reader, accounts, &app_keys);
        }
        judge_public_urls(&mut reader);
        judge_listeners(&mut reader);
        judge_windows(&mut reader);
        let SettingsReader { values, mut problems, warnings, .. } = reader;
        problems.sort();
        let (Some(accounts), true) = (accounts, problems.is_empty()) else { return Err(problems) };
        Ok(Self { accounts, traces: traces::gather(env), warnings, values })
    }
}

fn judge_public_urls(reader: &mut SettingsReader<'_>) {
    let Values { public_urls, links, .. } = reader.values.clone();
    if public_urls.is_empty() && !reader.is_broken(PUBLIC_URL) {
        reader.problem(Problem::missing(PUBLIC_URL, URL_EXPECTED));
    }
    for url in &public_urls {
        if let Some(why) = url.why_unreachable() {
            reader.warn(format!("{PUBLIC_URL} {url}: Twilio cannot reach it: {why}"));
        }
        if url.prefix().contains("/twilio/") || url.prefix().contains("/app/") {
            reader.warn(format!(
                "{PUBLIC_URL} {url} looks like a route: give the part before /twilio/… and /app/…"
            ));
        }
    }
    let length = public_urls.first().map_or(0, |base| base.as_str().len() + LINK_PATH_LEN);
    if links != Links::Off && length > LONG_LINK {
        reader.warn(format!(
            "a click link takes {length} of the 160 characters of an SMS: a shorter host as the first \
             HEARDBACK_PUBLIC_URL costs less (or HEARDBACK_LINKS=off, if you use none)"
        ));
    }
}

/// The operator's page needs no password only if its listener is certainly loopback: a host name may resolve to any
/// address.
fn judge_listeners(reader: &mut SettingsReader<'_>) {
    let Values { listen, ops_listen, .. } = reader.values.clone();
    if listen.collides_with(&ops_listen) {
        let expected = "HEARDBACK_LISTEN has the same port; expected another one";
        reader.problem(Problem::shown(OPS_LISTEN, &ops_listen.to_string(), expected));
    }
    if ops_listen.is_loopback() {
        return;
    }
    reader.warn(format!(
        "{OPS_LISTEN} {ops_listen} is open to other machines, /metrics without a password"
    ));
    if !reader.is_set(OPS_TOKEN) {
        let way_out = format!(
            "{OPS_LISTEN} {ops_listen} is open to other machines, so the operator's page needs a password: set it, \
             e.g. {RANDOM_HEX}, or listen on 127.0.0.1"
        );
        reader.problem(Problem::missing(OPS_TOKEN, way_out));
    }
}

/// A default window shrinks to the pending lifetime; a given window that exceeds it is a problem.
fn judge_windows(reader: &mut SettingsReader<'_>) {
    let ttl = reader.values.pending_ttl;
    for name in [REPLY_WINDOW, EVENT_WINDOW] {
        let found = reader.args.text(name).map(str::to_owned);
        let window = match name {
            REPLY_WINDOW => &mut reader.values.reply_window,
            _ => &mut reader.values.event_window,
        };
        if *window > ttl {
            *window = ttl;
            if let Some(found) = found {
                let expected =
                    "longer than HEARDBACK_PENDING_TTL, for which a message waits at all";
                reader.problem(Problem::shown(name, &found, expected));
            }
        }
    }
}

/// The value of a single row that a flag of a command names.
fn row(name: &'static str, given: Option<&str>) -> Result<Values, Problems> {
    let args = SettingsArgs::default().with(name, given.unwrap_or_default());
    let mut reader = SettingsReader::new(args, &|_| None, &|_| Err(io::ErrorKind::NotFound.into()));
    reader.rows(|setting| setting.name == name);
    if reader.problems.is_empty() { Ok(reader.values) } else { Err(reader.problems) }
}

/// Parses the store of a command that needs no other setting.
///
/// # Errors
/// The text names no store.
pub fn store(given: Option<&str>) -> Result<StoreUrl, Problems> {
    row(STORE_URL, given).map(|values| values.store)
}

/// Parses the address of the operator's listener, for a command that needs no other setting.
///
/// # Errors
/// The text is no address, or its port is known to the running service only.
pub fn ops_listen(given: Option<&str>) -> Result<ListenAddr, Problems> {
    let listen = row(OPS_LISTEN, given)?.ops_listen;
    if listen.port() == 0 {
        let expected = "port 0 does not say where the service listens; expected its port";
        let problem = Problem::shown(OPS_LISTEN, &listen.to_string(), expected);
        return Err(Problems::from(problem));
    }
    Ok(listen)
}

/// The settings of a command that may open the store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    /// The command neither judges evidence nor removes records.
    Operates,
    /// The command judges evidence as the service does.
    Judges,
}

impl Values {
    /// Reads the settings of a command that may open the store itself, from the environment.
    ///
    /// # Errors
    /// Every problem with them.
    pub fn of_command(
        store: Option<&str>,
        kind: CommandKind,
        env: Env<'_>,
        read: ReadFile<'_>,
    ) -> Result<Self, Problems> {
        let args = SettingsArgs::from_env(env).with(STORE_URL, store.unwrap_or_default());
        let judges = kind == CommandKind::Judges;
        let mut reader = SettingsReader::new(args, env, read);
        let always = [STORE_URL, PHONE_KEY, RECORD_REFUSED, MAX_MESSAGES, MAX_PARKED];
        reader.rows(|row| always.contains(&row.name) || judges && JUDGES_BY.contains(&row.name));
        if judges {
            judge_windows(&mut reader);
        } else {
            let values = &mut reader.values;
            values.pending_ttl = Duration::MAX;
            values.reply_window = Duration::MAX;
            values.event_window = Duration::MAX;
            values.retention = Duration::MAX;
            // Only a limit that is set for this command applies to it.
            if reader.args.text(MAX_MESSAGES).is_none() {
                values.max_messages = u64::MAX;
            }
            if reader.args.text(MAX_PARKED).is_none() {
                values.max_parked = u64::MAX;
            }
        }
        if reader.problems.is_empty() { Ok(reader.values) } else { Err(reader.problems) }
    }

    /// The rules by which the store judges evidence.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            pending_ttl: self.pending_ttl,
            reply_window: self.reply_window,
            event_window: self.event_window,
            retention: self.retention,
            read_confirms: self.read_confirms,
            resend: self.resend,
        }
    }
}

/// The settings of [`Values::policy`].
const JUDGES_BY: [&str; 6] = [
    "HEARDBACK_PENDING_TTL",
    REPLY_WINDOW,
    EVENT_WINDOW,
    "HEARDBACK_RETENTION",
    "HEARDBACK_READ_CONFIRMS",
    "HEARDBACK_RESEND",
];

/// The names of the real environment's variables, where they are valid UTF-8.
fn process_variables() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let variables = std::env::vars_os();
    variables.filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// The text of a file.
///
/// # Errors
/// The system's reason.
pub fn process_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// What the real environment holds under this name, if it is set to valid UTF-8.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var(name).ok()
}
