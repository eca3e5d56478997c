//! Webhooks that the service forwards to the app: I15.

use std::collections::BTreeMap;

use crate::conversation::TEXTING;
use crate::history::{Credential, Role};
use crate::identities::{INBOUND, TEXT, is};
use crate::judge::durability::is_rotated;
use crate::judge::excuses::Due;
use crate::judge::facts::{Deferral, Facts, Forward, Request, SECOND};
use crate::signals::is_forwarded;

/// A token may be revoked while a request that it signed is under way.
const UNDER_WAY: u64 = 5 * SECOND;
/// The app notices that the service has closed a connection within this time.
const END_NOTICED_WITHIN: u64 = SECOND;

/// I15: if the app answers a webhook, its evidence is not lost. The app gets no request that Twilio did not send, and none
/// more often. Each has a valid signature. The app gets the texts of one person one at a time.
pub(super) fn forwarded(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = lost(facts);
    broken.extend(not_sent(facts));
    broken.extend(wrongly_signed(facts));
    broken.extend(overlapping(facts));
    broken
}

fn lost(facts: &Facts<'_>) -> Vec<String> {
    let lost = facts.messages.iter().filter(|(_, message)| {
        let stored = message.stored.as_ref();
        let is_open =
            stored.is_some_and(|(_, state, _)| ["pending", "untracked"].contains(&state.as_str()));
        is_open && facts.due_by(message, |proof| proof.is_from_app) == Due::Yes
    });
    let lost = lost.map(|(sid, _)| {
        format!(
            "{sid} is not confirmed, although the app answered its evidence\n{}",
            facts.events_about(sid)
        )
    });
    lost.collect()
}

/// The requests of Twilio by form, in order.
fn sent<'a>(facts: &'a Facts<'_>) -> BTreeMap<&'a str, Vec<&'a Request>> {
    let mut sent: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for request in facts.requests.values().filter(|request| request.role != Role::Hostile) {
        sent.entry(request.form.as_str()).or_default().push(request);
    }
    sent
}

/// The n-th forward of a form comes after the n-th request with it.
fn not_sent(facts: &Facts<'_>) -> Vec<String> {
    let sent = sent(facts);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut broken = Vec::new();
    for Forward { at, form, .. } in facts.forwards.values() {
        let count = counts.entry(form).or_default();
        let request = sent.get(form.as_str()).and_then(|requests| requests.get(*count));
        if request.is_none_or(|request| request.at > *at) {
            let ms = at / 1_000_000;
            broken.push(format!("at {ms} ms the app got a form that Twilio had not sent: {form}"));
        }
        *count += 1;
    }
    broken
}

fn wrongly_signed(facts: &Facts<'_>) -> Vec<String> {
    let wrong = facts.forwards.values().filter(|forward| match forward.signature {
        Credential::Right => false,
        Credential::Former => !is_rotated(facts, forward.at.saturating_sub(UNDER_WAY), forward.at),
        Credential::Wrong => true,
    });
    let wrong = wrong.map(|Forward { at, form, signature, .. }| {
        let ms = at / 1_000_000;
        format!("at {ms} ms the app got {form} with a signature by a {signature:?} key")
    });
    wrong.collect()
}

/// The texts that reached the app, by conversation.
fn conversations<'a>(facts: &'a Facts<'_>) -> BTreeMap<&'a str, Vec<&'a Forward>> {
    // Several receivers each forward the texts that reach them.
    if facts.receivers > 1 {
        return BTreeMap::new();
    }
    let mut forwards: BTreeMap<&str, &Forward> = BTreeMap::new();
    for forward in facts.forwards.values() {
        forwards.entry(forward.form.as_str()).or_insert(forward);
    }
    let mut conversations: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let texts = facts.requests.values().filter(|it| it.kind == TEXTING && it.role == Role::Honest);
    for Request { sid, form, .. } in texts {
        if let Some(forward) = forwards.get(form.as_str()) {
            conversations.entry(sid.as_str()).or_default().push(*forward);
        }
    }
    conversations
}

/// Texts of one person that the app got at the same time. Their order is not judged: a slow machine may delay a text on its
/// way to the service, which nothing outside shows. `tests/it/forward/order.rs` tests the order.
fn overlapping(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, mut forwards) in conversations(facts) {
        forwards.sort_by_key(|forward| forward.at);
        let overlap = forwards.windows(2).any(|pair| {
            let [earlier, later] = pair else { return false };
            let end = earlier.ended.as_ref().map_or(u64::MAX, |(at, _)| *at);
            later.at.saturating_add(END_NOTICED_WITHIN) < end
        });
        if overlap {
            let events = facts.events_about(sid);
            broken.push(format!("the app got texts of {sid} at the same time\n{events}"));
        }
    }
    broken
}

/// The counts of forwarded webhooks.
pub(crate) struct Counts {
    /// Requests that the app received.
    pub(crate) forwarded: usize,
    /// Answers to Twilio that are the app's.
    pub(crate) by_app: usize,
    /// Answers to Twilio in place of a failed app's: 2xx.
    pub(crate) accepted: usize,
    /// Answers to Twilio in place of a failed app's: 5xx.
    pub(crate) failed: usize,
    /// Evidence of forwarded messages and calls that was in memory, because the store could not write.
    pub(crate) deferred: usize,
    /// Texts of a person who sent others at that time.
    pub(crate) overlapping: usize,
}

pub(crate) fn counts(facts: &Facts<'_>) -> Counts {
    let webhooks =
        || facts.requests.values().filter(|it| it.is_genuine() && is_forwarded(&it.kind));
    let in_place = |wanted: fn(u16) -> bool| {
        let answers = webhooks().filter(|request| !request.is_from_app);
        answers
            .filter_map(|request| request.answer)
            .filter(|(_, status, _)| wanted(*status))
            .count()
    };
    let is_persons = |it: &&Deferral| {
        is(&it.about, INBOUND) || is(&it.about, TEXT) || it.about.starts_with("CA")
    };
    let conversations = conversations(facts);
    Counts {
        forwarded: facts.forwards.len(),
        by_app: webhooks().filter(|request| request.is_from_app).count(),
        accepted: in_place(|status| status < 300),
        failed: in_place(|status| status >= 500),
        deferred: facts.deferrals.iter().filter(is_persons).count(),
        overlapping: conversations.values().map(Vec::len).sum(),
    }
}

/// The number of requests to the app by its behaviour.
pub(crate) fn behaviours<'a>(facts: &'a Facts<'_>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for forward in facts.forwards.values() {
        let how = forward.ended.as_ref().map_or("the run ended", |(_, how)| how.as_str());
        *counts.entry(how).or_default() += 1;
    }
    counts
}
