//! Bench: Heardback with its default settings, compared with other servers.
//!
//! `bench/run` builds and starts it. One run measures all sides in turn, round after round, with server and client on
//! one core each. The machines are noisy, so only ratios within a run count. A measurement is repeated if the host took
//! the cores. Nothing is asserted.

#![expect(
    clippy::disallowed_methods,
    reason = "a simulation uses the real clock and real randomness"
)]

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
mod send_latency;
mod signature_cost;
mod store_rate;
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
use crate::send_latency::SendLatency;
use crate::store_rate::StoreRate;
use crate::write_cost::Backend;

#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Rate, latency, CPU, memory and syncs, compared with other servers
    Compare(Compare),
    /// The same with more and more pending messages, with the size of the store and the time of a start
    Grow(Grow),
    /// Answers 204 to every request
    #[command(hide = true)]
    Bare { port: u16 },
    /// The rate at which a backlog of confirmations is reported
    Backlog(Backlog),
    /// The cost of a request by its parts: HTTP, a plain file, sled, the store and a signature
    Breakdown(Breakdown),
    /// The latency of a send through Heardback, beside the direct call
    Send(SendLatency),
    /// The rate of a PostgreSQL store without HTTP
    StoreRate(StoreRate),
    /// Writes messages, and prints the cost
    #[command(hide = true)]
    Write { backend: Backend, group: u32, messages: u32, folder: PathBuf },
    /// Verifies the signatures of a file of requests, and prints the cost
    #[command(hide = true)]
    Verify { file: PathBuf },
    /// Posts feedback to a fake Twilio, and prints the cost
    #[command(hide = true)]
    Post { port: u16 },
    /// Opens a store, and prints the cost
    #[command(hide = true)]
    Open { backend: Backend, folder: PathBuf },
    /// A fake Twilio that accepts everything after a delay in milliseconds
    #[command(hide = true)]
    Twilio {
        port: u16,
        #[arg(default_value_t = 0)]
        after: u64,
    },
    /// Sends requests at a fixed rate
    #[command(hide = true)]
    Pace { file: PathBuf, port: u16, connections: u32, a_second: u32 },
    /// Fills a store and kills itself
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
    /// Another build of Heardback for comparison
    #[arg(long)]
    old: Option<PathBuf>,
    /// Measures Heardback again with syncs that take so many milliseconds longer
    #[arg(long)]
    slow_sync: Option<u32>,
    /// Measures Heardback again on PostgreSQL: one receiver, then two on one database
    #[arg(long)]
    postgres: bool,
    /// Requests per second of the open loop, on 32 connections
    #[arg(long, default_value_t = 500)]
    pace: u32,
    #[command(flatten)]
    plan: Plan,
}

#[derive(clap::Args)]
struct Grow {
    /// Numbers of pending messages
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    pending: Vec<u32>,
    /// The service's limit on memory in MiB (a cgroup, needs root)
    #[arg(long)]
    memory: Option<u64>,
    /// A store of this size from an earlier `bench fill`, which is copied instead of a new one
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
        Task::Send(arguments) => arguments.measure(),
        Task::StoreRate(arguments) => arguments.measure(),
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
