//! A message as its app sees it: the fields of docs/openapi.yaml, without the recipient.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::message::{Message, Reference, Refusal, State, Status};
use crate::domain::sid::{AccountSid, MessageSid};

/// A message as its app sees it.
#[derive(Debug, Serialize)]
pub struct MessageView<'a> {
    message_sid: MessageSid,
    account_sid: AccountSid,
    state: &'static str,
    reference: Option<&'a str>,
    status: Option<&'static str>,
    error_code: Option<u32>,
    pub evidence: Option<Cow<'a, str>>,
    evidence_basis: Option<&'static str>,
    created_at: Timestamp,
    remembered_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
    expires_at: Timestamp,
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    refusal: Option<&'a Refusal>,
    #[serde(rename = "converted_by")]
    superseded_by: Option<MessageSid>,
}

impl<'a> MessageView<'a> {
    pub fn of(message: &'a Message) -> Self {
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
            superseded_by: message.superseded_by,
        }
    }
}
