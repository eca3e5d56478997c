//! Twilio's status of a message, and the order of the statuses.

use serde::{Deserialize, Serialize};

/// Twilio's status of a message, from its `OpenAPI` (`message_enum_status`), in the order in which one supersedes
/// another. Callbacks arrive in any order and have no time, so only the rank decides. All statuses together are in
/// [`Receipts`](crate::domain::message::Receipts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// `None` for a word that is unknown, or of an inbound message.
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

    /// Whether it says that the message, or a part of it, arrived.
    pub fn is_arrival(self) -> bool {
        matches!(self, Self::PartiallyDelivered | Self::Delivered | Self::Read)
    }

    /// Whether it says that the message did not arrive.
    pub fn is_undelivered(self) -> bool {
        self >= Self::Failed
    }
}
