//! Waits of confirmations and of honest requests during faults of others: I11, I12.

use crate::faults::{BOGUS_SIDS, FLOOD, HANG};
use crate::history::Role;
use crate::identities::{BOGUS, is};
use crate::judge::facts::{Facts, FaultWindow, Message, Request, SECOND};
use crate::judge::posting::TIMEOUT;
use crate::signals::is_timed;

/// From the acknowledged proof to the first post.
const POSTED_WITHIN: u64 = 2 * SECOND;
/// After a restart or a full disk, the backlog is posted first.
const CATCHES_UP: u64 = 2 * SECOND;
/// After a 429, the account waits for its `Retry-After` and a little longer.
const HELD_FOR: u64 = 5 * SECOND;
/// After a 401, the account is probed once a minute.
const PAUSED_FOR: u64 = 75 * SECOND;
/// A flood with fewer honest requests is not judged.
const ENOUGH: usize = 20;
/// One of this many honest requests must be acknowledged. The proxy alone breaks a third of them.
const ANSWERED_AT_LEAST: usize = 4;

/// The time of a message from its proof to its first post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wait<'a> {
    /// In nanoseconds.
    pub(crate) time: u64,
    pub(crate) sid: &'a str,
}

/// I11: an account whose posts hang and unknown SIDs do not delay another message.
pub(super) fn fair_waits(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for act in [HANG, BOGUS_SIDS] {
        for Wait { time, sid } in waits(facts, act) {
            if time > bound(facts) {
                let ms = time / 1_000_000;
                broken.push(format!(
                    "{sid} was first posted after {ms} ms during {act}\n{}",
                    facts.events_about(sid)
                ));
            }
        }
    }
    broken
}

/// On a busy machine, no shorter than the time for a write.
fn bound(facts: &Facts<'_>) -> u64 {
    POSTED_WITHIN.max(facts.settles_within())
}

/// The waits of the messages that became due during these faults, shortest first. Messages of the hanging account, of
/// unknown SIDs, and near another fault are left out.
pub(crate) fn waits<'a>(facts: &'a Facts<'_>, act: &str) -> Vec<Wait<'a>> {
    let acts: Vec<&FaultWindow> = facts.faults.values().filter(|fault| fault.name == act).collect();
    let mut waits = Vec::new();
    for (sid, message) in &facts.messages {
        if is(sid, BOGUS) {
            continue;
        }
        let Some((due, account)) = due_at(facts, message) else { continue };
        let Some(act) = acts.iter().find(|act| (act.from..=act.to).contains(&due)) else {
            continue;
        };
        let hangs = facts.hangs.iter().find(|(at, _)| (act.from..=act.to).contains(at));
        if hangs.is_some_and(|(at, hanging)| hanging == account || due < *at) {
            continue;
        }
        let first = facts.posts_of(message).map(|post| post.at).min();
        let first = first.filter(|first| *first <= act.to);
        // A message without a post is judged only if its post was due before the end of the fault.
        if first.is_none() && due.saturating_add(bound(facts)) > act.to {
            continue;
        }
        let end = first.unwrap_or(act.to);
        if !is_disturbed(facts, (disturbed_from(facts, message, due), end), account) {
            waits.push(Wait { time: end.saturating_sub(due), sid });
        }
    }
    waits.sort_unstable();
    waits
}

/// The time from which both the registration and a proof are acknowledged. The proof names its message, so it is judged
/// at once.
fn due_at<'a>(facts: &'a Facts<'_>, message: &Message) -> Option<(u64, &'a str)> {
    let registered = facts.registered(message)?;
    let acked = facts.requests_of(message).filter(|it| it.role == Role::Honest && it.proves);
    let mut proofs = acked.filter(|it| it.is_acked() && !is_timed(&it.kind)).peekable();
    let account = proofs.peek()?.account.as_str();
    let proven = proofs.filter_map(|proof| proof.answer).map(|(at, ..)| at).min()?;
    Some((registered.max(proven), account))
}

/// The time from which a fault explains a wait. A receiver that is killed, or loses the answer of its database, may have
/// claimed a message whose evidence it did not acknowledge; another receiver claims it when the lease lapses.
fn disturbed_from(facts: &Facts<'_>, message: &Message, due: u64) -> u64 {
    let sent = facts.requests_of(message).map(|request| request.at).min();
    if facts.has_database() { sent.unwrap_or(due).min(due) } else { due }
}

fn is_disturbed(facts: &Facts<'_>, (due, end): (u64, u64), account: &str) -> bool {
    let harmless = [HANG, BOGUS_SIDS];
    let mut faults = facts.faults.values();
    let has_fault = faults.any(|fault| {
        let is_over = fault.to.saturating_add(CATCHES_UP) < due;
        !harmless.contains(&fault.name.as_str()) && fault.from <= end && !is_over
    });
    let mut posts = facts.posts.values().filter(|post| post.account == account);
    has_fault
        || posts.any(|post| {
            let lasts = match post.status {
                401 => PAUSED_FOR,
                429 => HELD_FOR,
                // While its own post hangs, an account has no reserved slot.
                0 => TIMEOUT,
                _ => return false,
            };
            post.at <= end && due <= post.decided.saturating_add(lasts)
        })
}

/// I12: honest requests are answered while unauthenticated clients send the most expensive requests.
pub(super) fn served_under_flood(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for flood in facts.faults.values().filter(|fault| fault.name == FLOOD) {
        let during = facts.requests.values().filter(|request| {
            request.role == Role::Honest && (flood.from..=flood.to).contains(&request.at)
        });
        let answers: Vec<bool> = during.map(Request::is_acked).collect();
        let acked = answers.iter().filter(|acked| **acked).count();
        if answers.len() >= ENOUGH && acked * ANSWERED_AT_LEAST < answers.len() {
            let all = answers.len();
            broken.push(format!("a flood left {acked} of {all} honest requests acknowledged"));
        }
    }
    broken
}

/// The times from an honest request to its acknowledgement, during floods or outside them, shortest first.
pub(crate) fn answer_times(facts: &Facts<'_>, during: bool) -> Vec<u64> {
    let floods: Vec<&FaultWindow> =
        facts.faults.values().filter(|fault| fault.name == FLOOD).collect();
    let is_flooded = |at: u64| floods.iter().any(|flood| (flood.from..=flood.to).contains(&at));
    let honest = facts.requests.values();
    // A large batch is one slow request with many claims.
    let honest = honest.filter(|it| it.role == Role::Honest && !it.kind.starts_with("stream"));
    let acked = honest.filter(|it| it.is_acked() && is_flooded(it.at) == during);
    let mut times: Vec<u64> = acked.filter_map(|it| it.answer?.0.checked_sub(it.at)).collect();
    times.sort_unstable();
    times
}
