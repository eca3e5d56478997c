//! The posts to Twilio: I3, I4, I6.

use std::collections::BTreeMap;

use crate::history::Credential;
use crate::judge::facts::{Facts, Post, SECOND};

/// A post that was in flight when another response arrived is not a violation.
const IN_FLIGHT: u64 = SECOND;
/// The service's timeout for a response.
pub(crate) const TIMEOUT: u64 = 10 * SECOND;

/// I3: an accepted message is posted again only if the reply was incomplete, or if a fault prevented the write of the
/// result.
pub(super) fn repeats_have_faults(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        let posts: Vec<&Post> = facts.posts_of(message).collect();
        let repeated = posts.split_last().map(|(_, before)| before).unwrap_or_default();
        let mut needless = repeated.iter().filter(|post| {
            post.is_accepted()
                && post.whole().is_some_and(|replied| facts.excuse(replied).is_none())
        });
        if needless.next().is_some() {
            broken.push(format!(
                "{sid} was posted again without a fault\n{}",
                facts.events_about(sid)
            ));
        }
    }
    broken
}

/// The number of posts about messages that Twilio had accepted before.
pub(crate) fn repeats(facts: &Facts<'_>) -> usize {
    let count = |posts: Vec<&Post>| {
        let first = posts.iter().position(|post| post.is_accepted());
        first.map_or(0, |first| posts.len() - first - 1)
    };
    facts.messages.values().map(|message| count(facts.posts_of(message).collect())).sum()
}

/// The number of repeats by the fault that explains them. A repeat after an incomplete reply needs no fault.
pub(crate) fn excused_repeats(facts: &Facts<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for message in facts.messages.values() {
        let posts: Vec<&Post> = facts.posts_of(message).collect();
        let repeated = posts.split_last().map(|(_, before)| before).unwrap_or_default();
        for post in repeated.iter().filter(|post| post.is_accepted()) {
            let why = match post.whole() {
                Some(replied) => facts.excuse(replied).unwrap_or("no fault"),
                None => "an answer that was cut off",
            };
            *counts.entry(why.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// I4: a post has a secret of the account in its path, and that account owns the message.
pub(super) fn own_credentials(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, post) in &facts.posts {
        let (sid, account) = (&post.sid, &post.account);
        if post.credential == Credential::Wrong {
            broken.push(format!("post {number} for {account} has a secret of another account"));
        }
        let message = facts.messages.get(sid);
        let mut requests = message.into_iter().flat_map(|message| facts.requests_of(message));
        if requests.any(|request| request.account != *account) {
            broken.push(format!("{sid} was posted to {account}\n{}", facts.events_about(sid)));
        }
    }
    broken
}

/// I6: no more concurrent posts than allowed, none before its `Retry-After`, none after a final refusal.
pub(super) fn upstream_limits(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = over_concurrency(facts);
    for (sid, message) in &facts.messages {
        let posts: Vec<&Post> = facts.posts_of(message).collect();
        for (post, next) in posts.iter().zip(posts.iter().skip(1)) {
            let Some(replied) = post.whole() else { continue };
            // The due time of a message is a wall-clock time.
            if facts.excuse(replied).is_some() || facts.is_clock_wrong(replied, next.at) {
                continue;
            }
            if post.status == 400 {
                broken.push(format!("{sid} was posted after a 400\n{}", facts.events_about(sid)));
            }
            if next.at < post.decided + post.retry_after * SECOND {
                broken.push(format!("{sid} was posted too soon\n{}", facts.events_about(sid)));
            }
        }
    }
    broken.extend(throttled(facts));
    broken
}

/// After a 429, the process posts nothing for the account until `Retry-After`.
fn throttled(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut holds: BTreeMap<(u64, &str), (u64, u64)> = BTreeMap::new();
    let mut posts: Vec<&Post> = facts.posts.values().collect();
    posts.sort_by_key(|post| post.at);
    for post in posts {
        let lane = (post.run, post.account.as_str());
        if let Some(&(seen, until)) = holds.get(&lane)
            && post.at > seen + IN_FLIGHT
            && post.at < until
            && !stopped(facts, seen, post.at)
        {
            broken.push(format!("{} was posted before the Retry-After of its account", post.sid));
        }
        if post.status == 429
            && let Some(replied) = post.whole()
        {
            let until = post.decided + post.retry_after * SECOND;
            let hold = holds.entry(lane).or_insert((replied, until));
            if until > hold.1 {
                *hold = (replied.max(hold.0), until);
            }
        }
    }
    broken
}

/// A stopped process sends queued bytes late.
fn stopped(facts: &Facts<'_>, from: u64, to: u64) -> bool {
    let mut stops = facts.faults.values().filter(|fault| fault.name.starts_with("SIGSTOP"));
    stops.any(|stop| stop.from <= to && from <= stop.to)
}

/// Beyond the shared slots, only an account without a current post may start one.
fn over_concurrency(facts: &Facts<'_>) -> Vec<String> {
    let mut changes: Vec<(u64, u64, i64, &str)> = Vec::new();
    for post in facts.posts.values() {
        changes.push((post.run, post.at, 1, &post.account));
        changes.push((post.run, ended(post), -1, &post.account));
    }
    changes.sort_unstable();
    let allowed = i64::try_from(facts.concurrency).unwrap_or(i64::MAX);
    let mut under_way: BTreeMap<u64, i64> = BTreeMap::new();
    let mut of_account: BTreeMap<(u64, &str), i64> = BTreeMap::new();
    let mut broken = Vec::new();
    for (run, at, change, account) in changes {
        let count = under_way.entry(run).or_default();
        *count += change;
        let own = of_account.entry((run, account)).or_default();
        *own += change;
        if change > 0 && *count > allowed && *own > 1 && broken.is_empty() {
            let ms = at / 1_000_000;
            broken.push(format!(
                "{count} concurrent posts in run {run} at {ms} ms, {allowed} allowed"
            ));
        }
    }
    broken
}

/// The earliest time at which the service may have seen the end of the post.
fn ended(post: &Post) -> u64 {
    let replied = post.replied.map_or(post.at, |(at, _)| at);
    match post.answer.as_str() {
        "hangs" => replied.min(post.at + TIMEOUT - SECOND / 10),
        "taken, trickled" => replied.saturating_sub(SECOND / 20),
        _ => post.decided,
    }
    .max(post.at)
}
