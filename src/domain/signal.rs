//! Signals: every request, reduced to the facts that `matching` decides on.
//!
//! `twilio` parses requests into these types. They contain no body and no raw address, and each names its account.

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

/// Facts about an outbound message, from a registration or a status callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUpdate {
    pub sid: MessageSid,
    pub account: AccountSid,
    /// Whether feedback was requested: a registration, or a callback URL with `feedback=1`.
    pub tracked: bool,
    /// Whether a contradiction of the known facts is an error (for the app's requests) or ignored (for callbacks).
    pub strict: bool,
    /// Whether Twilio itself signed it. Only such a request shows which Messaging Service a sender belongs to.
    pub by_twilio: bool,
    pub recipient: Option<Recipient>,
    /// The recipient as a call would name it, if that is another hash.
    pub number: Option<RecipientHash>,
    /// All names of the recipient, if Twilio itself gives several.
    pub names: Option<RecipientNames>,
    pub from: Option<String>,
    pub service: Option<ServiceSid>,
    pub reference: Option<Reference>,
    pub status: Option<Status>,
    /// Twilio's error code.
    pub error_code: Option<u32>,
    /// The HMAC of the code in its text.
    pub code: Option<CodeHmac>,
    /// The click link in its text.
    pub link: Option<LinkId>,
    /// Its creation time, if the request states one.
    pub created_at: Option<Timestamp>,
    /// The arrival of the request.
    pub seen_at: Timestamp,
    pub trace: Option<TraceParent>,
}

/// The identity of a signal: it counts once, whether Twilio or the app delivers it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DedupId {
    Message(MessageSid),
    Call(CallSid),
    /// A `CloudEvent`, by its `id`.
    Event(String),
}

impl DedupId {
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

/// A [`DedupId`] as a store keeps it: an event by the beginning of its id's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DedupKey {
    Message(MessageSid),
    Call(CallSid),
    /// A `CloudEvent`.
    Event(#[serde(with = "crate::domain::hex")] [u8; 16]),
}

/// Evidence, with its identity and other facts of the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    pub source: SignalSource,
    /// The signal counts only if none of these ids was counted before.
    pub dedup_ids: Vec<DedupId>,
    /// The words in it that may be the code of a message.
    pub code: Option<Probe>,
    /// The evidence, or the reason why it proves nothing and is only marked as counted.
    pub evidence: Result<Evidence, Reason>,
    /// All names of the person who acted, if Twilio itself gives several.
    pub names: Option<(AccountSid, RecipientNames)>,
    /// The facts about the message that an app's event names by `MessageSid`.
    pub message_update: Option<MessageUpdate>,
    pub seen_at: Timestamp,
    pub trace: Option<TraceParent>,
}

/// A signed request that cannot be parsed. The error names the field and the expected value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A required field is absent.
    #[error("{field}: missing")]
    Missing { field: &'static str },
    #[error("{field}: {expected}")]
    Field { field: &'static str, expected: String },
    /// A SID is given more than once, with different values.
    #[error("{field}: given more than once, with different values")]
    Ambiguous { field: &'static str },
    /// A SID that is not a message's.
    #[error("{field}: {reason}")]
    NotAMessage {
        field: &'static str,
        /// The kind that it names, and the fix.
        reason: String,
    },
    /// The body is no UTF-8.
    #[error("the body is not valid UTF-8")]
    Encoding,
    /// The body is no JSON object.
    #[error("the body is not a JSON object: {0}")]
    Json(String),
    /// The message belongs to another account. An unsigned request gets the same answer.
    #[error("the request names another account")]
    OtherAccount,
}

impl Malformed {
    /// The field that is at fault, if it is one field.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Missing { field }
            | Self::Field { field, .. }
            | Self::Ambiguous { field }
            | Self::NotAMessage { field, .. } => Some(field),
            Self::Encoding | Self::Json(_) | Self::OtherAccount => None,
        }
    }

    /// The error for a field that should contain a SID.
    pub fn sid(field: &'static str, error: &SidError) -> Self {
        match error {
            SidError::WrongKind { .. } => Self::NotAMessage { field, reason: error.to_string() },
            SidError::Malformed { .. } => Self::Field { field, expected: error.to_string() },
        }
    }
}
