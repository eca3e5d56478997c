//! Matching: which message does this prove, if any?
//!
//! The judgement of every backend. A store loads the rows that a command [affects](AffectedKeys), calls
//! [`remember`] or [`observe`], and writes the [`Changes`]. The rules are in docs/design.md, "Matching"; each function
//! names the one it keeps.

mod apply_update;
mod automatic;
mod code;
mod decide;
mod fitting;
mod import;
mod load;
mod parking;
mod people;
mod policy;
mod select;
mod sender;
mod settle;
mod source;

pub use automatic::AutomaticReplies;
pub use code::TypedCode;
pub use decide::{observe, reconsider, remember};
pub use import::{imported, imported_parked, merge, merge_link, merge_parked};
pub use load::gather;
pub use people::People;
pub use policy::{
    AUTOMATIC_FOR, AUTOMATIC_WITHIN, CLOCK_SKEW, EvictionRank, INFERRED_PARKED_FOR, Now, Policy,
    REFERENCE_FRESH_FOR, REGISTERED_WITHIN, Resend, UNSAID_FOR, UNTRACKED_FOR, earlier, later,
};
pub use source::{Newest, RowSource, WaitsFor};

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::{LearnedNames, RecipientHash, RecipientNames};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::{DedupId, Evidence, EvidenceTarget};
use crate::domain::trace::TraceParent;

/// The most evidence that waits for one reference or person. More than this is a loop, not a person.
pub const MAX_PARKED: usize = 16;

/// The default limit of all parked evidence. It leaves most of a volume of 1 GiB free.
pub const DEFAULT_MAX_PARKED: u64 = 200_000;

/// The rows that a command needs.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The account of the command. `None`: no rows were loaded.
    pub account: Option<AccountSid>,
    /// All messages that the command may change, or that must be compared with those messages.
    pub messages: BTreeMap<MessageSid, Message>,
    /// Whether the inbound message was counted before.
    pub seen: bool,
    /// The click link in question, and those not yet in a message that were made for a reference in question.
    pub links: BTreeMap<LinkId, Link>,
    /// The evidence that waits for one of the messages, references or persons in question.
    pub parked: Vec<Parked>,
    /// The Messaging Services that the account's senders in question are known to belong to.
    pub services: BTreeMap<String, ServiceSid>,
    /// The names of the people in question.
    pub people: People,
    /// The persons in question whose texts are automatic.
    pub automatic: BTreeMap<RecipientHash, AutomaticReplies>,
    /// Whether there were too many rows. Then no provisional confirmation is judged anew.
    pub is_cut: bool,
    /// The persons and references with too many messages. Those that were created at that time or before may be missing.
    pub cut: BTreeMap<WaitsFor, Timestamp>,
}

/// Evidence that waits for its message, or that is kept because its message may still be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub evidence: Evidence,
    /// Since when it waits.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub parked_at: Timestamp,
    /// Until when. Afterwards it is an orphan.
    #[serde(with = "crate::domain::timestamp_serde")]
    pub until: Timestamp,
    /// Why it could not be settled at once.
    pub reason: Reason,
    /// Whether its time has passed without its message.
    pub orphaned: bool,
    /// If it contains a code: the messages with that code, and those with another. The code itself is not kept.
    pub code: Option<TypedCode>,
    /// The trace that it came in with.
    pub trace: Option<TraceParent>,
}

impl Parked {
    /// Until when it may still prove something. Evidence whose message was confirmed before is kept only while its
    /// own message may still be registered. If that confirmation is withdrawn, its full time applies again.
    pub(crate) fn may_prove_until(&self) -> Timestamp {
        if self.reason == Reason::Known {
            return self.until.min(later(self.parked_at, REGISTERED_WITHIN));
        }
        self.until
    }

    /// Takes back that it is orphaned if its time is not over: then the clock was ahead.
    pub fn age(&mut self, now: Timestamp) {
        self.orphaned &= self.until <= now;
    }

    /// Whether it is counted and listed as waiting. Evidence with the reason [`Reason::Known`] is not.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.orphaned && self.reason != Reason::Known
    }
}

/// What a store is to write: all of it, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages in their new state.
    pub messages: Vec<Message>,
    /// Parked evidence, as it was and as it is from now on. `None`: not parked.
    pub parked: Vec<(Option<Parked>, Option<Parked>)>,
    /// What to remember as counted.
    pub seen: Vec<DedupId>,
    /// A click link that is now known to be in a message.
    pub bound: Option<(LinkId, Link)>,
    /// A sender of the account, and the Messaging Service that it turned out to belong to.
    pub learned: Option<(AccountSid, String, ServiceSid)>,
    /// Names that turned out to be one person's.
    pub tied: Option<(AccountSid, LearnedNames)>,
    /// Persons whose texts turned out to be automatic.
    pub automatic: Vec<(RecipientHash, AutomaticReplies)>,
}

