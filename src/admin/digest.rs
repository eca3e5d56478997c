//! Counts and keyed checksums of records, to compare two stores.
//!
//! The checksum of a kind is the sum of the tags of its records, so their order does not matter. Without the phone key it
//! reveals nothing about a record.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::transfer::require_same_key;
use crate::domain::address::RecipientHashKey;
use crate::domain::hex::hex;
use crate::domain::matching::{Parked, ParkedKind, Reason};
use crate::store::{ExportRecord, Presence, Store};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindDigest {
    pub records: u64,
    #[serde(with = "crate::domain::hex")]
    checksum: [u8; 16],
}

impl AddAssign for KindDigest {
    fn add_assign(&mut self, more: Self) {
        self.records += more.records;
        let [sum, other] = [self.checksum, more.checksum].map(u128::from_be_bytes);
        self.checksum = sum.wrapping_add(other).to_be_bytes();
    }
}

/// Counts and checksums by kind; messages also by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(BTreeMap<String, KindDigest>);

impl Digest {
    fn add(&mut self, key: &RecipientHashKey, record: &ExportRecord) -> Result<(), AdminError> {
        let text = serde_json::to_vec(&canonical(record))?;
        let found = KindDigest { records: 1, checksum: key.record_tag(&text) };
        *self.0.entry(kind(record)).or_default() += found;
        Ok(())
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, more: Self) {
        for (kind, digest) in more.0 {
            *self.0.entry(kind).or_default() += digest;
        }
    }
}

/// One line for each kind, and one for all.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = KindDigest::default();
        for digest in self.0.values() {
            all += *digest;
        }
        let all = ("all".to_owned(), all);
        for (kind, digest) in self.0.iter().chain([(&all.0, &all.1)]) {
            writeln!(f, "{kind:<21} {:>10}  {}", digest.records, hex(&digest.checksum))?;
        }
        Ok(())
    }
}

fn kind(record: &ExportRecord) -> String {
    match record {
        ExportRecord::Message(message) => return format!("messages {}", message.state.as_str()),
        ExportRecord::Parked(parked) => match parked.kind() {
            ParkedKind::Orphaned => "orphaned",
            ParkedKind::Parked | ParkedKind::Known => "parked",
        },
        ExportRecord::Link { .. } => "click links",
        ExportRecord::DedupKey { .. } => "counted ids",
        ExportRecord::Sender { .. } => "senders",
        ExportRecord::Names { .. } => "names",
        ExportRecord::Automatic { .. } => "automatic repliers",
        ExportRecord::Hold { .. } => "accounts on hold",
    }
    .to_owned()
}

/// A copy of the record without the fields that a move changes: the attempts, the reason why evidence is parked, and codes,
/// which each store removes at its own time.
fn canonical(record: &ExportRecord) -> ExportRecord {
    let mut record = record.clone();
    match &mut record {
        ExportRecord::Message(message) => {
            message.delivery.lease = None;
            message.delivery.due_at = None;
            message.code = None;
            if let Some(held) = &mut message.parked_evidence {
                clear_reason_and_code(held);
            }
        }
        ExportRecord::Parked(parked) => clear_reason_and_code(parked),
        ExportRecord::Link { .. }
        | ExportRecord::DedupKey { .. }
        | ExportRecord::Sender { .. }
        | ExportRecord::Names { .. }
        | ExportRecord::Automatic { .. }
        | ExportRecord::Hold { .. } => {}
    }
    record
}

fn clear_reason_and_code(parked: &mut Parked) {
    parked.reason = Reason::NoMessage;
    parked.code = None;
}

/// One page of a digest of all records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestPage {
    pub digest: Digest,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// The digest of at most `limit` records from `cursor` on.
pub(super) async fn digest(
    store: &dyn Store,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<DigestPage, AdminError> {
    let page = store.records(cursor, limit).await?;
    let mut digest = Digest::default();
    for record in &page.records {
        digest.add(store.recipient_hash_key(), record)?;
    }
    Ok(DigestPage { digest, next: page.next })
}

/// The comparison of records of an export with the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The digest of the records that are not missing, as they are in the export.
    pub digest: Digest,
    /// Records that need no import: their time is over, or they are evidence that was used since.
    pub settled: u64,
    /// Records of the export that an import would add or complete.
    pub missing: u64,
    /// The messages among them.
    pub missing_messages: Vec<String>,
}

impl AddAssign for Comparison {
    fn add_assign(&mut self, more: Self) {
        let Self { digest, settled, missing, missing_messages } = more;
        self.digest += digest;
        self.settled += settled;
        self.missing += missing;
        self.missing_messages.extend(missing_messages);
    }
}

/// Compares records of an export with the store. `key_check` is the check of the key that hashed the recipients in them.
pub(super) async fn compare(
    store: &dyn Store,
    key_check: &str,
    records: Vec<ExportRecord>,
) -> Result<Comparison, AdminError> {
    require_same_key(store, key_check)?;
    let found = store.compare(records.clone()).await?;
    let mut comparison = Comparison::default();
    for (record, presence) in records.iter().zip(found) {
        match presence {
            Presence::Here => {}
            Presence::Settled => comparison.settled += 1,
            Presence::Missing => {
                comparison.missing += 1;
                if let ExportRecord::Message(message) = record {
                    comparison.missing_messages.push(message.sid.to_string());
                }
                continue;
            }
        }
        comparison.digest.add(store.recipient_hash_key(), record)?;
    }
    Ok(comparison)
}
