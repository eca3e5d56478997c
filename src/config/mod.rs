//! Settings, parsed into domain types before anything starts. All problems are reported at once.
//!
//! There is no default for a secret, and no setting switches verification off.

mod accounts;
mod env;
mod flags;
pub mod forward;
mod forward_urls;
mod listen;
mod names;
mod parse;
mod postgres_url;
pub mod problems;
mod reader;
mod settings;
mod shared_keys;
mod show;
mod signing_key;
mod table;
#[cfg(test)]
mod tests;
mod traces;
mod unread;

pub use accounts::account_sids;
pub use env::{Env, ReadFile, process_env, process_file};
pub use flags::{PASSWORD_IN_FLAG, secrets};
pub use forward_urls::{ForwardSettings, ForwardTo, ForwardUrls};
pub use listen::ListenAddr;
pub use names::{OPS_LISTEN_DEFAULT, STORE_DEFAULT};
pub use parse::HEX;
pub use postgres_url::PostgresUrl;
pub use reader::{Setting, SettingsArgs};
pub use settings::{
    AccountSettings, LogFormat, PoolSettings, SendSettings, Settings, StoreUrl, Values,
};
pub use shared_keys::SharedKey;
pub use show::written;
pub use signing_key::{ChosenKey, KeyPlace, signing_key};
pub use table::every_setting;
pub use traces::TraceSettings;

use std::time::Duration;

use crate::config::env::process_variables;
use crate::config::names::{
    ALLOW_UNVERIFIED_DATABASE, EVENT_WINDOW, MAX_MESSAGES, MAX_PARKED, OPS_LISTEN, OPS_TOKEN,
    PENDING_TTL, PHONE_KEY, PUBLIC_URL, READ_CONFIRMS, RECORD_REFUSED, REPLY_WINDOW, RESEND,
    RETENTION, STORE, STORE_URL, TWILIO,
};
use crate::config::parse::{RANDOM_HEX, URL_EXPECTED};
use crate::config::problems::{Problem, Problems};
use crate::config::reader::SettingsReader;
use crate::config::table::settings_under;
use crate::domain::click_link;
use crate::domain::click_link::Links;

/// The length of the path of a click link: `/c/` and a token.
const LINK_PATH_LEN: usize = 3 + click_link::TOKEN_LEN;
/// A click link of more characters is a warning: an SMS has 160.
const LONG_LINK: usize = 64;

impl Settings {
    /// Reads the settings from the command line, the environment of the process, and the files that it names. A
    /// variable that resembles a setting is a problem or a warning.
    ///
    /// # Errors
    /// All problems at once.
    pub fn of_process(args: &SettingsArgs) -> Result<Self, Problems> {
        let (unread, warnings) = unread::check(&process_variables(), &process_env);
        match Self::load(args, &process_env, &process_file) {
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

    /// Reads the settings from the command line, the secrets in the environment, and the files that `…_FILE` variables
    /// name. `args` includes the settings of the environment that have a flag.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(args: &SettingsArgs, env: Env<'_>, read: ReadFile<'_>) -> Result<Self, Problems> {
        let mut reader = SettingsReader::new(args.clone(), env, read);
        let accounts = accounts::load(&mut reader);
        reader.rows(settings_under(|heading| heading != TWILIO));
        if let Some(accounts) = &accounts {
            let app_keys = reader.values.app_keys.clone();
            accounts::check_app_keys(&mut reader, accounts, &app_keys);
            forward::check(&mut reader, accounts);
        }
        check_public_urls(&mut reader);
        check_listeners(&mut reader);
        check_windows(&mut reader);
        check_database(&mut reader, true);
        let SettingsReader { values, mut problems, warnings, .. } = reader;
        problems.sort_by_key(|name| {
            let row = every_setting().position(|row| row.variables().iter().any(|row| row == name));
            row.unwrap_or(usize::MAX)
        });
        let (Some(accounts), true) = (accounts, problems.is_empty()) else { return Err(problems) };
        Ok(Self { accounts, traces: traces::load(env), warnings, values })
    }
}

fn check_public_urls(reader: &mut SettingsReader<'_>) {
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
            "a click link takes {length} of the 160 characters of an SMS; put a shorter host first in \
             HEARDBACK_PUBLIC_URL, or set HEARDBACK_LINKS=off if you use no links"
        ));
    }
}