/// Why evidence did not confirm anything (yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An opt-out says nothing about having read a code.
    OptOut,
    /// No message fits.
    NoMessage,
    /// The newest message that fits is one nobody asked feedback for.
    Untracked,
    /// It cannot be told whether the newest message came from the sender that the person turned to.
    SenderUnknown,
    /// It cannot be told whether the newest message was there when the person acted: nobody said when
    /// it was created, and we heard of it only afterwards.
    TimeUnknown,
    /// The reply quotes something that is no message of ours.
    QuoteUnknown,
    /// The newest message that fits is neither pending nor confirmed.
    NotPending,
    /// Too much is waiting for the same message already.
    TooManyParked,
    /// The inbound message, call or event was counted before.
    Duplicate,
    /// A machine made a preview of the link.
    Preview,
    /// A known crawler opened the link.
    Crawler,
    /// The call was made by us, not by the person.
    Outbound,
    /// Nobody can tell who called.
    Anonymous,
    /// Several messages under the reference may have arrived, and the policy does not choose.
    Ambiguous,
    /// It contains a code that belongs to no known message.
    OtherCode,
    /// Its message was confirmed before. It is kept briefly, because its message may still be registered.
    Known,
    /// Its message is much older than the act: a newer one may still be registered.
    NewerMayCome,
    /// An older message waits beside the newest one, and no receipt says that the newest arrived.
    OlderPending,
    /// It came faster than a person reads, or from a sender that answers automatically.
    Automatic,
    /// Twilio says that its message was never sent.
    NotSent,
    /// A newer message went to a user id or a number of WhatsApp that may be the same person's.
    RecipientUnknown,
    /// The link is not known (any more), or not bound to a message yet.
    LinkUnknown,
}

impl Reason {
    /// The word used in answers and metrics.
    #[must_use]
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

/// The keys that a command touches: what a backend loads, and what it locks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AffectedKeys {
    /// Parked evidence by SID; the message itself was loaded to find the rest out.
    pub sid: Option<MessageSid>,
    /// Messages, parked evidence and click links not yet in a message by reference; if there is none,
    /// by that of the click link.
    pub reference: Option<Reference>,
    /// Messages and parked evidence by person: one, or a caller by number and on WhatsApp.
    pub persons: Vec<RecipientHash>,
    /// Names that Twilio gives to one person.
    pub names: Option<RecipientNames>,
    /// The sender whose Messaging Service is asked for.
    pub sender: Option<String>,
    /// The click link, and parked evidence by it.
    pub link: Option<LinkId>,
}

impl AffectedKeys {
    /// What a sighting touches, and the message that it names.
    #[must_use]
    pub fn by_sighting(
        sighting: &crate::domain::signal::MessageUpdate,
        known: Option<&Message>,
    ) -> Self {
        let known_reference = known.and_then(|m| m.reference.clone());
        let known_from = known.and_then(|m| m.from.clone());
        Self {
            sid: Some(sighting.sid),
            reference: known_reference.or_else(|| sighting.reference.clone()),
            persons: known
                .into_iter()
                .flat_map(Message::names)
                .chain(sighting.recipient.map(|to| to.person))
                .chain(sighting.number)
                .collect(),
            names: sighting.names.clone(),
            sender: known_from.or_else(|| sighting.from.clone()),
            link: sighting.link,
        }
    }

    /// What a piece of evidence touches.
    #[must_use]
    pub fn by_evidence(evidence: &Evidence) -> Self {
        match &evidence.named {
            EvidenceTarget::Message(sid) => Self { sid: Some(*sid), ..Self::default() },
            EvidenceTarget::Reference(reference) => {
                Self { reference: Some(reference.clone()), ..Self::default() }
            }
            EvidenceTarget::Person { recipient, sender } => Self {
                persons: vec![recipient.person],
                sender: sender.address.clone(),
                ..Self::default()
            },
            EvidenceTarget::Caller { recipient, whatsapp, sender } => Self {
                persons: vec![recipient.person, *whatsapp],
                sender: sender.address.clone(),
                ..Self::default()
            },
            EvidenceTarget::Link(id) => Self { link: Some(*id), ..Self::default() },
        }
    }
}
