//! Import: the merge of an exported record with the record that is here.
//!
//! A record that is here gets the facts that it lacks, as a registration and a status callback would fill them in. Its
//! state changes only if the export is further along. Nothing is undone: two stores that both took evidence for one
//! message are not reconciled.

use jiff::Timestamp;

use crate::domain::link::Link;
use crate::domain::matching::decide::Ledger;
use crate::domain::matching::sighted::merged;
use crate::domain::matching::{Now, Parked, Policy};
use crate::domain::message::{Basis, Message, State};
use crate::domain::signal::{Named, Sighting};

/// An exported message as this store adds it. No attempt is under way, and a confirmed message is due.
#[must_use]
pub fn imported(message: &Message, now: Timestamp) -> Message {
    let mut message = message.clone();
    message.delivery.lease = None;
    let due_at = message.delivery.due_at.take();
    if message.state == State::Confirmed {
        message.delivery.due_at = due_at.or(Some(now));
    }
    message
}

/// A message that is here, with what an export adds to it. Another account's or recipient's message adds nothing.
///
/// If both are confirmed by different evidence, the second value is the evidence that the merged message does not hold: it
/// is parked, and judged anew.
#[must_use]
pub fn merge(
    present: &Message,
    incoming: &Message,
    policy: &Policy,
    now: impl Into<Now>,
) -> (Message, Option<Parked>) {
    let now = now.into();
    let is_other = present.recipient.zip(incoming.recipient).is_some_and(|(_, to)| {
        !incoming.names().any(|name| present.is_to(name)) && !present.is_named_otherwise(to)
    });
    if present.account != incoming.account || is_other {
        return (present.clone(), None);
    }
    let mut message = filled(present, incoming, policy, now.wall);
    let mut spare = &incoming.held;
    if is_further(present, incoming) {
        spare = &present.held;
        let theirs = imported(incoming, now.wall);
        message.state = theirs.state;
        message.since = theirs.since;
        message.expires_at = theirs.expires_at;
        message.proof = theirs.proof;
        message.held = theirs.held;
        message.delivery = theirs.delivery;
        message.reported_at = theirs.reported_at;
        message.refusal = theirs.refusal;
        message.last_attempt = theirs.last_attempt;
        message.converted_by = theirs.converted_by;
        message.parked_at = theirs.parked_at;
        message.trace = theirs.trace;
    }
    message.age(now.trusted);
    let is_other_act = |held: &&Parked| {
        let act = (&held.evidence.label, held.evidence.occurred_at);
        message.proof.as_ref().is_some_and(|proof| (&proof.label, proof.occurred_at) != act)
    };
    let spare = spare.as_deref().filter(is_other_act).cloned();
    (message, spare)
}

/// A click link that is here, bound to its message if only the export knows that message.
#[must_use]
pub fn merge_link(present: &Link, incoming: &Link) -> Link {
    let bound = Link { message: incoming.message, ..present.clone() };
    if present.message.is_none() && bound == *incoming { bound } else { present.clone() }
}

/// Parked evidence that is here, or the same evidence of an export if that may prove something for longer.
#[must_use]
pub fn merge_parked(present: &Parked, incoming: &Parked) -> Parked {
    let is_longer = incoming.may_prove_until() > present.may_prove_until();
    if is_longer { incoming.clone() } else { present.clone() }
}

/// Fills in missing facts by the functions that apply a registration and a status callback.
fn filled(present: &Message, incoming: &Message, policy: &Policy, now: Timestamp) -> Message {
    let first_seen =
        if incoming.created_at_known { incoming.remembered_at } else { incoming.created_at };
    let registration = Sighting {
        sid: incoming.sid,
        account: incoming.account,
        tracked: incoming.state != State::Untracked,
        strict: false,
        by_twilio: false,
        recipient: incoming.recipient,
        number: None,
        names: None,
        from: incoming.from.clone(),
        service: incoming.service,
        reference: incoming.reference.clone(),
        status: None,
        error_code: None,
        code: incoming.code,
        link: None,
        created_at: incoming.created_at_known.then_some(incoming.created_at),
        seen_at: first_seen,
        trace: None,
    };
    let status = Sighting {
        recipient: incoming.alias,
        status: incoming.status,
        error_code: incoming.error_code,
        seen_at: incoming.went_out_at.unwrap_or(first_seen),
        ..registration.clone()
    };
    let mut message = present.clone();
    message.receipts.merge(incoming.receipts);
    message.remembered_at = message.remembered_at.min(incoming.remembered_at);
    if message.proof.is_none() {
        message.converted_by = message.converted_by.or(incoming.converted_by);
    }
    let message = merged(&message, &registration, policy, now);
    let mut message = merged(&message, &status, policy, now);
    if present.state == State::Untracked && registration.tracked {
        message.expires_at = incoming.expires_at;
    }
    message
}

