//! The process: I8, I9, I10, I13.

use std::collections::BTreeMap;

use crate::conversation::TEXTING;
use crate::faults::REPLACED;
use crate::history::Role;
use crate::judge::facts::{Facts, Request, SECOND};
use crate::sending::SEND;

/// From the start to the first `ready`.
const READY_WITHIN: u64 = 5 * SECOND;
/// The limit on memory, in KiB.
const MOST_MEMORY: u64 = 512 << 10;
/// 64 connections and those that just ended, 16 posts, the store's files, and the runtime's files.
const MOST_HANDLES: u64 = 600;

/// The longest wait between two posts of a message.
const LONGEST_BACKOFF: u64 = 15 * 60 * SECOND;
/// An end is noticed within the longest pause between two faults.
const END_NOTICED_WITHIN: u64 = 3 * SECOND;

/// I8: the service is ready in time after each start, and never ends unexpectedly.
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
        if let Some((at, how)) = &start.unexpected_end
            && !is_disk_full(facts, *at)
        {
            broken.push(format!("start {run} ended unexpectedly: {how}"));
        }
    }
    broken
}

/// After a failed sync on a full disk, the service must end.
fn is_disk_full(facts: &Facts<'_>, at: u64) -> bool {
    let mut full = facts.faults.values().filter(|fault| fault.name == "disk full");
    full.any(|fault| fault.from <= at && at <= fault.to.saturating_add(END_NOTICED_WITHIN))
}

/// The time of each start until it was ready, in nanoseconds, shortest first.
pub(crate) fn start_times(facts: &Facts<'_>) -> Vec<u64> {
    let starts = facts.runs.values();
    let mut times: Vec<u64> =
        starts.filter_map(|run| Some(run.ready?.saturating_sub(run.started))).collect();
    times.sort_unstable();
    times
}

/// I9: no marker leaks, and memory and open files are bounded.
pub(super) fn resources(facts: &Facts<'_>) -> Vec<String> {
    let leaks = facts.leaks.iter().map(|(kind, location)| format!("{kind} in {location}"));
    let mut broken: Vec<String> = leaks.collect();
    for (run, rss_kib, fds) in &facts.samples {
        if *rss_kib > MOST_MEMORY || *fds > MOST_HANDLES {
            broken.push(format!("start {run} held {rss_kib} KiB and {fds} handles"));
        }
    }
    broken
}

/// The number of messages that were not due at the end: they failed so often that their backoff reaches beyond it
/// (`BACKOFF_BASE` and `BACKOFF_CAP` in `src/domain/retry.rs`). A jump of the clock causes more failures, and a 404 is
/// final only after another success.
pub(crate) fn backing_off(facts: &Facts<'_>) -> u64 {
    let Some((drained, _)) = facts.drained else { return 0 };
    let waits = facts.messages.values().filter(|message| {
        let is_kept = message.stored.as_ref().is_some_and(|(_, state, _)| state == "confirmed");
        let last = facts.posts_of(message).last();
        let doublings = u32::try_from(message.posts.len()).unwrap_or(u32::MAX).min(10);
        let range = (SECOND << doublings).min(LONGEST_BACKOFF);
        is_kept && last.is_some_and(|last| last.decided.saturating_add(range) > drained)
    });
    waits.count() as u64
}

/// I10: the outbox empties, if the run waited for it. An incomplete history is a violation.
pub(super) fn backlog_drains(facts: &Facts<'_>) -> Vec<String> {
    let (Some(healed), Some((at, outbox)), Some(_)) = (facts.healed, facts.drained, facts.read)
    else {
        return vec!["the history is incomplete".to_owned()];
    };
    let mut broken = Vec::new();
    if facts.drain_seconds == 0 {
        return broken;
    }
    let seconds = (at - healed) / SECOND;
    let backing_off = backing_off(facts);
    if outbox > backing_off || (backing_off == 0 && seconds > facts.drain_seconds) {
        broken.push(format!(
            "{outbox} confirmations are still in the outbox {seconds} s after the last fault"
        ));
    }
    for (sid, message) in &facts.messages {
        let waits = message.stored.as_ref().is_some_and(|(_, state, _)| state == "confirmed");
        if waits && outbox == 0 {
            broken.push(format!(
                "{sid} is confirmed, but the outbox is empty\n{}",
                facts.events_about(sid)
            ));
        }
    }
    broken
}

/// Whether its sender repeats it until it is acknowledged. A send is never repeated, nor a text, so that its order is known.
fn is_repeated(request: &Request) -> bool {
    request.role == Role::Honest && ![SEND, TEXTING].contains(&request.kind.as_str())
}

/// The attempts of each honest request, in order. An attempt is repeated until it is acknowledged.
pub(crate) fn attempts<'a>(facts: &'a Facts<'_>) -> Vec<Vec<&'a Request>> {
    let mut attempts: BTreeMap<(&str, &str, bool, bool), Vec<&Request>> = BTreeMap::new();
    for request in facts.requests.values().filter(|request| is_repeated(request)) {
        let Request { sid, kind, registers, proves, .. } = request;
        attempts.entry((sid, kind, *registers, *proves)).or_default().push(request);
    }
    attempts.into_values().collect()
}

/// I13: while receivers are replaced and nothing else fails, each request is acknowledged, by another receiver if
/// necessary.
pub(super) fn lost_by_replacements(facts: &Facts<'_>) -> Vec<String> {
    if !facts.faults.values().any(|fault| fault.name == REPLACED) {
        return Vec::new();
    }
    let attempts = attempts(facts);
    let lost = attempts.iter().filter(|attempts| !attempts.iter().any(|it| it.is_acked()));
    let lost = lost.filter_map(|attempts| attempts.first());
    lost.map(|request| {
        let Request { kind, sid, .. } = request;
        format!("{kind} about {sid} was never acknowledged\n{}", facts.events_about(sid))
    })
    .collect()
}
