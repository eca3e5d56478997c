//! The outcomes of registering a message and of judging an act.

use jiff::Timestamp;

use crate::domain::evidence::Reason;
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;

/// A request of the app contradicts the known facts of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} contradicts the known facts of {sid}")]
pub struct Contradiction {
    pub sid: MessageSid,
    /// The field, in Twilio's spelling.
    pub field: &'static str,
}

/// The outcome of [`remember`](crate::domain::matching::remember).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterOutcome {
    pub message: Message,
    /// Whether the message was unknown before.
    pub new: bool,
    /// The messages that were confirmed, by parked evidence or by the status `read`.
    pub confirmed: Vec<MessageSid>,
    /// The messages that are not confirmed any more. Twilio has no confirmation of them.
    pub withdrawn: Vec<MessageSid>,
}

/// The outcome of [`observe`](crate::domain::matching::observe).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObserveOutcome {
    /// The evidence proved that this message arrived.
    Confirmed(MessageSid),
    /// This message was confirmed before.
    AlreadyConfirmed(MessageSid),
    NotConfirmed(Reason),
    Parked {
        until: Timestamp,
        reason: Reason,
    },
}

impl ObserveOutcome {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Confirmed(_) => "confirmed",
            Self::AlreadyConfirmed(_) => "already",
            Self::NotConfirmed(_) => "none",
            Self::Parked { .. } => "parked",
        }
    }
}
