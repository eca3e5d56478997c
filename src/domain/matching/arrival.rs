//! Which of several messages had arrived when a person acted, as far as receipts say.
//!
//! Shared and inferred evidence is about the newest message. If an older message had arrived and the newest had not, the act
//! was about an older one. The evidence does not say about which one, so it proves nothing.

use crate::domain::evidence::{Evidence, Reason};
use crate::domain::matching::candidates::{Selection, indirect};
use crate::domain::matching::policy::{OLDER_WITHIN, RECEIPT_WITHIN};
use crate::domain::message::{Basis, Message, State};
use crate::domain::timestamp_serde::{earlier, later};

/// What receipts say of a message at the time of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It had arrived.
    Before,
    /// It arrived later.
    After,
    /// No receipt of arrival came.
    Unknown,
}

/// Whether a message had arrived at the time of an act. A proven message had, whatever its receipts say and whenever it
/// was proven: of repeated direct evidence only one time is kept, so that time must not decide.
pub(super) fn arrival(message: &Message, evidence: &Evidence) -> Arrival {
    let until = later(evidence.occurred_at, RECEIPT_WITHIN);
    match message.arrived_at {
        _ if message.proof.is_some() => Arrival::Before,
        Some(at) if at > until => Arrival::After,
        Some(_) => Arrival::Before,
        // An older export has no time of arrival.
        None if message.receipts.arrived => Arrival::Before,
        None => Arrival::Unknown,
    }
}

/// The messages that are recent enough for an act to be about them although a newer one was sent.
pub(super) fn recent<'m>(evidence: &Evidence, older: &[&'m Message]) -> Vec<&'m Message> {
    let since = earlier(evidence.occurred_at, OLDER_WITHIN);
    older.iter().copied().filter(|message| message.created_at >= since).collect()
}

/// Selects the newest message, unless it had not arrived and one of these older messages had.
pub(super) fn newest_of(
    evidence: &Evidence,
    newest: Option<&Message>,
    older: &[&Message],
    basis: Basis,
) -> Selection {
    let had_arrived = |message: &&Message| arrival(message, evidence) == Arrival::Before;
    let is_older_meant = |newest: &Message| match arrival(newest, evidence) {
        Arrival::Before => false,
        Arrival::After => older.iter().any(had_arrived),
        // Some apps get no receipts at all, so the older message must have one. A proven message has had its act.
        Arrival::Unknown => older.iter().any(|it| it.proof.is_none() && had_arrived(it)),
    };
    match newest {
        Some(newest) if newest.state == State::Pending && is_older_meant(newest) => {
            Selection::Wait(Reason::OlderPending)
        }
        _ => indirect(newest, basis),
    }
}

/// The same for evidence that names only a person, who may act upon any unproven message, whatever its age and receipts.
pub(super) fn newest_to_person(
    evidence: &Evidence,
    newest: &Message,
    older: &[&Message],
) -> Selection {
    let is_unsure = newest.state == State::Pending && arrival(newest, evidence) != Arrival::Before;
    if is_unsure && older.iter().any(|message| message.proof.is_none()) {
        return Selection::Wait(Reason::OlderPending);
    }
    newest_of(evidence, Some(newest), &recent(evidence, older), Basis::Inferred)
}
