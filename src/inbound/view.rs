//! The bodies of answers to the app: the fields of docs/openapi.yaml. Deliberately absent: recipients.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::matching::ObserveOutcome;
use crate::domain::message::view::MessageView;
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::inbound::links::create::CreatedLink;

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
