//! JSON views of messages, links, evidence and events. The app's have the fields of docs/openapi.yaml, and no recipient's
//! address. An operator's have more fields, but a redacted evidence label: an app may put a name into it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::matching::{ObserveOutcome, Parked};
use crate::domain::message::{Message, Reference, Refusal, State, Status};
use crate::domain::redact::veiled;
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::EvidenceTarget;
use crate::inbound::links::create::CreatedLink;
use crate::store::ListEntry;

/// A message in an answer.
#[derive(Debug, Serialize)]
pub(super) struct MessageView<'a> {
    message_sid: MessageSid,
    account_sid: AccountSid,
    state: &'static str,
    reference: Option<&'a str>,
    status: Option<&'static str>,
    error_code: Option<u32>,
    evidence: Option<Cow<'a, str>>,
    evidence_basis: Option<&'static str>,
    created_at: Timestamp,
    remembered_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
    expires_at: Timestamp,
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    refusal: Option<&'a Refusal>,
    converted_by: Option<MessageSid>,
}

impl<'a> MessageView<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        let proof = message.proof.as_ref();
        Self {
            message_sid: message.sid,
            account_sid: message.account,
            state: message.state.as_str(),
            reference: message.reference.as_ref().map(Reference::as_str),
            status: message.status.map(Status::as_str),
            error_code: message.error_code,
            evidence: proof.map(|proof| Cow::Borrowed(proof.label.as_str())),
            evidence_basis: proof.map(|proof| proof.basis.as_str()),
            created_at: message.created_at,
            remembered_at: message.remembered_at,
            confirmed_at: proof.map(|proof| proof.confirmed_at),
            // A requeued message is no longer reported.
            reported_at: message.reported_at.filter(|_| message.state == State::Reported),
            expires_at: message.expires_at,
            attempts: message.posts_made(),
            next_attempt_at: message.delivery.due_at,
            refusal: message.refusal.as_ref(),
            converted_by: message.converted_by,
        }
    }
}

/// The answer to a registration: the message, and its click link if one was requested.
#[derive(Debug, Serialize)]
pub(super) struct RegisteredView<'a> {
    #[serde(flatten)]
    message: MessageView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
}

impl<'a> RegisteredView<'a> {
    pub(super) fn of(message: &'a Message, link: Option<&'a str>) -> Self {
        Self { message: MessageView::of(message), link }
    }
}

/// A click link that is not yet in a message. No other answer shows it.
#[derive(Debug, Serialize)]
pub(super) struct LinkView<'a> {
    link: &'a str,
    message_sid: Option<MessageSid>,
    account_sid: AccountSid,
    reference: Option<&'a str>,
    expires_at: Timestamp,
}

impl<'a> LinkView<'a> {
    pub(super) fn of(
        created: &'a CreatedLink,
        account: AccountSid,
        reference: Option<&'a Reference>,
    ) -> Self {
        Self {
            link: &created.address,
            message_sid: None,
            account_sid: account,
            reference: reference.map(Reference::as_str),
            expires_at: created.until,
        }
    }
}

/// A record in the JSON of `heardback list`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RecordView<'a> {
    Message(FullView<'a>),
    /// Evidence without its message.
    Parked(ParkedView<'a>),
}

impl<'a> RecordView<'a> {
    #[must_use]
    pub fn of(entry: &'a ListEntry) -> Self {
        match entry {
            ListEntry::Message(message) => Self::Message(FullView::of(message)),
            ListEntry::Parked(parked) => Self::Parked(ParkedView::of(parked)),
        }
    }
}

/// A message with the fields for operators.
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
    #[must_use]
    pub fn of(message: &'a Message) -> Self {
        let proof = message.proof.as_ref();
        Self {
            message: MessageView {
                evidence: proof.map(|proof| Cow::Owned(veiled(&proof.label))),
                ..MessageView::of(message)
            },
            since: message.since,
            sender: message.from.as_deref(),
            messaging_service_sid: message.service,
            calling_code: message.recipient.and_then(|recipient| recipient.calling_code),
        }
    }
}

/// Parked or orphaned evidence, without the recipient and the click link.
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
    #[must_use]
    pub fn of(parked: &'a Parked) -> Self {
        let evidence = &parked.evidence;
        let (message_sid, reference, sender) = match &evidence.named {
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
            evidence: veiled(&evidence.label),
            reason: parked.reason.as_str(),
            occurred_at: evidence.occurred_at,
            parked_at: parked.parked_at,
            parked_until: parked.until,
        }
    }
}

/// The outcome of an event.
#[derive(Debug, Serialize)]
pub(super) struct EventView {
    result: &'static str,
    message_sid: Option<MessageSid>,
    parked_until: Option<Timestamp>,
    reason: Option<&'static str>,
}

impl EventView {
    pub(super) fn of(observed: &ObserveOutcome) -> Self {
        let (message_sid, parked_until, reason) = match observed {
            ObserveOutcome::Confirmed(sid) | ObserveOutcome::AlreadyConfirmed(sid) => {
                (Some(*sid), None, None)
            }
            ObserveOutcome::NotConfirmed(reason) => (None, None, Some(reason.as_str())),
            ObserveOutcome::Parked { until, reason } => (None, Some(*until), Some(reason.as_str())),
        };
        Self { result: observed.as_str(), message_sid, parked_until, reason }
    }

    pub(super) fn is_parked(&self) -> bool {
        self.parked_until.is_some()
    }
}
