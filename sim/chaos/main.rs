//! Chaos: the real binary under injected faults, and a judge that checks its promises (`docs/reliability.md`).
//!
//! `cargo run --release --example chaos -- --seed N --seconds 60`, or `--kills 1000`
//!
//! With `--store postgres` there are several receivers on one database, and the database fails as well.
//!
//! `driver` sends signed traffic through `proxy`, which breaks connections. `upstream` is a fake Twilio that fails, `app`
//! an app that fails, to which the service forwards the number's webhooks.
//! `nemesis` kills and stops the service, fills the disk and rotates secrets. `judge` reads the history of the run, or
//! a kept one (`--judge FILE`). The exit code is 1 if a promise was broken.
//!
//! Everything runs on loopback and in temporary folders, and nothing is left after Ctrl-C. Every choice follows from
//! the seed; the timing does not.

#![expect(
    clippy::disallowed_methods,
    reason = "a simulation uses the real clock and real randomness"
)]

mod app;
mod bursts;
mod client;
mod clock;
mod conversation;
mod disk;
mod driver;
mod dump;
mod faults;
mod flood;
mod forgeries;
mod history;
mod identities;
mod judge;
mod leaks;
mod nemesis;
mod postgres;
mod proxy;
mod report;
mod requests;
mod sampler;
mod search;
mod sending;
mod service;
mod signals;
mod summary;
#[expect(dead_code, reason = "each root uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod upstream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::RunningApp;
use crate::bursts::Bursts;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::history::{EventKind, History};
use crate::identities::Identities;
use crate::judge::facts::Facts;
use crate::judge::judge;
use crate::nemesis::{Limit, Nemesis, Receiver};
use crate::postgres::{Database, Standby};
use crate::proxy::Network;
use crate::sampler::sample;
use crate::service::{CONCURRENCY, ServiceConfig};
use crate::support::random::{Random, hash};
use crate::upstream::Upstream;

/// A message of a paused account is retried within 75 s. This allows for twice that.
const DRAIN: Duration = Duration::from_mins(3);
/// The disk of a long run: its messages, and the space below the store's limit.
const DISK: u64 = 1 << 30;
/// The disk of a short run, which takes memory on tmpfs.
const SMALL_DISK: u64 = 400 << 20;
/// A run with more kills is long.
const FEW_KILLS: u64 = 100;

