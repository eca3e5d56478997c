//! Picking the one message that evidence may prove, among those that it may be about.

use std::collections::BTreeMap;

use crate::domain::address::Recipient;
use crate::domain::address::is_alphanumeric;
use crate::domain::matching::{CLOCK_SKEW, Policy, Reason, later};
use crate::domain::message::{Basis, Message, Reference, State, Status};
use crate::domain::sid::{MessageSid, ServiceSid};
use crate::domain::signal::{Evidence, Named, SenderHint};

/// What a piece of evidence comes to, with the messages known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// It proves that this message arrived.
    Confirms(MessageSid, Basis),
    /// The message that it is about was confirmed before.
    Already(MessageSid),
    /// It proves nothing, and never will.
    Nothing(Reason),
    /// It may prove something once more is known.
    Wait(Reason),
}

/// The messages at hand, by SID.
pub(super) type Known = BTreeMap<MessageSid, Message>;

pub(super) fn pick(
    evidence: &Evidence,
    known: &Known,
    services: &BTreeMap<String, ServiceSid>,
    policy: &Policy,
) -> Pick {
    let ours = known.values().filter(|message| message.account == evidence.account);
    match &evidence.named {
        Named::Message(sid) => {
            direct(known.get(sid).filter(|message| message.account == evidence.account))
        }
        Named::Reference(reference) => by_reference(evidence, reference, ours),
        Named::Person { recipient, sender } => {
            let fitting = fitting(evidence, *recipient, ours, policy);
            match sent_by(&fitting, sender, services) {
                // Unknown time proves nothing, and nothing may be proven past it.
                Ok(Some(newest)) if newest.created_at > evidence.occurred_at => {
                    Pick::Wait(Reason::TimeUnknown)
                }
                Ok(newest) => indirect(newest, Basis::Inferred),
                Err(reason) => Pick::Wait(reason),
            }
        }
    }
}

/// "Direct evidence beats everything: it confirms an undelivered or expired message too."
fn direct(message: Option<&Message>) -> Pick {
    let Some(message) = message else { return Pick::Wait(Reason::NoMessage) };
    match message.state {
        State::Untracked => Pick::Wait(Reason::Untracked),
        State::Pending | State::Expired | State::Undelivered => {
            Pick::Confirms(message.sid, Basis::Direct)
        }
        State::Confirmed | State::Reported | State::Refused => Pick::Already(message.sid),
    }
}

/// Evidence that had to choose confirms what is pending, and only that.
fn indirect(newest: Option<&Message>, basis: Basis) -> Pick {
    let Some(message) = newest else { return Pick::Wait(Reason::NoMessage) };
    match message.state {
        State::Untracked => Pick::Wait(Reason::Untracked),
        State::Pending => Pick::Confirms(message.sid, basis),
        State::Confirmed | State::Reported | State::Refused => Pick::Already(message.sid),
        State::Expired | State::Undelivered => Pick::Nothing(Reason::NotPending),
    }
}

/// A reference that one message bears is direct evidence for it. Where several bear it, the newest
/// wins that was there when the person acted, undelivered ones left out. One that is known to be
/// younger than the act is not among them: nobody acts upon what is yet to be sent. If it is the
/// only one, and younger by no more than clocks differ, the clocks are wrong.
fn by_reference<'a>(
    evidence: &Evidence,
    reference: &Reference,
    known: impl Iterator<Item = &'a Message>,
) -> Pick {
    let skewed = later(evidence.occurred_at, CLOCK_SKEW);
    let (younger, older): (Vec<&Message>, Vec<&Message>) = known
        .filter(|message| message.reference.as_ref() == Some(reference))
        .filter(|message| !message.created_at_known || message.created_at <= skewed)
        .partition(|message| message.created_at_known && message.created_at > evidence.occurred_at);
    if let ([only], _) | ([], [only]) = (older.as_slice(), younger.as_slice()) {
        return direct(Some(*only));
    }
    let newest = older
        .into_iter()
        .filter(|message| message.created_at <= evidence.occurred_at && may_have_arrived(message))
        .max_by_key(|message| age_order(message));
    indirect(newest, Basis::Shared)
}

