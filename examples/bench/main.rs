//! Bench: Heardback as it is shipped, beside what it is measured against.
//!
//! `bench/run` builds and starts it. Everything is measured in one run, side after side and round after
//! round, server and client on one core each: these machines are noisy, and only ratios within a run
//! mean anything. A run in which the host took the cores away is repeated. Nothing is asserted here.

#![expect(
    clippy::disallowed_methods,
    reason = "a simulation uses the real clock and real randomness"
)]

mod backlog;
mod drive;
mod floor;
mod grown;
mod least;
mod opening;
mod pace;
mod peers;
mod posts;
mod probe;
mod service;
mod sides;
mod slow;
mod stand;
mod table;
mod traffic;
mod verified;
mod writes;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::backlog::Backlog;
use crate::drive::Plan;
use crate::floor::Floor;
use crate::grown::Grown;
use crate::peers::Kit;
use crate::writes::Into;

#[derive(Parser)]
#[command(name = "bench")]
struct Asked {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Requests a second, latency, CPU, memory, syncs: beside the others
    Compare(Compare),
    /// The same at more and more pending messages, with the store's size and the time to start
    Grow(Grow),
    /// Part of the above: answers 204 to everything
    #[command(hide = true)]
    Bare { port: u16 },
    /// How soon a backlog of confirmations is reported
    Backlog(Backlog),
    /// What sled leaves of a request: HTTP, a plain file, sled, the store and a signature, in one run
    Floor(Floor),
    /// Part of the above: writes so many messages
    #[command(hide = true)]
    Write { into: Into, group: u32, messages: u32, folder: PathBuf },
    /// Part of the above: checks the signatures of requests
    #[command(hide = true)]
    Verify { file: PathBuf },
    /// Part of the above: posts feedback to a stand-in
    #[command(hide = true)]
    Post { port: u16 },
    /// Part of the above: opens what was filled
    #[command(hide = true)]
    Open { into: Into, folder: PathBuf },
    /// Part of the above: a Twilio that takes everything, after so many milliseconds
    #[command(hide = true)]
    Twilio {
        port: u16,
        #[arg(default_value_t = 0)]
        after: u64,
    },
    /// Part of the above: sends so many requests a second
    #[command(hide = true)]
    Pace { file: PathBuf, port: u16, connections: u32, a_second: u32 },
    /// Part of the above: fills a store and is killed
    #[command(hide = true)]
    Fill {
        store: PathBuf,
        messages: u32,
        #[arg(long)]
        confirmed: bool,
    },
}

#[derive(clap::Args)]
struct Compare {
    #[command(flatten)]
    kit: Kit,
    /// Another build of Heardback, to compare with
    #[arg(long)]
    old: Option<PathBuf>,
    /// Heardback once more on a disk whose syncs take so many milliseconds longer
    #[arg(long)]
    slow_sync: Option<u32>,
    /// Requests a second of the open loop, on 32 connections
    #[arg(long, default_value_t = 500)]
    pace: u32,
    #[command(flatten)]
    plan: Plan,
}

#[derive(clap::Args)]
struct Grow {
    /// How many pending messages
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    pending: Vec<u32>,
    /// Hold the service to so much memory (a cgroup, needs root), in MiB
    #[arg(long)]
    memory: Option<u64>,
    /// A store that was filled before with so many (`bench fill`), copied instead of filled anew
    #[arg(long)]
    filled: Option<PathBuf>,
    #[command(flatten)]
    plan: Plan,
}

fn main() -> ExitCode {
    let done = match Asked::parse().what {
        What::Compare(asked) => {
            probe::first_in_line();
            sides::compare(&asked)
        }
        What::Grow(asked) => {
            probe::first_in_line();
            Grown::measure(&asked)
        }
        What::Bare { port } => listening(port).and_then(stand::bare),
        What::Backlog(asked) => {
            probe::first_in_line();
            asked.measure()
        }
        What::Floor(asked) => {
            probe::first_in_line();
            asked.measure()
        }
        What::Write { into, group, messages, folder } => {
            writes::write(into, group, messages, &folder)
        }
        What::Verify { file } => verified::all(&file),
        What::Post { port } => posts::all(port),
        What::Open { into, folder } => opening::open(into, &folder),
        What::Twilio { port, after } => {
            let after = Duration::from_millis(after);
            listening(port).and_then(|listener| stand::twilio(listener, after))
        }
        What::Pace { file, port, connections, a_second } => {
            pace::send(&file, port, connections, a_second)
        }
        What::Fill { store, messages, confirmed } => grown::fill(&store, messages, confirmed),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn listening(port: u16) -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind(("127.0.0.1", port))?)
}
