//! Power cuts: a recorder logs each write and sync of the running binary to its store. From the log
//! come images of the disk after a cut at any moment, with unsynced data lost, torn and reordered.
//! The real store opens each image, and every acknowledged fact must be in it.
//!
//! The release run: `HEARDBACK_POWER_IMAGES=1000 cargo test --test it power:: -- --nocapture`,
//! optionally with `HEARDBACK_POWER_SEED`. A seed determines cuts and images; the traffic comes
//! from threads and differs in each run. Control tests leave out Heardback's syncs and must find
//! losses.

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

use crate::harness::twilio::TwilioReply;
use crate::power::disk::IgnoredSyncs;
use crate::power::recorder::Recorder;
use crate::power::report::Report;
use crate::power::run::{Before, End, Run};
use crate::power::seeded::any_seed;
use crate::power::traffic::Client;
use crate::skip::skipped_unless_ci;

/// Images of an ordinary run.
const IMAGES: usize = 60;
const FIXED_SEED: u64 = 2026;
/// The end of each process of a run, and Twilio's responses to it.
const ENDS: [(Signal, TwilioReply); 5] = [
    (Signal::KILL, TwilioReply::Status(200)),
    (Signal::TERM, TwilioReply::Status(400)),
    (Signal::KILL, TwilioReply::Status(500)),
    (Signal::KILL, TwilioReply::Status(200)),
    (Signal::TERM, TwilioReply::Status(200)),
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

/// The recorder, if it can be built.
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

/// A run from an empty folder, longer for a large number of images.
fn recorded() -> Option<Run> {
    let answers = (images() * 2).clamp(200, 2000);
    let ends = ENDS.map(|(signal, reply)| (signal, reply, answers));
    let clients = (1..=6).map(Client::new).collect();
    let run = Run::record(&recorder()?, Before::default(), clients, &ends);
    eprintln!("recorded: {}", run.size());
    Some(run)
}

#[test]
fn after_a_power_cut_at_any_moment_every_acknowledged_fact_is_there() {
    let Some(run) = recorded() else { return };
    let other = setting("HEARDBACK_POWER_SEED").unwrap_or_else(any_seed);
    for seed in [FIXED_SEED, other] {
        let began = Instant::now();
        let report = run.images(seed, images().div_ceil(2), IgnoredSyncs::No);
        eprintln!("power cuts, seed {seed}: {report}, {:.1?}", began.elapsed());
        report.must_be_clean();
        assert!(report.facts > report.images, "too few facts were acknowledged: {report}");
        assert!(report.drop > 0 && report.keep > 0, "no unsynced data was cut: {report}");
    }
}

#[test]
fn after_repeated_power_cuts_every_acknowledged_fact_is_there() {
    let seed = setting("HEARDBACK_POWER_SEED").unwrap_or_else(any_seed);
    let began = Instant::now();
    let (mut before, mut total) = (Before::default(), Report::default());
    let cuts = images().div_ceil(BETWEEN_CUTS);
    for (cut, client) in (0..cuts).zip((1..).step_by(2)) {
        let Some(recorder) = recorder() else { return };
        let (signal, reply) = ENDS[cut % ENDS.len()];
        let end: End = (signal, reply, 40);
        let clients = (client..client + 2).map(Client::new).collect();
        let run = Run::record(&recorder, before, clients, &[end]);
        let seed = seed.wrapping_add(cut as u64);
        total.take(run.images(seed, BETWEEN_CUTS, IgnoredSyncs::No));
        before = run.cut_short(seed);
    }
    eprintln!("{cuts} power cuts, seed {seed}: {total}, {:.1?}", began.elapsed());
    total.must_be_clean();
}

/// Control tests: the losses without one kind of sync.
#[test]
fn without_heardbacks_own_syncs_the_same_power_cuts_lose_acknowledged_facts() {
    let Some(run) = recorded() else { return };
    let seed = setting("HEARDBACK_POWER_SEED").unwrap_or(FIXED_SEED);
    for ignored_syncs in [IgnoredSyncs::Data, IgnoredSyncs::Folders] {
        let began = Instant::now();
        let report = run.images(seed, images(), ignored_syncs);
        eprintln!(
            "power cuts, ignored_syncs {ignored_syncs:?}, seed {seed}: {report}, {:.1?}",
            began.elapsed()
        );
        assert!(report.lost + report.closed > images() / 10, "no loss was found: {report}");
    }
}
