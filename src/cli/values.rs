//! Parsers of typed flags. An error names the flag and the expected form. It shows a value only if the value cannot be
//! a secret or a phone number.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::config::{ListenAddr, OPS_LISTEN_DEFAULT, PASSWORD_IN_FLAG, StoreUrl};
use crate::domain::message::{Reference, State};
use crate::domain::sid::{AccountSid, MessageSid};

#[derive(Clone)]
pub(super) struct Typed<T: Clone>(pub(super) fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Typed<T> {
    type Value = T;

    fn parse_ref(&self, _: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let parsed = value.to_str().ok_or_else(|| "expected UTF-8".to_owned()).and_then(self.0);
        parsed.map_err(|expected| {
            let flag = arg.and_then(Arg::get_long).map(|flag| format!("--{flag}"));
            let operand = || Some(arg?.get_value_names()?.first()?.to_string());
            let mut name = flag.or_else(operand).unwrap_or_default();
            if let Some(variable) = arg.and_then(Arg::get_env) {
                name = format!("{name} or {}", variable.to_string_lossy());
            }
            Error::raw(ErrorKind::ValueValidation, format!("{name}: {expected}\n"))
        })
    }
}

/// The store. Other users of the machine can read a password in a flag.
pub(super) fn store(text: &str) -> Result<StoreUrl, String> {
    match StoreUrl::parse(text.trim())? {
        StoreUrl::Postgres(url) if url.has_password() => Err(PASSWORD_IN_FLAG.to_owned()),
        store @ (StoreUrl::Sled(_) | StoreUrl::Postgres(_)) => Ok(store),
    }
}

/// The address of the operator's listener. An empty variable counts as unset.
pub(super) fn ops_listen(text: &str) -> Result<ListenAddr, String> {
    let listen = ListenAddr::read(or_default(text, OPS_LISTEN_DEFAULT), OPS_LISTEN_DEFAULT)?;
    if listen.port() == 0 {
        return Err("port 0 does not name the port of the service; expected its port".to_owned());
    }
    Ok(listen)
}

fn or_default<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.trim().is_empty() { default } else { text.trim() }
}

pub(super) fn state(text: &str) -> Result<State, String> {
    let state = State::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| "expected a state".to_owned())
}

pub(super) fn account(text: &str) -> Result<AccountSid, String> {
    AccountSid::parse(text).map_err(|error| error.to_string())
}

/// The account of `hold` and `resume`, from the command line or the environment.
pub(super) fn account_to_hold(text: &str) -> Result<AccountSid, String> {
    if text.is_empty() {
        return Err("name an account (AC…), or set TWILIO_ACCOUNT_SID".to_owned());
    }
    account(text)
}

pub(super) fn message(text: &str) -> Result<MessageSid, String> {
    MessageSid::parse(text).map_err(|error| error.to_string())
}

pub(super) fn sid_or_reference(text: &str) -> Result<Reference, String> {
    let expected = || "expected a MessageSid, or a reference of 1 to 128 bytes".to_owned();
    Reference::parse(text).ok_or_else(expected)
}

pub(super) fn calling_code(text: &str) -> Result<u16, String> {
    let code = text.strip_prefix('+').unwrap_or(text).parse().ok();
    let code = code.filter(|code| (1..=999).contains(code));
    code.ok_or_else(|| "expected a country calling code such as 49".to_owned())
}

/// A field of a form, with its value.
pub(super) fn form_field(text: &str) -> Result<(String, String), String> {
    let field = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = field.ok_or_else(|| "expected NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The body of a request: a text, or `@` and a file.
#[derive(Debug, Clone)]
pub enum RequestBody {
    Text(String),
    File(PathBuf),
}

impl From<&str> for RequestBody {
    fn from(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some(path) => Self::File(PathBuf::from(path)),
            None => Self::Text(text.to_owned()),
        }
    }
}

/// A rate of at most 1000 a second, as the time between two lines.
pub(super) fn rate(text: &str) -> Result<Duration, String> {
    let interval = || {
        let (count, unit) = text.split_once('/')?;
        let unit = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_mins(1),
            _ => return None,
        };
        let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
        unit.checked_div(count).filter(|interval| *interval >= Duration::from_millis(1))
    };
    interval().ok_or_else(|| {
        "expected a number of lines a second or a minute, such as 10/s or 600/m, at most 1000/s"
            .to_owned()
    })
}

const LONGEST_WATCH: Duration = Duration::from_hours(1);

pub(super) fn watch_time(text: &str) -> Result<Duration, String> {
    let time = duration(text).ok_or_else(|| not_a_duration(text))?;
    let is_possible = time <= LONGEST_WATCH && time >= Duration::from_secs(1);
    is_possible.then_some(time).ok_or_else(|| "expected 1s to 1h".to_owned())
}

/// A duration before now.
pub(super) fn ago(text: &str) -> Result<Timestamp, String> {
    time_ago(text).ok_or_else(|| not_a_duration(text))
}

/// A time in the past: RFC 3339, or a duration before now.
pub(super) fn past_time(text: &str) -> Result<Timestamp, String> {
    let at = text.parse::<Timestamp>().ok().or_else(|| time_ago(text));
    at.filter(|at| *at <= now()).ok_or_else(|| {
        let expected = "a past time such as 2026-11-23T10:00:00Z, or a duration such as 90m or 2d";
        format!("{text:?}: expected {expected}")
    })
}

fn time_ago(text: &str) -> Option<Timestamp> {
    now().checked_sub(duration(text)?).ok()
}

fn duration(text: &str) -> Option<Duration> {
    let span = text.parse::<Span>().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

fn not_a_duration(text: &str) -> String {
    format!("{text:?}: expected a duration such as 90s, 15m, 1h30m, 24h or 7d")
}

#[expect(clippy::disallowed_methods, reason = "a duration on the command line counts from now")]
fn now() -> Timestamp {
    Timestamp::now()
}
