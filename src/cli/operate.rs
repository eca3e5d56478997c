//! The arguments of the operator's commands, as typed values.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::cli::StoreArgs;
use crate::cli::help::{
    CLOCK_HELP, CSV_HELP, EXPORT_HELP, IMPORT_HELP, LIST_HELP, PAUSE_HELP, REQUEUE_HELP, SHOW_HELP,
    STATS_HELP,
};
use crate::cli::values;
use crate::cli::values::Typed;
use crate::domain::message::{Reference, State};
use crate::domain::sid::{AccountSid, MessageSid};

/// What can be asked of a store, be it that of a running service or one that nobody has open.
#[derive(Debug, Subcommand)]
pub enum Operate {
    /// List messages, the newest first, whether the service runs or not
    #[command(after_help = LIST_HELP)]
    List(ListArgs),
    /// Tell all that is known of a message, and its life
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
    /// Count what there is, and how much of what was sent is proven and reported
    #[command(after_help = STATS_HELP)]
    Stats(StatsArgs),
    /// Put an account on hold: nothing of it is reported until it is resumed
    #[command(after_help = PAUSE_HELP)]
    Pause(HoldArgs),
    /// Go on reporting what an account on hold has waiting
    #[command(after_help = PAUSE_HELP)]
    Resume(HoldArgs),
    /// Compare the clock with the store's own time; records are removed by a time that both agree on
    #[command(after_help = CLOCK_HELP)]
    Clock(ClockArgs),
    /// Report again what Twilio would not take
    #[command(after_help = REQUEUE_HELP)]
    Requeue(RequeueArgs),
    /// Write all that the store holds as JSON lines, for another store or for analysis
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Take over what `export` wrote, or a list of messages that are known to have arrived
    #[command(after_help = format!("{IMPORT_HELP}\n\n{CSV_HELP}"))]
    Import(ImportArgs),
}

/// Arguments of `list`.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ListArgs {
    /// Only messages in this state
    #[arg(long, value_name = "STATE", value_parser = states())]
    pub state: Option<State>,
    /// Instead of messages, evidence that waits for its message
    #[arg(long, conflicts_with_all = ["state", "orphans", "converted", "calling_code", "code"])]
    pub parked: bool,
    /// Instead of messages, evidence whose message never came
    #[arg(long, conflicts_with_all = ["state", "converted", "calling_code", "code"])]
    pub orphans: bool,
    /// Only messages passed over because another under their reference was confirmed
    #[arg(long)]
    pub converted: bool,
    /// Only what was created (or parked) longer ago than this, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = Typed(values::ago))]
    pub older_than: Option<Timestamp>,
    /// Only what was created (or parked) since, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = Typed(values::ago))]
    pub newer_than: Option<Timestamp>,
    /// Only messages to numbers with this country calling code, such as 49
    #[arg(long, value_name = "CODE", value_parser = Typed(values::calling_code))]
    pub calling_code: Option<u16>,
    /// Only messages refused with this error code of Twilio's, such as 20429
    #[arg(long, value_name = "CODE")]
    pub code: Option<u32>,
    /// Only what is of this account
    #[arg(long, value_name = "ACCOUNT", value_parser = Typed(values::account))]
    pub account: Option<AccountSid>,
    /// At most so many, the newest [default: 50; with --json all, in no order]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: Option<u32>,
    /// Print JSON, a line each
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// The states by name, as they are in answers.
fn states() -> impl TypedValueParser<Value = State> {
    let names = PossibleValuesParser::new(State::ALL.map(State::as_str));
    names.try_map(|name| values::state(&name))
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The message, or the app's reference of one or several
    #[arg(value_name = "SID|REFERENCE", value_parser = Typed(values::name))]
    pub name: Reference,
    /// Print JSON, a line each
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `stats`.
#[derive(Debug, Default, Args)]
pub struct StatsArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `pause` and `resume`.
#[derive(Debug, Default, Args)]
pub struct HoldArgs {
    /// The account
    #[arg(
        value_name = "ACCOUNT",
        env = "TWILIO_ACCOUNT_SID",
        hide_env_values = true,
        value_parser = Typed(values::account)
    )]
    pub account: Option<AccountSid>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `clock`.
#[derive(Debug, Default, Args)]
pub struct ClockArgs {
    /// Say that the clock is right, after it jumped
    #[arg(long)]
    pub confirm: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `requeue`.
#[derive(Debug, Default, Args)]
pub struct RequeueArgs {
    /// The messages
    #[arg(value_name = "SID", value_parser = Typed(values::message), required_unless_present_any = ["all", "reported_since"], conflicts_with_all = ["all", "reported_since"])]
    pub sids: Vec<MessageSid>,
    /// All that were refused
    #[arg(long)]
    pub all: bool,
    /// Of those, the ones refused with this error code of Twilio's, such as 20429
    #[arg(long, value_name = "CODE", requires = "all", conflicts_with = "sids")]
    pub code: Option<u32>,
    /// All that were reported at this time or later, such as 2026-11-23T10:00:00Z, or 2h ago
    #[arg(long, value_name = "TIME", conflicts_with = "all", value_parser = Typed(values::past_time))]
    pub reported_since: Option<Timestamp>,
    /// Print JSON, a line each
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `export`.
#[derive(Debug, Default, Args)]
pub struct ExportArgs {
    /// The file to write, which must not be there yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Arguments of `import`.
#[derive(Debug, Default, Args)]
pub struct ImportArgs {
    /// What `export` wrote, or with --csv a list of messages that arrived; - is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// FILE is a CSV of messages that are known to have arrived
    #[arg(long)]
    pub csv: bool,
    /// With --csv, so many confirmations a second at most [default: 10/s]
    #[arg(long, value_name = "N/s", requires = "csv")]
    pub rate: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArgs,
}
