//! A record that is here, and what another store says of the same one. It goes forward and never back: what was
//! proven or reported anywhere is so from then on, and nothing that is known here is undone by a record that
//! knows less. Without this, a later export of a source that goes on would be taken for known, and what was
//! confirmed there meanwhile would never be reported.

use jiff::Timestamp;

use crate::domain::link::Link;
use crate::domain::matching::adopted::taken_over;
use crate::domain::matching::{Parked, Reason};
use crate::domain::message::{Message, State};

/// What comes of a record that is here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met<T> {
    /// It says nothing that is not known.
    Known,
    /// What it is from now on.
    Advanced(T),
    /// It is of something else under the same name. Nothing changes.
    Differs,
}

impl<T: PartialEq> Met<T> {
    fn from(before: &T, after: T) -> Self {
        if *before == after { Self::Known } else { Self::Advanced(after) }
    }
}

/// A message that is here, and the same message as another store knows it. Nothing is confirmed by it that was
/// not confirmed there.
#[must_use]
pub fn met_message(present: &Message, incoming: &Message, now: Timestamp) -> Met<Message> {
    let is_other = present.recipient.zip(incoming.recipient).is_some_and(|(_, to)| {
        !incoming.names().any(|name| present.is_to(name)) && !present.is_named_otherwise(to)
    });
    if present.account != incoming.account || is_other {
        return Met::Differs;
    }
    let mut message = present.clone();
    fill(&mut message, incoming);
    match (is_proven(present), is_proven(incoming)) {
        (false, true) => {
            message.proof.clone_from(&incoming.proof);
            message.expires_at = incoming.expires_at;
            message.converted_by = incoming.converted_by;
            (message.parked_at, message.trace) = (incoming.parked_at, incoming.trace);
            message.held.clone_from(&incoming.held);
            stand_as(&mut message, incoming, now);
        }
        (true, true) if is_further(present, incoming) => stand_as(&mut message, incoming, now),
        (false, false) => wait_as(&mut message, incoming, now),
        (true, true | false) => {}
    }
    Met::from(present, message)
}

/// A link that is here, and the same link elsewhere: it may be in a message by now.
#[must_use]
pub fn met_link(present: &Link, incoming: &Link) -> Met<Link> {
    let messages = present.message.zip(incoming.message);
    let references = present.reference.as_ref().zip(incoming.reference.as_ref());
    if present.account != incoming.account
        || present.target != incoming.target
        || messages.is_some_and(|(a, b)| a != b)
        || references.is_some_and(|(a, b)| a != b)
    {
        return Met::Differs;
    }
    Met::from(present, Link { message: present.message.or(incoming.message), ..present.clone() })
}

/// Evidence that waits here, and what waits elsewhere for the same and would prove as much: the later one, as
/// where both come in; and its time may be over by now.
#[must_use]
pub fn met_parked(present: &Parked, incoming: &Parked) -> Met<Parked> {
    if incoming.parked_at > present.parked_at {
        return Met::from(present, incoming.clone());
    }
    // Evidence that is open in one of the stores is open in both, and the sweep looks at it if either store's would.
    let rank = |it: &Parked| (it.reason != Reason::Known, it.reason == Reason::NewerMayCome);
    if incoming.parked_at == present.parked_at && rank(incoming) > rank(present) {
        let orphaned = present.orphaned || incoming.orphaned;
        return Met::from(present, Parked { orphaned, ..incoming.clone() });
    }
    let is_over = incoming.orphaned && incoming.parked_at == present.parked_at;
    Met::from(present, Parked { orphaned: present.orphaned || is_over, ..present.clone() })
}

/// Whether its arrival is proven.
#[must_use]
pub fn is_proven(message: &Message) -> bool {
    match message.state {
        State::Untracked | State::Pending | State::Expired | State::Undelivered => false,
        State::Confirmed | State::Reported | State::Refused => true,
    }
}

/// Fills in what is not known here, as a sighting would.
fn fill(message: &mut Message, incoming: &Message) {
    for recipient in incoming.recipient.into_iter().chain(incoming.alias) {
        message.name(recipient);
    }
    message.service = message.service.or(incoming.service);
    message.from = message.from.take().or_else(|| incoming.from.clone());
    message.reference = message.reference.take().or_else(|| incoming.reference.clone());
    message.code = message.code.or(incoming.code);
    message.created_at = message.created_at.min(incoming.created_at);
    message.created_at_known |= incoming.created_at_known;
    message.remembered_at = message.remembered_at.min(incoming.remembered_at);
    message.receipts.merge(incoming.receipts);
    message.went_out_at = earliest(message.went_out_at, incoming.went_out_at);
    if incoming.status > message.status {
        message.status = incoming.status;
        message.error_code = incoming.error_code.or(message.error_code);
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// What Twilio was told there it is not told again. Otherwise the later of one history holds, unless an attempt
/// is under way here; of two histories, that of this store.
fn is_further(present: &Message, incoming: &Message) -> bool {
    let until = |message: &Message| {
        let tried = message.last_attempt.as_ref().map(|attempt| attempt.ended_at);
        (message.since, tried, message.delivery.attempts)
    };
    if present.state == State::Reported || incoming.state == State::Reported {
        if is_requeued_after(present, incoming) {
            return false;
        }
        return present.state != State::Reported || is_requeued_after(incoming, present);
    }
    let is_one_history = present.proof == incoming.proof;
    present.delivery.lease.is_none() && is_one_history && until(incoming) > until(present)
}

/// Whether an operator requeued this message after the report that the other record has.
fn is_requeued_after(message: &Message, other: &Message) -> bool {
    message.state != State::Reported
        && message.reported_at.is_some()
        && message.reported_at >= other.reported_at
        && message.since > other.since
}

/// Takes over how far its reporting has come.
fn stand_as(message: &mut Message, incoming: &Message, now: Timestamp) {
    let Message { state, since, delivery, reported_at, refusal, last_attempt, .. } =
        taken_over(incoming, now);
    (message.state, message.since, message.delivery) = (state, since, delivery);
    (message.reported_at, message.refusal) = (reported_at, refusal);
    message.last_attempt = last_attempt;
    if !message.is_provisional() {
        message.held = None;
    }
}

/// Of a message that is not proven anywhere: whether it is waited for, and for how long.
fn wait_as(message: &mut Message, incoming: &Message, now: Timestamp) {
    message.converted_by = message.converted_by.or(incoming.converted_by);
    let before = message.state;
    // Another lifetime may hold here than there.
    let lives_on = message.state == State::Pending
        && incoming.state == State::Expired
        && incoming.expires_at < message.expires_at;
    if stage(incoming) > stage(message) && !lives_on {
        message.state = incoming.state;
        message.expires_at = incoming.expires_at;
    }
    message.heed_receipts(now);
    if message.state == incoming.state {
        let is_same = message.state == before;
        message.since = if is_same { message.since.max(incoming.since) } else { incoming.since };
    }
}

fn stage(message: &Message) -> u8 {
    match message.state {
        State::Untracked => 0,
        State::Pending => 1,
        State::Expired | State::Undelivered => 2,
        State::Confirmed | State::Reported | State::Refused => 3,
    }
}

#[cfg(test)]
#[path = "advanced_tests.rs"]
mod tests;
