//! The content of the store and the answers to requests: I1, I2, I5, I7.

use crate::flood::OPERATOR;
use crate::history::Role;
use crate::identities::{BAIT, HOSTILE, is};
use crate::judge::excuses::Due;
use crate::judge::facts::{Facts, Message, Post, SECOND};

/// I1: every acknowledged registration is in the store. Every acknowledged proof led to a report that Twilio accepted
/// in full, or to a final refusal by Twilio.
pub(super) fn no_loss(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        if let Some(problem) = loss(facts, message) {
            broken.push(format!("{sid} {problem}\n{}", facts.events_about(sid)));
        }
    }
    broken
}

fn loss(facts: &Facts<'_>, message: &Message) -> Option<String> {
    let registered = facts.registered(message);
    let Some((_, state, refusal)) = &message.stored else {
        // An incomplete history proves no loss.
        let lost = registered.and(facts.read);
        return lost.map(|_| "was acknowledged, but is not in the store".to_owned());
    };
    let mut posts = facts.posts_of(message).filter(|post| post.whole().is_some());
    match state.as_str() {
        "reported" => (!posts.any(Post::is_accepted))
            .then(|| "is reported, but no complete reply accepted it".to_owned()),
        "refused" => {
            let said = |status| [400, 404].contains(&status) && Some(status) == *refusal;
            (!posts.any(|post| said(post.status)))
                .then(|| format!("is refused ({refusal:?}), but Twilio never refused it so"))
        }
        // I10 judges a confirmation that is still in the outbox.
        "confirmed" => None,
        _ => (facts.due(message) == Due::Yes).then(|| format!("was proven, but is {state}")),
    }
}

/// I2: a message is posted or confirmed only after honest requests registered and proved it.
pub(super) fn no_unproven_report(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        let posted = facts.posts_of(message).map(|post| post.at).min();
        let decided = message.stored.as_ref().is_some_and(|(_, state, _)| {
            ["confirmed", "reported", "refused"].contains(&state.as_str())
        });
        let before = posted.or(decided.then_some(u64::MAX));
        if before.is_some_and(|before| !facts.may_be_proven(message, before)) {
            broken.push(format!("{sid} was reported unproven\n{}", facts.events_about(sid)));
        }
    }
    broken
}

/// I5: no forged request gets a 2xx, or a 401 (after which Twilio would send credentials), and none leaves a record. No
/// honest request is rejected like a forged one.
pub(super) fn authentication(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for request in facts.requests.values() {
        let Some((at, status, _)) = request.answer else { continue };
        let (kind, sid) = (&request.kind, &request.sid);
        match request.role {
            Role::Hostile if (200..300).contains(&status) || status == 401 => {
                broken
                    .push(format!("{kind} about {sid} got {status}\n{}", facts.events_about(sid)));
            }
            Role::Honest | Role::Bait
                if (400..500).contains(&status)
                    && status != 408
                    // The message or the link was lost.
                    && !(status == 404 && facts.may_lose)
                    && !facts.is_truncated(request)
                    && !is_rotated(facts, request.at, at) =>
            {
                broken.push(format!("an honest {kind} got {status}\n{}", facts.events_about(sid)));
            }
            Role::Hostile | Role::Honest | Role::Bait | Role::Replay => {}
        }
    }
    for (shape, answer, count) in &facts.unauthenticated {
        // The operator's listener serves unauthenticated clients on this machine.
        let is_in = answer.starts_with(['2', '3']) && !shape.starts_with(OPERATOR);
        if is_in || answer == "401" {
            broken.push(format!("{shape}, unauthenticated, got {answer} {count} times"));
        }
    }
    for (sid, message) in &facts.messages {
        let state = message.stored.as_ref().map(|(_, state, _)| state.as_str());
        if is(sid, HOSTILE) && (state.is_some() || !message.posts.is_empty()) {
            broken.push(format!(
                "{sid}, which only forged requests name, is in the store\n{}",
                facts.events_about(sid)
            ));
        }
        if is(sid, BAIT) && state.is_some_and(|state| state != "pending") {
            broken.push(format!("{sid}, unproven, is {state:?}\n{}", facts.events_about(sid)));
        }
    }
    for named in &facts.parked {
        if named.contains(&format!("SM{HOSTILE}")) || named.contains(&format!("SM{BAIT}")) {
            broken.push(format!("forged evidence is parked in the store: {named}"));
        }
    }
    broken
}

/// Whether a rotation of secrets overlaps the request, which may be signed with the older secret.
pub(super) fn is_rotated(facts: &Facts<'_>, sent: u64, answered: u64) -> bool {
    facts.faults.values().any(|fault| {
        fault.name == "credentials rotated" && fault.from <= answered && sent <= fault.to + SECOND
    })
}

/// I7: no later read shows an earlier state, and an acknowledged message never becomes unknown.
pub(super) fn monotone(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        let mut states = message.states.clone();
        if let Some(registered) = facts.registered(message) {
            states.push((0, registered, "pending".to_owned()));
        }
        if let Some((_, state, _)) = &message.stored {
            states.push((u64::MAX, u64::MAX, state.clone()));
        }
        let falls = states.iter().any(|(from, _, later)| {
            states.iter().any(|(_, seen, earlier)| seen < from && rank(later) < rank(earlier))
        });
        if falls {
            broken
                .push(format!("{sid} went back to an earlier state\n{}", facts.events_about(sid)));
        }
    }
    broken
}

fn rank(state: &str) -> u8 {
    match state {
        "none" => 0,
        "confirmed" => 2,
        "reported" | "refused" => 3,
        _ => 1,
    }
}
