//! Applies a message update: to a new message, or to the known one, whose missing facts it fills in.
//!
//! A status only advances, a time only becomes more accurate, and no known fact is lost.

use jiff::Timestamp;

use crate::domain::address::Recipient;
use crate::domain::matching::people::People;
use crate::domain::matching::policy::Policy;
use crate::domain::message::{Message, State};
use crate::domain::signal::MessageUpdate;
use crate::domain::timestamp_serde::later;

pub(super) fn fresh(update: &MessageUpdate, policy: &Policy, now: Timestamp) -> Message {
    let mut message = Message {
        expires_at: policy.untracked_until(update.seen_at),
        since: now,
        ..Message::new(update.sid, update.account, update.seen_at)
    };
    fill(&mut message, update, policy, now);
    message
}

pub(super) fn merged(
    known: &Message,
    update: &MessageUpdate,
    policy: &Policy,
    now: Timestamp,
) -> Message {
    let mut message = known.clone();
    fill(&mut message, update, policy, now);
    message
}

/// Fills in missing facts, and advances the status.
fn fill(message: &mut Message, update: &MessageUpdate, policy: &Policy, now: Timestamp) {
    if let Some(recipient) = update.recipient {
        message.name(recipient);
    }
    message.service = message.service.or(update.service);
    message.from = message.from.take().or_else(|| update.from.clone());
    message.reference = message.reference.take().or_else(|| update.reference.clone());
    message.code = message.code.or(update.code);
    // No request names a message before it exists, and requests reach the store in any order.
    message.created_at = message.created_at.min(update.seen_at);
    if let Some(created_at) = update.created_at
        && !message.created_at_known
    {
        // A later creation time comes from a clock that is wrong.
        message.created_at = created_at.min(message.created_at);
        message.created_at_known = true;
    }
    if let Some(status) = update.status {
        let earliest = |known: Option<Timestamp>| {
            Some(known.map_or(update.seen_at, |known| known.min(update.seen_at)))
        };
        if status.is_under_way() {
            message.went_out_at = earliest(message.went_out_at);
        }
        // An older export says that a message had arrived, but not when. A later receipt must not date it.
        if status.is_arrival() && (message.arrived_at.is_some() || !message.receipts.arrived) {
            message.arrived_at = earliest(message.arrived_at);
        }
        message.receipts.add(status);
    }
    if update.status > message.status {
        message.status = update.status;
        message.error_code = update.error_code.or(message.error_code);
    }
    // A scheduled message is as old as its sending, of which only the first report is known.
    if let (true, Some(out)) = (message.receipts.scheduled, message.went_out_at) {
        message.created_at = message.created_at.max(out);
        message.created_at_known = false;
    }
    if update.tracked && message.state == State::Untracked {
        message.enter(State::Pending, now);
        message.expires_at = later(now, policy.pending_ttl);
    }
    message.apply_receipts(now);
}

/// The first field in which an update contradicts the known facts.
pub(super) fn contradiction(
    known: &Message,
    update: &MessageUpdate,
    people: &People,
) -> Option<&'static str> {
    fn differ<T: PartialEq>(known: Option<&T>, said: Option<&T>) -> bool {
        known.zip(said).is_some_and(|(known, said)| known != said)
    }
    // A number and a user id of WhatsApp may be two names of one person.
    let is_other = |said: Recipient| {
        known.recipient.is_some()
            && !people.is_to(known, said.person)
            && !known.is_named_otherwise(said)
    };
    [
        ("AccountSid", known.account != update.account),
        ("To", update.strict && update.recipient.is_some_and(is_other)),
        ("From", update.strict && differ(known.from.as_ref(), update.from.as_ref())),
        (
            "MessagingServiceSid",
            update.strict && differ(known.service.as_ref(), update.service.as_ref()),
        ),
        ("Reference", update.strict && differ(known.reference.as_ref(), update.reference.as_ref())),
        ("CodeHmac", update.strict && differ(known.code.as_ref(), update.code.as_ref())),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}
