//! The type of a row of the table, and the reader that applies rows to their texts.
//!
//! The reader collects all problems and warnings. After a value that cannot be parsed, it continues with the default, so
//! that the rules across settings still apply.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::config::env::{Env, ReadFile};
use crate::config::postgres_url::PostgresUrl;
use crate::config::problems::{Problem, Problems};
use crate::config::settings::{Settings, Values};

/// The variable of a platform for the app's database.
const DATABASE_URL: &str = "DATABASE_URL";
const ONLY_COMMAS: &str = "it has commas only; expected a value";

/// One setting.
pub struct Setting {
    /// The environment variable. The flag is this name without its prefix.
    pub name: &'static str,
    /// The heading in the help.
    pub heading: &'static str,
    /// The form of the value, and the default.
    pub value: Value,
    /// The help, without the default.
    pub help: &'static str,
    /// Parses a value into [`Values`]. The error names the expected form.
    pub(super) read: fn(&mut SettingsReader<'_>, &str) -> Result<(), String>,
    /// The value that `check` prints. It contains no secret.
    pub show: fn(&Settings) -> String,
}

/// The form of a setting's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A text in this form. The default is a text for the parser; empty if there is none.
    Text(&'static str, &'static str),
    /// A text in this form that no problem shows, because users paste a secret here.
    Private(&'static str),
    /// True or false, with the default; the flag alone means true.
    Switch(&'static str),
    /// A text in this form that may hold a password, with the default. With `_FILE` after the name, it is read from a
    /// file.
    Place(&'static str, &'static str),
    /// A secret. It has no flag; with `_FILE` after the name, it is read from a file.
    Secret,
}

impl Setting {
    pub(super) fn is_secret(&self) -> bool {
        self.value == Value::Secret
    }

    /// The variables that the setting is read from.
    pub fn variables(&self) -> Vec<String> {
        let has_file = matches!(self.value, Value::Secret | Value::Place(..));
        let file = has_file.then(|| format!("{}_FILE", self.name));
        std::iter::once(self.name.to_owned()).chain(file).collect()
    }

    /// The default, as text for the parser; empty if there is none.
    pub(super) fn default(&self) -> &'static str {
        match self.value {
            Value::Text(_, default) | Value::Place(_, default) | Value::Switch(default) => default,
            Value::Private(_) | Value::Secret => "",
        }
    }
}

/// The texts of the command line and the environment, by the name of the variable. Secrets are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsArgs(pub(super) BTreeMap<&'static str, String>);

impl SettingsArgs {
    /// These settings, by the name of the variable.
    pub fn of<const N: usize>(given: [(&'static str, &str); N]) -> Self {
        Self(given.map(|(name, text)| (name, text.to_owned())).into())
    }

    /// Sets one more.
    #[must_use]
    pub fn with(mut self, name: &'static str, text: &str) -> Self {
        self.0.insert(name, text.to_owned());
        self
    }

    /// The text without surrounding blanks; empty counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

pub(super) struct SettingsReader<'a> {
    pub(super) args: SettingsArgs,
    env: Env<'a>,
    read: ReadFile<'a>,
    /// The setting that is being read.
    pub(super) name: &'static str,
    pub(super) values: Values,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
}

impl<'a> SettingsReader<'a> {
    pub(super) fn new(args: SettingsArgs, env: Env<'a>, read: ReadFile<'a>) -> Self {
        Self {
            args,
            env,
            read,
            name: "",
            values: Values::default(),
            problems: Problems::default(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn rows(&mut self, rows: impl Iterator<Item = &'static Setting>) {
        rows.for_each(|setting| self.row(setting));
    }

    fn row(&mut self, setting: &'static Setting) {
        self.name = setting.name;
        let parsed = if setting.is_secret() {
            let secret = self.secret(setting.name);
            let read = secret.map(|secret| (setting.read)(self, secret.expose_secret()));
            read.unwrap_or(Ok(())).map_err(|expected| Problem::withheld(setting.name, expected))
        } else {
            let given = match setting.value {
                Value::Place(..) => self.place(setting.name),
                Value::Text(..) | Value::Private(_) | Value::Switch(_) | Value::Secret => {
                    self.args.text(setting.name).map(str::to_owned)
                }
            };
            let text = given.as_deref().unwrap_or(setting.default());
            let read = if text.is_empty() { Ok(()) } else { (setting.read)(self, text) };
            read.map_err(|expected| match setting.value {
                Value::Private(_) | Value::Place(..) => Problem::withheld(setting.name, expected),
                Value::Text(..) | Value::Switch(_) | Value::Secret => {
                    Problem::shown(setting.name, text, expected)
                }
            })
        };
        if let Err(problem) = parsed {
            self.problem(problem);
            if !setting.default().is_empty() {
                // The default is valid, and the problem is recorded.
                let _ = (setting.read)(self, setting.default());
            }
        }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Records a problem of the setting that is being read, without its value.
    pub(super) fn withhold(&mut self, expected: impl Into<String>) {
        self.problem(Problem::withheld(self.name, expected));
    }

    /// Whether the setting has a problem.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        let of_setting = |problem: &Problem| problem.setting().trim_end_matches("_FILE") == name;
        self.problems.iter().any(of_setting)
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Reads a file as text. The error contains no part of the file.
    pub(super) fn file(&self, path: &str) -> io::Result<String> {
        (self.read)(Path::new(path))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.trim().is_empty())
    }

    /// Whether a secret is set, directly or by file.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.variable(name).or_else(|| self.variable(&format!("{name}_FILE"))).is_some()
    }

    /// A secret, from the variable or from the file that its `…_FILE` variant names. `None` if it is unset or has a
    /// problem.
    fn secret(&mut self, name: &str) -> Option<SecretString> {
        let file_name = format!("{name}_FILE");
        match (self.variable(name), self.variable(&file_name)) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let expected = format!("{name} and {file_name} are both set; keep one of them");
                self.problem(Problem::withheld(name, expected));
                None
            }
            (Some(value), None) => Some(without_newline(&value)),
            (None, Some(path)) => self.secret_file(&file_name, &path),
        }
    }

    /// The store's place: the flag or the variable, the file that its `…_FILE` variant names, or the variable that
    /// platforms set for the app's database.
    fn place(&mut self, name: &str) -> Option<String> {
        let given = self.args.text(name).map(str::to_owned);
        let file_name = format!("{name}_FILE");
        match (given, self.variable(&file_name)) {
            (Some(_), Some(_)) => {
                let expected = format!("{name} and {file_name} are both set; keep one of them");
                self.problem(Problem::withheld(name, expected));
                None
            }
            (Some(text), None) => Some(text),
            (None, Some(path)) => {
                let text = self.secret_file(&file_name, &path)?;
                Some(text.expose_secret().trim().to_owned())
            }
            (None, None) => self.variable(DATABASE_URL).filter(|url| PostgresUrl::has_scheme(url)),
        }
    }

    fn secret_file(&mut self, setting: &str, path: &str) -> Option<SecretString> {
        let why = match self.file(path) {
            Ok(value) if value.trim().is_empty() => "is empty".to_owned(),
            Ok(value) => return Some(without_newline(&value)),
            Err(error) => format!("cannot be read: {error}"),
        };
        self.problem(Problem::withheld(setting, format!("the file {path:?} {why}")));
        None
    }

    /// The secrets in a file that the command line names.
    pub(super) fn secrets_in_file(&mut self, flag: &str, path: &str) -> Vec<SecretString> {
        let value = self.secret_file(flag, path);
        value.map(|value| split(value.expose_secret())).unwrap_or_default()
    }

    /// Secrets separated by commas. `None` if the variable is unset.
    pub(super) fn secrets(&mut self, name: &str) -> Option<Vec<SecretString>> {
        let secret = self.secret(name)?;
        Some(self.list(name, secret.expose_secret()))
    }

    /// Splits the value of a setting at its commas. A value of commas only is a problem.
    pub(super) fn list(&mut self, name: &str, text: &str) -> Vec<SecretString> {
        let secrets = split(text);
        if secrets.is_empty() {
            self.problem(Problem::withheld(name, ONLY_COMMAS));
        }
        secrets
    }
}

/// Editors and `echo` end a file with a newline that belongs to no secret.
pub(super) fn without_newline(value: &str) -> SecretString {
    SecretString::from(value.trim_end_matches(['\r', '\n']))
}

pub(super) fn split(list: &str) -> Vec<SecretString> {
    let entries = list.split(',').map(str::trim);
    entries.filter(|entry| !entry.is_empty()).map(SecretString::from).collect()
}
