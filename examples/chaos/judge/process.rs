//! How the process itself behaves: I8, I9, I10.

use crate::judge::facts::{Facts, SECOND};

/// From its start until it can take an event.
const READY_WITHIN: u64 = 5 * SECOND;
/// More memory than this it never needs for what a run makes it hold, in KiB.
const MOST_MEMORY: u64 = 512 << 10;
/// 64 connections and those that just ended, 16 posts, the store's files, and the runtime's own.
const MOST_HANDLES: u64 = 600;

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

/// I10. A history that breaks off shows nothing.
pub(super) fn liveness(facts: &Facts<'_>) -> Vec<String> {
    let (Some(healed), Some((at, outbox)), Some(_)) = (facts.healed, facts.drained, facts.read)
    else {
        return vec!["the history breaks off before its end".to_owned()];
    };
    let mut broken = Vec::new();
    let seconds = (at - healed) / SECOND;
    if outbox > 0 || seconds > facts.drain_seconds {
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
