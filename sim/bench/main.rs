//! Bench: Heardback as it is shipped, beside what it is measured against.
//!
//! `bench/run` builds and starts it. Everything is measured in one run, side after side and round after
//! round, server and client on one core each: these machines are noisy, and only ratios within a run
//! mean anything. A run in which the host took the cores away is repeated. Nothing is asserted here.

mod backlog;
mod breakdown;
mod compare;
mod growth;
mod lower_bound;
mod measurement;
mod open_cost;
mod open_loop;
mod peers;
mod post_cost;
mod processes;
mod signature_cost;
mod stubs;
#[expect(dead_code, reason = "each root uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod system_stats;
mod tables;
mod traffic;
mod write_cost;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::backlog::Backlog;
use crate::breakdown::Breakdown;
use crate::growth::Growth;
use crate::measurement::Plan;
use crate::peers::Kit;
use crate::write_cost::Backend;

#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
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
    Breakdown(Breakdown),
    /// Part of the above: writes so many messages
    #[command(hide = true)]
    Write { backend: Backend, group: u32, messages: u32, folder: PathBuf },
    /// Part of the above: checks the signatures of requests
    #[command(hide = true)]
    Verify { file: PathBuf },
    /// Part of the above: posts feedback to a stand-in
    #[command(hide = true)]
    Post { port: u16 },
    /// Part of the above: opens what was fill_store
    #[command(hide = true)]
    Open { backend: Backend, folder: PathBuf },
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
    /// A store that was fill_store before with so many (`bench fill`), copy_store instead of fill_store anew
    #[arg(long)]
    filled: Option<PathBuf>,
    #[command(flatten)]
    plan: Plan,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    system_stats::raise_priority();
    let done = match arguments.task {
        Task::Compare(arguments) => compare::compare(&arguments),
        Task::Grow(arguments) => Growth::measure(&arguments),
        Task::Bare { port } => listening(port).and_then(stubs::bare),
        Task::Backlog(arguments) => arguments.measure(),
        Task::Breakdown(arguments) => arguments.measure(),
        Task::Write { backend, group, messages, folder } => {
            write_cost::write(backend, group, messages, &folder)
        }
        Task::Verify { file } => signature_cost::all(&file),
        Task::Post { port } => post_cost::all(port),
        Task::Open { backend, folder } => open_cost::open(backend, &folder),
        Task::Twilio { port, after } => {
            let after = Duration::from_millis(after);
            listening(port).and_then(|listener| stubs::twilio(listener, after))
        }
        Task::Pace { file, port, connections, a_second } => {
            open_loop::send(&file, port, connections, a_second)
        }
        Task::Fill { store, messages, confirmed } => growth::fill(&store, messages, confirmed),
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
