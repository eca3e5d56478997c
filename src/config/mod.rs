//! Settings: everything parsed into domain types before anything starts, all problems at once.
//!
//! Fail closed: there is no default for a secret, and nothing here switches verification off. The
//! environment and the file system are arguments, so tests need neither; [`process_env`] is the one
//! place in the program that reads the real one (clap aside).

mod accounts;
mod judgement;
mod listen;
pub mod problems;
mod reader;
mod rows;
mod shared_keys;
#[cfg(test)]
mod shared_keys_tests;
mod signing_key;
#[cfg(test)]
mod tests;
mod traces;
mod unread;
mod windows;

pub use accounts::{Account, Accounts, account_sids};
pub use judgement::Judgement;
pub use listen::ListenAddr;
pub use shared_keys::SharedKey;
pub use signing_key::{ChosenKey, signing_key};
pub use traces::TraceSettings;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::cli::settings::SettingsArgs;
use crate::cli::{HealthArgs, StoreArgs};
use crate::config::problems::{Problem, Problems};
use crate::config::reader::{Reader, text};
use crate::domain::link::Links;
use crate::domain::matching::{Policy, Resend};
use crate::domain::path_secret::PathSecret;
use crate::domain::public_url::PublicUrl;
use crate::domain::twiml::RedirectUrl;

/// The environment, as a question: what does this variable hold?
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
/// The file system, as a question: what does this file hold?
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Everything that `serve` needs to know. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Settings {
    /// The origins that Twilio and the app sign; at least one.
    pub public_urls: Vec<PublicUrl>,
    /// Whose messages these are, and what is signed and posted with for each.
    pub accounts: Accounts,
    /// The file that named some of them.
    pub accounts_file: Option<PathBuf>,
    /// What every account's app may sign with. Empty: see [`Account::app_secrets`].
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
    /// The public listener.
    pub listen: ListenAddr,
    /// The operator's listener.
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
    /// Whether spans go to a collector.
    pub traces: Option<TraceSettings>,
    /// What works, but is probably not what was meant. No secrets in it.
    pub warnings: Vec<String>,
}

