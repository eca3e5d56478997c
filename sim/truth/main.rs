//! Truth: a simulated world that knows which messages arrived, against the real matching and the real store.
//!
//! `cargo run --release --example truth -- --seed N --messages N --people impatient|patient`
//!
//! Prints the precision and recall of each kind of evidence and of each policy (`docs/truth.md` describes the model).
//! The exit code is 1 after a violation, and the first ten are printed. Violations, and the defence against each:
//!
//! - Direct evidence confirmed a message that had not arrived: a *preview* or a crawler is no click
//!   (`src/twilio/click.rs`).
//! - A replayed request confirmed a message: the deduplication (`seen` in `src/domain/matching/decide.rs`).
//! - Inferred evidence confirmed a message older than the reply window: the window (`window` and `span` in
//!   `src/domain/matching/mod.rs`).
//! - A request of another account was accepted: the check of the account in the parsers (`src/twilio/callback.rs`) and
//!   in the selection (`src/domain/matching/select.rs`).
//! - A call confirmed a message that was sent after its begin, or an opt-out confirmed a message.
//! - The store lost an acknowledged record when it was closed and opened again.
//! - Shared or inferred evidence was correct less often than [`MIN_PRECISION_PERCENT`].

#![expect(
    clippy::disallowed_methods,
    reason = "a simulation uses the real clock and real randomness"
)]

mod attacks;
mod brands;
mod carriers;
mod conversations;
mod generator;
mod intake;
mod judge;
mod logins;
mod policies;
mod requests;
mod runner;
#[expect(dead_code, reason = "each root uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::Parser;
use heardback::domain::message::Basis;

use crate::generator::{Generator, People, WorldOptions};
use crate::judge::{Judgement, judge};
use crate::runner::{Settings, run};
use crate::support::random::hash;
use crate::world::World;

/// sled allocates often; with the C library's allocator, allocation takes a quarter of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most messages in a world, because sled slows down with more.
const MESSAGES_PER_WORLD: usize = 25_000;
/// The days of the first two worlds: longer than a message stays pending, so that some expire, and captured
/// requests are days old.
const LONG_DAYS: i64 = 9;
/// The days of all other worlds, because each minute needs a sync.
const SHORT_DAYS: i64 = 2;
/// The least precision of shared and of inferred confirmations.
const MIN_PRECISION_PERCENT: u64 = 96;

#[derive(Debug, Parser)]
struct Arguments {
    /// The seed of the world [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Messages in the world
    #[arg(long, default_value_t = 200_000)]
    messages: usize,
    /// Messages of the world for the comparison of policies; 0 skips the comparison
    #[arg(long, default_value_t = 10_000)]
    compare: usize,
    /// When people without a code ask for another one
    #[arg(long, default_value = "impatient")]
    people: People,
    /// The folder for temporary stores [default: /dev/shm if it exists]
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, messages, compare, people, dir } = Arguments::parse();
    let seed = seed.map_or_else(getrandom::u64, Ok).context("no random numbers")?;
    println!("seed {seed}, {messages} messages, {people:?} people");
    let in_memory = Path::new("/dev/shm");
    let folder = match &dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None if in_memory.is_dir() => tempfile::tempdir_in(in_memory)?,
        None => tempfile::tempdir()?,
    };
    let began = Instant::now();
    let judgement = all(seed, messages, people, folder.path())?;
    println!("\n## Evidence\n");
    tables::kinds(&judgement);
    if compare > 0 {
        println!("\n## Policies, on {compare} messages\n");
        policies::compare(hash(seed), compare, people, folder.path())?;
    }
    println!("\ndigest {:016x}, {} s", judgement.digest, began.elapsed().as_secs());
    Ok(verdict(&judgement))
}

/// Prints the violations.
fn verdict(judgement: &Judgement) -> ExitCode {
    let mut violations = judgement.violations.clone();
    for basis in [Basis::Shared, Basis::Inferred] {
        let score = judgement.of(basis);
        let all = score.right + score.wrong;
        if score.right * 100 < all * MIN_PRECISION_PERCENT {
            violations.push(format!(
                "{} evidence was correct {} times of {all}",
                basis.as_str(),
                score.right
            ));
        }
    }
    for violation in violations.iter().take(10) {
        println!("\nVIOLATION: {violation}");
    }
    if violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n{} violations", violations.len());
    ExitCode::FAILURE
}

/// Runs all worlds.
fn all(seed: u64, messages: usize, people: People, folder: &Path) -> anyhow::Result<Judgement> {
    let worlds = messages.div_ceil(MESSAGES_PER_WORLD).next_multiple_of(2);
    let one = |number: usize| {
        let days = if number < 2 { LONG_DAYS } else { SHORT_DAYS };
        let options = WorldOptions { days, registers_late: false, people };
        let world =
            Generator::generate(hash(seed.wrapping_add(number as u64)), messages / worlds, options);
        result(&world, policies::defaults(), &folder.join(number.to_string()))
    };
    let mut sum = Judgement::default();
    for judgement in run_in_parallel(worlds, &one)? {
        sum.add(judgement);
    }
    Ok(sum)
}

/// Runs several worlds on a few threads. Returns their results in order.
fn run_in_parallel(
    plays: usize,
    run: &(impl Fn(usize) -> anyhow::Result<Judgement> + Sync),
) -> anyhow::Result<Vec<Judgement>> {
    let next = AtomicUsize::new(0);
    let some = || -> anyhow::Result<Vec<(usize, Judgement)>> {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        numbers.take_while(|n| *n < plays).map(|n| Ok((n, run(n)?))).collect()
    };
    let threads = std::thread::available_parallelism()?.get() + 1;
    let mut result = BTreeMap::new();
    std::thread::scope(|scope| {
        let under_way: Vec<_> = (0..threads.min(plays)).map(|_| scope.spawn(some)).collect();
        for thread in under_way {
            result.extend(thread.join().map_err(|_| anyhow!("a run panicked"))??);
        }
        Ok(result.into_values().collect())
    })
}

/// Runs a world and judges it. Its store is removed afterwards.
fn result(world: &World, settings: Settings, folder: &Path) -> anyhow::Result<Judgement> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let result = runtime.block_on(run(world, settings, folder))?;
    std::fs::remove_dir_all(folder).context("cannot remove the store")?;
    Ok(judge(world, &result, &settings.policy))
}
