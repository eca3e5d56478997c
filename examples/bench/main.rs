//! Bench: Heardback as it is shipped, beside what it is measured against.
//!
//! `bench/run` builds and starts it. Everything is measured in one run, side after side and round after
//! round, server and client on one core each: these machines are noisy, and only ratios within a run
//! mean anything. A run in which the host took the cores away is repeated. Nothing is asserted here.

mod drive;
mod grown;
mod peers;
mod probe;
mod service;
mod sides;
mod stand;
mod table;
mod traffic;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::drive::Plan;
use crate::grown::Grown;

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
    /// Part of the above: a Twilio that takes everything at once
    #[command(hide = true)]
    Twilio { port: u16 },
    /// Part of the above: fills a store and is killed
    #[command(hide = true)]
    Fill { store: PathBuf, messages: u32 },
}

#[derive(clap::Args)]
struct Compare {
    /// The load kit, for the ceilings and the peers: built, as its README says
    #[arg(long)]
    kit: Option<PathBuf>,
    /// Which of the kit's servers
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "actix-durable-local,express-sqlite,express-pg"
    )]
    peers: Vec<String>,
    /// Another build of Heardback, to compare with
    #[arg(long)]
    old: Option<PathBuf>,
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
    #[command(flatten)]
    plan: Plan,
}

fn main() -> ExitCode {
    let done = match Asked::parse().what {
        What::Compare(asked) => {
            probe::first_in_line();
            sides::compare(asked.kit.as_deref(), &asked.peers, asked.old.as_deref(), &asked.plan)
        }
        What::Grow(asked) => {
            probe::first_in_line();
            Grown::measure(&asked.pending, asked.memory, &asked.plan)
        }
        What::Bare { port } => listening(port).and_then(stand::bare),
        What::Twilio { port } => listening(port).and_then(stand::twilio),
        What::Fill { store, messages } => grown::fill(&store, messages),
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
