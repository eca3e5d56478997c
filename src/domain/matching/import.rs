//! Import: the merge of an exported record with the stored record.
//!
//! The stored record gets the facts that it lacks, as a registration and a status callback would fill them in. Its
//! state changes only if the export is further along, or if the source judged later. Two stores that both received
//! evidence for one message are not reconciled further.

use jiff::Timestamp;

use crate::domain::click_link::Link;
use crate::domain::evidence::{EvidenceTarget, Parked, REGISTERED_WITHIN, Reason};
use crate::domain::matching::apply_update::merged;
use crate::domain::matching::candidates::Selection;
use crate::domain::matching::policy::{Now, Policy};
use crate::domain::matching::working_rows::WorkingRows;
use crate::domain::message::{Basis, Message, State};
use crate::domain::signal::MessageUpdate;
use crate::domain::timestamp_serde::later;

/// An exported message in the form that this store adds: without a lease, and due if it is confirmed.
pub fn imported(message: &Message, now: Timestamp) -> Message {
    let mut message = message.clone();
    message.delivery.lease = None;
    let due_at = message.delivery.due_at.take();
    if message.state == State::Confirmed {
        message.delivery.due_at = due_at.or(Some(now));
    }
    message
}

/// A stored message, merged with an exported one. Another account's or recipient's message adds nothing.
///
/// The second value is evidence that proved one of the two and that the merged message does not hold. It is parked, and
/// judged again.
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
    let mut spare = &incoming.parked_evidence;
    if is_further(present, incoming) {
        spare = &present.parked_evidence;
        let theirs = imported(incoming, now.wall);
        message.state = theirs.state;
        message.since = theirs.since;
        message.expires_at = theirs.expires_at;
        message.proof = theirs.proof;
        message.parked_evidence = theirs.parked_evidence;
        message.delivery = theirs.delivery;
        message.reported_at = theirs.reported_at;
        message.refusal = theirs.refusal;
        message.last_attempt = theirs.last_attempt;
        message.superseded_by = theirs.superseded_by;
        message.parked_at = theirs.parked_at;
        message.trace = theirs.trace;
    }
    // An expired code stays stored until the sweep removes it: the clock may be wrong.
    let code = message.code;
    message.apply_expiry(now.trusted);
    message.code = code;
    let is_other_act = |held: &&Parked| {
        let act = (&held.evidence.label, held.evidence.occurred_at);
        message.proof.as_ref().is_none_or(|proof| (&proof.label, proof.occurred_at) != act)
    };
    let spare = spare.as_deref().filter(is_other_act).cloned();
    (message, spare)
}

/// A stored click link, bound to its message if only the export knows that message.
pub fn merge_link(present: &Link, incoming: &Link) -> Link {
    let bound = Link { message: incoming.message, ..present.clone() };
    if present.message.is_none() && bound == *incoming { bound } else { present.clone() }
}

/// Parked evidence in the form that this store adds. The sweep must not judge it before all messages are imported, and
/// the sweep judges only evidence that waits for a newer message.
pub fn imported_parked(parked: &Parked) -> Parked {
    let mut parked = parked.clone();
    if parked.reason == Reason::NewerMayCome {
        parked.reason = Reason::NoMessage;
    }
    parked
}

/// The stored evidence, or the same evidence of an export if that may prove a message for longer.
///
/// One of the two stores may have judged that its message was confirmed before ([`Reason::Known`]). While a message
/// under its name `is_confirmed`, that judgement has priority. Otherwise the evidence could prove a second message.
pub fn merge_parked(present: &Parked, incoming: &Parked, is_confirmed: bool) -> Parked {
    let is_known = |parked: &Parked| parked.reason == Reason::Known;
    let is_preferred = if is_confirmed && is_known(present) != is_known(incoming) {
        is_known(incoming)
    } else {
        incoming.may_prove_until() > present.may_prove_until()
    };
    if is_preferred { incoming.clone() } else { present.clone() }
}

