//! The keys of rows as text and numbers: for columns, for advisory locks, and for pages of a list.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::domain::address::NameKind;
use crate::domain::hex::hex;
use crate::domain::matching::{Parked, WaitsFor};
use crate::domain::message::Message;
use crate::domain::signal::DedupKey;
use crate::store::engine::RecipientKey;

/// The key of parked evidence. It does not change when the evidence becomes orphaned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ParkedKey {
    pub(super) waits_for: WaitsFor,
    pub(super) parked_at: Timestamp,
    /// The first bytes of a digest of the evidence, which distinguish evidence of the same millisecond.
    pub(super) digest: [u8; 8],
}

impl ParkedKey {
    /// A key that is not after any key of this evidence.
    pub(super) fn first(waits_for: &WaitsFor) -> Self {
        Self { waits_for: waits_for.clone(), parked_at: Timestamp::MIN, digest: [0; 8] }
    }

    pub(super) fn of(parked: &Parked) -> Self {
        let evidence = serde_json::to_vec(&parked.evidence).unwrap_or_default();
        Self {
            waits_for: WaitsFor::of(&parked.evidence),
            parked_at: parked.parked_at,
            digest: Sha256::digest(evidence).first_chunk().copied().unwrap_or_default(),
        }
    }
}

/// The text of a key that evidence is parked under.
pub(super) fn waits_for(key: &WaitsFor) -> String {
    match key {
        WaitsFor::Message(sid) => format!("message:{sid}"),
        WaitsFor::Reference(account, reference) => {
            format!("reference:{account}:{}", reference.as_str())
        }
        WaitsFor::Person(person) => format!("person:{}", hex(person.as_bytes())),
        WaitsFor::Link(id) => format!("link:{}", hex(id.as_bytes())),
    }
}

/// The text of a deduplication key.
pub(super) fn dedup(key: &DedupKey) -> String {
    match key {
        DedupKey::Message(sid) => sid.to_string(),
        DedupKey::Call(sid) => sid.to_string(),
        DedupKey::Event(digest) => format!("event:{}", hex(digest)),
    }
}

/// The number of a kind of names, for messages that bear one WhatsApp name only.
pub(super) fn untied(message: &Message) -> Option<i16> {
    let recipient = message.recipient.filter(|_| message.alias.is_none())?;
    kind_number(recipient.kind)
}

pub(super) fn kind_number(kind: NameKind) -> Option<i16> {
    match kind {
        NameKind::Other => None,
        NameKind::WhatsappNumber => Some(1),
        NameKind::WhatsappId => Some(2),
    }
}

/// Whether a message belongs to a group.
pub(super) fn belongs(message: &Message, group: RecipientKey) -> bool {
    match group {
        RecipientKey::Person(person) => message.is_to(person),
        RecipientKey::Untied(account, kind) => {
            message.account == account
                && untied(message).is_some_and(|number| Some(number) == kind_number(kind))
        }
    }
}

/// The number of an advisory lock.
pub(super) fn lock(text: &str) -> i64 {
    let digest = Sha256::digest(text);
    i64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default())
}
