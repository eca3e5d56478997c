//! Feedback: the POST that reports a confirmation, the verdict on its response, and its settlement.

use std::time::Duration;

use crate::domain::message::{LastAttempt, Refusal};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::trace::TraceParent;
use jiff::Timestamp;

/// One confirmation to report: `Outcome=confirmed` for this message of this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    pub account: AccountSid,
    pub message: MessageSid,
}

/// The details of an attempt's result, in Twilio's words if there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutcomeDetail {
    /// HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// Twilio's error code, such as 20404.
    pub code: Option<u32>,
    /// Twilio's message, or ours without an answer. No secrets, no addresses.
    pub message: String,
}

impl From<OutcomeDetail> for Refusal {
    fn from(why: OutcomeDetail) -> Self {
        Self { status: why.status, code: why.code, message: why.message }
    }
}

/// The meaning of Twilio's response (docs/design.md, "Posting to Twilio"). Never a bare status code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A complete 2xx that names our message: Twilio accepted the confirmation.
    Done {
        /// HTTP status.
        status: u16,
    },
    /// A 2xx that does not name our message, or a 4xx that is not in Twilio's words. Another server may have answered,
    /// and Twilio may not have the confirmation.
    Uncertain {
        /// Names the kind of body.
        why: OutcomeDetail,
    },
    /// A temporary failure: 408, 425, 5xx, a timeout, a broken connection.
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
    /// 401, 403 or a redirect: Twilio rejects all posts of this account.
    Pause { why: OutcomeDetail },
    /// 404: unknown (yet), or another account's message.
    Missing { why: OutcomeDetail },
    /// Any other 4xx: Twilio rejects this post for good.
    Never { why: OutcomeDetail },
}

impl Verdict {
    /// The word used in metrics and logs.
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

    /// HTTP status of the response, if there was one.
    pub fn status(&self) -> Option<u16> {
        if let Self::Done { status } = self { Some(*status) } else { self.detail()?.status }
    }

    /// The details, if it is not `Done`.
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

/// The right to make one attempt, until it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    pub message: MessageSid,
    /// The identity of this attempt.
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

/// The stored result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    Reported,
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
    /// No retry, unless an operator requeues it.
    Refused(Refusal),
}

/// The result of an attempt, with the details of its post if there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAttempt {
    pub lease: Lease,
    pub settlement: Settlement,
    pub attempt: Option<LastAttempt>,
}

impl Settlement {
    /// The word used in metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Retry { .. } => "retry",
            Self::Release { .. } => "release",
            Self::Refused(_) => "refused",
        }
    }
}
