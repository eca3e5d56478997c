//! Erases the records of people ([`crate::domain::erasure`]).

use crate::domain::address::RecipientHash;
use crate::domain::click_link::LinkId;
use crate::domain::erasure::Erasure;
use crate::domain::matching::Parked;
use crate::domain::message::State;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::engine::backend::{Backend, EngineResult};
use crate::store::engine::mutation::Mutation;
use crate::store::engine::row::StoredRow;
use crate::store::outcome::Forgotten;

/// A row that concerns the people of an erasure.
#[derive(Debug)]
pub enum PersonalRow {
    Message(MessageSid),
    Link(LinkId),
    Evidence(Box<Parked>),
    Names(AccountSid, RecipientHash),
    Automatic(RecipientHash),
    /// A message to another person with one of their references.
    SharedReference(MessageSid),
}

/// The row of an erasure, if a row concerns its people. Messages have to come before links.
#[must_use]
pub fn personal_row(row: StoredRow, erasure: &mut Erasure) -> Option<PersonalRow> {
    match row {
        StoredRow::Names(account, person, _) => {
            erasure.is_one(account, person).then_some(PersonalRow::Names(account, person))
        }
        StoredRow::Message(message) => {
            erasure.takes_message(&message).then_some(PersonalRow::Message(message.sid))
        }
        StoredRow::Link(id, link) => erasure.takes_link(id, &link).then_some(PersonalRow::Link(id)),
        StoredRow::Parked(parked) => {
            erasure.takes_evidence(&parked).then_some(PersonalRow::Evidence(parked))
        }
        StoredRow::Automatic(person, automatic) => {
            erasure.is_one(automatic.account, person).then_some(PersonalRow::Automatic(person))
        }
        StoredRow::Counted(..) | StoredRow::Sender(..) | StoredRow::Hold(..) => None,
    }
}

/// Erases rows in their current state.
///
/// # Errors
/// The backend cannot go on.
pub fn erase<B: Backend>(
    backend: &mut B,
    erasure: &Erasure,
    rows: &[PersonalRow],
) -> EngineResult<Forgotten, B::Error> {
    let mut forgotten = Forgotten::default();
    for row in rows {
        let mut mutation = Mutation::default();
        match row {
            PersonalRow::Message(sid) => {
                let Some(message) = backend.message(*sid)? else { continue };
                forgotten.messages += 1;
                forgotten.unreported += u64::from(message.state == State::Confirmed);
                mutation.messages.push((Some(message), None));
            }
            PersonalRow::Link(id) => {
                let Some(link) = backend.link(*id)? else { continue };
                forgotten.links += 1;
                mutation.links.push((*id, (Some(link), None)));
            }
            PersonalRow::Evidence(parked) => {
                let Some(parked) = backend.parked_row(parked)? else { continue };
                forgotten.evidence += 1;
                mutation.parked.push((Some(parked), None));
            }
            PersonalRow::Names(account, person) => {
                mutation.names.push((*account, *person, None));
            }
            PersonalRow::Automatic(person) => mutation.automatic.push((*person, None)),
            PersonalRow::SharedReference(sid) => {
                let Some(before) = backend.message(*sid)? else { continue };
                let Some(without) = erasure.without_reference(&before) else { continue };
                forgotten.references += 1;
                mutation.messages.push((Some(before), Some(without)));
            }
        }
        backend.apply(mutation)?;
    }
    Ok(Ok(forgotten))
}