/// The operator's page needs no password only if its listener is certainly loopback: a host name may resolve to any
/// address.
fn check_listeners(reader: &mut SettingsReader<'_>) {
    let Values { listen, ops_listen, .. } = reader.values.clone();
    if listen.collides_with(&ops_listen) {
        let expected = "HEARDBACK_LISTEN has the same port; expected another port";
        reader.problem(Problem::shown(OPS_LISTEN, &ops_listen.to_string(), expected));
    }
    if ops_listen.is_loopback() {
        return;
    }
    reader.warn(format!(
        "{OPS_LISTEN} {ops_listen} is open to other machines, which need no password for /metrics"
    ));
    if !reader.is_set(OPS_TOKEN) {
        let fix = format!(
            "{OPS_LISTEN} {ops_listen} is open to other machines, so the operator's page needs a password: set it, \
             e.g. {RANDOM_HEX}, or listen on 127.0.0.1"
        );
        reader.problem(Problem::missing(OPS_TOKEN, fix));
    }
}

/// A default window is cut to the pending lifetime; a window that was set and exceeds it is a problem.
fn check_windows(reader: &mut SettingsReader<'_>) {
    let ttl = reader.values.policy.pending_ttl;
    for name in [REPLY_WINDOW, EVENT_WINDOW] {
        let found = reader.args.text(name).map(str::to_owned);
        let window = match name {
            REPLY_WINDOW => &mut reader.values.policy.reply_window,
            _ => &mut reader.values.policy.event_window,
        };
        if *window > ttl {
            *window = ttl;
            if let Some(found) = found {
                let expected = "expected at most HEARDBACK_PENDING_TTL, the lifetime of a message";
                reader.problem(Problem::shown(name, &found, expected));
            }
        }
    }
}

/// A database needs a key that all its receivers share, and a verified connection.
fn check_database(reader: &mut SettingsReader<'_>, needs_key: bool) {
    let StoreUrl::Postgres(url) = reader.values.store.clone() else { return };
    if needs_key && !reader.is_set(PHONE_KEY) {
        let expected = format!(
            "all receivers of a database need the same key: set it, e.g. {RANDOM_HEX}; `heardback store key` \
             prints the key of a sled store"
        );
        reader.problem(Problem::missing(PHONE_KEY, expected));
    }
    if let Some(mode) = url.weak_mode() {
        if reader.values.allow_unverified_database {
            reader.warn(format!(
                "{STORE_URL} has sslmode={mode}: others on the network can read the database's password and rows"
            ));
        } else {
            let expected = format!(
                "sslmode={mode} does not verify the server's certificate; expected sslmode=verify-full, with \
                 sslrootcert=FILE if the CA is private, or {ALLOW_UNVERIFIED_DATABASE}=true"
            );
            reader.problem(Problem::withheld(STORE_URL, expected));
        }
    }
}

/// The kind of a command that may open the store itself. It decides which settings the command reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandKind {
    /// The command neither judges evidence nor removes records.
    Operates,
    /// The command judges evidence as the service does.
    Judges,
    /// The command changes the schema of a database, and reads no row.
    Migrates,
}

impl Values {
    /// Reads the settings of a command that may open the store itself, from the environment of the process. `store`: the
    /// store of the command line.
    ///
    /// # Errors
    /// All problems at once.
    pub fn of_command(store: Option<&StoreUrl>, kind: CommandKind) -> Result<Self, Problems> {
        let judges = kind == CommandKind::Judges;
        let needed = |row: &&Setting| match row.name {
            PHONE_KEY | RECORD_REFUSED | MAX_MESSAGES | MAX_PARKED => kind != CommandKind::Migrates,
            STORE_URL => store.is_none(),
            PENDING_TTL | REPLY_WINDOW | EVENT_WINDOW | RETENTION | READ_CONFIRMS | RESEND => {
                judges
            }
            // The connections to a database, and its control socket.
            name => settings_under(|heading| heading == STORE).any(|row| row.name == name),
        };
        let mut reader =
            SettingsReader::new(SettingsArgs::from_env(&process_env), &process_env, &process_file);
        reader.rows(every_setting().filter(needed));
        if let Some(store) = store {
            reader.values.store = store.clone();
        }
        check_database(&mut reader, kind != CommandKind::Migrates);
        if judges {
            check_windows(&mut reader);
        } else {
            let values = &mut reader.values;
            values.policy.pending_ttl = Duration::MAX;
            values.policy.reply_window = Duration::MAX;
            values.policy.event_window = Duration::MAX;
            values.policy.retention = Duration::MAX;
            // A command has a limit only if it is set for the command.
            if reader.args.text(MAX_MESSAGES).is_none() {
                values.max_messages = u64::MAX;
            }
            if reader.args.text(MAX_PARKED).is_none() {
                values.max_parked = u64::MAX;
            }
        }
        if reader.problems.is_empty() { Ok(reader.values) } else { Err(reader.problems) }
    }
}
