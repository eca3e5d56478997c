//! Reads the rows of the table of settings and collects all problems and warnings.
//!
//! A value that cannot be parsed is a problem; the default takes its place until the end, so that the rules
//! across settings still apply.

use std::io;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::config::problems::{Problem, Problems};
use crate::config::setting::{Setting, SettingsArgs, Value};
use crate::config::table::SETTINGS;
use crate::config::{Env, ReadFile, Values};

const ONLY_COMMAS: &str = "nothing stands between its commas";

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

    /// Reads the rows that `which` selects.
    pub(super) fn rows(&mut self, which: impl Fn(&Setting) -> bool) {
        SETTINGS.iter().filter(|setting| which(setting)).for_each(|setting| self.row(setting));
    }

    fn row(&mut self, setting: &'static Setting) {
        self.name = setting.name;
        let parsed = if setting.value == Value::Secret {
            let secret = self.secret(setting.name);
            let read = secret.map(|secret| (setting.read)(self, secret.expose_secret()));
            read.unwrap_or(Ok(())).map_err(|expected| Problem::withheld(setting.name, expected))
        } else {
            let given = self.args.text(setting.name).map(str::to_owned);
            let text = given.as_deref().unwrap_or(setting.default());
            let read = if text.is_empty() { Ok(()) } else { (setting.read)(self, text) };
            read.map_err(|expected| match setting.value {
                Value::Private(_) => Problem::withheld(setting.name, expected),
                Value::Text(..) | Value::Switch(_) | Value::Secret => {
                    Problem::shown(setting.name, text, expected)
                }
            })
        };
        if let Err(problem) = parsed {
            self.problem(problem);
            if !setting.default().is_empty() {
                // The default is valid, and the problem is known.
                let _ = (setting.read)(self, setting.default());
            }
        }
    }

    /// A problem of the setting that is being read, whose value may be a secret.
    pub(super) fn withhold(&mut self, expected: impl Into<String>) {
        self.problem(Problem::withheld(self.name, expected));
    }

    /// Whether the setting has a problem.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        let of_setting = |problem: &Problem| problem.setting().trim_end_matches("_FILE") == name;
        self.problems.iter().any(of_setting)
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
            Ok(value) => split(value.expose_secret()),
            Err(problem) => {
                self.problem(problem);
                Vec::new()
            }
        }
    }

    /// Secrets separated by commas. `None` if the variable is unset; a value of commas only is a problem.
    pub(super) fn secrets(&mut self, name: &str) -> Option<Vec<SecretString>> {
        let secrets = split(self.secret(name)?.expose_secret());
        if secrets.is_empty() {
            self.problem(Problem::withheld(name, ONLY_COMMAS));
        }
        Some(secrets)
    }

    /// The secrets in the value of the setting that is being read. `None`: there are only commas, a problem.
    pub(super) fn list(&mut self, text: &str) -> Option<Vec<SecretString>> {
        let secrets = split(text);
        if secrets.is_empty() {
            self.withhold(ONLY_COMMAS);
            return None;
        }
        Some(secrets)
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