#[derive(Debug, Parser)]
struct Arguments {
    /// The seed of every choice [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds of faults
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ends after this number of SIGKILLs instead
    #[arg(long)]
    kills: Option<u64>,
    /// Scenarios per second
    #[arg(long, default_value_t = 60)]
    rate: u64,
    /// The store of the receivers
    #[arg(long, value_enum, default_value = "sled")]
    store: StoreKind,
    /// Receivers on one database
    #[arg(long, default_value_t = 2)]
    receivers: usize,
    /// The standby of the database. A promotion of an asynchronous one loses commits, which are counted
    #[arg(long, value_enum, default_value = "sync")]
    standby: Standby,
    /// Instead of faults: replaces each receiver this many times, and judges whether a request was lost
    #[arg(long)]
    replacements: Option<u64>,
    /// Injects only the faults whose name contains this text
    #[arg(long, default_value = "")]
    only: String,
    /// The most seconds until the outbox is empty after the last fault; with 0 it is not judged
    #[arg(long, default_value_t = DRAIN.as_secs())]
    drain: u64,
    /// The binary under test [default: `heardback` beside this example's folder]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The folder for the store; it gets a temporary folder that is removed
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keeps the history in this file
    #[arg(long)]
    history: Option<PathBuf>,
    /// Only judges a kept history
    #[arg(long)]
    judge: Option<PathBuf>,
    /// Writes the tables of docs/reliability.md to this file
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StoreKind {
    Sled,
    Postgres,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(history) = &arguments.judge {
        return judge_history(history, arguments.report.as_deref());
    }
    let seed = arguments.seed.map_or_else(getrandom::u64, Ok).context("no random numbers")?;
    println!("seed {seed}");
    let folder = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let path = arguments.history.clone().unwrap_or_else(|| folder.path().join("history.jsonl"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        // The other branches are dropped, with the service and the disk.
        tokio::select! {
            end = run(seed, &arguments, folder.path(), &path) => end,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminated.recv() => bail!("terminated"),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let code = judge_history(&path, arguments.report.as_deref());
    end.map_err(|error| error.context("the run is incomplete")).and(code)
}

async fn run(seed: u64, arguments: &Arguments, folder: &Path, path: &Path) -> anyhow::Result<()> {
    let history = Arc::new(History::create(path)?);
    let drain_seconds = arguments.drain;
    let database = match arguments.store {
        StoreKind::Sled => None,
        StoreKind::Postgres => {
            let below = arguments.dir.as_deref();
            Some(Database::start(seed, arguments.standby, below, &history).await?)
        }
    };
    let may_lose = database.is_some() && arguments.standby == Standby::Async;
    let mut nemesis = prepared(seed, arguments, folder, database, &history)?;
    history.note(EventKind::Plan {
        seed,
        concurrency: CONCURRENCY,
        drain_seconds,
        may_lose,
        receivers: nemesis.receivers.len(),
    });
    nemesis.write_accounts(None)?;
    nemesis.start_all().await?;
    let mut samplers = JoinSet::new();
    for receiver in &nemesis.receivers {
        samplers.spawn(sample(receiver.running.subscribe(), Arc::clone(&history)));
    }
    let driver = Arc::new(Driver {
        seed,
        identities: Arc::clone(&nemesis.identities),
        history: Arc::clone(&history),
        proxy: proxy::start(seed, Arc::clone(&nemesis.network), Arc::clone(&history)).await?,
        rate: arguments.rate,
        requests: AtomicU64::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let mut senders = driver.start(&stopped);
    nemesis.driver = Some(Arc::clone(&driver));
    let limit = match (arguments.replacements, arguments.kills) {
        (Some(rounds), _) => Limit::Replacements(rounds),
        (None, Some(kills)) => Limit::Kills(kills),
        (None, None) => Limit::Time(Duration::from_secs(arguments.seconds)),
    };
    let injected = nemesis.inject_faults(limit).await;
    nemesis.heal();
    stop.send_replace(true);
    while senders.join_next().await.is_some() {}
    nemesis.bursts.end().await;
    let ended = match injected {
        Ok(()) => nemesis.drain_and_stop(Duration::from_secs(drain_seconds)).await,
        Err(error) => Err(error),
    };
    samplers.abort_all();
    nemesis.receivers.clear();
    let ended = match (ended, &nemesis.database) {
        (Ok(()), None) => {
            search::search(&nemesis.config, folder)?;
            dump::dump_folder(&nemesis.config.store, &history).await
        }
        (Ok(()), Some(database)) => {
            database.search()?;
            dump::dump_database(&database.url, &history).await
        }
        (Err(error), _) => Err(error),
    };
    history.flush()?;
    ended
}

fn prepared(
    seed: u64,
    arguments: &Arguments,
    folder: &Path,
    database: Option<Database>,
    history: &Arc<History>,
) -> anyhow::Result<Nemesis> {
    let receivers = if database.is_some() { arguments.receivers } else { 1 };
    let is_long = arguments.seconds > 300 || arguments.kills.is_some_and(|kills| kills > FEW_KILLS);
    let disk = Disk::new(folder, if is_long { DISK } else { SMALL_DISK })?;
    if database.is_none() {
        println!("the store is on: {:?}", disk.kind());
    }
    if database.is_none() && !disk.can_be_filled() {
        println!("NO FULL DISK: this process may not mount a file system (not root?)");
    }
    let clock = Clock::build(folder, receivers)?;
    if clock.is_none() {
        println!("NO CLOCK JUMPS: no C compiler (`cc`), or not Linux");
    }
    let binary = arguments.binary.clone().map_or_else(default_binary, Ok)?;
    if let Some(database) = &database {
        database.migrate(&binary)?;
    }
    let identities = Arc::new(Identities::new(seed));
    let app = RunningApp::start(seed, &identities, history)?;
    let config = ServiceConfig {
        binary,
        store: disk.path().join("store"),
        database: database.as_ref().map(|database| database.url.clone()),
        accounts: folder.join("accounts.toml"),
        app_urls: ["sms", "voice", "status"].map(|path| app.url(path)),
        // Both answers for an app that fails are tried, by seed.
        has_fallback_url: seed % 2 == 1,
        clock,
        history: Arc::clone(history),
    };
    Ok(Nemesis {
        random: Random::new(hash(seed)),
        history: Arc::clone(history),
        upstream: Upstream::new(seed, &identities, history),
        identities,
        config,
        disk,
        network: Network::new(),
        receivers: std::iter::repeat_with(Receiver::default).take(receivers).collect(),
        victim: 0,
        only: arguments.only.clone(),
        database,
        driver: None,
        bursts: Bursts::new(),
        app,
        run: 0,
        faults_begun: 0,
        kills: 0,
    })
}

/// The binary of the same build: `target/release/heardback` for `target/release/examples/chaos`.
fn default_binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("the example is in no folder")?;
    Ok(folder.join("heardback"))
}

fn judge_history(history: &Path, report: Option<&Path>) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let events = history::read(history)?;
    let facts = Facts::of(&events);
    let findings = judge(&facts);
    let text = report::report(&facts, &findings);
    println!("\n{text}");
    if let Some(report) = report {
        std::fs::write(report, summary::summary(&facts, &findings))?;
    }
    eprintln!("judged in {:.1?}", began.elapsed());
    let broken = findings.iter().any(|it| !it.broken.is_empty() && !it.is_expected);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