/// The messages that an act of this person may be about, newest first: "created before
/// `occurred_at` and inside the reply window, whatever its state except undelivered"; and those
/// that may have been, for all that anybody said.
fn fitting<'a>(
    evidence: &Evidence,
    recipient: Recipient,
    known: impl Iterator<Item = &'a Message>,
    policy: &Policy,
) -> Vec<&'a Message> {
    let (window, span) = (policy.window(evidence.occurred_at), policy.span(evidence.occurred_at));
    let mut fitting: Vec<&Message> = known
        .filter(|message| {
            message.recipient.is_some_and(|known| known.person == recipient.person)
                && (window.contains(&message.created_at)
                    || (!message.created_at_known && span.contains(&message.created_at)))
                && may_have_arrived(message)
        })
        .collect();
    fitting.sort_by_key(|message| std::cmp::Reverse(age_order(message)));
    fitting
}

/// Nobody acts upon what they did not get. One that nobody asked feedback for has no state of its
/// own for that, only Twilio's status.
fn may_have_arrived(message: &Message) -> bool {
    match message.state {
        State::Undelivered => false,
        State::Untracked => !message.status.is_some_and(Status::is_undelivered),
        State::Pending | State::Expired | State::Confirmed | State::Reported | State::Refused => {
            true
        }
    }
}

/// The SID breaks a tie, so that every backend and every order of arrival breaks it alike.
fn age_order(message: &Message) -> (jiff::Timestamp, MessageSid) {
    (message.created_at, message.sid)
}

/// The newest message from the sender that the person turned to. It never slides past one of which
/// it cannot be told whether it came from there.
fn sent_by<'a>(
    fitting: &[&'a Message],
    hint: &SenderHint,
    services: &BTreeMap<String, ServiceSid>,
) -> Result<Option<&'a Message>, Reason> {
    if *hint == SenderHint::default() {
        return only_sender(fitting);
    }
    let learned = hint.address.as_ref().and_then(|address| services.get(address)).copied();
    let service = hint.service.or(learned);
    for message in fitting {
        match is_from(message, hint.address.as_deref(), service) {
            Some(true) => return Ok(Some(message)),
            Some(false) => {}
            None => return Err(Reason::SenderUnknown),
        }
    }
    Ok(None)
}

/// The app named only the person: their messages must all have come from one sender, or it cannot be
/// told which one the person acted upon.
fn only_sender<'a>(fitting: &[&'a Message]) -> Result<Option<&'a Message>, Reason> {
    fn all_alike<T: PartialEq>(mut of: impl Iterator<Item = Option<T>>) -> bool {
        let first = of.next().flatten();
        first.is_some() && of.all(|other| other == first)
    }
    let one_sender = fitting.len() < 2
        || all_alike(fitting.iter().map(|message| message.from.as_ref()))
        || all_alike(fitting.iter().map(|message| message.service));
    if !one_sender {
        return Err(Reason::SenderUnknown);
    }
    Ok(fitting.first().copied())
}

/// Whether a message came from that sender or its service. `None` where that cannot be told.
fn is_from(message: &Message, address: Option<&str>, service: Option<ServiceSid>) -> Option<bool> {
    // "Alphanumeric senders cannot be replied to": whoever turned to a number did not answer a name.
    if let (Some(from), Some(address)) = (message.from.as_deref(), address)
        && is_alphanumeric(from)
        && from != address
    {
        return Some(false);
    }
    let same_address = message.from.as_deref().zip(address).map(|(from, address)| from == address);
    let same_service = message.service.zip(service).map(|(of, asked)| of == asked);
    match (same_address, same_service) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    }
}
