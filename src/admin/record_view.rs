//! Records in the JSON of commands. Deliberately absent: recipients, tokens of links, and personal data that an app may
//! have put into the name of its evidence.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::matching::Parked;
use crate::domain::message::Message;
use crate::domain::message::view::MessageView;
use crate::domain::redact::redacted;
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::EvidenceTarget;

/// A message with the fields that only the operator sees.
#[derive(Debug, Serialize)]
pub struct FullView<'a> {
    #[serde(flatten)]
    message: MessageView<'a>,
    since: Timestamp,
    sender: Option<&'a str>,
    messaging_service_sid: Option<ServiceSid>,
    calling_code: Option<u16>,
}

impl<'a> FullView<'a> {
    pub fn of(message: &'a Message) -> Self {
        let mut view = MessageView::of(message);
        view.evidence = message.proof.as_ref().map(|proof| Cow::Owned(redacted(&proof.label)));
        Self {
            message: view,
            since: message.since,
            sender: message.from.as_deref(),
            messaging_service_sid: message.service,
            calling_code: message.recipient.and_then(|recipient| recipient.calling_code),
        }
    }
}

/// Evidence without its message.
#[derive(Debug, Serialize)]
pub struct ParkedView<'a> {
    state: &'static str,
    account_sid: AccountSid,
    message_sid: Option<MessageSid>,
    reference: Option<&'a str>,
    sender: Option<&'a str>,
    evidence: String,
    reason: &'static str,
    occurred_at: Timestamp,
    parked_at: Timestamp,
    parked_until: Timestamp,
}

impl<'a> ParkedView<'a> {
    pub fn of(parked: &'a Parked) -> Self {
        let evidence = &parked.evidence;
        let (message_sid, reference, sender) = match &evidence.target {
            EvidenceTarget::Message(sid) => (Some(*sid), None, None),
            EvidenceTarget::Reference(name) => (None, Some(name.as_str()), None),
            EvidenceTarget::Person { sender, .. } | EvidenceTarget::Caller { sender, .. } => {
                (None, None, sender.address.as_deref())
            }
            EvidenceTarget::Link(_) => (None, None, None),
        };
        Self {
            state: if parked.orphaned { "orphaned" } else { "parked" },
            account_sid: evidence.account,
            message_sid,
            reference,
            sender,
            evidence: redacted(&evidence.label),
            reason: parked.reason.as_str(),
            occurred_at: evidence.occurred_at,
            parked_at: parked.parked_at,
            parked_until: parked.until,
        }
    }
}
