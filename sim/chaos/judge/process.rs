//! How the process itself behaves: I8, I9, I10.

use crate::judge::facts::{Facts, SECOND};

/// From its start until it can take an event.
const READY_WITHIN: u64 = 5 * SECOND;
/// More memory than this it never needs for what a run makes it hold, in KiB.
const MOST_MEMORY: u64 = 512 << 10;
/// 64 connections and those that just ended, 16 posts, the store's files, and the runtime's own.
const MOST_HANDLES: u64 = 600;

/// No wait between two posts of a message is longer.
const LONGEST_BACKOFF: u64 = 15 * 60 * SECOND;
/// An end is seen no later than this: the longest time between two acts.
const FALLS_WITHIN: u64 = 3 * SECOND;

/// I8.
pub(super) fn recovery(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (run, start) in &facts.runs {
        if let Some(ready) = start.ready
            && ready - start.started > READY_WITHIN
        {
            let ms = (ready - start.started) / 1_000_000;
            let listened = start.listens.map_or(0, |at| (at - start.started) / 1_000_000);
            broken.push(format!(
                "start {run} was ready after {ms} ms, and listened after {listened}"
            ));
        }
        if let Some((at, how)) = &start.fell
            && !is_disk_full(facts, *at)
        {
            broken.push(format!("start {run} ended by itself: {how}"));
        }
    }
    broken
}

/// Whoever meets the brim in the middle of a commit has to end, for its sync failed.
fn is_disk_full(facts: &Facts<'_>, at: u64) -> bool {
    let mut full = facts.faults.values().filter(|fault| fault.act == "disk full");
    full.any(|fault| fault.from <= at && at <= fault.to.saturating_add(FALLS_WITHIN))
}

/// The time of each start until it was ready, in nanoseconds, shortest first.
pub(crate) fn recoveries(facts: &Facts<'_>) -> Vec<u64> {
    let starts = facts.runs.values();
    let mut times: Vec<u64> =
        starts.filter_map(|run| Some(run.ready?.saturating_sub(run.started))).collect();
    times.sort_unstable();
    times
}

/// I9.
pub(super) fn hygiene(facts: &Facts<'_>) -> Vec<String> {
    let leaks = facts.leaks.iter().map(|(what, place)| format!("{what} in {place}"));
    let mut broken: Vec<String> = leaks.collect();
    for (run, rss_kib, fds) in &facts.samples {
        if *rss_kib > MOST_MEMORY || *fds > MOST_HANDLES {
            broken.push(format!("start {run} held {rss_kib} KiB and {fds} handles"));
        }
    }
    broken
}

/// How many messages were not due at the end: each has failed so often that its range of waits reaches beyond it
/// (`BACKOFF_BASE` and `BACKOFF_CAP` in `src/domain/retry.rs`). A jump of the clock makes them fail more often, and a
/// 404 is final only after another success.
pub(crate) fn backing_off(facts: &Facts<'_>) -> u64 {
    let Some((drained, _)) = facts.drained else { return 0 };
    let waits = facts.messages.values().filter(|message| {
        let is_kept = message.kept.as_ref().is_some_and(|(_, state, _)| state == "confirmed");
        let last = facts.posts_of(message).last();
        let doublings = u32::try_from(message.posts.len()).unwrap_or(u32::MAX).min(10);
        let range = (SECOND << doublings).min(LONGEST_BACKOFF);
        is_kept && last.is_some_and(|last| last.decided.saturating_add(range) > drained)
    });
    waits.count() as u64
}

/// I10. A history that breaks off shows nothing.
pub(super) fn liveness(facts: &Facts<'_>) -> Vec<String> {
    let (Some(healed), Some((at, outbox)), Some(_)) = (facts.healed, facts.drained, facts.read)
    else {
        return vec!["the history breaks off before its end".to_owned()];
    };
    let mut broken = Vec::new();
    let seconds = (at - healed) / SECOND;
    let backing_off = backing_off(facts);
    if outbox > backing_off || (backing_off == 0 && seconds > facts.drain_seconds) {
        broken.push(format!("{outbox} confirmations wait {seconds} s after all was well again"));
    }
    for (sid, message) in &facts.messages {
        let waits = message.kept.as_ref().is_some_and(|(_, state, _)| state == "confirmed");
        if waits && outbox == 0 {
            broken.push(format!(
                "{sid} waits, and the outbox is said to be empty\n{}",
                facts.story(sid)
            ));
        }
    }
    broken
}
