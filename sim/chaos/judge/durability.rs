//! What the store must have kept, and must not have let in: I1, I2, I5, I7.

use crate::flood::OPERATOR;
use crate::history::Role;
use crate::identities::{BAIT, HOSTILE, is};
use crate::judge::excuses::Due;
use crate::judge::facts::{Facts, Message, Post, SECOND};

/// I1: a registration that was acknowledged is there; a pair that was acknowledged was reported, as a
/// whole 2xx says, or refused for good in the words of the stand-in.
pub(super) fn no_loss(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        if let Some(what) = loss(facts, message) {
            broken.push(format!("{sid} {what}\n{}", facts.story(sid)));
        }
    }
    broken
}

fn loss(facts: &Facts<'_>, message: &Message) -> Option<String> {
    let remembered = facts.remembered(message);
    let Some((_, state, refusal)) = &message.kept else {
        // A history that breaks off does not say.
        let lost = remembered.and(facts.read);
        return lost.map(|_| "was acknowledged and is not in the store".to_owned());
    };
    let mut posts = facts.posts_of(message).filter(|post| post.whole().is_some());
    match state.as_str() {
        "reported" => (!posts.any(Post::is_taken))
            .then(|| "is reported, and was never accepted in full".to_owned()),
        "refused" => {
            let said = |status| [400, 404].contains(&status) && Some(status) == *refusal;
            (!posts.any(|post| said(post.status)))
                .then(|| format!("is refused ({refusal:?}), and was never refused so for good"))
        }
        // It waits to be told; I10 says whether it should.
        "confirmed" => None,
        _ => (facts.due(message) == Due::Yes).then(|| format!("was proven, and is {state}")),
    }
}

/// I2: what is posted, or decided, was made known and proven by somebody genuine before.
pub(super) fn no_phantom(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        let posted = facts.posts_of(message).map(|post| post.at).min();
        let decided = message.kept.as_ref().is_some_and(|(_, state, _)| {
            ["confirmed", "reported", "refused"].contains(&state.as_str())
        });
        let before = posted.or(decided.then_some(u64::MAX));
        if before.is_some_and(|before| !facts.may_be_proven(message, before)) {
            broken.push(format!("{sid} was reported unproven\n{}", facts.story(sid)));
        }
    }
    broken
}

/// I5: no forgery is answered with a 2xx (nor with 401, upon which Twilio would send credentials), and
/// none leaves a trace; no honest request is answered as if it were one.
pub(super) fn gate(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for request in facts.requests.values() {
        let Some((at, status, _)) = request.answer else { continue };
        let (kind, sid) = (&request.kind, &request.sid);
        match request.role {
            Role::Hostile if (200..300).contains(&status) || status == 401 => {
                broken.push(format!("{kind} about {sid} got {status}\n{}", facts.story(sid)));
            }
            Role::Honest | Role::Bait
                if (400..500).contains(&status)
                    && status != 408
                    && !facts.is_truncated(request)
                    && !is_rotated(facts, request.at, at) =>
            {
                broken.push(format!("an honest {kind} got {status}\n{}", facts.story(sid)));
            }
            Role::Hostile | Role::Honest | Role::Bait | Role::Replay => {}
        }
    }
    for (shape, answer, count) in &facts.unauthenticated {
        // The operator's listener has a page for everyone on this machine.
        let is_in = answer.starts_with(['2', '3']) && !shape.starts_with(OPERATOR);
        if is_in || answer == "401" {
            broken.push(format!("{shape}, unauthenticated, got {answer} {count} times"));
        }
    }
    for (sid, message) in &facts.messages {
        let state = message.kept.as_ref().map(|(_, state, _)| state.as_str());
        if is(sid, HOSTILE) && (state.is_some() || !message.posts.is_empty()) {
            broken
                .push(format!("{sid}, which only forgeries name, is known\n{}", facts.story(sid)));
        }
        if is(sid, BAIT) && state.is_some_and(|state| state != "pending") {
            broken.push(format!("{sid}, unproven, is {state:?}\n{}", facts.story(sid)));
        }
    }
    for named in &facts.waiting {
        if named.contains(&format!("SM{HOSTILE}")) || named.contains(&format!("SM{BAIT}")) {
            broken.push(format!("forged evidence waits in the store: {named}"));
        }
    }
    broken
}

/// What was signed before a change of secrets may arrive after it.
fn is_rotated(facts: &Facts<'_>, sent: u64, answered: u64) -> bool {
    facts.faults.values().any(|fault| {
        fault.act == "credentials rotated" && fault.from <= answered && sent <= fault.to + SECOND
    })
}

/// I7: whoever looks later never sees less; what is acknowledged is never unknown again.
pub(super) fn monotone(facts: &Facts<'_>) -> Vec<String> {
    let mut broken = Vec::new();
    for (sid, message) in &facts.messages {
        let mut looks = message.looks.clone();
        if let Some(remembered) = facts.remembered(message) {
            looks.push((0, remembered, "pending".to_owned()));
        }
        if let Some((_, state, _)) = &message.kept {
            looks.push((u64::MAX, u64::MAX, state.clone()));
        }
        let falls = looks.iter().any(|(from, _, later)| {
            looks.iter().any(|(_, seen, earlier)| seen < from && rank(later) < rank(earlier))
        });
        if falls {
            broken.push(format!("{sid} was further than later\n{}", facts.story(sid)));
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
