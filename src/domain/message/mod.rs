//! An outbound message: its facts, and the states that it passes through.

mod receipts;
mod status;
pub mod view;

pub use receipts::Receipts;
pub use status::Status;

pub use crate::domain::reference::{MAX_REFERENCE, Reference};

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::{NameKind, Recipient, RecipientHash};
use crate::domain::code::CodeHmac;
use crate::domain::evidence::Parked;
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::trace::TraceParent;

/// The state of a message (docs/design.md, "Words and states").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Known only from a status callback, without a request for feedback. Never posted, but it shields older messages.
    Untracked,
    /// Sent with `ProvideFeedback=true`, not yet proven to have arrived.
    Pending,
    /// Pending for longer than the pending lifetime.
    Expired,
    /// The carrier says that it did not arrive. Direct evidence overrides that.
    Undelivered,
    /// Proven to have arrived, and not reported to Twilio yet.
    Confirmed,
    /// Twilio accepted the feedback.
    Reported,
    /// Twilio rejected the feedback for good. Kept, and can be requeued.
    Refused,
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Untracked,
        Self::Pending,
        Self::Expired,
        Self::Undelivered,
        Self::Confirmed,
        Self::Reported,
        Self::Refused,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untracked => "untracked",
            Self::Pending => "pending",
            Self::Expired => "expired",
            Self::Undelivered => "undelivered",
            Self::Confirmed => "confirmed",
            Self::Reported => "reported",
            Self::Refused => "refused",
        }
    }
}

/// The certainty with which a signal names its message (docs/design.md, "Words and states").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The evidence names exactly one message.
    Direct,
    /// The evidence names a reference, which several messages may have.
    Shared,
    /// The evidence names only the person.
    Inferred,
}

impl Basis {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Shared => "shared",
            Self::Inferred => "inferred",
        }
    }
}

/// The evidence that a message arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `reply`, `read`, or the app's own word such as `code_entered`.
    pub label: String,
    pub basis: Basis,
    /// When the person acted.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub occurred_at: Timestamp,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub confirmed_at: Timestamp,
}

/// The reason why Twilio rejected a feedback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// HTTP status of the last answer; `None` without an answer.
    pub status: Option<u16>,
    /// Twilio's error code, such as 20404.
    pub code: Option<u32>,
    /// Twilio's message, or ours.
    pub message: String,
}

/// How the last attempt to report a message ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Its number among the posts since the message was confirmed or requeued, from 1.
    pub number: u32,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub ended_at: Timestamp,
    /// Twilio's response time in milliseconds.
    pub took_ms: u32,
    /// HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// Twilio's error code, such as 20404.
    pub code: Option<u32>,
    /// Twilio's message, or ours; empty if Twilio accepted the feedback.
    pub message: String,
}

