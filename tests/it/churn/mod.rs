//! Churn: messages pass through a real store from registration to removal, with one day of messages
//! present at any time. Every entry past its retention is removed, and the folder's size levels
//! off. sled never shrinks its file, so freed space must be used again.
//!
//! `HEARDBACK_CHURN_MESSAGES` sets the number of messages over thirty days. CI uses seven thousand
//! over seven days. The number of live messages does not depend on the speed of the run, because
//! the test sets the clock.

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

/// Messages and days in CI: a thousand are live, in about six of sled's segments.
const SHORT: (u32, u32) = (7_000, 7);
/// Days for any other number of messages.
const LONG: u32 = 30;
/// The messages of the control test. Its growth must be several times `SLACK`, whatever the speed
/// of the run and of sled's garbage collection. Half as many were too few on a fast machine.
const UNSWEPT: (u32, u32) = (20_000, 20);
/// The longest step of the clock: a message takes three of these to be confirmed.
const TICKS_A_DAY: u32 = 48;
/// The most messages in one tick. With all their records they stay below the store's queue of 1024.
const AT_ONCE: u32 = 128;
const SAMPLES: u32 = 40;
/// The sweep's step in the service (`src/worker/sweep.rs`).
const STEP: usize = 40;
/// Entries for each sweep step: a full pass takes hours of the test's clock then, against minutes
/// in the service.
const MESSAGES_PER_STEP: u32 = 5;
/// The lease: longer than a tick, so that no claim expires.
const LEASE: Duration = Duration::from_hours(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// The permitted growth of the folder from the first half of a run to the second.
const LEVEL: f64 = 1.15;
/// The permitted ratio of the folder's size to the size of its records.
const SPREAD: f64 = 8.0;
/// sled collects garbage twenty times a second; writes in between take space too, more of it in a
/// faster run.
const GARBAGE: u64 = 32 << 20;
/// sled allocates segments of half a megabyte; this many vary at random.
const SLACK: u64 = 2 << 19;

/// Retentions: every record expires within a day and a half. Seen replies cannot expire earlier,
/// because their margin is a day.
fn a_day() -> Policy {
    let hours = |hours: i64| Duration::from_hours(hours.unsigned_abs());
    Policy { pending_ttl: hours(4), reply_window: hours(3), retention: hours(20), ..policy() }
}

/// A store under churn.
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

    /// The total duration by the store's clock.
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

    /// Plays all messages until the last of them is confirmed.
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
            // One claim returns at most forty messages.
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

    /// Reports the remaining messages, moves the clock past every retention, and sweeps until a
    /// sweep removes no entry.
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
        // An expired message or orphaned evidence is kept for the same time again.
        for days in 1..=4 {
            self.hands.set(self.seconds() + days * DAY);
            let mut idle = false;
            // The first pass may have begun in the middle of the store.
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

/// The greatest sizes of the first half of a run, and of the second.
fn greatest(samples: &[Sample]) -> (u64, u64) {
    let (first, second) = samples.split_at(samples.len() / 2);
    let greatest = |of: &[Sample]| of.iter().map(Sample::size).max().expect("samples");
    (greatest(first), greatest(second))
}

/// Whether the second half needed no more space than the first, within the slack.
fn levels_off((first, second): (u64, u64)) -> bool {
    ratio(second.saturating_sub(SLACK), first) <= LEVEL
}

/// The total size of the records: the size of a backup, which contains only records.
fn bytes_of_records(folder: &Path) -> u64 {
    let mut copy = Vec::new();
    backup::backup(folder, PATIENCE, at(0), &mut copy).expect("backed up");
    copy.len() as u64
}

#[tokio::test]
async fn records_past_their_retention_are_removed_and_the_stores_size_levels_off() {
    let messages = process_env("HEARDBACK_CHURN_MESSAGES");
    // The short run ends so soon that a machine that speeds up halfway would change the result.
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
    assert_eq!(store.counts(), RecordCounts::default(), "no record is kept for ever");
    for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
        let page = store.list(filter, None, 10).await.expect("listed");
        assert_eq!(page.entries, [], "{filter:?}");
    }
    store.close().await;
    let began = Instant::now();
    let left = backup::verify(folder, PATIENCE).expect("it opens");
    let empty = allocated(folder);
    println!("emptied: {} MiB on disk, read in {:.1?}", mebibytes(empty.0), began.elapsed());
    assert_eq!(left.entries, lives::SENDERS, "except the services of the app's senders");

    let mut halves = greatest(&samples);
    while !levels_off(halves) && tries > 1 {
        tries -= 1;
        println!("it grows: {halves:?}; once more");
        let again = tempfile::tempdir().expect("a folder");
        let store = course.open(again.path());
        halves = greatest(&course.run(&store, again.path()).await);
    }
    let most = halves.0.max(halves.1);
    let spread = ratio(most.saturating_sub(GARBAGE), records);
    println!("second half over first: {:.3}", ratio(halves.1, halves.0));
    println!("greatest over records: {:.1}", ratio(most, records));
    assert!(levels_off(halves), "it grows: {halves:?}");
    assert!(spread <= SPREAD, "{} MiB for {}", mebibytes(most), mebibytes(records));
    let before = greatest(&samples);
    assert!(empty.0.max(empty.1) <= before.0.max(before.1) + SLACK, "removal takes no space");
}

#[tokio::test]
async fn a_store_without_sweeps_is_found_to_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let course = Course::of(UNSWEPT, false);
    let store = course.open(folder);
    let samples = course.run(&store, folder).await;
    let halves = greatest(&samples);
    println!("second half over first: {:.3}", ratio(halves.1, halves.0));
    assert!(!levels_off(halves), "growth is not detected: {halves:?}");
    assert_ne!(store.counts(), RecordCounts::default());
}
