//! The shapes, and what the help must say.

use super::*;
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

/// Help is wrapped at a hundred columns; a longer line would leave a word alone on the next.
#[test]
fn what_stands_below_the_help_is_not_wrapped() {
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
        assert_eq!(settings.dry_run.as_deref(), Some(expected), "{line}");
    }
}

#[test]
fn sign_takes_many_fields_or_one_body() {
    let Command::Sign(sign) = parse("heardback sign https://h/x --form A=1 --form B=2").command
    else {
        panic!("sign")
    };
    assert_eq!(sign.form, ["A=1", "B=2"]);
    let both = Cli::try_parse_from("heardback sign u --form A=1 --json {}".split(' '));
    assert!(both.is_err());
}

#[test]
fn no_flag_takes_a_secret() {
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
        for name in [
            "HEARDBACK_PUBLIC_URL",
            "TWILIO_ACCOUNT_SID",
            "HEARDBACK_ACCOUNTS_FILE",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_SHARED_KEYS",
            "TWILIO_API_KEY",
            "TWILIO_API_SECRET",
            "TWILIO_EDGE",
            "TWILIO_REGION",
            "HEARDBACK_APP_KEYS",
            "HEARDBACK_STORE",
            "HEARDBACK_PHONE_KEY",
            "HEARDBACK_LISTEN",
            "HEARDBACK_OPS_LISTEN",
            "HEARDBACK_OPS_TOKEN",
            "HEARDBACK_CLIENT_IP_HEADER",
            "HEARDBACK_CALL_REDIRECT_URL",
            "HEARDBACK_CLICK_PATH_SECRET",
            "HEARDBACK_UPSTREAM_URL",
            "HEARDBACK_UPSTREAM_CONCURRENCY",
            "HEARDBACK_GIVE_UP_AFTER",
            "HEARDBACK_PENDING_TTL",
            "HEARDBACK_REPLY_WINDOW",
            "HEARDBACK_EVENT_WINDOW",
            "HEARDBACK_RETENTION",
            "HEARDBACK_MAX_MESSAGES",
            "HEARDBACK_MAX_PARKED",
            "HEARDBACK_READ_CONFIRMS",
            "HEARDBACK_RESEND",
            "HEARDBACK_IGNORE_CRAWLERS",
            "HEARDBACK_LINKS",
            "HEARDBACK_DRY_RUN",
            "HEARDBACK_RECORD_REFUSED",
            "HEARDBACK_LOG",
            "HEARDBACK_LOG_FORMAT",
        ] {
            assert!(help.contains(name), "{command} --help lacks {name}");
        }
    }
    assert!(!help("demo").contains("HEARDBACK_"), "demo needs no settings");
}
