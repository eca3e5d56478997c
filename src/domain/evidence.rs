//! Evidence: one act of a recipient that proves that a message arrived, and evidence that is parked.
//!
//! [`Reason`] says why evidence does not confirm anything. The rules that use these types are in `matching`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::{Recipient, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::code::TypedCode;
use crate::domain::reference::Reference;
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::timestamp_serde::later;
use crate::domain::trace::TraceParent;

/// How long inferred evidence stays parked: a person answers the latest message, so a message that is registered later
/// was not the one that the person answered.
pub const INFERRED_PARKED_FOR: Duration = Duration::from_mins(10);

/// Evidence that had to choose among messages is kept for this long, even after its message was confirmed: the message
/// that it is about may still be registered.
pub const REGISTERED_WITHIN: Duration = INFERRED_PARKED_FOR;

/// The sender that a person answered or called.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SenderHint {
    /// The exact sender, in Twilio's notation.
    pub address: Option<String>,
    /// Its Messaging Service, if the signal names it.
    pub service: Option<ServiceSid>,
}

/// The message, reference, person or link that a piece of evidence names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceTarget {
    /// Exactly one message.
    Message(MessageSid),
    /// All messages with this reference.
    Reference(Reference),
    /// Only a person, and the sender that the person answered.
    Person {
        recipient: Recipient,
        /// Empty if the app names no sender.
        sender: SenderHint,
    },
    /// Only a person who called. A call does not show the channel of the message that it answers.
    Caller {
        /// The person, by number.
        recipient: Recipient,
        /// The person, by the same number on WhatsApp.
        whatsapp: RecipientHash,
        sender: SenderHint,
    },
    /// The message that contains this click link.
    Link(LinkId),
}

impl EvidenceTarget {
    /// The target of a click on this link: its message, otherwise its reference, otherwise the link.
    pub fn of_link(id: LinkId, link: &Link) -> Self {
        match (link.message, &link.reference) {
            (Some(sid), _) => Self::Message(sid),
            (None, Some(reference)) => Self::Reference(reference.clone()),
            (None, None) => Self::Link(id),
        }
    }

    /// The sender, if the evidence names only a person.
    pub fn sender(&self) -> Option<&SenderHint> {
        match self {
            Self::Person { sender, .. } | Self::Caller { sender, .. } => Some(sender),
            Self::Message(_) | Self::Reference(_) | Self::Link(_) => None,
        }
    }
}

/// The clock behind the time of an act.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// Twilio's clock or this service's: exact enough to compare with when a message was created.
    Exact,
    /// The app's clock, which may differ by as much as `CLOCK_SKEW`.
    #[default]
    App,
    /// None: the time of arrival is only an upper bound.
    Unknown,
}

/// An act of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// The account whose messages it can prove.
    pub account: AccountSid,
    #[serde(rename = "named")]
    pub target: EvidenceTarget,
    /// `reply`, or the app's own word such as `code_entered`.
    pub label: String,
    /// When the person acted.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub occurred_at: Timestamp,
    pub time_source: TimeSource,
    pub source: SignalSource,
}

impl Evidence {
    /// Whether it is a reply that names only its person. A machine may have sent it.
    pub fn is_plain_text(&self) -> bool {
        self.source == SignalSource::Reply && matches!(self.target, EvidenceTarget::Person { .. })
    }
}

/// The kind of a signal.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SignalSource {
    Reply,
    Call,
    /// A click on a link that Twilio shortened.
    Click,
    /// A click on one of our own links.
    Link,
    #[default]
    App,
}

impl SignalSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Call => "call",
            Self::Click => "click",
            Self::Link => "link",
            Self::App => "app",
        }
    }
}

