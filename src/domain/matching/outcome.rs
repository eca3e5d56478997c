//! The outcomes of [`remember`](crate::domain::matching::remember) and [`observe`](crate::domain::matching::observe).

use jiff::Timestamp;

use crate::domain::evidence::Reason;
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;

/// What the app said contradicts what is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} contradicts what is known of {sid}")]
pub struct Contradiction {
    pub sid: MessageSid,
    /// The field, in Twilio's spelling.
    pub field: &'static str,
}

/// The outcome of [`remember`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterOutcome {
    /// The message as it is now.
    pub message: Message,
    /// Whether nothing was known of it before.
    pub new: bool,
    /// What was confirmed, by evidence that waited or by the status `read`.
    pub confirmed: Vec<MessageSid>,
    /// The messages that were confirmed before and are not any more. No post was attempted for them.
    pub withdrawn: Vec<MessageSid>,
}

/// The outcome of [`observe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObserveOutcome {
    /// It proved that this message arrived.
    Confirmed(MessageSid),
    /// What it proves was known.
    AlreadyConfirmed(MessageSid),
    NotConfirmed(Reason),
    /// It waits for its message.
    Parked {
        until: Timestamp,
        reason: Reason,
    },
}

impl ObserveOutcome {
    /// The word used in answers and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Confirmed(_) => "confirmed",
            Self::AlreadyConfirmed(_) => "already",
            Self::NotConfirmed(_) => "none",
            Self::Parked { .. } => "parked",
        }
    }
}