/// One line: `HTTP 503, error 20503: Service Unavailable`.
impl fmt::Display for LastAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "HTTP {status}")?,
            None => f.write_str("no answer")?,
        }
        if let Some(code) = self.code {
            write!(f, ", error {code}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// The progress of reporting a confirmed message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Attempts begun. A crash in the middle of one counts.
    pub attempts: u32,
    /// The time of the next attempt; during an attempt, the end of its lease.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub due_at: Option<Timestamp>,
    /// The current attempt, so that a late result of an older one changes nothing.
    pub lease: Option<u64>,
    /// Time that counts toward giving up: waits and attempts, without pauses.
    pub spent: Duration,
}

/// One outbound message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub sid: MessageSid,
    pub account: AccountSid,
    pub state: State,
    /// The recipient, if known.
    pub recipient: Option<Recipient>,
    /// The recipient's user id of WhatsApp, if both a number and an id are known.
    pub alias: Option<Recipient>,
    /// The exact sender in Twilio's notation, if known. Not personal.
    pub from: Option<String>,
    /// The Messaging Service that sent it, if known.
    pub service: Option<ServiceSid>,
    pub reference: Option<Reference>,
    /// The furthest status that Twilio reported.
    pub status: Option<Status>,
    /// The facts of all receipts, in any order of arrival.
    pub receipts: Receipts,
    /// When a status first said that Twilio began to send it.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub went_out_at: Option<Timestamp>,
    /// The earliest receipt of its arrival, or of a part's: Twilio's time in Event Streams, otherwise the request's.
    #[serde(default, with = "crate::domain::timestamp_serde::optional")]
    pub arrived_at: Option<Timestamp>,
    /// Twilio's error code that came with a failing status.
    pub error_code: Option<u32>,
    /// Its creation time if known, otherwise the time of the first request about it. Never too early: evidence may count
    /// for it only if the act came later.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub created_at: Timestamp,
    /// Whether a request stated its creation time.
    pub created_at_known: bool,
    /// The time of the first request about it.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub remembered_at: Timestamp,
    /// When a pending message expires; when an untracked one is forgotten.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub expires_at: Timestamp,
    /// When it entered its present state.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub since: Timestamp,
    pub proof: Option<Proof>,
    pub delivery: Delivery,
    /// When Twilio accepted the feedback. Kept over a requeue, until it is reported again.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub reported_at: Option<Timestamp>,
    pub refusal: Option<Refusal>,
    /// The HMAC of its code, if registered. It counts until the end of the pending lifetime. The sweep removes it an hour
    /// later.
    pub code: Option<CodeHmac>,
    /// The evidence that proved it, kept until a post may have reached Twilio. Until then, it can be judged again.
    #[serde(rename = "held")]
    pub parked_evidence: Option<Box<Parked>>,
    /// The message with the same reference that was confirmed instead of this one.
    #[serde(rename = "converted_by")]
    pub superseded_by: Option<MessageSid>,
    /// When the evidence that proved it was parked, if it came before the message.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub parked_at: Option<Timestamp>,
    pub last_attempt: Option<LastAttempt>,
    /// The trace of the evidence.
    pub trace: Option<TraceParent>,
}

impl Message {
    /// A message of which only the SID, the account and the time of the first request are known.
    pub fn new(sid: MessageSid, account: AccountSid, at: Timestamp) -> Self {
        Self {
            sid,
            account,
            state: State::Untracked,
            recipient: None,
            alias: None,
            from: None,
            service: None,
            reference: None,
            status: None,
            receipts: Receipts::default(),
            went_out_at: None,
            arrived_at: None,
            error_code: None,
            created_at: at,
            created_at_known: false,
            remembered_at: at,
            expires_at: at,
            since: at,
            proof: None,
            delivery: Delivery::default(),
            reported_at: None,
            refusal: None,
            code: None,
            parked_evidence: None,
            superseded_by: None,
            parked_at: None,
            last_attempt: None,
            trace: None,
        }
    }

    /// When it was requeued, if no settlement followed. A confirmed message that was never requeued is confirmed since its
    /// proof.
    pub fn requeued_at(&self) -> Option<Timestamp> {
        let proof = self.proof.as_ref()?;
        let is_later = self.state == State::Confirmed && self.since > proof.confirmed_at;
        is_later.then_some(self.since)
    }

    /// Posts since it was confirmed or requeued. `delivery.attempts` counts only the posts that the next wait depends on,
    /// without those that a paused or throttled account gave back.
    pub fn posts_made(&self) -> u32 {
        self.delivery.attempts.max(self.last_of_turn().map_or(0, |last| last.number))
    }

    fn last_of_turn(&self) -> Option<&LastAttempt> {
        let requeued_at = self.requeued_at();
        let last = self.last_attempt.as_ref();
        last.filter(|last| requeued_at.is_none_or(|at| last.ended_at > at))
    }

    /// Whether the last post since it was confirmed or requeued got a 404 of Twilio's own. Without an error code, the 404
    /// is not Twilio's.
    pub fn is_missing(&self) -> bool {
        self.last_of_turn().is_some_and(|last| last.status == Some(404) && last.code.is_some())
    }

