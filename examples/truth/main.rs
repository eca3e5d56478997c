//! Truth, measured: a simulated world that knows who received what, against the real judgement and the
//! real store.
//!
//! `cargo run --release --example truth -- --seed N --messages N`

mod brands;
mod carriers;
mod judge;
mod life;
mod logins;
mod mischief;
mod play;
mod random;
mod requests;
mod roads;
mod table;
mod talk;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use heardback::domain::matching::{Policy, Resend};

use crate::judge::{Judgement, judge};
use crate::life::{Habits, Life};
use crate::play::{Settings, play};
use crate::random::mixed;
use crate::world::World;

/// How many messages a world has at the most.
const WORLD: usize = 250_000;
/// How many messages policies are compared on.
const COMPARED: usize = 40_000;

#[derive(Debug, Parser)]
struct Arguments {
    /// What the world is drawn from; a random one if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many messages are sent in it.
    #[arg(long, default_value_t = 200_000)]
    messages: usize,
    /// Where the stores are put; a folder of its own is made there.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How many messages the policies are compared on; zero leaves it out.
    #[arg(long, default_value_t = COMPARED)]
    compare: usize,
}

/// What ships.
fn defaults() -> Settings {
    let policy = Policy {
        pending_ttl: Duration::from_hours(7 * 24),
        reply_window: Duration::from_hours(1),
        retention: Duration::from_hours(30 * 24),
        read_confirms: false,
        resend: Resend::default(),
    };
    Settings { policy, ignores_crawlers: true, confirms_on_get: false }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or(getrandom::u64().context("no randomness")?);
    println!("seed {seed}, {} messages", arguments.messages);
    let folder = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let began = Instant::now();
    let judgement = all(seed, arguments.messages, folder.path())?;
    println!("\n## Evidence\n");
    table::kinds(&judgement);
    println!("\ndigest {:016x}; {:.1} s", judgement.digest, began.elapsed().as_secs_f64());
    for broken in judgement.broken.iter().take(10) {
        println!("\nWRONG: {broken}");
    }
    if !judgement.broken.is_empty() {
        println!("\n{} things are wrong that must not be", judgement.broken.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Plays all worlds, two at a time: there is one writer a store.
fn all(seed: u64, messages: usize, folder: &Path) -> anyhow::Result<Judgement> {
    let worlds = messages.div_ceil(WORLD).max(2);
    let share = messages / worlds;
    let one = |number: usize| {
        let world = Life::lived(mixed(seed.wrapping_add(number as u64)), share, Habits::default());
        played(&world, defaults(), &folder.join(number.to_string()))
    };
    let mut sum = Judgement::default();
    let numbers: Vec<usize> = (0..worlds).collect();
    for pair in numbers.chunks(2) {
        let judged: Vec<_> = std::thread::scope(|scope| {
            let under_way: Vec<_> =
                pair.iter().map(|number| scope.spawn(|| one(*number))).collect();
            under_way.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for judgement in judged {
            sum.add(judgement.map_err(|_| anyhow::anyhow!("a play panicked"))??);
        }
    }
    Ok(sum)
}

fn played(world: &World, settings: Settings, folder: &Path) -> anyhow::Result<Judgement> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let t0 = Instant::now();
    let played = runtime.block_on(play(world, settings, folder))?;
    eprintln!(
        "{} messages, {} acts, {} commands, {} refused, {:?}",
        world.messages.len(),
        world.acts.len(),
        played.commands,
        played.refused,
        t0.elapsed()
    );
    std::fs::remove_dir_all(folder).context("the store's folder stays")?;
    Ok(judge(world, &played, &settings.policy))
}
