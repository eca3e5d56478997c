//! What we know of an outbound message, and the states that it passes through.

mod receipts;
mod status;

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

/// Where a message stands with us (docs/design.md, "Words and states").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Seen only through a status callback; nobody asked for feedback. Never posted, but it shields.
    Untracked,
    /// Sent with `ProvideFeedback=true`, not yet proven to have arrived.
    Pending,
    /// Pending for longer than the pending lifetime.
    Expired,
    /// The carrier says that it did not arrive. Direct evidence knows better.
    Undelivered,
    /// Proven to have arrived; Twilio does not know yet.
    Confirmed,
    /// Twilio knows.
    Reported,
    /// Twilio will not take it. Kept, and can be requeued.
    Refused,
}

impl State {
    /// Every state, in the order of a message's life.
    pub const ALL: [Self; 7] = [
        Self::Untracked,
        Self::Pending,
        Self::Expired,
        Self::Undelivered,
        Self::Confirmed,
        Self::Reported,
        Self::Refused,
    ];

    /// The word used in answers, metrics and the store.
    #[must_use]
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

/// How surely a signal names its message (docs/design.md, "Words and states").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// It names exactly one message.
    Direct,
    /// It names a reference that several messages bear.
    Shared,
    /// It names only the person.
    Inferred,
}

impl Basis {
    /// The word used in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Shared => "shared",
            Self::Inferred => "inferred",
        }
    }
}

/// What proved that a message arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `reply`, `read`, or the app's own word such as `code_entered`.
    pub label: String,
    /// How surely it named the message.
    pub basis: Basis,
    /// When the person acted.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub occurred_at: Timestamp,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub confirmed_at: Timestamp,
}

/// Why Twilio would not take a feedback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// HTTP status of the last answer; `None` if there never was one.
    pub status: Option<u16>,
    /// Twilio's error code, such as 20404.
    pub code: Option<u32>,
    /// Twilio's words, or ours.
    pub message: String,
}

/// How the last attempt to report a message ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAttempt {
    /// Which post it was since the message was confirmed or requeued, from 1.
    pub number: u32,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub ended_at: Timestamp,
    /// How long Twilio took, in milliseconds.
    pub took_ms: u32,
    /// HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// Twilio's error code, such as 20404.
    pub code: Option<u32>,
    /// Twilio's words, or ours; empty where Twilio took it.
    pub message: String,
}

/// In a line: `HTTP 503, error 20503: Service Unavailable`.
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

/// How far the reporting of a confirmed message has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Attempts begun. A crash in the middle of one counts.
    pub attempts: u32,
    /// When it may be tried next; while an attempt is under way, when its lease ends.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub due_at: Option<Timestamp>,
    /// Names the attempt under way, so that a late end of an older one changes nothing.
    pub lease: Option<u64>,
    /// Time that counts toward giving up: waits and attempts, without pauses.
    pub spent: Duration,
}

/// One outbound message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub sid: MessageSid,
    pub account: AccountSid,
    /// Where it stands.
    pub state: State,
    /// Whom it went to, where known.
    pub recipient: Option<Recipient>,
    /// The same person by a user id of WhatsApp, if both a number and an id are known.
    pub alias: Option<Recipient>,
    /// The exact sender in Twilio's notation, where known. Not personal.
    pub from: Option<String>,
    /// The Messaging Service it was sent through, where known.
    pub service: Option<ServiceSid>,
    /// The app's name for what it belongs to.
    pub reference: Option<Reference>,
    /// The furthest status that Twilio reported.
    pub status: Option<Status>,
    /// The facts of all receipts, in any order of arrival.
    pub receipts: Receipts,
    /// When a status first said that Twilio began to send it.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub went_out_at: Option<Timestamp>,
    /// Twilio's error code that came with a failing status.
    pub error_code: Option<u32>,
    /// When it was created, as far as anybody said; else when we first heard of it. Never too early:
    /// evidence may count for it only if it came later.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub created_at: Timestamp,
    /// Whether somebody said when it was created.
    pub created_at_known: bool,
    /// When we first heard of it.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub remembered_at: Timestamp,
    /// When a pending message expires; when an untracked one is forgotten.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub expires_at: Timestamp,
    /// When it came into its present state.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub since: Timestamp,
    /// What proved that it arrived.
    pub proof: Option<Proof>,
    pub delivery: Delivery,
    /// When Twilio took the feedback. Kept when such a message is requeued, until it is reported again.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub reported_at: Option<Timestamp>,
    /// Why Twilio would not.
    pub refusal: Option<Refusal>,
    /// The HMAC of its code, if the app registered one. It counts until the end of the pending lifetime; the sweep removes it
    /// an hour later.
    pub code: Option<CodeHmac>,
    /// The evidence that proved it, kept until the first attempt to report it: until then it can be judged anew.
    pub held: Option<Box<Parked>>,
    /// The message under the same reference that was confirmed instead of this one.
    pub converted_by: Option<MessageSid>,
    /// Since when the evidence had waited that proved it, if it came before the message.
    #[serde(with = "crate::domain::timestamp_serde::optional")]
    pub parked_at: Option<Timestamp>,
    /// How the last attempt to report it ended.
    pub last_attempt: Option<LastAttempt>,
    /// The trace that the evidence came in with.
    pub trace: Option<TraceParent>,
}

