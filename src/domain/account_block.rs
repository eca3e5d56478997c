//! The closure of an account by Twilio, as the receivers of one store share it.

use std::time::Duration;

use crate::domain::feedback::OutcomeDetail;

/// Why posts for an account wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Twilio answered 429. Posts begin again when the wait is over.
    Throttled,
    /// Twilio rejects the account (401, 403). When the wait is over, one probe at a time finds out whether it still does.
    Paused,
}

impl BlockKind {
    pub const ALL: [Self; 2] = [Self::Throttled, Self::Paused];

    /// The word in the rows of a store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "held",
            Self::Paused => "paused",
        }
    }
}

/// A closure of an account that all receivers obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBlock {
    pub kind: BlockKind,
    /// Zero if it is over.
    pub wait: Duration,
    pub why: OutcomeDetail,
}

/// The news that a post has for the other receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountNews {
    /// Twilio closed the account.
    Blocked(AccountBlock),
    /// A probe was rejected, and the next one is after this wait. This renews a pause that all receivers know, and begins
    /// none: if another receiver's post was accepted meanwhile, the rejected credentials are this receiver's own.
    StillPaused { wait: Duration },
    /// Twilio accepted a post that began this long ago: a pause from before that is over.
    Accepted { began: Duration },
}