/// Evidence that is parked until its message is known, or kept because its message may still be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub evidence: Evidence,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub parked_at: Timestamp,
    /// The end of its time. Afterwards it is an orphan.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub until: Timestamp,
    pub reason: Reason,
    /// Whether its time has passed without a message.
    pub orphaned: bool,
    /// If it contains a code: the messages with that code, and those with another. The code itself is not kept.
    pub code: Option<TypedCode>,
    pub trace: Option<TraceParent>,
}

impl Parked {
    /// The end of the time in which it may prove a message. Evidence whose message was confirmed before is kept only while
    /// its own message may still be registered. If that confirmation is withdrawn, its full time applies again.
    pub(crate) fn may_prove_until(&self) -> Timestamp {
        if self.reason == Reason::Known {
            return self.until.min(later(self.parked_at, REGISTERED_WITHIN));
        }
        self.until
    }

    /// Withdraws the mark as an orphan if its time is not over: then the clock was ahead.
    pub fn apply_expiry(&mut self, now: Timestamp) {
        self.orphaned &= self.until <= now;
    }

    /// The kind under which it is counted and listed.
    pub fn kind(&self) -> ParkedKind {
        if self.orphaned {
            ParkedKind::Orphaned
        } else if self.reason == Reason::Known {
            ParkedKind::Known
        } else {
            ParkedKind::Parked
        }
    }
}

/// The kind of parked evidence. [`Reason::Known`] makes the last kind, which is neither counted nor listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedKind {
    Parked,
    Orphaned,
    Known,
}

/// Why evidence did not confirm a message (yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An opt-out does not show that the person read a code.
    OptOut,
    /// No message fits.
    NoMessage,
    /// The newest message that fits was sent without a request for feedback.
    Untracked,
    /// No fact shows whether the newest message came from the sender that the person answered.
    SenderUnknown,
    /// The newest message may not have existed when the person acted: its creation time is unknown.
    TimeUnknown,
    /// The reply quotes a message of another service.
    QuoteUnknown,
    /// The newest message that fits is neither pending nor confirmed.
    NotPending,
    /// Too much evidence is parked for the same message already.
    TooManyParked,
    /// The inbound message, call or event was counted before.
    Duplicate,
    /// A machine made a preview of the link.
    Preview,
    /// A known crawler opened the link.
    Crawler,
    /// The call was outbound.
    Outbound,
    /// The caller is unknown.
    Anonymous,
    /// Several messages under the reference may have arrived, or have the code, and no rule chooses.
    Ambiguous,
    /// The evidence contains a code that belongs to no known message.
    OtherCode,
    /// Its message was confirmed before. It is kept briefly, because its message may still be registered.
    Known,
    /// Its message is much older than the act: a newer one may still be registered.
    NewerMayCome,
    /// No receipt says that the newest message had arrived by then, and the act may be about an older one.
    OlderPending,
    /// The evidence came faster than a person reads, or from a sender that answers automatically.
    Automatic,
    /// Twilio says that its message was never sent.
    NotSent,
    /// A newer message went to a user id or a number of WhatsApp that may be the same person's.
    RecipientUnknown,
    /// The link is unknown, or not bound to a message yet.
    LinkUnknown,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::NoMessage => "no_message",
            Self::Untracked => "untracked",
            Self::SenderUnknown => "sender_unknown",
            Self::TimeUnknown => "time_unknown",
            Self::QuoteUnknown => "quote_unknown",
            Self::NotPending => "not_pending",
            Self::TooManyParked => "too_many_parked",
            Self::Duplicate => "duplicate",
            Self::Preview => "preview",
            Self::Crawler => "crawler",
            Self::Outbound => "outbound",
            Self::Anonymous => "anonymous",
            Self::Ambiguous => "ambiguous",
            Self::OtherCode => "other_code",
            Self::Known => "known",
            Self::NewerMayCome => "newer_may_come",
            Self::OlderPending => "older_pending",
            Self::Automatic => "automatic",
            Self::NotSent => "not_sent",
            Self::RecipientUnknown => "recipient_unknown",
            Self::LinkUnknown => "link_unknown",
        }
    }
}
