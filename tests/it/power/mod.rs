//! Power cuts: what the running binary does to its store is recorded, write by write and sync by sync;
//! from the record come images of the disk as a cut at any moment may leave it, with what was not
//! synced lost, torn and reordered; each is opened with the real store, and everything that had been
//! answered by then must be in it.
//!
//! The figures of the release run are those of
//! `HEARDBACK_POWER_IMAGES=1000 cargo test --test it power -- --nocapture`, perhaps with a
//! `HEARDBACK_POWER_SEED`. The traffic is not repeatable, threads being threads; the cuts are, as far
//! as the traffic is. A test of the test leaves our own sync out, and must find losses.

mod disk;
mod image;
mod judge;
mod recorder;
mod run;
mod seeded;
mod traffic;

use std::time::Instant;

use heardback::config::process_env;

use crate::disk::skipped_unless_ci;
use crate::power::recorder::Recorder;
use crate::power::run::{Report, Run};
use crate::power::seeded::any_seed;

/// Images of an ordinary run, half of them from a fixed seed.
const IMAGES: usize = 60;
const FIXED_SEED: u64 = 2026;

fn setting(name: &str) -> Option<u64> {
    process_env(name).map(|text| text.parse().unwrap_or_else(|_| unreachable!("{name}={text}")))
}

/// A recorded run, where it can be had.
fn recorded(images: usize) -> Option<Run> {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        skipped_unless_ci("the recorder of writes and syncs is for 64-bit Linux");
        return None;
    }
    match Recorder::build() {
        Ok(recorder) => Some(Run::record(&recorder, images)),
        Err(why) => {
            skipped_unless_ci(&why);
            None
        }
    }
}

fn images() -> usize {
    let asked = setting("HEARDBACK_POWER_IMAGES");
    asked.map_or(IMAGES, |images| usize::try_from(images).expect("64 bits"))
}

#[test]
fn after_a_power_cut_at_any_moment_everything_that_was_answered_is_there() {
    let images = images();
    let Some(run) = recorded(images) else { return };
    let other = setting("HEARDBACK_POWER_SEED").unwrap_or_else(any_seed);
    for seed in [FIXED_SEED, other] {
        let began = Instant::now();
        let report = run.images(seed, images.div_ceil(2), false);
        eprintln!("power cuts, seed {seed}: {report}, {:.1?}", began.elapsed());
        assert!(report.is_clean(), "seed {seed}: {report}\n{}", report.wrong.join("\n"));
        assert!(report.facts > images, "hardly anything was answered before the cuts: {report}");
    }
}

/// The test of the test.
#[test]
fn without_our_own_sync_the_same_power_cuts_lose_what_was_answered() {
    let images = images();
    let Some(run) = recorded(images) else { return };
    let seed = setting("HEARDBACK_POWER_SEED").unwrap_or(FIXED_SEED);
    let began = Instant::now();
    let report: Report = run.images(seed, images, true);
    eprintln!("power cuts without fdatasync, seed {seed}: {report}, {:.1?}", began.elapsed());
    assert!(report.lost + report.closed > images / 10, "it finds nothing: {report}");
}