impl Message {
    /// One that was heard of for the first time then. Nothing else is known of it, not even when it was created.
    #[must_use]
    pub fn heard_of(sid: MessageSid, account: AccountSid, at: Timestamp) -> Self {
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
            held: None,
            converted_by: None,
            parked_at: None,
            last_attempt: None,
            trace: None,
        }
    }

    /// When it was requeued, if it is not settled since. A confirmed message that was never requeued is confirmed
    /// since its proof.
    #[must_use]
    pub fn requeued_at(&self) -> Option<Timestamp> {
        let proof = self.proof.as_ref()?;
        let is_later = self.state == State::Confirmed && self.since > proof.confirmed_at;
        is_later.then_some(self.since)
    }

    /// Posts made to report it since it was confirmed or requeued. `delivery.attempts` counts only the posts that the
    /// next wait depends on, without those that a paused or throttled account gave back.
    #[must_use]
    pub fn posts_made(&self) -> u32 {
        self.delivery.attempts.max(self.last_of_turn().map_or(0, |last| last.number))
    }

    fn last_of_turn(&self) -> Option<&LastAttempt> {
        let requeued_at = self.requeued_at();
        let last = self.last_attempt.as_ref();
        last.filter(|last| requeued_at.is_none_or(|at| last.ended_at > at))
    }

    /// Whether Twilio's own 404 answered the last post since it was confirmed or requeued. Without an error code the
    /// answer is not Twilio's.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.last_of_turn().is_some_and(|last| last.status == Some(404) && last.code.is_some())
    }

    /// Whether a status callback or an event of Twilio names it. An app may register `scheduled` only.
    #[must_use]
    pub fn is_named_by_twilio(&self) -> bool {
        self.status.is_some_and(|status| status > Status::Scheduled)
    }

    /// Notes how a post ended, and its number among the posts since the message was confirmed or requeued.
    pub fn note_attempt(&mut self, mut attempt: LastAttempt) {
        let before = self.last_of_turn().map_or(0, |last| last.number);
        attempt.number = attempt.number.max(before.saturating_add(1));
        self.last_attempt = Some(attempt);
    }

    /// Every name of its recipient.
    pub fn names(&self) -> impl Iterator<Item = RecipientHash> {
        self.recipient.into_iter().chain(self.alias).map(|recipient| recipient.person)
    }

    /// Whether its recipient has that name.
    #[must_use]
    pub fn is_to(&self, person: RecipientHash) -> bool {
        self.names().any(|name| name == person)
    }

    /// Notes another name of its recipient. A number comes before a user id, whichever is known first.
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
    #[must_use]
    pub fn is_named_otherwise(&self, recipient: Recipient) -> bool {
        self.alias.is_none()
            && self.recipient.is_some_and(|known| Some(known.kind) == recipient.kind.counterpart())
    }

    /// Moves to a state, and notes since when.
    pub fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.since = now;
    }

    /// Applies the effects of time, whether or not the sweep has come by. At the end of its lifetime a pending message
    /// expires; the HMAC of a code, in any state, counts no more. The stored state is only a cache: a message that
    /// expired by a clock that was ahead is pending again, with its code, which a store keeps until it is safe to remove.
    pub fn age(&mut self, now: Timestamp) {
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

    /// Whether it is confirmed, and no report of it was attempted yet: new facts may still undo the confirmation.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.state == State::Confirmed
            && self.held.is_some()
            && self.delivery.attempts == 0
            && self.delivery.lease.is_none()
    }

    /// Whether the receipts allow that its recipient acted upon it.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self.state {
            State::Confirmed | State::Reported | State::Refused => true,
            State::Untracked | State::Pending | State::Expired | State::Undelivered => {
                !self.receipts.deny()
            }
        }
    }

    /// Whether it is scheduled for later, and no status says that it went out.
    #[must_use]
    pub fn is_yet_to_go_out(&self) -> bool {
        self.receipts.scheduled && self.went_out_at.is_none()
    }
}

#[cfg(test)]
impl Message {
    /// What tests begin with: sent at that moment, in a state since then, and nothing else is known of it.
    pub(crate) fn example(state: State, at: Timestamp) -> Self {
        let sid = "SM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let account = "AC0123456789abcdef0123456789abcdef".parse().expect("valid");
        Self { state, created_at_known: true, ..Self::heard_of(sid, account, at) }
    }
}