    /// Whether a status callback or an event of Twilio names it. An app can register only `scheduled`.
    pub fn is_named_by_twilio(&self) -> bool {
        self.status.is_some_and(|status| status > Status::Scheduled)
    }

    /// Records the result of a post, and its number among the posts since the message was confirmed or requeued.
    pub fn note_attempt(&mut self, mut attempt: LastAttempt) {
        let before = self.last_of_turn().map_or(0, |last| last.number);
        attempt.number = attempt.number.max(before.saturating_add(1));
        self.last_attempt = Some(attempt);
    }

    pub fn names(&self) -> impl Iterator<Item = RecipientHash> {
        self.recipient.into_iter().chain(self.alias).map(|recipient| recipient.person)
    }

    pub fn is_to(&self, person: RecipientHash) -> bool {
        self.names().any(|name| name == person)
    }

    /// Adds another name of its recipient. A number comes before a user id, in any order of arrival.
    pub fn name(&mut self, recipient: Recipient) {
        match self.recipient {
            None => self.recipient = Some(recipient),
            Some(known) if self.is_named_otherwise(recipient) => {
                let (number, id) = match known.kind {
                    NameKind::WhatsappId => (recipient, known),
                    NameKind::WhatsappNumber | NameKind::Other => (known, recipient),
                };
                (self.recipient, self.alias) = (Some(number), Some(id));
            }
            Some(_) => {}
        }
    }

    /// Whether a name may be the other one of its recipient: one is a number on WhatsApp, one a user id.
    pub fn is_named_otherwise(&self, recipient: Recipient) -> bool {
        self.alias.is_none()
            && self.recipient.is_some_and(|known| Some(known.kind) == recipient.kind.counterpart())
    }

    pub fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.since = now;
    }

    /// Applies the effects of time, also before the sweep. At the end of its lifetime, a pending message expires, and the
    /// HMAC of a code counts no more in any state. The stored state is only a cache. A message that expired by a clock that
    /// was ahead becomes pending again, with its code, which a store keeps until removal is safe.
    pub fn apply_expiry(&mut self, now: Timestamp) {
        if self.expires_at > now {
            if self.state == State::Expired {
                self.enter(State::Pending, self.remembered_at);
            }
            return;
        }
        self.code = None;
        if self.state == State::Pending {
            let expired = self.expires_at;
            self.enter(State::Expired, expired);
        }
    }

    /// Applies all receipts together to a message that is not proven. `now` dates the change; `age` applies the lifetime.
    pub fn apply_receipts(&mut self, now: Timestamp) {
        match (self.state, self.receipts.deny()) {
            (State::Pending, true) => self.enter(State::Undelivered, now),
            (State::Undelivered, false) => self.enter(State::Pending, now),
            (
                State::Pending
                | State::Undelivered
                | State::Untracked
                | State::Expired
                | State::Confirmed
                | State::Reported
                | State::Refused,
                _,
            ) => {}
        }
    }

    /// Whether it is confirmed, and no post of it can have reached Twilio: new facts may still undo the confirmation.
    pub fn is_provisional(&self) -> bool {
        self.state == State::Confirmed
            && self.parked_evidence.is_some()
            && self.delivery.lease.is_none()
    }

    /// Whether the receipts allow that its recipient acted upon it.
    pub fn may_have_arrived(&self) -> bool {
        match self.state {
            State::Confirmed | State::Reported | State::Refused => true,
            State::Untracked | State::Pending | State::Expired | State::Undelivered => {
                !self.receipts.deny()
            }
        }
    }

    /// Whether it is scheduled for later, and no status says that it went out.
    pub fn is_yet_to_go_out(&self) -> bool {
        self.receipts.scheduled && self.went_out_at.is_none()
    }
}

#[cfg(test)]
impl Message {
    /// A message of tests: sent at that time, in a state since then, without other facts.
    pub(crate) fn example(state: State, at: Timestamp) -> Self {
        let sid = "SM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let account = "AC0123456789abcdef0123456789abcdef".parse().expect("valid");
        Self { state, created_at_known: true, ..Self::new(sid, account, at) }
    }
}
