//! Chaos: the real binary under attack, and a judge who knows what was promised.
//!
//! `cargo run --release --example chaos -- --seed N --seconds 60`, or `--kills 1000`
//!
//! Signed traffic on 64 connections through a network that breaks (`driver`, `proxy`), a stand-in for
//! Twilio that breaks as well (`upstream`), and a nemesis that kills, stops, fills the disk and changes
//! the secrets. Everything is written into a history, which is judged when all is over (`judge`), or
//! again later (`--judge FILE`). Exits with 1 where a promise was broken.
//!
//! All on loopback, in folders of its own; nothing is left running, on Ctrl-C neither. Every choice
//! follows from the seed; how they meet in time does not.

mod bursts;
mod client;
mod clock;
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
mod proxy;
mod report;
mod requests;
mod sampler;
mod search;
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::bursts::Bursts;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::history::{History, What};
use crate::identities::Cast;
use crate::judge::facts::Facts;
use crate::judge::judge;
use crate::nemesis::{Limit, Nemesis};
use crate::proxy::Road;
use crate::sampler::sample;
use crate::service::{CONCURRENCY, Place};
use crate::support::random::{Random, hash};
use crate::upstream::Upstream;

/// A message that was turned away with its account comes back within 75 s, whatever else befell it
/// within twice that.
const DRAIN: Duration = Duration::from_mins(3);
/// The store of the release run's messages, and what the ballast leaves.
const DISK: u64 = 1 << 30;
/// The same of a short run's: less to fill, where that takes memory.
const SMALL_DISK: u64 = 400 << 20;
/// More kills than this make it a long run.
const FEW_KILLS: u64 = 100;

#[derive(Debug, Parser)]
struct Arguments {
    /// What every choice is drawn from; a random one if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// For how long harm is done.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Until so many SIGKILLs instead.
    #[arg(long)]
    kills: Option<u64>,
    /// Pairs of requests a second.
    #[arg(long, default_value_t = 60)]
    rate: u64,
    /// What is attacked [default: `heardback` beside this example's folder].
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where the store is put, in a folder of its own that is removed afterwards.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keeps the history there.
    #[arg(long)]
    history: Option<PathBuf>,
    /// Judges a history that was kept, and does nothing else.
    #[arg(long)]
    judge: Option<PathBuf>,
    /// Writes the summary there: the rows of the tables in docs/reliability.md.
    #[arg(long)]
    report: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(history) = &arguments.judge {
        return verdict(history, arguments.report.as_deref());
    }
    let seed = arguments.seed.map_or_else(getrandom::u64, Ok).context("no randomness")?;
    println!("seed {seed}");
    let folder = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let path = arguments.history.clone().unwrap_or_else(|| folder.path().join("history.jsonl"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        // Whoever loses is dropped, and with it the service and the disk.
        tokio::select! {
            end = run(seed, &arguments, folder.path(), &path) => end,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminated.recv() => bail!("terminated"),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let code = verdict(&path, arguments.report.as_deref());
    end.map_err(|error| error.context("the run broke off")).and(code)
}

async fn run(seed: u64, arguments: &Arguments, folder: &Path, path: &Path) -> anyhow::Result<()> {
    let history = Arc::new(History::create(path)?);
    let drain_seconds = DRAIN.as_secs();
    history.note(What::Plan { seed, concurrency: CONCURRENCY, drain_seconds });
    let mut nemesis = prepared(seed, arguments, folder, &history)?;
    nemesis.write_accounts(None)?;
    nemesis.start(false).await?;
    let sampler = tokio::spawn(sample(nemesis.alive.subscribe(), Arc::clone(&history)));
    let driver = Arc::new(Driver {
        seed,
        cast: Arc::clone(&nemesis.cast),
        history: Arc::clone(&history),
        proxy: proxy::start(seed, Arc::clone(&nemesis.road), Arc::clone(&history)).await?,
        rate: arguments.rate,
        requests: AtomicU64::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let mut senders = driver.start(&stopped);
    nemesis.driver = Some(Arc::clone(&driver));
    let limit =
        arguments.kills.map_or(Limit::Time(Duration::from_secs(arguments.seconds)), Limit::Kills);
    let raged = nemesis.rage(limit).await;
    nemesis.road.healed.store(true, Ordering::Release);
    nemesis.upstream.healed.store(true, Ordering::Release);
    stop.send_replace(true);
    while senders.join_next().await.is_some() {}
    nemesis.bursts.end().await;
    let ended = match raged {
        Ok(()) => nemesis.come_to_rest(DRAIN).await,
        Err(error) => Err(error),
    };
    sampler.abort();
    let store = nemesis.place.store.clone();
    nemesis.service = None;
    let ended = match ended {
        Ok(()) => {
            search::search(&nemesis.place, folder)?;
            dump::dump(&store, &history).await
        }
        Err(error) => Err(error),
    };
    history.flush()?;
    ended
}

fn prepared(
    seed: u64,
    arguments: &Arguments,
    folder: &Path,
    history: &Arc<History>,
) -> anyhow::Result<Nemesis> {
    let is_long = arguments.seconds > 300 || arguments.kills.is_some_and(|kills| kills > FEW_KILLS);
    let disk = Disk::new(folder, if is_long { DISK } else { SMALL_DISK })?;
    println!("the store is on: {:?}", disk.kind());
    if !disk.can_be_filled() {
        println!("NO DISK WILL BE FILLED: nothing can be mounted here (not root?)");
    }
    let clock = Clock::build(folder)?;
    if clock.is_none() {
        println!("NO CLOCK WILL JUMP: there is no `cc` here that makes a preloaded library");
    }
    let binary = arguments.binary.clone().map_or_else(beside, Ok)?;
    let cast = Arc::new(Cast::new(seed));
    let place = Place {
        binary,
        store: disk.path().join("store"),
        accounts: folder.join("accounts.toml"),
        clock,
        history: Arc::clone(history),
    };
    Ok(Nemesis {
        random: Random::new(hash(seed)),
        history: Arc::clone(history),
        upstream: Upstream::new(seed, &cast, history),
        cast,
        place,
        disk,
        road: Road::new(),
        alive: watch::Sender::new(None),
        service: None,
        twilio: None,
        driver: None,
        bursts: Bursts::new(),
        run: 0,
        acts: 0,
        kills: 0,
    })
}

/// The binary of the same build: `target/release/heardback` for `target/release/examples/chaos`.
fn beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("it is in a folder")?;
    Ok(folder.join("heardback"))
}

fn verdict(history: &Path, report: Option<&Path>) -> anyhow::Result<ExitCode> {
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
    let broken = findings.iter().any(|finding| !finding.broken.is_empty());
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
