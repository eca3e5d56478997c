//! The command line: shapes and help, nothing more.
//!
//! Settings are optional strings here; `config` gives them a meaning and reports what is wrong with
//! all of them at once. Secrets are deliberately no flags, for flags show in `ps`.

pub mod settings;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cli::settings::SettingsArgs;

/// Tells Twilio which messages truly arrived.
///
/// A signed signal comes in (a reply, a code entered, a password used); confirmed Message Feedback
/// goes out.
#[derive(Debug, Parser)]
#[command(name = "heardback", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What Heardback can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive webhooks and post feedback until told to stop
    #[command(after_help = SERVE_HELP)]
    Serve(Box<SettingsArgs>),
    /// Show the whole road on this machine, without Twilio and without settings
    Demo(DemoArgs),
    /// Sign a request as Twilio would, to try a route or to test your app's signing
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
    /// Check the settings and print the URLs to paste into Twilio; exits with 2 on a problem
    #[command(after_help = SERVE_HELP)]
    Check(Box<CheckArgs>),
    /// Say why a recorded request was refused; without one, look at what the service needs
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Box<DoctorArgs>),
    /// Write the whole store into one file, whether the service runs or not
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArgs),
    /// Erase what concerns a person, whether the service runs or not
    #[command(after_help = FORGET_HELP)]
    Forget(ForgetArgs),
    /// Make a store out of a backup, where there is none
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Read the whole store, or a backup of it, and say whether it is all there
    #[command(after_help = VERIFY_HELP)]
    VerifyStore(VerifyStoreArgs),
}

/// Which store.
#[derive(Debug, Default, Args)]
pub struct StoreArgs {
    /// The store, as `serve` has it [default: sled:heardback-data]
    #[arg(long, env = "HEARDBACK_STORE", hide_env_values = true, value_name = "sled:PATH")]
    pub store: Option<String>,
}

