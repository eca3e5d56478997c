//! The shapes of the commands, and what their help must contain.

use super::*;
use crate::config::{Setting, every_setting};
use clap::CommandFactory;

fn parse(line: &str) -> Cli {
    Cli::try_parse_from(line.split_whitespace()).expect(line)
}

fn help(command: &str) -> String {
    let mut cli = Cli::command();
    let command = cli.find_subcommand_mut(command).expect("known");
    command.render_long_help().to_string()
}

#[test]
fn the_shapes_are_sound() {
    Cli::command().debug_assert();
}

/// clap wraps help at 100 columns. A longer line would leave one word on the next line.
#[test]
fn no_line_below_the_help_is_wrapped() {
    let cli = Cli::command();
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in below.lines() {
            assert!(line.chars().count() <= 98, "{}: {line}", command.get_name());
        }
    }
}

#[test]
fn a_bool_flag_stands_alone_or_takes_a_value() {
    for (line, expected) in [
        ("heardback serve --dry-run", "true"),
        ("heardback serve --dry-run false", "false"),
        ("heardback serve --dry-run=no --edge dublin", "no"),
        ("heardback serve --dry-run --edge dublin", "true"),
    ] {
        let Command::Serve(settings) = parse(line).command else { panic!("{line}") };
        let edge = if line.contains("dublin") { "dublin" } else { "" };
        let mut expected = SettingsArgs::of([("HEARDBACK_DRY_RUN", expected)]);
        if !edge.is_empty() {
            expected = expected.with("TWILIO_EDGE", edge);
        }
        assert_eq!(*settings, expected, "{line}");
    }
}

#[test]
fn sign_accepts_many_fields_or_one_body() {
    let Command::Tool(Tool::Sign(sign)) =
        parse("heardback sign https://h/x --form A=1 --form B=2").command
    else {
        panic!("sign")
    };
    assert_eq!(sign.form, [("A", "1"), ("B", "2")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    let both = Cli::try_parse_from("heardback sign u --form A=1 --json {}".split(' '));
    assert!(both.is_err());
}

#[test]
fn a_rate_is_a_number_of_lines_a_second_or_a_minute() {
    for (text, millis) in [
        ("10/s", Some(100)),
        ("1/m", Some(60_000)),
        ("120/min", Some(500)),
        ("1000/s", Some(1)),
        ("1001/s", None),
        ("0/s", None),
        ("10", None),
        ("10/h", None),
        ("-1/s", None),
        ("ten/s", None),
    ] {
        assert_eq!(values::rate(text).ok(), millis.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn no_flag_accepts_a_secret() {
    let cli = Cli::command();
    for command in cli.get_subcommands() {
        for arg in command.get_arguments() {
            let env = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            let env = env.unwrap_or_default();
            let secret = ["TOKEN", "SECRET", "APP_KEYS", "SHARED_KEYS", "PHONE_KEY"];
            assert!(!secret.iter().any(|word| env.contains(word)), "{env}");
            assert!(env.is_empty() || arg.is_hide_env_values_set(), "{env} would show");
        }
    }
}

#[test]
fn help_names_every_setting() {
    for command in ["serve", "check", "doctor"] {
        let help = help(command);
        for setting in every_setting() {
            assert!(help.contains(setting.name), "{command} --help lacks {}", setting.name);
        }
    }
    let known: Vec<String> = every_setting().flat_map(Setting::variables).collect();
    for word in help("serve").split(|c: char| !c.is_ascii_uppercase() && c != '_') {
        let is_name = word.starts_with("HEARDBACK_") || word.starts_with("TWILIO_");
        assert!(!is_name || known.iter().any(|known| known == word), "{word} is not in the table");
    }
    assert!(!help("demo").contains("HEARDBACK_"), "demo needs no settings");
}
