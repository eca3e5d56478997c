//! Filters and pages of a store's lists.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::matching::Parked;
use crate::domain::message::{Message, State};
use crate::store::outcome::RequeueFrom;

/// Conditions on messages. A message has to meet all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    pub state: Option<State>,
    /// Only messages that stay pending because another message with their reference was confirmed.
    pub superseded: bool,
    /// Only messages to a number with this calling code.
    pub calling_code: Option<u16>,
    /// Only messages created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Only messages created before this time.
    pub created_before: Option<Timestamp>,
    /// Only messages refused with this error code of Twilio's.
    pub code: Option<u32>,
    /// Only messages reported at this time or later.
    pub reported_from: Option<Timestamp>,
}

impl Select {
    /// Whether a message in its current state meets the conditions.
    pub fn matches(&self, message: &Message) -> bool {
        let calling_code = message.recipient.and_then(|recipient| recipient.calling_code);
        let code = message.refusal.as_ref().and_then(|refusal| refusal.code);
        self.state.is_none_or(|state| state == message.state)
            && (!self.superseded || message.superseded_by.is_some())
            && (self.calling_code.is_none() || self.calling_code == calling_code)
            && self.created_from.is_none_or(|from| message.created_at >= from)
            && self.created_before.is_none_or(|before| message.created_at < before)
            && (self.code.is_none() || self.code == code)
            && self
                .reported_from
                .is_none_or(|since| RequeueFrom::ReportedSince(since).matches(message))
    }
}

/// The kind of records in a [`Store::list`](crate::store::Store::list).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    Messages(Select),
    Parked,
    Orphaned,
}

impl Filter {
    pub fn messages() -> Self {
        Self::Messages(Select::default())
    }
}

/// A record of a [`Store::list`](crate::store::Store::list).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListEntry {
    Message(Box<Message>),
    Parked(Box<Parked>),
}

/// A page of a [`Store::list`](crate::store::Store::list).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    pub entries: Vec<ListEntry>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Vec<u8>>,
}