/// Whether the export is further along, or has the later one of two provisional confirmations. A requeue that came after
/// its state stands, and so does an attempt that is under way, except against a report.
fn is_further(present: &Message, incoming: &Message) -> bool {
    let is_requeued = present.requeued_at().is_some_and(|at| at > incoming.since);
    let is_under_way = present.delivery.lease.is_some() && incoming.state != State::Reported;
    let are_provisional = present.is_provisional() && incoming.is_provisional();
    let is_further =
        progress(incoming) > progress(present) || are_provisional && incoming.since > present.since;
    is_further && !is_requeued && !is_under_way
}

/// How far along a message is. Once its report was attempted, a confirmation is not judged anew.
fn progress(message: &Message) -> u8 {
    match message.state {
        State::Untracked | State::Pending | State::Expired | State::Undelivered => 0,
        State::Confirmed if message.is_provisional() => 1,
        State::Confirmed => 2,
        State::Refused => 3,
        State::Reported => 4,
    }
}

impl Ledger<'_> {
    /// Drops parked evidence that proved one of the messages already. An export may contain both, because the evidence
    /// was settled between two of its pages, and so may two exports together.
    pub(super) fn drop_settled(&mut self) {
        for piece in std::mem::take(&mut self.pieces) {
            if self.known.values().any(|message| self.has_proven(&piece.parked, message)) {
                self.changes.parked.push((Some(piece.parked), None));
            } else {
                self.pieces.push(piece);
            }
        }
    }

    /// Whether this message was proven by this evidence after it was parked.
    fn has_proven(&self, parked: &Parked, message: &Message) -> bool {
        let evidence = &parked.evidence;
        let is_to = |person| self.people.is_to(message, person);
        let (names, bases) = match &evidence.named {
            Named::Message(sid) => (message.sid == *sid, &[Basis::Direct][..]),
            Named::Reference(name) => {
                (message.reference.as_ref() == Some(name), &[Basis::Shared][..])
            }
            Named::Person { recipient, .. } => (is_to(recipient.person), &[Basis::Inferred][..]),
            Named::Caller { recipient, whatsapp, .. } => {
                (is_to(recipient.person) || is_to(*whatsapp), &[Basis::Inferred][..])
            }
            Named::Link(id) => {
                // Before a link had a message, the reference that it was made for named one.
                let is_of = |link: &Link| {
                    link.message == Some(message.sid)
                        || (link.reference.is_some() && link.reference == message.reference)
                };
                (self.links.get(id).is_some_and(is_of), &[Basis::Direct, Basis::Shared][..])
            }
        };
        names
            && message.account == evidence.account
            && message.parked_at == Some(parked.parked_at)
            && message.proof.as_ref().is_some_and(|proof| {
                let is_by_code = proof.basis == Basis::Direct && parked.code.is_some();
                (bases.contains(&proof.basis) || is_by_code)
                    && proof.occurred_at == evidence.occurred_at
                    && proof.label == evidence.label
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::matching::Resend;
    use crate::domain::message::{Delivery, Proof, Reference, Status};

    const POLICY: Policy = Policy {
        pending_ttl: Duration::from_secs(1_000),
        reply_window: Duration::from_secs(600),
        event_window: Duration::from_secs(600),
        retention: Duration::from_secs(1_000),
        read_confirms: false,
        resend: Resend::Newest,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + seconds).expect("a time")
    }

    fn message(state: State, since: i64) -> Message {
        let is_proven = matches!(state, State::Confirmed | State::Reported | State::Refused);
        let proof = Proof {
            label: "reply".to_owned(),
            basis: Basis::Direct,
            occurred_at: at(1),
            confirmed_at: at(1),
        };
        Message {
            since: at(since),
            expires_at: at(1_000),
            proof: is_proven.then_some(proof),
            reported_at: (state == State::Reported).then_some(at(since)),
            ..Message::example(state, at(0))
        }
    }

    fn merged_here(present: &Message, incoming: &Message) -> Message {
        merge(present, incoming, &POLICY, at(500)).0
    }

    #[test]
    fn a_state_is_taken_only_if_it_is_further_along() {
        let all =
            [(State::Pending, 0), (State::Confirmed, 1), (State::Refused, 2), (State::Reported, 3)];
        for (here, mine) in all {
            for (there, theirs) in all {
                let merged = merged_here(&message(here, 1), &message(there, 1));
                let expected = if theirs > mine { there } else { here };
                assert_eq!(merged.state, expected, "{here:?} {there:?}");
                assert_eq!(merged.proof.is_some(), mine.max(theirs) > 0);
                assert_eq!(merged.delivery.due_at.is_some(), mine == 0 && theirs == 1);
            }
        }
    }

    #[test]
    fn an_older_export_does_not_undo_a_requeue_and_a_later_report_ends_it() {
        let requeued = Message { reported_at: Some(at(10)), ..message(State::Confirmed, 20) };
        let before = message(State::Reported, 10);
        assert_eq!(merged_here(&requeued, &before).state, State::Confirmed);
        let after = message(State::Reported, 30);
        assert_eq!(merged_here(&requeued, &after).state, State::Reported);
    }

    #[test]
    fn an_attempt_under_way_yields_to_a_report_only() {
        let delivery = Delivery { attempts: 1, lease: Some(7), ..Delivery::default() };
        let under_way = Message { delivery, ..message(State::Confirmed, 1) };
        let refused = message(State::Refused, 2);
        assert_eq!(merged_here(&under_way, &refused), under_way);
        let reported = merged_here(&under_way, &message(State::Reported, 2));
        assert_eq!((reported.state, reported.delivery.lease), (State::Reported, None));
    }

    #[test]
    fn a_status_callback_is_completed_by_the_registration_and_overwritten_in_nothing() {
        let mut here = message(State::Untracked, 5);
        here.from = Some("+15550001111".to_owned());
        here.status = Some(Status::Delivered);
        here.receipts.add(Status::Delivered);
        (here.created_at, here.created_at_known) = (at(5), false);
        here.remembered_at = at(5);
        let mut there = message(State::Pending, 1);
        there.from = Some("+15550002222".to_owned());
        there.reference = Reference::parse("login-1");
        there.status = Some(Status::Queued);
        there.remembered_at = at(1);
        let merged = merged_here(&here, &there);
        assert_eq!((merged.state, merged.expires_at), (State::Pending, there.expires_at));
        assert_eq!((&merged.from, &merged.reference), (&here.from, &there.reference));
        assert_eq!((merged.status, merged.receipts.arrived), (Some(Status::Delivered), true));
        assert_eq!((merged.created_at, merged.created_at_known), (at(0), true));
        assert_eq!(merged.remembered_at, at(1));
        assert_eq!(merged_here(&merged, &there), merged, "a second import adds nothing");
    }

    #[test]
    fn a_message_of_another_account_adds_nothing() {
        let here = message(State::Pending, 1);
        let account = "AC99999999999999999999999999999999".parse().expect("valid");
        let there = Message { account, ..message(State::Reported, 2) };
        assert_eq!(merged_here(&here, &there), here);
    }

    #[test]
    fn an_added_message_has_no_lease_and_is_due_only_if_it_is_confirmed() {
        for state in State::ALL {
            let delivery = Delivery { due_at: Some(at(3)), lease: Some(1), ..Delivery::default() };
            let there = Message { delivery, ..message(state, 1) };
            let added = imported(&there, at(9));
            let due = (state == State::Confirmed).then_some(at(3));
            assert_eq!((added.delivery.lease, added.delivery.due_at), (None, due), "{state:?}");
        }
    }
}