/// Fills in missing facts by the functions that apply a registration and a status callback.
fn filled(present: &Message, incoming: &Message, policy: &Policy, now: Timestamp) -> Message {
    let first_seen =
        if incoming.created_at_known { incoming.remembered_at } else { incoming.created_at };
    let registration = MessageUpdate {
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
    let status = MessageUpdate {
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
        message.superseded_by = message.superseded_by.or(incoming.superseded_by);
    }
    let message = merged(&message, &registration, policy, now);
    let mut message = merged(&message, &status, policy, now);
    // The status has no time of its own here. An older export says that a message had arrived, but not when.
    let is_undated = |message: &Message| message.receipts.arrived && message.arrived_at.is_none();
    message.arrived_at = [present.arrived_at, incoming.arrived_at].into_iter().flatten().min();
    if is_undated(present) || is_undated(incoming) {
        message.arrived_at = None;
    }
    if present.state == State::Untracked && registration.tracked {
        message.expires_at = incoming.expires_at;
    }
    message
}

/// Whether the export is further along, or has the later judgement of a provisional confirmation: another proof, or
/// none because the source withdrew it. A later requeue of the stored message has priority. So has a running attempt,
/// except against a report.
fn is_further(present: &Message, incoming: &Message) -> bool {
    let is_requeued = present.requeued_at().is_some_and(|at| at > incoming.since);
    let is_under_way = present.delivery.lease.is_some() && incoming.state != State::Reported;
    let is_judged_later = present.is_provisional()
        && (incoming.is_provisional()
            || matches!(incoming.state, State::Pending | State::Undelivered | State::Expired))
        && incoming.since > present.since;
    let is_further = progress(incoming) > progress(present) || is_judged_later;
    is_further && !is_requeued && !is_under_way
}

/// The progress of a message. Once a post may have reached Twilio, a confirmation is not judged again.
fn progress(message: &Message) -> u8 {
    match message.state {
        State::Untracked | State::Pending | State::Expired | State::Undelivered => 0,
        State::Confirmed if message.is_provisional() => 1,
        State::Confirmed => 2,
        State::Refused => 3,
        State::Reported => 4,
    }
}

impl WorkingRows<'_> {
    /// Drops parked evidence that proved one of the messages already, and evidence that was used up. An export may contain
    /// both, because the evidence was settled between two of its pages, and so may two exports together.
    pub(super) fn drop_settled(&mut self) {
        for piece in std::mem::take(&mut self.pieces) {
            let parked = &piece.parked;
            let is_settled = self.known.values().any(|message| self.has_proven(parked, message));
            if is_settled || self.is_used_up(parked) {
                self.changes.parked.push((Some(piece.parked), None));
            } else {
                self.pieces.push(piece);
            }
        }
    }

    /// Whether a store with all these records would have removed the evidence before it received the newer messages. A
    /// store removes evidence if its message is confirmed, and if no other message was registered in time.
    fn is_used_up(&self, parked: &Parked) -> bool {
        let in_time = later(parked.parked_at, REGISTERED_WITHIN);
        if in_time > self.trusted {
            return false;
        }
        // The time at which the message of this evidence was confirmed, if that was among the messages of that time.
        let confirmed_among = |until: Timestamp| {
            let mut known = self.known.clone();
            known.retain(|_, message| message.proof.is_some() || message.since < until);
            if known.len() == self.known.len() {
                return None;
            }
            let Selection::Already(sid, _) = self.judge(parked, &known) else { return None };
            known.get(&sid).and_then(|message| Some(message.proof.as_ref()?.confirmed_at))
        };
        confirmed_among(in_time).is_some_and(|at| confirmed_among(at.max(in_time)).is_some())
    }

    /// Whether this message was proven by this evidence after it was parked.
    fn has_proven(&self, parked: &Parked, message: &Message) -> bool {
        let evidence = &parked.evidence;
        let is_to = |person| self.people.is_to(message, person);
        let (names, bases) = match &evidence.target {
            EvidenceTarget::Message(sid) => (message.sid == *sid, &[Basis::Direct][..]),
            EvidenceTarget::Reference(name) => {
                (message.reference.as_ref() == Some(name), &[Basis::Shared][..])
            }
            EvidenceTarget::Person { recipient, .. } => {
                (is_to(recipient.person), &[Basis::Inferred][..])
            }
            EvidenceTarget::Caller { recipient, whatsapp, .. } => {
                (is_to(recipient.person) || is_to(*whatsapp), &[Basis::Inferred][..])
            }
            EvidenceTarget::Link(id) => {
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
