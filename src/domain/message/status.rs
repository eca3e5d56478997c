//! Twilio's words on how far a message came, and which of two is the later one.

use serde::{Deserialize, Serialize};

/// Twilio's status of a message, from its `OpenAPI` (`message_enum_status`), in the order in which
/// one supersedes another in what is shown. Callbacks come in any order and bear no time, so only the rank
/// decides. All of them together are in [`Receipts`](crate::domain::message::Receipts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Twilio's own")]
pub enum Status {
    Scheduled,
    Accepted,
    Queued,
    Sending,
    Sent,
    PartiallyDelivered,
    Delivered,
    Read,
    Failed,
    Undelivered,
    Canceled,
}

impl Status {
    /// Reads Twilio's word. `None` for a word that is not known (yet), or an inbound message's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        Self::ALL.into_iter().find(|status| status.as_str() == lower)
    }

    const ALL: [Self; 11] = [
        Self::Scheduled,
        Self::Accepted,
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::PartiallyDelivered,
        Self::Delivered,
        Self::Read,
        Self::Failed,
        Self::Undelivered,
        Self::Canceled,
    ];

    /// Twilio's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Accepted => "accepted",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::PartiallyDelivered => "partially_delivered",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Undelivered => "undelivered",
            Self::Canceled => "canceled",
        }
    }

    /// Whether it says that Twilio began to send the message.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        match self {
            Self::Scheduled | Self::Accepted | Self::Canceled => false,
            Self::Queued
            | Self::Sending
            | Self::Sent
            | Self::PartiallyDelivered
            | Self::Delivered
            | Self::Read
            | Self::Failed
            | Self::Undelivered => true,
        }
    }

    /// Whether it says that the message did not arrive.
    #[must_use]
    pub fn is_undelivered(self) -> bool {
        self >= Self::Failed
    }
}
