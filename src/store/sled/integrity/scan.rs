//! Reads every record when a store opens, so that damage is found before the first answer, and builds all state in memory.

use std::collections::BTreeMap;

use ::sled::Tree;
use jiff::Timestamp;

use crate::domain::message::Message;
use crate::domain::sid::AccountSid;
use crate::domain::stats::{CountedRecord, MessageStats};
use crate::store::RecordCounts;
use crate::store::engine::{Mutation, ParkedRows, StoredRow};
use crate::store::sled::error::Fatal;
use crate::store::sled::index::IndexBuilder;
use crate::store::sled::index::evidence_holders::{EvidenceHolders, held_by};
use crate::store::sled::index::presence_filter::PresenceFilter;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;
use crate::store::sled::rows::read_row;

/// The state that follows from the records of a store.
#[derive(Default)]
pub(crate) struct ScanResult {
    pub(crate) counts: RecordCounts,
    /// The number of entries that the seal covers.
    pub(crate) entries: u64,
    pub(crate) seal: Seal,
    pub(crate) presence: PresenceFilter,
    pub(crate) holders: EvidenceHolders,
    pub(crate) parked: ParkedRows,
    pub(crate) stats: MessageStats,
    pub(crate) holds: BTreeMap<AccountSid, Timestamp>,
    /// `None`: the scan builds no index.
    pub(crate) index: Option<IndexBuilder>,
    /// Messages with an attempt that the previous process began and did not end.
    pub(crate) interrupted: Vec<Message>,
}

/// Why the records differ from those that were written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LostRecord {
    #[error(transparent)]
    Unreadable(#[from] Fatal),
    #[error("the seal is missing")]
    Unsealed,
    #[error("{missing} synced batches are gone from the end of sled's log")]
    CutShort { missing: u64 },
    #[error("the records do not match the seal: they are not all there, or changed")]
    Incomplete,
}

impl From<::sled::Error> for LostRecord {
    fn from(error: ::sled::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

impl ScanResult {
    pub(crate) fn add_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fatal> {
        if key.first() == Some(&keys::META_PREFIX) {
            return Ok(());
        }
        if let Some(row) = read_row(key, value)? {
            self.add_row(row);
        }
        self.entries += 1;
        self.seal.insert(key, value);
        keys::scan_prefix(key).inspect(|prefix| self.presence.insert(prefix));
        Ok(())
    }

    fn add_row(&mut self, row: StoredRow) {
        let mut mutation = Mutation::default();
        match row {
            // Most rows are messages, so they are counted without a mutation.
            StoredRow::Message(message) => {
                self.counts.move_message(None, Some(message.state));
                self.stats.insert(&CountedRecord::of_message(&message));
                if let Some(index) = &mut self.index {
                    index.add_message(&message);
                }
                held_by(&message).inspect(|entry| self.holders.insert(*entry));
                if message.delivery.lease.is_some() {
                    self.interrupted.push(*message);
                }
            }
            StoredRow::Parked(parked) => {
                if !parked.orphaned {
                    self.parked.insert(parked.evidence.account);
                }
                mutation.parked.push((None, Some(*parked)));
            }
            StoredRow::Link(id, link) => mutation.links.push((id, (None, Some(link)))),
            StoredRow::Hold(account, since) => {
                self.holds.insert(account, since);
            }
            StoredRow::Counted(..)
            | StoredRow::Sender(..)
            | StoredRow::Names(..)
            | StoredRow::Automatic(..) => {}
        }
        mutation.count(&mut self.counts);
        mutation.count_stats(&mut self.stats);
    }
}

/// Reads every entry of the store. `synced_batches`: the number in the seal's file, if it is known.
pub(crate) fn scan_records(
    tree: &Tree,
    synced_batches: Option<u64>,
    index: Option<IndexBuilder>,
) -> Result<ScanResult, LostRecord> {
    let sealed = tree.get(keys::SEAL)?.and_then(|bytes| Seal::from_bytes(&bytes));
    let sealed = sealed.ok_or(LostRecord::Unsealed)?;
    let missing = synced_batches.unwrap_or_default().saturating_sub(sealed.batches);
    if missing > 0 {
        return Err(LostRecord::CutShort { missing });
    }
    let seal = Seal::of(sealed.batches);
    let mut found = ScanResult { seal, index, ..ScanResult::default() };
    for entry in tree {
        let (key, value) = entry?;
        found.add_entry(&key, &value)?;
    }
    if found.seal != sealed {
        return Err(LostRecord::Incomplete);
    }
    Ok(found)
}
