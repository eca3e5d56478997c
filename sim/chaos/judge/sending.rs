//! The messages that the app sent through the service: I14.

use crate::judge::facts::{Facts, Message, Request};
use crate::sending::SEND;

/// The messages that were sent through, each with its send.
fn sends<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a str, &'a Message, &'a Request)> {
    facts.messages.iter().filter_map(|(sid, message)| {
        let send = facts.requests_of(message).find(|request| request.kind == SEND)?;
        Some((sid.as_str(), message, send))
    })
}

/// I14: Twilio creates each message at most once, and none that the app did not send.
pub(super) fn sent_once(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, count) in &facts.creations {
        if *count > 1 {
            broken.push(format!("{sid} was created {count} times\n{}", facts.events_about(sid)));
        }
        if !sends(facts).any(|(sent, ..)| sent == sid) {
            broken.push(format!("{sid} was created without a send of the app"));
        }
    }
    for (sid, _, send) in sends(facts) {
        if send.is_acked() && !facts.creations.contains_key(sid) {
            broken.push(format!("{sid} was acknowledged and never created"));
        }
    }
    broken
}

/// The counts of sends. Each is a part of the one before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SendCounts {
    pub(crate) sent: usize,
    /// Created at Twilio.
    pub(crate) created: usize,
    /// Without an acknowledged registration for the app.
    pub(crate) unacknowledged: usize,
    /// In the store after the run.
    pub(crate) stored: usize,
}

pub(crate) fn counts(facts: &Facts<'_>) -> SendCounts {
    let all: Vec<_> = sends(facts).collect();
    let created = |sid: &str| facts.creations.contains_key(sid);
    let unacknowledged: Vec<_> =
        all.iter().filter(|(sid, _, send)| created(sid) && !send.is_acked()).collect();
    SendCounts {
        sent: all.len(),
        created: all.iter().filter(|(sid, ..)| created(sid)).count(),
        stored: unacknowledged.iter().filter(|(_, message, _)| message.stored.is_some()).count(),
        unacknowledged: unacknowledged.len(),
    }
}
