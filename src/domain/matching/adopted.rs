//! What another store had, taken over record by record. What waits is settled only as far as that takes no
//! choice among messages: which of them are still to come, nobody knows. Whatever was proven there is not
//! proven a second time, nor of another message.

use jiff::Timestamp;

use crate::domain::link::Link;
use crate::domain::matching::decide::Ledger;
use crate::domain::matching::{Changes, Now, Parked, Policy, Rows};
use crate::domain::message::{Basis, Message, State};
use crate::domain::signal::Named;

/// A message as another store goes on with it: no attempt is under way, and what is to be reported is due.
#[must_use]
pub fn taken_over(message: &Message, now: Timestamp) -> Message {
    let mut message = message.clone();
    message.delivery.lease = None;
    // An earlier release kept the furthest status only.
    if let Some(status) = message.status {
        message.receipts.add(status);
    }
    if message.state == State::Undelivered && !message.receipts.deny() {
        message.receipts.undelivered = true;
    }
    message.delivery.due_at = match message.state {
        State::Confirmed => message.delivery.due_at.or(Some(now)),
        State::Untracked
        | State::Pending
        | State::Expired
        | State::Undelivered
        | State::Reported
        | State::Refused => None,
    };
    message
}

/// Settles what waits among these rows, of which one was just taken over.
#[must_use]
pub fn reconcile(rows: Rows, policy: &Policy, now: impl Into<Now>) -> Changes {
    let mut ledger = Ledger::open(rows, policy, now.into());
    for piece in std::mem::take(&mut ledger.pieces) {
        if ledger.known.values().any(|message| ledger.has_proven(&piece.parked, message)) {
            ledger.changes.parked.push((Some(piece.parked), None));
        } else if ledger.names_one(&piece.parked) {
            ledger.pieces.push(piece);
        }
    }
    ledger.settle();
    ledger.enter_pieces();
    ledger.close().changes
}

impl Ledger<'_> {
    /// Whether it was this evidence, after it had waited, that proved this message: it was settled while the
    /// records were handed over, one after the other. What one person did twice in one millisecond is one.
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

    /// Whether there is one message that it names, by its SID or by the link that was in it, and it is here.
    fn names_one(&self, parked: &Parked) -> bool {
        let sid = match &parked.evidence.named {
            Named::Message(sid) => Some(*sid),
            Named::Link(id) => self.links.get(id).and_then(|link| link.message),
            Named::Reference(_) | Named::Person { .. } | Named::Caller { .. } => None,
        };
        sid.is_some_and(|sid| self.known.contains_key(&sid))
    }
}
