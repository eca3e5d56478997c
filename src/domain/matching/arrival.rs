//! Which of several messages had arrived when a person acted, as far as receipts say.
//!
//! Shared and inferred evidence is about the newest message. If the newest had not arrived, the act was about an older one.
//! The evidence does not say about which one, so it proves nothing.

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

/// Selects the newest message, unless it had not arrived and a recent older one had.
pub(super) fn newest_of(evidence: &Evidence, newest_first: &[&Message], basis: Basis) -> Selection {
    let Some((newest, older)) = newest_first.split_first() else { return indirect(None, basis) };
    let mut recent = older.iter().filter(|message| {
        message.created_at >= earlier(evidence.occurred_at, OLDER_WITHIN)
            && arrival(message, evidence) == Arrival::Before
    });
    let is_older_meant = newest.state == State::Pending
        && match arrival(newest, evidence) {
            Arrival::Before => false,
            Arrival::Unknown => recent.any(|message| message.proof.is_none()),
            Arrival::After => recent.next().is_some(),
        };
    if is_older_meant {
        return Selection::Wait(Reason::OlderPending);
    }
    indirect(Some(newest), basis)
}
