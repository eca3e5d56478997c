//! Power cuts: what the running binary does to its store is recorded, write by write and sync by sync;
//! from the record come images of the disk as a cut at any moment may leave it, with what was not
//! synced lost, torn and reordered; each is opened with the real store, and everything that had been
//! answered by then must be in it.
//!
//! The release run: `HEARDBACK_POWER_IMAGES=1000 cargo test --test it power:: -- --nocapture`, perhaps
//! with a `HEARDBACK_POWER_SEED`. A seed draws cuts and images; the traffic that they are drawn from
//! comes from threads and is another one each time. Tests of the test leave out syncs of ours, and
//! must find losses.

mod disk;
mod image;
mod judge;
mod recorder;
mod report;
mod run;
mod seeded;
mod traffic;

use std::time::Instant;

use heardback::config::process_env;
use rustix::process::Signal;

use crate::harness::twilio::Manner;
use crate::power::disk::Deaf;
use crate::power::recorder::Recorder;
use crate::power::report::Report;
use crate::power::run::{Before, End, Run};
use crate::power::seeded::any_seed;
use crate::power::traffic::Client;
use crate::skip::skipped_unless_ci;

/// Images of an ordinary run.
const IMAGES: usize = 60;
const FIXED_SEED: u64 = 2026;
/// How each process of a run ends, and what Twilio answers it.
const ENDS: [(Signal, Manner); 5] = [
    (Signal::KILL, Manner::Status(200)),
    (Signal::TERM, Manner::Status(400)),
    (Signal::KILL, Manner::Status(500)),
    (Signal::KILL, Manner::Status(200)),
    (Signal::TERM, Manner::Status(200)),
];
/// Images of each run between two cuts.
const BETWEEN_CUTS: usize = 15;

fn setting(name: &str) -> Option<u64> {
    process_env(name).map(|text| text.parse().unwrap_or_else(|_| unreachable!("{name}={text}")))
}

fn images() -> usize {
    let asked = setting("HEARDBACK_POWER_IMAGES");
    asked.map_or(IMAGES, |images| usize::try_from(images).expect("64 bits"))
}

/// The recorder, where it can be had.
fn recorder() -> Option<Recorder> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        skipped_unless_ci("the recorder of writes and syncs is for 64-bit Linux");
        return None;
    }
    match Recorder::build() {
        Ok(recorder) => Some(recorder),
        Err(why) => {
            skipped_unless_ci(&why);
            None
        }
    }
}

/// A run from an empty folder on, longer if there are to be many images of it.
fn recorded() -> Option<Run> {
    let answers = (images() * 2).clamp(200, 2000);
    let ends = ENDS.map(|(signal, manner)| (signal, manner, answers));
    let clients = (1..=6).map(Client::new).collect();
    let run = Run::record(&recorder()?, Before::default(), clients, &ends);
    eprintln!("recorded: {}", run.size());
    Some(run)
}

#[test]
fn after_a_power_cut_at_any_moment_everything_that_was_answered_is_there() {
    let Some(run) = recorded() else { return };
    let other = setting("HEARDBACK_POWER_SEED").unwrap_or_else(any_seed);
    for seed in [FIXED_SEED, other] {
        let began = Instant::now();
        let report = run.images(seed, images().div_ceil(2), Deaf::No);
        eprintln!("power cuts, seed {seed}: {report}, {:.1?}", began.elapsed());
        report.must_be_clean();
        assert!(report.facts > report.images, "hardly anything was answered: {report}");
        assert!(report.drop > 0 && report.keep > 0, "there was nothing to cut short: {report}");
    }
}

#[test]
fn after_one_power_cut_upon_another_everything_that_was_answered_is_there() {
    let seed = setting("HEARDBACK_POWER_SEED").unwrap_or_else(any_seed);
    let began = Instant::now();
    let (mut before, mut total) = (Before::default(), Report::default());
    let cuts = images().div_ceil(BETWEEN_CUTS);
    for (cut, client) in (0..cuts).zip((1..).step_by(2)) {
        let Some(recorder) = recorder() else { return };
        let (signal, manner) = ENDS[cut % ENDS.len()];
        let end: End = (signal, manner, 40);
        let clients = (client..client + 2).map(Client::new).collect();
        let run = Run::record(&recorder, before, clients, &[end]);
        let seed = seed.wrapping_add(cut as u64);
        total.take(run.images(seed, BETWEEN_CUTS, Deaf::No));
        before = run.cut_short(seed);
    }
    eprintln!("{cuts} power cuts, seed {seed}: {total}, {:.1?}", began.elapsed());
    total.must_be_clean();
}

/// Tests of the test: what must go wrong if a kind of sync is left out.
#[test]
fn without_our_own_syncs_the_same_power_cuts_lose_what_was_answered() {
    let Some(run) = recorded() else { return };
    let seed = setting("HEARDBACK_POWER_SEED").unwrap_or(FIXED_SEED);
    for deaf in [Deaf::Data, Deaf::Folders] {
        let began = Instant::now();
        let report = run.images(seed, images(), deaf);
        eprintln!("power cuts, deaf {deaf:?}, seed {seed}: {report}, {:.1?}", began.elapsed());
        assert!(report.lost + report.closed > images() / 10, "it finds nothing: {report}");
    }
}