/// Arguments of `backup`.
#[derive(Debug, Default, Args)]
pub struct BackupArgs {
    /// The folder to write `heardback.backup` into; made if it is missing
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `forget`.
#[derive(Debug, Default, Args)]
pub struct ForgetArgs {
    /// Whose: +15551234567, whatsapp:+15551234567, messenger:1234; - reads them from stdin, a line each
    #[arg(value_name = "ADDRESS", required = true)]
    pub addresses: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `restore`.
#[derive(Debug, Default, Args)]
pub struct RestoreArgs {
    /// The folder that holds `heardback.backup`, or that file
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the new store is to be.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `verify-store`.
#[derive(Debug, Default, Args)]
pub struct VerifyStoreArgs {
    /// A backup to look at instead of the store: its folder, or its file
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `demo`.
#[derive(Debug, Default, Args)]
pub struct DemoArgs {
    /// Leave everything running at the end, and print the URLs to try by hand
    #[arg(long)]
    pub keep: bool,
}

/// Arguments of `sign`.
#[derive(Debug, Default, Args)]
pub struct SignArgs {
    /// The URL exactly as it is configured: scheme, host, path and query
    #[arg(value_name = "URL")]
    pub url: String,
    /// A form field; repeat it for more. Without --form and --json a GET is signed
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "json")]
    pub form: Vec<String>,
    /// A JSON body, or the file that holds it; signed by way of bodySHA256 in the query
    #[arg(long, value_name = "TEXT|@FILE")]
    pub json: Option<String>,
    /// Print a curl command instead of the bare signature
    #[arg(long)]
    pub curl: bool,
    /// The environment variable that holds the secret [default: the first of `HEARDBACK_APP_KEYS`,
    /// else of `TWILIO_AUTH_TOKEN`]
    #[arg(long, value_name = "NAME", conflicts_with = "auth_token_file")]
    pub key_env: Option<String>,
    /// A file that holds the secret
    #[arg(long, value_name = "PATH")]
    pub auth_token_file: Option<String>,
}

/// Arguments of `check`.
#[derive(Debug, Default, Args)]
pub struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The settings to check.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Arguments of `doctor`.
#[derive(Debug, Default, Args)]
pub struct DoctorArgs {
    /// Refused requests, as `HEARDBACK_RECORD_REFUSED` keeps them (or written by hand: request line,
    /// headers, a blank line, the body)
    #[arg(value_name = "FILE.http")]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The settings to look with: those of the service.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

const EXAMPLES: &str = "\
Examples:
  heardback demo                          see it work, no account needed
  heardback check                         are the settings right, and what goes into Twilio?
  heardback serve                         run it; settings come from the environment
  heardback doctor                        is all around it well? with FILE.http: why was that refused?
  heardback backup /data/backup           the whole store in one file, while it serves
  heardback forget +15551234567           erase what concerns a person

`heardback serve --help` lists every setting.
Exit codes: 0 done, 1 failed, 2 wrong usage or settings.";

const SERVE_HELP: &str = "\
Secrets come from the environment only; with _FILE after the name, from a file:
  TWILIO_AUTH_TOKEN    verifies signatures, and posts if no API key is given;
                       required; by comma: primary, secondary
  TWILIO_SHARED_KEYS   verify as well: SharedKeys of Twilio's Webhooks API, by
                       comma, each id:algorithm:secret, the algorithm
                       HMAC_SHA1 or HMAC_SHA256
  TWILIO_API_SECRET    the secret of TWILIO_API_KEY
  HEARDBACK_APP_KEYS   what your app signs with, by comma [default: the auth token]
  HEARDBACK_PHONE_KEY  keys the hash of recipients' addresses, 16 bytes or more
                       [default: random, kept in the store]
  HEARDBACK_CLICK_PATH_SECRET
                       opens /twilio/click/SECRET for click callbacks without a
                       signature: 16 letters, digits or - _ . ~ and more
                       [default: none, every click must be signed]

A flag given beats its environment variable; an empty value counts as unset.
Durations: 90s, 15m, 1h30m, 24h, 7d (a day is 24 hours).

Example:
  HEARDBACK_PUBLIC_URL=https://hooks.example.com \\
  TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN_FILE=/run/secrets/twilio \\
  heardback serve --dry-run";

const DOCTOR_HELP: &str = "\
It takes the settings of `serve` from the environment, secrets included (see `heardback serve --help`:
TWILIO_AUTH_TOKEN, TWILIO_SHARED_KEYS, TWILIO_API_SECRET, HEARDBACK_APP_KEYS, HEARDBACK_PHONE_KEY,
HEARDBACK_CLICK_PATH_SECRET).
It never posts, never opens the store, and shows no secret, signature, phone number or text.

Exit codes with files: 0 it is known why, or all is good; 1 not found; 2 wrong usage or settings.
Without: 0 nothing failed (warnings are no failure), 1 something did, 2 wrong settings.

Examples:
  heardback doctor
  HEARDBACK_RECORD_REFUSED=/var/tmp/refused heardback serve     then, once a request was refused:
  heardback doctor /var/tmp/refused/*.http";

const BACKUP_HELP: &str = "\
It asks the service that has the store open, over control.sock in the store's folder, and the service
goes on meanwhile; if none runs, it opens the store itself. The backup is the store as it stood when the
command ended. It takes its name only when it is whole; until then the last one stays.
It holds what the store holds, with the key that hashes recipients unless HEARDBACK_PHONE_KEY is set:
keep it as you keep the store.

Example:
  heardback backup /data/backup
  fly ssh console -C \"heardback backup /data/backup\"";

const FORGET_HELP: &str = "\
Erased are the messages to that person in every state, what waits to be reported included; their click
links; the evidence that waits; the reference of these messages, wherever else it stands; and the
requests that HEARDBACK_RECORD_REFUSED keeps. A full number is one person, on WhatsApp and off it; on any
other channel they are named with it, as in viber:+15551234567.

Kept is what names nobody: counts in the metrics, and that a SID was counted once. Backups made before
still hold what they hold. In sled's file what was erased stays until it is written over; a store
restored from a fresh backup has none of it. What comes in afterwards is new.

It asks the service that has the store open; if none runs, it opens the store itself, and then needs
HEARDBACK_PHONE_KEY (or _FILE) and HEARDBACK_RECORD_REFUSED as the service has them. People are found by
the key that the store has now: what was kept under an earlier one goes when its time has passed.

Examples:
  heardback forget +15551234567
  heardback forget - < erase.txt";

const RESTORE_HELP: &str = "\
The service must be stopped, and the store's folder missing or empty. If it is cut short, no store is
there; run it again.

Example:
  heardback restore /data/backup --store sled:/data/heardback";

const VERIFY_HELP: &str = "\
Exit codes: 0 it is all there, 1 it is not, or cannot be read; 2 wrong usage or settings.

Examples:
  heardback verify-store
  heardback verify-store /data/backup --json";

const SIGN_HELP: &str = "\
Examples:
  heardback sign https://hooks.example.com/twilio/message --form MessageSid=SM… --curl
  heardback sign https://hooks.example.com/app/events --json @event.json --curl
  heardback sign https://hooks.example.com/app/messages/SM…";

#[cfg(test)]
mod tests {
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
                "HEARDBACK_CLIENT_IP_HEADER",
                "HEARDBACK_CALL_REDIRECT_URL",
                "HEARDBACK_CLICK_PATH_SECRET",
                "HEARDBACK_UPSTREAM_URL",
                "HEARDBACK_UPSTREAM_CONCURRENCY",
                "HEARDBACK_GIVE_UP_AFTER",
                "HEARDBACK_PENDING_TTL",
                "HEARDBACK_REPLY_WINDOW",
                "HEARDBACK_RETENTION",
                "HEARDBACK_MAX_MESSAGES",
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
}
