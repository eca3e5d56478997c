//! Feedback: the POST that reports a confirmation, what its answer means, and what then happens.

use std::time::Duration;

use crate::domain::message::Refusal;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::trace::TraceParent;
use jiff::Timestamp;

/// One confirmation to report: `Outcome=confirmed` for this message of this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    pub account: AccountSid,
    pub message: MessageSid,
}

/// Why an attempt ended as it did, in Twilio's words where there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeDetail {
    /// HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// Twilio's error code, such as 20404.
    pub code: Option<u32>,
    /// Twilio's message, or ours where there was no answer. No secrets, no addresses.
    pub message: String,
}

impl From<OutcomeDetail> for Refusal {
    fn from(why: OutcomeDetail) -> Self {
        Self { status: why.status, code: why.code, message: why.message }
    }
}

/// What an answer of Twilio's means (docs/design.md, "Posting to Twilio"). Never a bare status code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A complete 2xx that names our message: Twilio has the confirmation.
    Done {
        /// HTTP status.
        status: u16,
    },
    /// A 2xx that does not name our message, or a 4xx that is not in Twilio's words. Another server may have answered,
    /// and Twilio may not have the confirmation.
    Uncertain {
        /// The kind of body that came instead.
        why: OutcomeDetail,
    },
    /// Trouble that passes: 408, 425, 5xx, a timeout, a broken connection.
    Retry {
        why: OutcomeDetail,
        /// `Retry-After`, if there was one.
        after: Option<Duration>,
    },
    /// 429: the account's API concurrency is used up. Nothing was processed.
    Throttle {
        why: OutcomeDetail,
        /// `Retry-After`, if there was one.
        after: Option<Duration>,
    },
    /// 401, 403 or a redirect: nothing of this account will get through.
    Pause { why: OutcomeDetail },
    /// 404: not there (yet), or another account's.
    Missing { why: OutcomeDetail },
    /// Any other 4xx: this will never be taken.
    Never { why: OutcomeDetail },
}

impl Verdict {
    /// The word used in metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Uncertain { .. } => "uncertain",
            Self::Retry { .. } => "retry",
            Self::Throttle { .. } => "throttle",
            Self::Pause { .. } => "pause",
            Self::Missing { .. } => "missing",
            Self::Never { .. } => "never",
        }
    }

    /// HTTP status of the answer; `None` if none came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if let Self::Done { status } = self { Some(*status) } else { self.detail()?.status }
    }

    /// Why it is so; `None` where there is nothing to explain.
    #[must_use]
    pub fn detail(&self) -> Option<&OutcomeDetail> {
        match self {
            Self::Done { .. } => None,
            Self::Uncertain { why }
            | Self::Retry { why, .. }
            | Self::Throttle { why, .. }
            | Self::Pause { why }
            | Self::Missing { why }
            | Self::Never { why } => Some(why),
        }
    }
}

/// The right to make one attempt, until it lapses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub message: MessageSid,
    /// Names this attempt among the message's.
    pub token: u64,
}

/// A message claimed for one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub feedback: Feedback,
    pub lease: Lease,
    /// Attempts begun, this one included.
    pub attempts: u32,
    /// Time that counted toward giving up before this attempt.
    pub spent: Duration,
    /// When the message was created.
    pub created_at: Timestamp,
    /// [`Message::is_missing`](crate::domain::message::Message::is_missing) before this attempt.
    pub missing: bool,
    /// [`Message::is_named_by_twilio`](crate::domain::message::Message::is_named_by_twilio).
    pub named_by_twilio: bool,
    /// The trace of the signal that confirmed it.
    pub trace: Option<TraceParent>,
}

/// How an attempt ends in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Twilio has it.
    Reported,
    /// To be tried again.
    Retry {
        /// After how long.
        after: Duration,
        /// Time that counts toward giving up from now on (the whole of it, not an increment).
        spent: Duration,
    },
    /// To be tried again as if this attempt had not been made (pause and throttle give it back).
    Release {
        /// After how long.
        after: Duration,
    },
    /// Not to be tried again, unless somebody requeues it.
    Refused(Refusal),
}

impl Settlement {
    /// The word used in metrics and logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Retry { .. } => "retry",
            Self::Release { .. } => "release",
            Self::Refused(_) => "refused",
        }
    }
}
