//! Whether a message came from the sender that a person answered or called.

use std::collections::BTreeMap;

use crate::domain::address::is_alphanumeric;
use crate::domain::evidence::{Reason, SenderHint};
use crate::domain::message::Message;
use crate::domain::sid::ServiceSid;

/// The newest message from the sender that the person answered. It is never older than a message whose sender is
/// unknown.
pub(super) fn sent_by<'a>(
    fitting: &[&'a Message],
    hint: &SenderHint,
    services: &BTreeMap<String, ServiceSid>,
    calls: bool,
) -> Result<Option<&'a Message>, Reason> {
    if *hint == SenderHint::default() {
        return only_sender(fitting);
    }
    for message in fitting {
        match is_from(message, hint, services, calls) {
            Some(true) => return Ok(Some(message)),
            Some(false) => {}
            None => return Err(Reason::SenderUnknown),
        }
    }
    Ok(None)
}

/// The app named only the person. All messages must have one sender, because otherwise it is unknown which one the
/// person acted upon.
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

/// Whether a message came from that sender or its service. `None` if unknown.
pub(super) fn is_from(
    message: &Message,
    hint: &SenderHint,
    services: &BTreeMap<String, ServiceSid>,
    calls: bool,
) -> Option<bool> {
    let address = hint.address.as_deref();
    let service = hint.service.or_else(|| services.get(address?).copied());
    // A call goes to the number, which may be a sender on a channel too.
    let from_number = |from: &str| {
        let number = from.strip_prefix("whatsapp:").unwrap_or(from);
        address.is_some_and(|address| address == from || (calls && address == number))
    };
    // "Alphanumeric senders cannot be replied to", so an act on a number answers no such sender.
    if let (Some(from), Some(address)) = (message.from.as_deref(), address)
        && is_alphanumeric(from)
        && from != address
    {
        return Some(false);
    }
    let same_address = message.from.as_deref().zip(address).map(|(from, _)| from_number(from));
    let same_service = message.service.zip(service).map(|(of, asked)| of == asked);
    match (same_address, same_service) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    }
}
