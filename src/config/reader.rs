//! Reads one setting after the other and collects what is wrong on the way.
//!
//! Each method answers with a usable value even after a problem, so that the reading goes on; the
//! caller drops everything if a problem was found.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use secrecy::{ExposeSecret, SecretString};

use crate::config::listen::ListenAddr;
use crate::config::problems::{Problem, Problems};
use crate::config::{Env, ReadFile};
use crate::domain::switch;

/// In seconds.
const HOUR: u64 = 3600;
/// Far above every use, far below what could overflow a timestamp.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * HOUR);

pub(super) struct Reader<'a> {
    env: Env<'a>,
    read: ReadFile<'a>,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
}

/// The value without the blanks around it; empty means unset.
pub(super) fn text(value: Option<&String>) -> Option<&str> {
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: Env<'a>, read: ReadFile<'a>) -> Self {
        Self { env, read, problems: Problems::default(), warnings: Vec::new() }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// What a file holds.
    ///
    /// # Errors
    /// What the system says; nothing of the file.
    pub(super) fn file(&self, path: &str) -> io::Result<String> {
        (self.read)(Path::new(path))
    }

    /// Whether a secret is given, in one way or the other.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let given = |name: &str| (self.env)(name).is_some_and(|value| !value.trim().is_empty());
        given(name) || given(&format!("{name}_FILE"))
    }

    /// A secret, from the variable or from the file that its `…_FILE` variant names.
    ///
    /// # Errors
    /// The problem: both are given, or the file is unreadable or empty.
    fn find_secret(&self, name: &str) -> Result<Option<SecretString>, Problem> {
        let file_name = format!("{name}_FILE");
        let given = |name: &str| (self.env)(name).filter(|value| !value.trim().is_empty());
        match (given(name), given(&file_name)) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Problem::withheld(
                name,
                format!("{name} and {file_name} are both set; keep one of them"),
            )),
            (Some(value), None) => Ok(Some(without_newline(&value))),
            (None, Some(path)) => self.secret_file(&file_name, &path).map(Some),
        }
    }

    fn secret_file(&self, setting: &str, path: &str) -> Result<SecretString, Problem> {
        let value = self.file(path).map_err(|error| {
            Problem::withheld(setting, format!("the file {path:?} cannot be read: {error}"))
        })?;
        if value.trim().is_empty() {
            return Err(Problem::withheld(setting, format!("the file {path:?} is empty")));
        }
        Ok(without_newline(&value))
    }

    pub(super) fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.find_secret(name).unwrap_or_else(|problem| {
            self.problem(problem);
            None
        })
    }

    /// The secrets in a file that the command line names.
    pub(super) fn secrets_in_file(&mut self, flag: &str, path: &str) -> Vec<SecretString> {
        match self.secret_file(flag, path) {
            Ok(value) => split(&value),
            Err(problem) => {
                self.problem(problem);
                Vec::new()
            }
        }
    }

    /// Secrets separated by commas. `None` where the setting is unset; a setting that is nothing
    /// but commas is a problem.
    pub(super) fn secrets(&mut self, name: &str) -> Option<Vec<SecretString>> {
        let secrets = split(&self.secret(name)?);
        if secrets.is_empty() {
            self.problem(Problem::withheld(name, "nothing stands between its commas"));
        }
        Some(secrets)
    }

    pub(super) fn duration(&mut self, name: &str, value: Option<&String>, hours: u64) -> Duration {
        self.duration_or(name, value, Duration::from_secs(hours * HOUR))
    }

    pub(super) fn duration_or(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: Duration,
    ) -> Duration {
        let Some(text) = text(value) else { return default };
        let read = text
            .parse::<Span>()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|span| Duration::try_from(span).ok())
            .filter(|span| !span.is_zero() && *span <= LONGEST);
        read.unwrap_or_else(|| {
            let expected = "expected a duration such as 90s, 15m, 1h30m, 24h or 7d: above zero, at \
                            most 3650d, with its unit";
            self.problem(Problem::shown(name, text, expected));
            default
        })
    }

    pub(super) fn switch(&mut self, name: &str, value: Option<&String>) -> bool {
        let Some(text) = text(value) else { return false };
        switch::parse(text).unwrap_or_else(|| {
            self.problem(Problem::shown(name, text, "expected true or false"));
            false
        })
    }

    pub(super) fn count<T>(
        &mut self,
        name: &str,
        value: Option<&String>,
        low: T,
        high: T,
    ) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let text = text(value)?;
        let read = text.parse().ok().filter(|count| (low..=high).contains(count));
        if read.is_none() {
            let expected = format!("expected a whole number from {low} to {high}");
            self.problem(Problem::shown(name, text, expected));
        }
        read
    }

    pub(super) fn address(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: SocketAddr,
    ) -> ListenAddr {
        let default = ListenAddr::Socket(default);
        let Some(text) = text(value) else { return default };
        ListenAddr::parse(text).unwrap_or_else(|| {
            let expected = format!(
                "expected an address or a host name, and a port, e.g. {default}, [::]:8080 or localhost:8080; an \
                 IPv6 address stands in brackets"
            );
            self.problem(Problem::shown(name, text, expected));
            default
        })
    }
}

/// Editors and `echo` end a file with a newline that belongs to no secret.
pub(super) fn without_newline(value: &str) -> SecretString {
    SecretString::from(value.trim_end_matches(['\r', '\n']))
}

pub(super) fn split(list: &SecretString) -> Vec<SecretString> {
    let entries = list.expose_secret().split(',').map(str::trim);
    entries.filter(|entry| !entry.is_empty()).map(SecretString::from).collect()
}
