//! The records of export and import, independent of the backend.
//!
//! An export contains recipients as keyed hashes, so both stores must have the same key. It contains no index, count or
//! seal: the importing store builds its own.

use std::ops::AddAssign;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::{RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{AutomaticSpan, Parked};
use crate::domain::message::{Message, State};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::DedupKey;

/// The limit of the text in a record, in bytes. The longest texts are a link's target and reference, or Twilio's error
/// messages of two answers, and are shorter. A backend may rely on it.
const MAX_TEXT: usize = 3072;
/// The limit of a sender, in bytes.
const MAX_SENDER: usize = 256;

/// A record of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExportRecord {
    /// A message, without an attempt under way: only the store that began the attempt can end it.
    Message(Box<Message>),
    /// Parked or orphaned evidence.
    Parked(Box<Parked>),
    Link {
        id: LinkId,
        #[serde(flatten)]
        link: Link,
    },
    /// The deduplication key of a counted message, call or event.
    #[serde(rename = "counted")]
    DedupKey {
        once: DedupKey,
        #[serde(with = "crate::domain::timestamp_serde")]
        at: Timestamp,
    },
    /// A sender of an account, and the Messaging Service that it belongs to.
    Sender {
        account: AccountSid,
        /// The sender, in Twilio's notation.
        address: String,
        service: ServiceSid,
    },
    /// Tied names of one person.
    Names {
        account: AccountSid,
        #[serde(flatten)]
        tied: RecipientAliases,
    },
    /// A person whose texts are automatic.
    Automatic {
        person: RecipientHash,
        /// The time span of the automatic texts.
        #[serde(flatten)]
        automatic: AutomaticSpan,
    },
    /// An account on hold.
    Hold {
        account: AccountSid,
        #[serde(with = "crate::domain::timestamp_serde")]
        since: Timestamp,
    },
}

impl ExportRecord {
    /// The reason why no store can have made the record. `None`: a store may have made it.
    pub fn flaw(&self) -> Option<&'static str> {
        if self.text() > MAX_TEXT {
            return Some("its text is longer than that of any record of a store");
        }
        match self {
            Self::Message(message) => match message.state {
                State::Confirmed | State::Reported | State::Refused => message
                    .proof
                    .is_none()
                    .then_some("a message is confirmed, and nothing is said to prove it"),
                State::Untracked | State::Pending | State::Expired | State::Undelivered => None,
            },
            Self::Sender { address, .. } => (address.is_empty() || address.len() > MAX_SENDER)
                .then_some("a sender has 1 to 256 bytes"),
            Self::Names { tied, .. } => (!tied.names.is_sound())
                .then_some("a person has 2 to 9 names, one of them a user id"),
            Self::Parked(_)
            | Self::Link { .. }
            | Self::DedupKey { .. }
            | Self::Automatic { .. }
            | Self::Hold { .. } => None,
        }
    }

    /// The length of the text in the record, in bytes. Parsing limits the other texts already.
    fn text(&self) -> usize {
        match self {
            Self::Message(message) => {
                let texts = [
                    message.from.as_ref(),
                    message.proof.as_ref().map(|proof| &proof.label),
                    message.refusal.as_ref().map(|refusal| &refusal.message),
                    message.last_attempt.as_ref().map(|attempt| &attempt.message),
                ];
                texts.into_iter().flatten().map(String::len).sum()
            }
            Self::Parked(parked) => {
                let sender = parked.evidence.target.sender();
                let sender = sender.and_then(|sender| sender.address.as_ref());
                parked.evidence.label.len() + sender.map_or(0, String::len)
            }
            Self::Sender { address, .. } => address.len(),
            Self::Link { .. }
            | Self::DedupKey { .. }
            | Self::Names { .. }
            | Self::Automatic { .. }
            | Self::Hold { .. } => 0,
        }
    }
}

/// One page of [`Store::records`](crate::store::Store::records).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    pub records: Vec<ExportRecord>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// The outcome of [`Store::import`](crate::store::Store::import).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOutcome {
    /// Records that the store did not have.
    pub added: u64,
    /// The store's records that lacked facts of the export, or were in an earlier state.
    pub updated: u64,
    /// Records that equal the store's.
    pub skipped: u64,
    /// The store's records that differ from the export, and to which the export adds nothing. They do not change.
    pub kept: u64,
    /// The messages among the kept records.
    pub kept_messages: Vec<MessageSid>,
    /// Messages of the store that the export confirmed.
    pub confirmed: Vec<(MessageSid, AccountSid)>,
    /// Accounts that the export put on hold.
    pub holds: Vec<AccountSid>,
}

impl AddAssign for ImportOutcome {
    fn add_assign(&mut self, more: Self) {
        let Self { added, updated, skipped, kept, kept_messages, confirmed, holds } = more;
        self.added += added;
        self.updated += updated;
        self.skipped += skipped;
        self.kept += kept;
        self.kept_messages.extend(kept_messages);
        self.confirmed.extend(confirmed);
        self.holds.extend(holds);
    }
}

/// Whether a store has a record of an export. The outcome of [`Store::compare`](crate::store::Store::compare).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// All its facts are here, and its state is as far along.
    Here,
    /// It is not here, and needs no import: its time is over, or it is evidence that was used since.
    Settled,
    /// An import would add it, or facts of it.
    Missing,
}

/// One step of [`Store::reconsider`](crate::store::Store::reconsider).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconsidered {
    /// Messages that the step confirmed.
    pub confirmed: Vec<(MessageSid, AccountSid)>,
    /// Where the next step starts; `None` at the end.
    pub next: Option<Vec<u8>>,
}
