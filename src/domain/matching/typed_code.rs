//! Selects by a typed code: the messages that have it, and those that may have it.

use crate::domain::code::TypedCode;
use crate::domain::evidence::{Evidence, Reason, TimeSource};
use crate::domain::matching::arrival::{Arrival, arrival};
use crate::domain::matching::candidates::{Selection, indirect, is_younger, newest_first};
use crate::domain::message::{Basis, Message};
use crate::domain::sid::MessageSid;

/// Judges a code that matched no compared code. The next message that is registered with a code may be its
/// message. `None` if no code is known: then the code is not used.
pub(super) fn by_unknown_code(
    typed: &TypedCode,
    messages: &[&Message],
    may_be_meant: impl Fn(&Message) -> bool,
    basis: Basis,
) -> Option<Selection> {
    let may_be = |message: &&Message| may_be_of(typed, message) && may_be_meant(message);
    let may_be: Vec<&Message> = messages.iter().copied().filter(may_be).collect();
    match may_be.as_slice() {
        [only] => Some(indirect(Some(only), basis)),
        [] if among(messages, &typed.not_matching).is_empty() => None,
        [] => Some(Selection::Wait(Reason::OtherCode)),
        _ => Some(Selection::Wait(Reason::Ambiguous)),
    }
}

/// The messages that have a typed code.
pub(super) enum Coded<'m> {
    /// No known message.
    None,
    /// One or several messages, and nothing shows in which one the person read the code.
    Ambiguous,
    /// One message, and each other message has another code.
    Only(&'m Message),
    /// Several messages, or one beside a message without a known code, which may contain the same code. The newest
    /// first, without the messages that were created after the act.
    Likely(Vec<&'m Message>),
}

impl<'m> Coded<'m> {
    /// Compares `messages`. `near` are the messages that may have existed when the person acted.
    pub(super) fn of(
        typed: &TypedCode,
        messages: &[&'m Message],
        near: &[&'m Message],
        evidence: &Evidence,
    ) -> Self {
        let of = among(messages, &typed.matching);
        // A message that a receipt denies is excluded only beside one that no receipt denies.
        let may_hold = |other: &&Message, than: &Message| {
            let is_unknown = other.code.is_none() && !typed.is_compared_with(other.sid);
            is_unknown && (other.may_have_arrived() || !than.may_have_arrived())
        };
        match of.as_slice() {
            [] => Self::None,
            // Another one was registered with a code later: it may be the same code.
            [_] if near.iter().any(|message| may_be_of(typed, message)) => Self::Ambiguous,
            [only] if !near.iter().any(|other| may_hold(other, only)) => Self::Only(only),
            [only]
                if arrival(only, evidence) == Arrival::After
                    && near.iter().any(|other| {
                        may_hold(other, only) && arrival(other, evidence) == Arrival::Before
                    }) =>
            {
                Self::Ambiguous
            }
            several => {
                let mut likely = newest_first(several);
                likely.retain(|message| !is_younger(message, evidence));
                // A denied message confirms nothing, so it must not keep the code from the others.
                if likely.iter().any(|message| message.may_have_arrived()) {
                    likely.retain(|message| message.may_have_arrived());
                }
                // Without a time, nothing shows which of them existed.
                let is_timed = evidence.time_source != TimeSource::Unknown;
                if is_timed || likely.len() < 2 { Self::Likely(likely) } else { Self::Ambiguous }
            }
        }
    }
}

fn among<'m>(messages: &[&'m Message], sids: &[MessageSid]) -> Vec<&'m Message> {
    messages.iter().copied().filter(|message| sids.contains(&message.sid)).collect()
}

/// Whether a message has a code that the typed code was never compared with.
fn may_be_of(typed: &TypedCode, message: &Message) -> bool {
    message.code.is_some() && !typed.is_compared_with(message.sid)
}
