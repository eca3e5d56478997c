//! The type of a row of the table, and the reader that applies rows to their texts.
//!
//! The reader collects all problems and warnings. After a value that cannot be parsed, it continues with the default, so
//! that the rules across settings still apply.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::config::env::{Env, ReadFile};
use crate::config::postgres_url::PostgresUrl;
use crate::config::problems::{Problem, Problems};
use crate::config::settings::{Settings, Values};

/// The variable in which platforms give an app the URL of its database.
const DATABASE_URL: &str = "DATABASE_URL";
const ONLY_COMMAS: &str = "it has commas only; expected a value";

pub struct Setting {
    /// The environment variable. The flag is this name without its prefix.
    pub name: &'static str,
    /// The form of the value, and the default.
    pub value: Value,
    /// The help, without the default.
    pub help: &'static str,
    /// Parses a value into [`Values`]. The error names the expected form.
    pub(super) parse: fn(&mut SettingsReader<'_>, &str) -> Result<(), String>,
    /// The value that `check` prints. It contains no secret.
    pub show: fn(&Settings) -> String,
}

/// The kind of a setting's value. `form` is its placeholder in the help, `default` a text for the parser; an empty default
/// means unset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Text {
        form: &'static str,
        default: &'static str,
    },
    /// A text that no problem shows, because users paste a secret here by mistake.
    Redacted {
        form: &'static str,
    },
    /// True or false; the flag alone means true.
    Switch {
        default: &'static str,
    },
    /// A URL that may contain a password. The variable with `_FILE` after its name is the path of a file with the URL.
    StoreUrl {
        form: &'static str,
        default: &'static str,
    },
    /// A secret. It has no flag. The variable with `_FILE` after its name is the path of a file with the secret.
    Secret,
}

impl Setting {
    pub(super) fn is_secret(&self) -> bool {
        self.value == Value::Secret
    }

    /// The variables that the setting is read from.
    pub fn variables(&self) -> Vec<String> {
        let has_file = matches!(self.value, Value::Secret | Value::StoreUrl { .. });
        let file = has_file.then(|| file_variable(self.name));
        std::iter::once(self.name.to_owned()).chain(file).collect()
    }

    /// The default, as text for the parser; empty if there is none.
    pub(super) fn default(&self) -> &'static str {
        match self.value {
            Value::Text { default, .. }
            | Value::StoreUrl { default, .. }
            | Value::Switch { default } => default,
            Value::Redacted { .. } | Value::Secret => "",
        }
    }
}

/// The texts of the command line and the environment, by the name of the variable. A `Value::Secret` is never one of
/// them; a `Value::StoreUrl` may be.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SettingsArgs(pub(super) BTreeMap<&'static str, String>);

/// Shows names without values, because the store's URL may contain a password.
impl fmt::Debug for SettingsArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SettingsArgs {
    /// Arguments with these values, by the name of the variable.
    pub fn of<const N: usize>(given: [(&'static str, &str); N]) -> Self {
        Self(given.map(|(name, text)| (name, text.to_owned())).into())
    }

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
    read_file: ReadFile<'a>,
    /// The setting that is being parsed.
    pub(super) name: &'static str,
    pub(super) values: Values,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
}

impl<'a> SettingsReader<'a> {
    pub(super) fn new(args: SettingsArgs, env: Env<'a>, read_file: ReadFile<'a>) -> Self {
        Self {
            args,
            env,
            read_file,
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
        let given = match setting.value {
            Value::Secret => self.secret(setting.name),
            Value::StoreUrl { .. } => self.store_url(setting.name),
            Value::Text { .. } | Value::Redacted { .. } | Value::Switch { .. } => {
                self.args.text(setting.name).map(SecretString::from)
            }
        };
        let text = given.as_ref().map_or(setting.default(), ExposeSecret::expose_secret);
        let parsed = if text.is_empty() { Ok(()) } else { (setting.parse)(self, text) };
        if let Err(message) = parsed {
            self.problem(match setting.value {
                Value::Text { .. } | Value::Switch { .. } => {
                    Problem::shown(setting.name, text, message)
                }
                Value::Redacted { .. } | Value::StoreUrl { .. } | Value::Secret => {
                    Problem::withheld(setting.name, message)
                }
            });
            if !setting.default().is_empty() {
                // The default is valid, and the problem is recorded.
                let _ = (setting.parse)(self, setting.default());
            }
        }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Records a problem of the setting that is being parsed, without its value.
    pub(super) fn withhold(&mut self, message: impl Into<String>) {
        self.problem(Problem::withheld(self.name, message));
    }

    pub(super) fn is_broken(&self, name: &str) -> bool {
        let of_setting = |problem: &Problem| problem.setting().trim_end_matches("_FILE") == name;
        self.problems.iter().any(of_setting)
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Reads a file as text. The error contains no part of the file.
    pub(super) fn file(&self, path: &str) -> io::Result<String> {
        (self.read_file)(Path::new(path))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.trim().is_empty())
    }

    /// Whether a secret is set, directly or by file.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.variable(name).or_else(|| self.variable(&file_variable(name))).is_some()
    }

    /// A secret, from the variable or from the file that its `…_FILE` variant names. `None` if it is unset or has a
    /// problem.
    fn secret(&mut self, name: &str) -> Option<SecretString> {
        let value = self.variable(name);
        self.value_or_file(name, value.as_deref())
    }

    /// The store's URL: the flag or the variable, the file that its `…_FILE` variant names, or [`DATABASE_URL`].
    fn store_url(&mut self, name: &str) -> Option<SecretString> {
        let value = self.args.text(name).map(str::to_owned);
        if value.is_none() && self.variable(&file_variable(name)).is_none() {
            let url = self.variable(DATABASE_URL).filter(|url| PostgresUrl::has_scheme(url));
            return url.map(SecretString::from);
        }
        let url = self.value_or_file(name, value.as_deref())?;
        Some(SecretString::from(url.expose_secret().trim()))
    }

    /// The value, or the content of the file that the `…_FILE` variant names. A value and a file are a problem.
    fn value_or_file(&mut self, name: &str, value: Option<&str>) -> Option<SecretString> {
        let file_name = file_variable(name);
        match (value, self.variable(&file_name)) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let message = format!("{name} and {file_name} are both set; keep one of them");
                self.problem(Problem::withheld(name, message));
                None
            }
            (Some(value), None) => Some(without_newline(value)),
            (None, Some(path)) => self.secret_file(&file_name, &path),
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

/// The variable of the file that holds a setting's value.
fn file_variable(name: &str) -> String {
    format!("{name}_FILE")
}

/// Editors and `echo` end a file with a newline that belongs to no secret.
pub(super) fn without_newline(value: &str) -> SecretString {
    SecretString::from(value.trim_end_matches(['\r', '\n']))
}

pub(super) fn split(list: &str) -> Vec<SecretString> {
    let entries = list.split(',').map(str::trim);
    entries.filter(|entry| !entry.is_empty()).map(SecretString::from).collect()
}
