//! The command line: the shapes of the commands with their help.
//!
//! The flags of the settings come from the table in `config`, which reports all their problems at once. Secrets have no
//! flags, because flags show in `ps`.

mod help;
pub mod operate;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::help::{expand, serve_help};
use crate::cli::operate::{
    ClockArgs, CommonArgs, ExportArgs, HoldArgs, ImportArgs, ListArgs, RequeueArgs, ShowArgs,
    StoreFlag,
};
pub use crate::cli::values::RequestBody;
use crate::cli::values::Typed;
use crate::config::{ListenAddr, OPS_LISTEN_DEFAULT, SettingsArgs, StoreUrl};

/// Reports to Twilio that messages arrived.
///
/// It receives signed evidence (a reply, a code entered, a password used), finds the message that
/// the evidence proves, and posts Message Feedback for it.
#[derive(Debug, Parser)]
#[command(name = "heardback", version, after_help = help::EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive webhooks and post feedback, until a signal stops the service
    #[command(after_help = serve_help())]
    Serve(Box<SettingsArgs>),
    /// Run a demo on this machine, without Twilio and without settings
    #[command(after_help = help::DEMO_HELP)]
    Demo(DemoArgs),
    #[command(flatten)]
    Tool(Tool),
}

/// The commands beside the service.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Sign a request as Twilio would, to try a route or to test your app's signing
    #[command(after_help = help::SIGN_HELP)]
    Sign(SignArgs),
    /// Check the settings and print the URLs to paste into Twilio; exits with 2 on a problem
    #[command(after_help = serve_help())]
    Check(Box<CheckArgs>),
    /// Explain why a recorded request was rejected; without one, check what the service needs
    #[command(after_help = expand(help::DOCTOR_HELP))]
    Doctor(Box<DoctorArgs>),
    /// Check that the service on this machine is alive; exits with 0 if so, otherwise with 1
    #[command(after_help = help::HEALTH_HELP)]
    Health(HealthArgs),
    /// Send recorded requests to the running service, signed again, and print each result
    // `--dry-run` of `replay` sends nothing to the service. The setting of the same name belongs to the service.
    #[command(after_help = expand(help::REPLAY_HELP),
              mut_arg("HEARDBACK_DRY_RUN", |setting| setting.long("service-dry-run").hide(true)))]
    Replay(Box<ReplayArgs>),
    /// List messages, the newest first
    #[command(after_help = expand(help::LIST_HELP))]
    List(ListArgs),
    /// Show a message and its history
    #[command(after_help = expand(help::SHOW_HELP))]
    Show(ShowArgs),
    /// Count the records, and show how many of the sent messages are proven and reported
    #[command(after_help = expand(help::STATS_HELP))]
    Stats(CommonArgs),
    /// Put an account on hold: none of its messages are reported until it is resumed
    #[command(after_help = expand(help::HOLD_HELP))]
    Hold(HoldArgs),
    /// Resume an account on hold: report its confirmed messages
    #[command(after_help = expand(help::HOLD_HELP))]
    Resume(HoldArgs),
    /// Compare the wall clock with the store's trusted time, by which records expire
    #[command(after_help = expand(help::CLOCK_HELP))]
    Clock(ClockArgs),
    /// Report messages again that Twilio refused
    #[command(after_help = expand(help::REQUEUE_HELP))]
    Requeue(RequeueArgs),
    /// Write all records as JSON lines, for another store or for analysis
    #[command(after_help = expand(help::EXPORT_HELP))]
    Export(ExportArgs),
    /// Import the records of `export`, or a list of messages that are known to have arrived
    #[command(after_help = expand(help::IMPORT_HELP))]
    Import(ImportArgs),
    /// Write the whole store into one file, while the service runs or not
    #[command(after_help = help::BACKUP_HELP)]
    Backup(BackupArgs),
    /// Erase the records of a person, while the service runs or not
    #[command(after_help = expand(help::FORGET_HELP))]
    Forget(ForgetArgs),
    /// Create a new store from a backup
    #[command(after_help = help::RESTORE_HELP)]
    Restore(BackupArgs),
    /// Read the whole store, or a backup of it, and check that it is complete
    #[command(after_help = help::VERIFY_HELP)]
    VerifyStore(VerifyStoreArgs),
    /// Prepare a PostgreSQL database, or print the key of a sled store
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the completion script for a shell
    #[command(after_help = help::COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Print the manual in the format of `man`
    #[command(after_help = help::MAN_HELP)]
    Man(ManArgs),
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Bring the schema of a PostgreSQL database to this release
    #[command(after_help = help::MIGRATE_HELP)]
    Migrate(StoreFlag),
    /// Print the phone key that a sled store keeps, for `HEARDBACK_PHONE_KEY` of other receivers
    #[command(after_help = help::KEY_HELP)]
    Key(StoreFlag),
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The folder of `heardback.backup`. `backup` creates it if it is missing; `restore` also accepts
    /// the file
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// +15551234567, whatsapp:+15551234567 or messenger:1234; - reads one address a line from stdin
    #[arg(value_name = "ADDRESS", required = true)]
    pub addresses: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct VerifyStoreArgs {
    /// Check a backup instead of the store: its folder, or its file
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep everything running at the end, and print the URLs to try by hand
    #[arg(long)]
    pub keep: bool,
    /// Run two receivers on this database, in a schema of their own that is removed at the end
    #[arg(long, value_name = "postgres://…", value_parser = Typed(values::store))]
    pub store: Option<StoreUrl>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The URL exactly as it is configured: scheme, host, path and query
    #[arg(value_name = "URL")]
    pub url: String,
    /// A form field; repeat it for more. Without --form and --json, a GET is signed
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "json", value_parser = Typed(values::form_field))]
    pub form: Vec<(String, String)>,
    /// A JSON body, or the file that contains it; the signature covers its bodySHA256 in the query
    #[arg(long, value_name = "TEXT|@FILE")]
    pub json: Option<RequestBody>,
    /// Print a curl command instead of the bare signature
    #[arg(long)]
    pub curl: bool,
    /// The environment variable with the secret [default: by the path, the first key of
    /// `HEARDBACK_APP_KEYS` for /app/…, of `TWILIO_AUTH_TOKEN` for /twilio/…]
    #[arg(long, value_name = "NAME", conflicts_with = "auth_token_file")]
    pub key_env: Option<String>,
    /// The file with the secret
    #[arg(long, value_name = "PATH")]
    pub auth_token_file: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

