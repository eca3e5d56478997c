//! Churn: whole lives of messages pass through a real store, a day's of them there at any time. What is
//! past its retention is gone to the last entry, and the folder's size levels off: sled never shrinks its
//! file, so what was given up has to be used again.
//!
//! `HEARDBACK_CHURN_MESSAGES` says how many messages, over thirty days. CI has seven thousand over seven days.
//! What is live at a time does not depend on how fast this runs: the clock is the test's.

mod lives;
mod measured;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use heardback::config::process_env;
use heardback::domain::matching::Policy;
use heardback::store::sled::{Options, SledStore, backup};
use heardback::store::{Filter, Quotas, RecordCounts, Store};

use crate::churn::lives::{STAGES, live, settle};
use crate::churn::measured::{HEAD, Sample, allocated, mebibytes, ratio};
use crate::given::{DAY, HOUR, Hands, at, options, policy};

/// Messages and days in CI: a thousand are live, in some six of sled's segments.
const SHORT: (u32, u32) = (7_000, 7);
/// The days of any other number.
const LONG: u32 = 30;
/// What the test of the test needs to be told apart: its growth is several times `SLACK`, however fast this
/// runs and however often sled tidies up meanwhile. Half as many were too few for a quick machine.
const UNSWEPT: (u32, u32) = (20_000, 20);
/// How often the clock moves on at least: a message takes three of these to be confirmed.
const TICKS_A_DAY: u32 = 48;
/// The most messages of a tick; with all that belongs to them it stays below the store's queue of 1024.
const AT_ONCE: u32 = 128;
const SAMPLES: u32 = 40;
/// The sweep's step in the service (`src/worker/sweep.rs`).
const STEP: usize = 40;
/// Steps for so many messages: a walk takes hours then. The service's takes minutes.
const MESSAGES_PER_STEP: u32 = 5;
/// Longer than a tick: whoever claims is never late.
const LEASE: Duration = Duration::from_hours(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// How much greater the folder may be in the second half of a course than it was in the first.
const LEVEL: f64 = 1.15;
/// How many times as large as its records the folder may be.
const SPREAD: f64 = 8.0;
/// sled tidies up twenty times a second; what is written in between takes room as well, more the faster this runs.
const RUSH: u64 = 32 << 20;
/// sled takes room by segments of half a megabyte, and this many are a matter of chance.
const SLACK: u64 = 2 << 19;

/// Everything is forgotten within a day and a half. Seen replies cannot be sooner: their margin is a day.
fn a_day() -> Policy {
    let hours = |hours: i64| Duration::from_hours(hours.unsigned_abs());
    Policy { pending_ttl: hours(4), reply_window: hours(3), retention: hours(20), ..policy() }
}

/// A store through which messages pass.
struct Course {
    hands: Hands,
    messages: u32,
    days: u32,
    sweeps: bool,
    commits: Arc<AtomicU64>,
    entries: Arc<AtomicU64>,
}

impl Course {
    fn of((messages, days): (u32, u32), sweeps: bool) -> Self {
        let (commits, entries) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        Self { hands: Hands::default(), messages, days, sweeps, commits, entries }
    }

    /// How long all of it takes, by the store's clock.
    fn seconds(&self) -> i64 {
        i64::from(self.days) * DAY
    }

    fn open(&self, folder: &Path) -> SledStore {
        let (commits, entries) = (Arc::clone(&self.commits), Arc::clone(&self.entries));
        let usual = options(folder, self.hands.clock());
        let opened = SledStore::open(Options {
            policy: a_day(),
            on_commit: Arc::new(move |commit| {
                commits.fetch_add(1, Ordering::Relaxed);
                entries.fetch_add(commit.entries as u64, Ordering::Relaxed);
            }),
            ..usual
        });
        opened.expect("it opens")
    }

    /// All messages' lives, up to where the last of them is confirmed.
    async fn run(&self, store: &SledStore, folder: &Path) -> Vec<Sample> {
        let began = Instant::now();
        let batch = (self.messages / (self.days * TICKS_A_DAY)).clamp(1, AT_ONCE);
        let ticks = self.messages.div_ceil(batch);
        println!("{HEAD}");
        let (mut samples, mut claims) = (Vec::new(), Vec::new());
        for tick in 0..ticks + STAGES {
            let second = self.seconds() * i64::from(tick) / i64::from(ticks);
            self.hands.set(second);
            let mut commands = Vec::new();
            for (stage, born) in (0..STAGES).filter_map(|s| Some((s, tick.checked_sub(s)?))) {
                let of_that_tick = born * batch..((born + 1) * batch).min(self.messages);
                commands.extend(of_that_tick.map(|n| live(store, n, stage, second)));
            }
            let settled = claims.drain(..).map(|claim| settle(store, claim));
            let steps = if self.sweeps { batch.div_ceil(MESSAGES_PER_STEP) } else { 0 };
            let swept = (0..steps).map(|_| async { store.expire(STEP).await.expect("swept") });
            // A claim hands out forty at the most.
            let claimed = (0..=batch / 40).map(|_| async {
                store.claim(40, LEASE, &Quotas::default()).await.expect("claimed")
            });
            let (_, _, _, claimed) = tokio::join!(
                join_all(commands),
                join_all(settled),
                join_all(swept),
                join_all(claimed)
            );
            claims.extend(claimed.into_iter().flatten());
            if tick * SAMPLES / ticks < (tick + 1) * SAMPLES / ticks && tick < ticks {
                let so_far = ((tick + 1) * batch).min(self.messages);
                let sample = Sample::take(so_far, store.counts(), folder, began);
                println!("{sample}");
                samples.push(sample);
            }
        }
        join_all(claims.drain(..).map(|claim| settle(store, claim))).await;
        samples
    }

    /// Reports what still waits, goes past all retention, and sweeps until there is nothing to sweep.
    async fn outlive(&self, store: &SledStore) {
        for hours in 0..3 {
            self.hands.set(self.seconds() + (1 + hours) * HOUR);
            loop {
                let claims = store.claim(40, LEASE, &Quotas::default()).await.expect("claimed");
                if claims.is_empty() {
                    break;
                }
                join_all(claims.into_iter().map(|claim| settle(store, claim))).await;
            }
        }
        // What expires or is orphaned is kept for as long again.
        for days in 1..=4 {
            self.hands.set(self.seconds() + days * DAY);
            let mut idle = false;
            // The first walk may have begun in the midst of the store.
            while !idle {
                idle = true;
                loop {
                    let swept = store.expire(STEP).await.expect("swept");
                    idle &= swept.expired + swept.orphaned + swept.forgotten() == 0;
                    if swept.complete {
                        break;
                    }
                }
            }
        }
    }
}

/// The greatest sizes of the first half of a course, and of the second.
fn greatest(samples: &[Sample]) -> (u64, u64) {
    let (first, second) = samples.split_at(samples.len() / 2);
    let greatest = |of: &[Sample]| of.iter().map(Sample::size).max().expect("samples");
    (greatest(first), greatest(second))
}

/// The verdict: whether the second half took no more room than the first, but for some slack.
fn levels_off((first, second): (u64, u64)) -> bool {
    ratio(second.saturating_sub(SLACK), first) <= LEVEL
}

/// How many bytes the records come to: those of a backup, which holds nothing else.
fn bytes_of_records(folder: &Path) -> u64 {
    let mut copy = Vec::new();
    backup::backup(folder, PATIENCE, at(0), &mut copy).expect("backed up");
    copy.len() as u64
}

#[tokio::test]
async fn what_is_past_its_retention_is_gone_and_the_stores_size_levels_off() {
    let messages = process_env("HEARDBACK_CHURN_MESSAGES");
    // The short course is over so soon that a machine which becomes faster halfway would decide it.
    let mut tries = if messages.is_some() { 1 } else { 3 };
    let (messages, days) = messages.map_or(SHORT, |text| (text.parse().expect("a number"), LONG));
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let course = Course::of((messages, days), true);
    let store = course.open(folder);
    let samples = course.run(&store, folder).await;
    let commits = course.commits.load(Ordering::Relaxed);
    println!("{} entries in a group", course.entries.load(Ordering::Relaxed) / commits);
    store.close().await;

    let live = backup::verify(folder, PATIENCE).expect("it opens");
    let records = bytes_of_records(folder);
    let began = Instant::now();
    let store = course.open(folder);
    let opening = began.elapsed();
    println!(
        "in the end: {} live entries, {} MiB; open again after {opening:.1?}",
        live.entries,
        mebibytes(records)
    );
    assert_eq!(store.counts().total(), live.counts.total());
    assert!(
        live.counts.total() > u64::from(messages / days / 2),
        "they are there for a while: {live:?}"
    );
    course.outlive(&store).await;
    assert_eq!(store.counts(), RecordCounts::default(), "nothing is kept for ever");
    for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
        let page = store.list(filter, None, 10).await.expect("listed");
        assert_eq!(page.entries, [], "{filter:?}");
    }
    store.close().await;
    let began = Instant::now();
    let left = backup::verify(folder, PATIENCE).expect("it opens");
    let empty = allocated(folder);
    println!("emptied: {} MiB on disk, read in {:.1?}", mebibytes(empty.0), began.elapsed());
    assert_eq!(left.entries, lives::SENDERS, "but for our own senders' services");

    let mut halves = greatest(&samples);
    while !levels_off(halves) && tries > 1 {
        tries -= 1;
        println!("it grows: {halves:?}; once more");
        let again = tempfile::tempdir().expect("a folder");
        let store = course.open(again.path());
        halves = greatest(&course.run(&store, again.path()).await);
    }
    let most = halves.0.max(halves.1);
    let spread = ratio(most.saturating_sub(RUSH), records);
    println!("second half over first: {:.3}", ratio(halves.1, halves.0));
    println!("greatest over records: {:.1}", ratio(most, records));
    assert!(levels_off(halves), "it grows: {halves:?}");
    assert!(spread <= SPREAD, "{} MiB for {}", mebibytes(most), mebibytes(records));
    let before = greatest(&samples);
    assert!(empty.0.max(empty.1) <= before.0.max(before.1) + SLACK, "forgetting takes no room");
}

#[tokio::test]
async fn a_store_that_nobody_sweeps_is_found_to_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let course = Course::of(UNSWEPT, false);
    let store = course.open(folder);
    let samples = course.run(&store, folder).await;
    let halves = greatest(&samples);
    println!("second half over first: {:.3}", ratio(halves.1, halves.0));
    assert!(!levels_off(halves), "not to be told apart: {halves:?}");
    assert_ne!(store.counts(), RecordCounts::default());
}
