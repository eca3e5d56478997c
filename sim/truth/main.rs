//! Truth, measured: a simulated world that knows who received what and when, against the real judgement
//! and the real store.
//!
//! `cargo run --release --example truth -- --seed N --messages N`
//!
//! Prints what each kind of evidence and each policy is worth (`docs/truth.md` says what is modelled),
//! and exits with 1, telling the stories of the first ten, if something came about that must not:
//!
//! - direct evidence confirmed what had not arrived. Taking away the rule that a *preview* or a crawler
//!   is no click brings that about (`src/twilio/click.rs`);
//! - a captured request that was sent again confirmed something: so without the memory of what was
//!   counted (`seen` in `src/domain/matching/decide.rs`);
//! - inferred evidence confirmed what was older than the reply window: so without the window
//!   (`window` and `span` in `src/domain/matching/mod.rs`);
//! - another account's request was let in, or confirmed something: so without the check of the account
//!   where requests are read (`src/twilio/callback.rs`), or where messages are picked
//!   (`src/domain/matching/select.rs`);
//! - a call confirmed what was sent after it had begun; an opt-out confirmed something;
//! - what the store had acknowledged was not there after it had been closed and opened again;
//! - shared or inferred evidence was right less often than [`FLOOR`] says.

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

use crate::generator::{Habits, Life};
use crate::judge::{Judgement, judge};
use crate::runner::{Settings, play};
use crate::support::random::hash;
use crate::world::World;

/// sled allocates without end; the C library's allocator took a quarter of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most messages that a world has: the more there are, the longer the way through sled's tree.
const WORLD: usize = 25_000;
/// For how many days messages are sent in the first two worlds: longer than one stays pending, so that
/// some expire, and captured requests are days old.
const LONG: i64 = 9;
/// The same in all the others: each minute takes the disk's time, and more days teach nothing new.
const SHORT: i64 = 2;
/// Of a hundred confirmations that had to choose, so many are right at the least.
const FLOOR: u64 = 96;

#[derive(Debug, Parser)]
struct Arguments {
    /// What the world is drawn from; a random one if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many messages are sent in it.
    #[arg(long, default_value_t = 200_000)]
    messages: usize,
    /// On how many of another world the policies are compared; zero leaves that out.
    #[arg(long, default_value_t = 10_000)]
    compare: usize,
    /// Where the stores are put, each in a folder of its own that is removed afterwards. In memory if
    /// not given and if there is such a place, for nothing here has to outlive a power cut.
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, messages, compare, dir } = Arguments::parse();
    let seed = seed.map_or_else(getrandom::u64, Ok).context("no randomness")?;
    println!("seed {seed}, {messages} messages");
    let in_memory = Path::new("/dev/shm");
    let folder = match &dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None if in_memory.is_dir() => tempfile::tempdir_in(in_memory)?,
        None => tempfile::tempdir()?,
    };
    let began = Instant::now();
    let judgement = all(seed, messages, folder.path())?;
    println!("\n## Evidence\n");
    tables::kinds(&judgement);
    if compare > 0 {
        println!("\n## Policies, on {compare} messages\n");
        policies::compare(hash(seed), compare, folder.path())?;
    }
    println!("\ndigest {:016x}, {} s", judgement.digest, began.elapsed().as_secs());
    Ok(verdict(&judgement))
}

/// Says what must not be.
fn verdict(judgement: &Judgement) -> ExitCode {
    let mut broken = judgement.broken.clone();
    for basis in [Basis::Shared, Basis::Inferred] {
        let score = judgement.of(basis);
        let all = score.right + score.wrong;
        if score.right * 100 < all * FLOOR {
            broken.push(format!(
                "{} evidence was right {} times of {all}",
                basis.as_str(),
                score.right
            ));
        }
    }
    for what in broken.iter().take(10) {
        println!("\nWRONG: {what}");
    }
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n{} things came about that must not", broken.len());
    ExitCode::FAILURE
}

/// Plays all worlds.
fn all(seed: u64, messages: usize, folder: &Path) -> anyhow::Result<Judgement> {
    let worlds = messages.div_ceil(WORLD).next_multiple_of(2);
    let one = |number: usize| {
        let days = if number < 2 { LONG } else { SHORT };
        let habits = Habits { days, careless: false };
        let world = Life::lived(hash(seed.wrapping_add(number as u64)), messages / worlds, habits);
        played(&world, policies::defaults(), &folder.join(number.to_string()))
    };
    let mut sum = Judgement::default();
    for judgement in side_by_side(worlds, &one)? {
        sum.add(judgement);
    }
    Ok(sum)
}

/// Plays so many plays on a few threads and returns what came of them in their order. While one waits
/// for its store's thread, another goes on.
fn side_by_side(
    plays: usize,
    play: &(impl Fn(usize) -> anyhow::Result<Judgement> + Sync),
) -> anyhow::Result<Vec<Judgement>> {
    let next = AtomicUsize::new(0);
    let some = || -> anyhow::Result<Vec<(usize, Judgement)>> {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        numbers.take_while(|n| *n < plays).map(|n| Ok((n, play(n)?))).collect()
    };
    let threads = std::thread::available_parallelism()?.get() + 1;
    let mut played = BTreeMap::new();
    std::thread::scope(|scope| {
        let under_way: Vec<_> = (0..threads.min(plays)).map(|_| scope.spawn(some)).collect();
        for thread in under_way {
            played.extend(thread.join().map_err(|_| anyhow!("a play panicked"))??);
        }
        Ok(played.into_values().collect())
    })
}

/// Plays a world and judges it; its store is gone afterwards.
fn played(world: &World, settings: Settings, folder: &Path) -> anyhow::Result<Judgement> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let played = runtime.block_on(play(world, settings, folder))?;
    std::fs::remove_dir_all(folder).context("the store's folder stays")?;
    Ok(judge(world, &played, &settings.policy))
}