/// A Twilio API key: least privilege, and revocable by itself.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `SK…`; not secret.
    pub sid: String,
    /// Its secret.
    pub secret: SecretString,
}

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sled:PATH`: a folder on this machine.
    Sled(PathBuf),
}

/// What to log and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives of `tracing-subscriber`'s `EnvFilter`, already checked.
    pub filter: String,
    /// The shape of a line.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// In hours.
const DAY: u64 = 24;

impl Settings {
    /// Makes settings of the command line, this process's environment and the files that it names. A variable
    /// that resembles a setting but is none is a problem or a warning.
    ///
    /// # Errors
    /// Every [`Problem`] there is, not just the first.
    pub fn of_process(args: &SettingsArgs) -> Result<Self, Problems> {
        let read = |path: &Path| std::fs::read_to_string(path);
        let (unread, warnings) = unread::judge(&process_variables(), &process_env);
        match Self::gather(args, &process_env, &read) {
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
        let mut reader = Reader::new(env, read);
        let accounts = accounts::gather(&mut reader, args);
        let upstream_concurrency = rows::upstream_concurrency(&mut reader, args);
        let public_urls = rows::public_urls(&mut reader, args);
        let (listen, ops_listen) = rows::listeners(&mut reader, args);
        let ops_token = rows::ops_token(&mut reader, &ops_listen);
        let client_ip_header = rows::client_ip_header(&mut reader, args);
        let app_keys = rows::app_keys(&mut reader).unwrap_or_default();
        if let Some(accounts) = &accounts {
            accounts::check_app_keys(&mut reader, accounts, &app_keys);
        }
        let phone_key = rows::phone_key(&mut reader);
        let click_secret = rows::click_secret(&mut reader);
        let call_redirect = rows::call_redirect(&mut reader, args);

        let give_up_after =
            reader.duration("HEARDBACK_GIVE_UP_AFTER", args.give_up_after.as_ref(), DAY);
        let Judgement { policy, max_messages, max_parked } = Judgement::read(&mut reader, args);
        let Policy { pending_ttl, reply_window, event_window, retention, read_confirms, resend } =
            policy;
        let reference_tag = text(args.reference_tag.as_ref()).map(str::to_owned);
        let ignore_crawlers = text(args.ignore_crawlers.as_ref()).is_none()
            || reader.switch("HEARDBACK_IGNORE_CRAWLERS", args.ignore_crawlers.as_ref());
        let links = rows::links(&mut reader, args, &public_urls);
        let dry_run = reader.switch("HEARDBACK_DRY_RUN", args.dry_run.as_ref());
        let store = rows::store(&mut reader, args.store.as_ref());
        let allow_unsafe_store =
            reader.switch("HEARDBACK_ALLOW_UNSAFE_STORE", args.allow_unsafe_store.as_ref());
        let record_refused = rows::record_refused(&mut reader, args);
        let log = rows::log(&mut reader, args);

        let (Some(accounts), Some(store), true) = (accounts, store, reader.problems.is_empty())
        else {
            return Err(reader.problems);
        };
        Ok(Self {
            public_urls,
            accounts,
            accounts_file: text(args.accounts_file.as_ref()).map(PathBuf::from),
            app_keys,
            click_secret,
            call_redirect,
            upstream_concurrency,
            store,
            allow_unsafe_store,
            phone_key,
            listen,
            ops_listen,
            ops_token,
            client_ip_header,
            give_up_after,
            pending_ttl,
            reply_window,
            event_window,
            retention,
            max_messages,
            max_parked,
            read_confirms,
            resend,
            reference_tag,
            ignore_crawlers,
            links,
            dry_run,
            record_refused,
            log,
            traces: traces::gather(env),
            warnings: reader.warnings,
        })
    }
}

/// Which store a command that needs nothing else is about.
///
/// # Errors
/// It is not written as one.
pub fn store(given: &StoreArgs) -> Result<StoreUrl, Problems> {
    let mut reader = Reader::new(&|_| None, &|_| Err(io::ErrorKind::NotFound.into()));
    rows::store(&mut reader, given.store.as_ref()).ok_or(reader.problems)
}

/// The address of the operator's listener, for a command that needs no other setting.
///
/// # Errors
/// It is no address, or has a port that only the running service knows.
pub fn ops_listen(given: &HealthArgs) -> Result<ListenAddr, Problems> {
    let mut reader = Reader::new(&|_| None, &|_| Err(io::ErrorKind::NotFound.into()));
    let listen = rows::ops_listen(&mut reader, given.ops_listen.as_ref());
    if listen.port() == 0 {
        let expected = "port 0 does not say where the service listens; expected its port";
        reader.problem(Problem::shown("HEARDBACK_OPS_LISTEN", &listen.to_string(), expected));
    }
    if reader.problems.is_empty() { Ok(listen) } else { Err(reader.problems) }
}

/// What a command that may have to open the store itself needs of the service's settings.
#[derive(Debug)]
pub struct VisitSettings {
    /// The store.
    pub store: StoreUrl,
    /// `HEARDBACK_PHONE_KEY`
    pub phone_key: Option<SecretString>,
    /// `HEARDBACK_RECORD_REFUSED`
    pub record_refused: Option<PathBuf>,
    /// `HEARDBACK_MAX_MESSAGES`, if it is set
    pub max_messages: Option<u64>,
    /// `HEARDBACK_MAX_PARKED`, if it is set
    pub max_parked: Option<u64>,
}

impl VisitSettings {
    /// Reads them.
    ///
    /// # Errors
    /// Every problem with them.
    pub fn gather(given: &StoreArgs, env: Env<'_>, read: ReadFile<'_>) -> Result<Self, Problems> {
        let mut reader = Reader::new(env, read);
        let store = rows::store(&mut reader, given.store.as_ref());
        let phone_key = rows::phone_key(&mut reader);
        let record_refused = env("HEARDBACK_RECORD_REFUSED");
        let record_refused = text(record_refused.as_ref()).map(PathBuf::from);
        let most = env("HEARDBACK_MAX_MESSAGES");
        let max_messages = reader.count("HEARDBACK_MAX_MESSAGES", most.as_ref(), 1, u64::MAX);
        let most = env("HEARDBACK_MAX_PARKED");
        let max_parked = reader.count("HEARDBACK_MAX_PARKED", most.as_ref(), 1, u64::MAX);
        match store {
            Some(store) if reader.problems.is_empty() => {
                Ok(Self { store, phone_key, record_refused, max_messages, max_parked })
            }
            Some(_) | None => Err(reader.problems),
        }
    }
}

/// The names of the real environment's variables, where they are valid UTF-8.
fn process_variables() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let variables = std::env::vars_os();
    variables.filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// What the real environment holds under this name, if it is set to valid UTF-8.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var(name).ok()
}
