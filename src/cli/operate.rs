//! The arguments of the commands on a store.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use crate::cli::values;
use crate::cli::values::Typed;
use crate::config::StoreUrl;
use crate::domain::message::{Reference, State};
use crate::domain::sid::{AccountSid, MessageSid};

/// The arguments that all commands on a store have.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Print JSON: one value, or one line for each record
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreFlag,
}

/// The store of a command.
#[derive(Debug, Args)]
pub struct StoreFlag {
    /// The store of the service, as it is set for `serve` [default: `HEARDBACK_STORE`, or sled:heardback-data]
    #[arg(long = "store", value_name = "sled:PATH|postgres://…", value_parser = Typed(values::store))]
    pub url: Option<StoreUrl>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only messages in this state
    #[arg(long, value_name = "STATE", value_parser = states())]
    pub state: Option<State>,
    /// List parked evidence instead of messages
    #[arg(long, conflicts_with_all = ["state", "orphans", "converted", "calling_code", "code"])]
    pub parked: bool,
    /// List orphaned evidence instead of messages: its message was never registered
    #[arg(long, conflicts_with_all = ["state", "converted", "calling_code", "code"])]
    pub orphans: bool,
    /// Only messages that another message of their reference superseded
    #[arg(long)]
    pub converted: bool,
    /// Only records created (or parked) longer ago than this, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = Typed(values::ago))]
    pub older_than: Option<Timestamp>,
    /// Only records created (or parked) less long ago than this, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = Typed(values::ago))]
    pub newer_than: Option<Timestamp>,
    /// Only messages to numbers with this country calling code, such as 49
    #[arg(long, value_name = "CODE", value_parser = Typed(values::calling_code))]
    pub calling_code: Option<u16>,
    /// Only messages that Twilio refused with this error code, such as 20429
    #[arg(long, value_name = "CODE")]
    pub code: Option<u32>,
    /// Only records of this account
    #[arg(long, value_name = "ACCOUNT", value_parser = Typed(values::account))]
    pub account: Option<AccountSid>,
    /// The number of records, the newest first [default: 50; with --json all, in no order]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: Option<u32>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The names of the states, as in responses.
fn states() -> impl TypedValueParser<Value = State> {
    let names = PossibleValuesParser::new(State::ALL.map(State::as_str));
    names.try_map(|name| values::state(&name))
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The SID of a message, or the app's reference of one or several messages
    #[arg(value_name = "SID|REFERENCE", value_parser = Typed(values::sid_or_reference))]
    pub sid_or_reference: Reference,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The account to put on hold, or to resume
    #[arg(
        value_name = "ACCOUNT",
        env = "TWILIO_ACCOUNT_SID",
        hide_env_values = true,
        value_parser = Typed(values::account_to_hold)
    )]
    pub account: Option<AccountSid>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct ClockArgs {
    /// After a jump, confirm that the wall clock is correct
    #[arg(long)]
    pub confirm: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct RequeueArgs {
    /// The messages to requeue
    #[arg(value_name = "SID", value_parser = Typed(values::message), required_unless_present_any = ["all", "reported_since"], conflicts_with_all = ["all", "reported_since"])]
    pub sids: Vec<MessageSid>,
    /// All refused messages
    #[arg(long)]
    pub all: bool,
    /// With --all: only messages that Twilio refused with this error code, such as 20429
    #[arg(long, value_name = "CODE", requires = "all", conflicts_with = "sids")]
    pub code: Option<u32>,
    /// All messages reported at or after this time, such as 2026-11-23T10:00:00Z, or 2h (before now)
    #[arg(long, value_name = "TIME", conflicts_with = "all", value_parser = Typed(values::past_time))]
    pub reported_since: Option<Timestamp>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file to write, which must not exist [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the counts and checksums of all records by kind, instead of the records
    #[arg(long, conflicts_with = "out")]
    pub digest: bool,
    #[command(flatten)]
    pub store: StoreFlag,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The output of `export`; with --csv, a list of messages that arrived. - is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Change nothing: compare the store with FILE, and print the digest of the records that are here
    #[arg(long, conflicts_with = "csv")]
    pub verify: bool,
    /// FILE is a CSV of messages that are known to have arrived
    #[arg(long)]
    pub csv: bool,
    /// With --csv: the maximum of confirmations per second [default: 10/s]
    #[arg(long = "rate", value_name = "N/s", requires = "csv", value_parser = Typed(values::rate))]
    pub interval: Option<Duration>,
    #[command(flatten)]
    pub common: CommonArgs,
}
