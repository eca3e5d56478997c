//! How Twilio is spoken to: I3, I4, I6.

use std::collections::BTreeMap;

use crate::history::Credential;
use crate::judge::facts::{Facts, Post, SECOND};

/// A post that was on its way when the answer to another came cannot heed it.
const ON_ITS_WAY: u64 = SECOND;
/// The service waits no longer than this for an answer.
pub(crate) const TIMEOUT: u64 = 10 * SECOND;

/// I3: once a message is taken, it is posted again only if its answer did not get through whole, or a
/// fault came upon the service before that can have been written down.
pub(super) fn bounded_repeats(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        let posts: Vec<&Post> = facts.posts_of(message).collect();
        let repeated = posts.split_last().map(|(_, before)| before).unwrap_or_default();
        let mut needless = repeated.iter().filter(|post| {
            post.is_taken() && post.whole().is_some_and(|told| facts.excuse(told).is_none())
        });
        if needless.next().is_some() {
            broken.push(format!("{sid} was posted again for no reason\n{}", facts.story(sid)));
        }
    }
    broken
}

/// So many posts were made about messages that were taken already.
pub(crate) fn repeats(facts: &Facts<'_>) -> usize {
    let count = |posts: Vec<&Post>| {
        let first = posts.iter().position(|post| post.is_taken());
        first.map_or(0, |first| posts.len() - first - 1)
    };
    facts.messages.values().map(|message| count(facts.posts_of(message).collect())).sum()
}

/// How many repeats each fault explains. A repeat after an answer that did not get through whole needs no fault.
pub(crate) fn excused_repeats(facts: &Facts<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for message in facts.messages.values() {
        let posts: Vec<&Post> = facts.posts_of(message).collect();
        let repeated = posts.split_last().map(|(_, before)| before).unwrap_or_default();
        for post in repeated.iter().filter(|post| post.is_taken()) {
            let why = match post.whole() {
                Some(told) => facts.excuse(told).unwrap_or("no fault"),
                None => "an answer that was cut off",
            };
            *counts.entry(why.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// I4: a post bears a secret of the account in its path, which is the account that the message is of.
pub(super) fn right_account(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, post) in &facts.posts {
        let (sid, account) = (&post.sid, &post.account);
        if post.credential == Credential::Wrong {
            broken.push(format!("post {number} for {account} bears a secret not its own"));
        }
        let message = facts.messages.get(sid);
        let mut requests = message.into_iter().flat_map(|message| facts.requests_of(message));
        if requests.any(|request| request.account != *account) {
            broken.push(format!("{sid} was posted to {account}\n{}", facts.story(sid)));
        }
    }
    broken
}

/// I6: no more at a time than allowed, no sooner than asked, nothing after the last word.
pub(super) fn manners(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = crowds(facts);
    for (sid, message) in &facts.messages {
        let posts: Vec<&Post> = facts.posts_of(message).collect();
        for (post, next) in posts.iter().zip(posts.iter().skip(1)) {
            let Some(told) = post.whole() else { continue };
            // The due time of a message is a time of the wall clock.
            if facts.excuse(told).is_some() || facts.is_clock_wrong(told, next.at) {
                continue;
            }
            if post.status == 400 {
                broken.push(format!("{sid} was posted after a 400\n{}", facts.story(sid)));
            }
            if next.at < post.decided + post.retry_after * SECOND {
                broken.push(format!("{sid} was posted too soon\n{}", facts.story(sid)));
            }
        }
    }
    broken.extend(throttled(facts));
    broken
}

/// After a 429 the whole account waits, as long as the process lives that heard it.
fn throttled(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut holds: BTreeMap<(u64, &str), (u64, u64)> = BTreeMap::new();
    let mut posts: Vec<&Post> = facts.posts.values().collect();
    posts.sort_by_key(|post| post.at);
    for post in posts {
        let lane = (post.run, post.account.as_str());
        if let Some(&(heard, until)) = holds.get(&lane)
            && post.at > heard + ON_ITS_WAY
            && post.at < until
            && !stopped(facts, heard, post.at)
        {
            broken.push(format!("{} was posted while its account was held", post.sid));
        }
        if post.status == 429
            && let Some(told) = post.whole()
        {
            let until = post.decided + post.retry_after * SECOND;
            let hold = holds.entry(lane).or_insert((told, until));
            if until > hold.1 {
                *hold = (told.max(hold.0), until);
            }
        }
    }
    broken
}

/// What is sent and not read yet comes late from a process that was stopped meanwhile.
fn stopped(facts: &Facts<'_>, from: u64, to: u64) -> bool {
    let mut stops = facts.faults.values().filter(|fault| fault.act.starts_with("SIGSTOP"));
    stops.any(|stop| stop.from <= to && from <= stop.to)
}

/// Beyond the shared slots, only an account without a post under way may start one.
fn crowds(facts: &Facts<'_>) -> Vec<String> {
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
                "{count} posts under way in run {run} at {ms} ms, {allowed} allowed"
            ));
        }
    }
    broken
}

/// No later than the service can have known that it was over.
fn ended(post: &Post) -> u64 {
    let told = post.told.map_or(post.at, |(at, _)| at);
    match post.answer.as_str() {
        "hangs" => told.min(post.at + TIMEOUT - SECOND / 10),
        "taken, trickled" => told.saturating_sub(SECOND / 20),
        _ => post.decided,
    }
    .max(post.at)
}