#[derive(Debug, Default, Args)]
pub struct DoctorArgs {
    /// Refused requests from `HEARDBACK_RECORD_REFUSED`, or written by hand: request line, headers, a
    /// blank line, the body
    #[arg(value_name = "FILE.http")]
    pub files: Vec<PathBuf>,
    /// Show requests while the running service rejects them
    #[arg(long, conflicts_with = "files")]
    pub watch: bool,
    /// With --watch: the duration, at most 1h [default: 10m]
    #[arg(long = "for", value_name = "DURATION", requires = "watch", value_parser = Typed(values::watch_time))]
    pub watch_for: Option<Duration>,
    /// With --watch: the number of requests, at most 1000 [default: 20]
    #[arg(long, value_name = "COUNT", requires = "watch", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: Option<u32>,
    /// With --watch: a folder for the last 20 requests, with phone numbers and texts [default: none are kept]
    #[arg(long, value_name = "DIR", requires = "watch")]
    pub keep: Option<PathBuf>,
    /// Send two harmless requests to each URL of your app that webhooks are forwarded to: one with a valid signature,
    /// and one with an invalid one
    #[arg(long, conflicts_with_all = ["files", "watch"])]
    pub ask_app: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Check that the service can accept an event (/readyz), not only that it responds (/livez)
    #[arg(long)]
    pub ready: bool,
    /// The address of the operator's listener, as it is set for `serve`
    #[arg(
        long,
        env = "HEARDBACK_OPS_LISTEN",
        hide_env_values = true,
        value_name = "HOST:PORT",
        default_value = OPS_LISTEN_DEFAULT,
        value_parser = Typed(values::ops_listen)
    )]
    pub ops_listen: ListenAddr,
}

#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ReplayArgs {
    /// Recorded requests from `HEARDBACK_RECORD_REFUSED`, or written by hand
    #[arg(value_name = "FILE.http", required = true)]
    pub files: Vec<PathBuf>,
    /// The URL of the service [default: `HEARDBACK_LISTEN` on this machine]
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// Also send requests without a time, which count as of now
    #[arg(long)]
    pub as_of_now: bool,
    /// Also send unsigned requests that you wrote by hand, but never a recording of the service
    #[arg(long)]
    pub unproven: bool,
    /// Print what would be sent, and send nothing
    #[arg(long = "dry-run")]
    pub only_show: bool,
    /// Print JSON, one line for each request
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write one page for each command into this folder; it is created if it is missing
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
