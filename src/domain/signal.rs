//! Signals: every request, reduced to the facts that `matching` decides on.
//!
//! `twilio` parses requests into these types. They hold no body and no raw address, and the account of each is known.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::address::{Recipient, RecipientHash, RecipientNames};
use crate::domain::click_link::LinkId;
use crate::domain::code::{CodeHmac, Probe};
use crate::domain::evidence::Reason;
pub use crate::domain::evidence::{Evidence, EvidenceTarget, SenderHint, SignalSource, TimeSource};
use crate::domain::message::Status;
use crate::domain::reference::Reference;
use crate::domain::sid::{AccountSid, CallSid, MessageSid, ServiceSid, SidError};
use crate::domain::trace::TraceParent;

/// A message was seen: registered by the app, or named by a status callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUpdate {
    pub sid: MessageSid,
    pub account: AccountSid,
    /// Whether feedback was asked for: a registration, or a callback URL with `feedback=1`.
    pub tracked: bool,
    /// Whether what contradicts the known facts is an error (the app's word) or ignored (a callback's).
    pub strict: bool,
    /// Whether Twilio itself signed it. Only such a request shows which Messaging Service a sender belongs to.
    pub by_twilio: bool,
    /// Whom it went to.
    pub recipient: Option<Recipient>,
    /// The same by number alone, where that is another person: whom a call names.
    pub number: Option<RecipientHash>,
    /// All names of the recipient, if Twilio itself gives several.
    pub names: Option<RecipientNames>,
    pub from: Option<String>,
    pub service: Option<ServiceSid>,
    pub reference: Option<Reference>,
    /// Twilio's status.
    pub status: Option<Status>,
    /// Twilio's error code.
    pub error_code: Option<u32>,
    /// The HMAC of the code in its text.
    pub code: Option<CodeHmac>,
    /// The click link that was written into its text.
    pub link: Option<LinkId>,
    /// When it was created, if anybody says so.
    pub created_at: Option<Timestamp>,
    /// When the signal came in.
    pub seen_at: Timestamp,
    /// The trace that it came in with.
    pub trace: Option<TraceParent>,
}

/// What makes a signal count once, by whatever road it comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DedupId {
    Message(MessageSid),
    Call(CallSid),
    /// A `CloudEvent`, by its `id`.
    Event(String),
}

impl DedupId {
    /// What a store keeps of it.
    #[must_use]
    pub fn dedup_key(&self) -> DedupKey {
        match self {
            Self::Message(sid) => DedupKey::Message(*sid),
            Self::Call(sid) => DedupKey::Call(*sid),
            Self::Event(id) => {
                let digest = Sha256::digest(id);
                DedupKey::Event(digest.first_chunk().copied().unwrap_or_default())
            }
        }
    }
}

/// The same as a store keeps it: an event by the beginning of its id's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DedupKey {
    Message(MessageSid),
    Call(CallSid),
    /// A `CloudEvent`.
    Event(#[serde(with = "crate::domain::hex")] [u8; 16]),
}

/// Evidence, with what makes it count once and what it tells of the message besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Where it came from.
    pub source: SignalSource,
    /// What it is known by: it counts only if none of these was counted before.
    pub dedup_ids: Vec<DedupId>,
    /// The words in it that may be the code of a message.
    pub code: Option<Probe>,
    /// What it proves; or why it proves nothing, but must still be counted as seen.
    pub evidence: Result<Evidence, Reason>,
    /// All names of the person who acted, if Twilio itself gives several.
    pub names: Option<(AccountSid, RecipientNames)>,
    /// What an app's event with a `MessageSid` says of that message: it remembers and confirms.
    pub message_update: Option<MessageUpdate>,
    /// When it came in.
    pub seen_at: Timestamp,
    /// The trace that it came in with.
    pub trace: Option<TraceParent>,
}

/// A signed request that cannot be understood. Says which field, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field is missing or not what it has to be.
    #[error("{field}: {expected}")]
    Field {
        /// The field, in Twilio's spelling.
        field: &'static str,
        /// What was expected of it.
        expected: String,
    },
    /// A SID is given more than once, with different values.
    #[error("{field}: given more than once, with different values")]
    Ambiguous {
        /// The field, in Twilio's spelling.
        field: &'static str,
    },
    /// A SID that is not a message's.
    #[error("{field}: {reason}")]
    NotAMessage {
        /// The field, in Twilio's spelling.
        field: &'static str,
        /// What it names instead, and what to do.
        reason: String,
    },
    /// The body is no UTF-8.
    #[error("the body is not valid UTF-8")]
    Encoding,
    /// The body is no JSON object.
    #[error("the body is not a JSON object: {0}")]
    Json(String),
    /// It belongs to another account than ours. Answered as if it were unsigned.
    #[error("another account's")]
    OtherAccount,
}

impl Malformed {
    /// What is wrong with a field that should hold a SID.
    #[must_use]
    pub fn sid(field: &'static str, error: &SidError) -> Self {
        match error {
            SidError::WrongKind { .. } => Self::NotAMessage { field, reason: error.to_string() },
            SidError::Malformed { .. } => Self::Field { field, expected: error.to_string() },
        }
    }
}
