//! The command line: shapes and help, nothing more.
//!
//! The flags of the settings come from the table in `config`, which reports all problems with them at once.
//! Secrets are deliberately no flags, because flags show in `ps`.

mod help;
pub mod operate;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::help::{
    BACKUP_HELP, COMPLETIONS_HELP, EXAMPLES, FORGET_HELP, HEALTH_HELP, MAN_HELP, RESTORE_HELP,
    SIGN_HELP, VERIFY_HELP, doctor_help, replay_help, serve_help,
};
use crate::cli::operate::Operate;
use crate::cli::values::Typed;
use crate::config::SettingsArgs;

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
    #[command(after_help = serve_help())]
    Serve(Box<SettingsArgs>),
    /// Show the whole road on this machine, without Twilio and without settings
    Demo(DemoArgs),
    /// A command beside the service
    #[command(flatten)]
    Tool(Tool),
}

/// The commands beside the service.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Sign a request as Twilio would, to try a route or to test your app's signing
    #[command(after_help = SIGN_HELP)]
    Sign(SignArgs),
    /// Check the settings and print the URLs to paste into Twilio; exits with 2 on a problem
    #[command(after_help = serve_help())]
    Check(Box<CheckArgs>),
    /// Say why a recorded request was refused; without one, look at what the service needs
    #[command(after_help = doctor_help())]
    Doctor(Box<DoctorArgs>),
    /// Ask the service on this machine whether it is alive; exits with 0 if so, else with 1
    #[command(after_help = HEALTH_HELP)]
    Health(HealthArgs),
    /// Send recorded requests to the running service, signed afresh, and say what came of each
    // The service's own dry run is a setting of its; here the word is about what is sent to it.
    #[command(after_help = replay_help(),
              mut_arg("HEARDBACK_DRY_RUN", |setting| setting.long("service-dry-run").hide(true)))]
    Replay(Box<ReplayArgs>),
    /// Look at the store, or act on it
    #[command(flatten)]
    Operate(Operate),
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
    /// Print what a shell needs to complete this command line
    #[command(after_help = COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Print the manual, as `man` reads it
    #[command(after_help = MAN_HELP)]
    Man(ManArgs),
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
    /// The environment variable that holds the secret [default: by the path, `HEARDBACK_APP_KEYS` for
    /// /app/…, `TWILIO_AUTH_TOKEN` for /twilio/…; the first key of it]
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
    /// Show the requests that the running service refuses, as they come in
    #[arg(long, conflicts_with = "files")]
    pub watch: bool,
    /// With --watch: how long, at most 1h [default: 10m]
    #[arg(long = "for", value_name = "DURATION", requires = "watch", value_parser = Typed(values::watch_time))]
    pub watch_for: Option<Duration>,
    /// With --watch: how many requests, at most 1000 [default: 20]
    #[arg(long, value_name = "COUNT", requires = "watch", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: Option<u32>,
    /// With --watch: a folder to keep the last 20 in, phone numbers and texts included [default: none
    /// are kept]
    #[arg(long, value_name = "DIR", requires = "watch")]
    pub keep: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The settings to look with: those of the service.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Arguments of `health`.
#[derive(Debug, Default, Args)]
pub struct HealthArgs {
    /// Ask whether it can take an event (/readyz), not only whether it answers (/livez)
    #[arg(long)]
    pub ready: bool,
    /// Where the operator's listener is, as `serve` has it [default: 127.0.0.1:9091]
    #[arg(long, env = "HEARDBACK_OPS_LISTEN", hide_env_values = true, value_name = "HOST:PORT")]
    pub ops_listen: Option<String>,
}

/// Arguments of `replay`.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ReplayArgs {
    /// Recorded requests: as `HEARDBACK_RECORD_REFUSED` keeps them, or written by hand
    #[arg(value_name = "FILE.http", required = true)]
    pub files: Vec<PathBuf>,
    /// Where the service is, if not where `HEARDBACK_LISTEN` says on this machine
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Send as well what does not say when it was, and so counts as of now
    #[arg(long)]
    pub as_of_now: bool,
    /// Send as well what nobody known has signed, as you wrote it by hand; never what the service refused
    #[arg(long)]
    pub unproven: bool,
    /// Say what would be sent, and send nothing
    #[arg(long = "dry-run")]
    pub only_show: bool,
    /// Print JSON, a line each
    #[arg(long)]
    pub json: bool,
    /// The settings to sign with: those of the service.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Whose shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Default, Args)]
pub struct ManArgs {
    /// Write a page for each command into this folder instead; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
