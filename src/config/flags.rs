//! The flags of the command line, derived from the table of settings.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::env::Env;
use crate::config::reader::{Setting, SettingsArgs, Value};
use crate::config::settings::StoreUrl;
use crate::config::table::{every_setting, sections};

fn flag(setting: &Setting) -> Arg {
    let (_, tail) = setting.name.split_once('_').unwrap_or(("", setting.name));
    let help = match setting.default() {
        "" => setting.help.to_owned(),
        default => format!("{} [default: {default}]", setting.help),
    };
    let arg = Arg::new(setting.name)
        .long(tail.to_ascii_lowercase().replace('_', "-"))
        .env(setting.name)
        .hide_env_values(true)
        .help(help);
    match setting.value {
        Value::Text { form, .. } | Value::StoreUrl { form, .. } | Value::Redacted { form } => {
            arg.value_name(form)
        }
        Value::Switch { .. } | Value::Secret => {
            arg.value_name("BOOL").num_args(0..=1).default_missing_value("true")
        }
    }
}

/// Other users of the machine can read a flag.
pub const PASSWORD_IN_FLAG: &str = "the URL has a password, which every user of this machine can read in the list of \
     processes; expected it in HEARDBACK_STORE, or in the file that HEARDBACK_STORE_FILE names";

/// Whether a text is a database's URL with a password.
fn has_password(text: &str) -> bool {
    match StoreUrl::parse(text.trim()) {
        Ok(StoreUrl::Postgres(url)) => url.has_password(),
        Ok(StoreUrl::Sled(_)) | Err(_) => false,
    }
}

fn with_flag() -> impl Iterator<Item = &'static Setting> {
    every_setting().filter(|setting| !setting.is_secret())
}

/// The secrets: name and help.
pub fn secrets() -> impl Iterator<Item = (&'static str, &'static str)> {
    every_setting().filter(|setting| setting.is_secret()).map(|secret| (secret.name, secret.help))
}

impl SettingsArgs {
    pub(super) fn from_env(env: Env<'_>) -> Self {
        Self(with_flag().filter_map(|flag| Some((flag.name, env(flag.name)?))).collect())
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        for flag in with_flag().filter(|flag| matches!(flag.value, Value::StoreUrl { .. })) {
            let is_flag = matches.value_source(flag.name) == Some(ValueSource::CommandLine);
            let text = matches.get_one::<String>(flag.name).filter(|_| is_flag);
            if text.is_some_and(|text| has_password(text)) {
                return Err(clap::Error::raw(
                    ErrorKind::ValueValidation,
                    format!("--store: {PASSWORD_IN_FLAG}\n"),
                ));
            }
        }
        let given =
            |flag: &Setting| Some((flag.name, matches.get_one::<String>(flag.name)?.clone()));
        Ok(Self(with_flag().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let flags = sections().into_iter().flat_map(|(heading, settings)| {
            let with_flag = settings.iter().filter(|setting| !setting.is_secret());
            with_flag.map(move |setting| flag(setting).help_heading(heading))
        });
        command.args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
