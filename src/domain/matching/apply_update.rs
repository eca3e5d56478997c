//! What a sighting makes of a message: a new one, or the known one with what was unknown filled in.
//!
//! Statuses only ever move on, times only ever come nearer to the truth, and nothing known is lost.

use jiff::Timestamp;

use crate::domain::address::Recipient;
use crate::domain::matching::people::People;
use crate::domain::matching::policy::Policy;
use crate::domain::message::{Message, State};
use crate::domain::signal::MessageUpdate;
use crate::domain::timestamp_serde::later;

pub(super) fn fresh(sighting: &MessageUpdate, policy: &Policy, now: Timestamp) -> Message {
    let mut message = Message {
        expires_at: policy.untracked_until(sighting.seen_at),
        since: now,
        ..Message::heard_of(sighting.sid, sighting.account, sighting.seen_at)
    };
    fill(&mut message, sighting, policy, now);
    message
}

pub(super) fn merged(
    known: &Message,
    sighting: &MessageUpdate,
    policy: &Policy,
    now: Timestamp,
) -> Message {
    let mut message = known.clone();
    fill(&mut message, sighting, policy, now);
    message
}

/// Fills what was unknown, moves the status on, never back.
fn fill(message: &mut Message, sighting: &MessageUpdate, policy: &Policy, now: Timestamp) {
    if let Some(recipient) = sighting.recipient {
        message.name(recipient);
    }
    message.service = message.service.or(sighting.service);
    message.from = message.from.take().or_else(|| sighting.from.clone());
    message.reference = message.reference.take().or_else(|| sighting.reference.clone());
    message.code = message.code.or(sighting.code);
    // Nobody hears of a message before it exists, and signals race each other to the store.
    message.created_at = message.created_at.min(sighting.seen_at);
    if let Some(created_at) = sighting.created_at
        && !message.created_at_known
    {
        // For the same reason a clock that says otherwise is wrong.
        message.created_at = created_at.min(message.created_at);
        message.created_at_known = true;
    }
    if let Some(status) = sighting.status {
        message.receipts.add(status);
        if status.is_under_way() {
            let seen_at = sighting.seen_at;
            message.went_out_at = Some(message.went_out_at.map_or(seen_at, |at| at.min(seen_at)));
        }
    }
    if sighting.status > message.status {
        message.status = sighting.status;
        message.error_code = sighting.error_code.or(message.error_code);
    }
    // A scheduled message is as old as its sending, of which only the first word of it is known.
    if let (true, Some(out)) = (message.receipts.scheduled, message.went_out_at) {
        message.created_at = message.created_at.max(out);
        message.created_at_known = false;
    }
    if sighting.tracked && message.state == State::Untracked {
        message.enter(State::Pending, now);
        message.expires_at = later(now, policy.pending_ttl);
    }
    message.apply_receipts(now);
}

/// The first field in which a sighting says otherwise than what is known.
pub(super) fn contradiction(
    known: &Message,
    sighting: &MessageUpdate,
    people: &People,
) -> Option<&'static str> {
    fn differ<T: PartialEq>(known: Option<&T>, said: Option<&T>) -> bool {
        known.zip(said).is_some_and(|(known, said)| known != said)
    }
    // The SID names the message. A number and a user id of WhatsApp may be two names of one person.
    let is_other = |said: Recipient| {
        known.recipient.is_some()
            && !people.is_to(known, said.person)
            && !known.is_named_otherwise(said)
    };
    [
        ("AccountSid", known.account != sighting.account),
        ("To", sighting.strict && sighting.recipient.is_some_and(is_other)),
        ("From", sighting.strict && differ(known.from.as_ref(), sighting.from.as_ref())),
        (
            "MessagingServiceSid",
            sighting.strict && differ(known.service.as_ref(), sighting.service.as_ref()),
        ),
        (
            "Reference",
            sighting.strict && differ(known.reference.as_ref(), sighting.reference.as_ref()),
        ),
        ("CodeHmac", sighting.strict && differ(known.code.as_ref(), sighting.code.as_ref())),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}
