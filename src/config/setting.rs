//! The shape of a row in the table of settings, and what follows from it: the flag, and the values as given.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::reader::SettingsReader;
use crate::config::table::SETTINGS;
use crate::config::{Env, Settings};

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
    /// Parses a value into [`Values`](super::Values). The error names the expected form.
    pub(super) read: fn(&mut SettingsReader<'_>, &str) -> Result<(), String>,
    /// The value that `check` prints. It contains no secret.
    pub show: fn(&Settings) -> String,
}

/// The form of a setting's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A text in this form. The default is a text for the parser; empty if there is none.
    Text(&'static str, &'static str),
    /// A text in this form, which no problem shows: people paste a secret here.
    Private(&'static str),
    /// True or false, with the default; the flag alone means true.
    Switch(&'static str),
    /// A secret: it has no flag, and with `_FILE` after the name it is read from a file.
    Secret,
}

impl Setting {
    fn is_secret(&self) -> bool {
        self.value == Value::Secret
    }

    /// The variables that the setting is read from.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let file = self.is_secret().then(|| format!("{}_FILE", self.name));
        std::iter::once(self.name.to_owned()).chain(file).collect()
    }

    /// The default, as text for the parser; empty if there is none.
    pub(super) fn default(&self) -> &'static str {
        match self.value {
            Value::Text(_, default) | Value::Switch(default) => default,
            Value::Private(_) | Value::Secret => "",
        }
    }

    /// The help, with the default.
    fn full_help(&self) -> String {
        match self.default() {
            "" => self.help.to_owned(),
            default => format!("{} [default: {default}]", self.help),
        }
    }

    fn flag(&self) -> Arg {
        let (_, tail) = self.name.split_once('_').unwrap_or(("", self.name));
        let arg = Arg::new(self.name)
            .long(tail.to_ascii_lowercase().replace('_', "-"))
            .env(self.name)
            .hide_env_values(true)
            .help_heading(self.heading)
            .help(self.full_help());
        match self.value {
            Value::Text(form, _) | Value::Private(form) => arg.value_name(form),
            Value::Switch(_) | Value::Secret => {
                arg.value_name("BOOL").num_args(0..=1).default_missing_value("true")
            }
        }
    }
}

/// The settings that have a flag.
fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.is_secret())
}

/// The secrets: name and help.
pub fn secrets() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETTINGS.iter().filter(|setting| setting.is_secret()).map(|secret| (secret.name, secret.help))
}

/// The settings as given on the command line and in the environment, secrets excepted. They are parsed in
/// [`Settings::gather`] only, which reports all problems at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsArgs(BTreeMap<&'static str, String>);

impl SettingsArgs {
    /// These settings, by the name of the variable.
    #[must_use]
    pub fn of<const N: usize>(given: [(&'static str, &str); N]) -> Self {
        Self(given.map(|(name, text)| (name, text.to_owned())).into())
    }

    /// The same settings, and one more.
    #[must_use]
    pub fn with(mut self, name: &'static str, text: &str) -> Self {
        self.0.insert(name, text.to_owned());
        self
    }

    pub(super) fn from_env(env: Env<'_>) -> Self {
        Self(flags().filter_map(|flag| Some((flag.name, env(flag.name)?))).collect())
    }

    /// The text without the blanks around it; empty counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given =
            |flag: &Setting| Some((flag.name, matches.get_one::<String>(flag.name)?.clone()));
        Ok(Self(flags().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(Setting::flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
