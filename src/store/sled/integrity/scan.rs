//! The survey: every record is read once at opening, so that damage is found before anybody is
//! answered, and so that counting is cheap from then on.

use ::sled::Tree;

use crate::domain::address::TiedNames;
use crate::domain::click_link::Link;
use crate::domain::matching::Parked;
use crate::domain::message::Message;
use crate::domain::stats::{CountedRecord, MessageStats};
use crate::store::RecordCounts;
use crate::store::sled::index::IndexBuilder;
use crate::store::sled::index::evidence_holders::{EvidenceHolders, held_by};
use crate::store::sled::index::parked::ParkedRows;
use crate::store::sled::index::presence_filter::PresenceFilter;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;
use crate::store::sled::queries::{Paused, read_hold};
use crate::store::sled::record::decode;
use crate::store::sled::writer::engine::{Engine, Fatal};
use crate::store::sled::writer::mutation::tally;

/// What a survey found.
#[derive(Default)]
pub(crate) struct ScanResult {
    pub(crate) counts: RecordCounts,
    /// How many there are that the seal covers.
    pub(crate) entries: u64,
    pub(crate) seal: Seal,
    pub(crate) sparse: PresenceFilter,
    pub(crate) held: EvidenceHolders,
    pub(crate) parked: ParkedRows,
    pub(crate) census: MessageStats,
    pub(crate) paused: Paused,
    /// `None`: only counted.
    pub(crate) places: Option<IndexBuilder>,
    /// Messages whose attempt the process before this one began, and did not end.
    pub(crate) interrupted: Vec<Message>,
}

/// Why the records are not those that were written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LostRecord {
    #[error(transparent)]
    Unreadable(#[from] Fatal),
    #[error("its seal is gone")]
    Unsealed,
    #[error("{missing} writes that were synced are gone from the end of sled's log")]
    CutShort { missing: u64 },
    #[error("the records are not all there, or not as they were written")]
    Incomplete,
}

impl From<::sled::Error> for LostRecord {
    fn from(error: ::sled::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

impl ScanResult {
    /// Counts one entry.
    pub(crate) fn add_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fatal> {
        match key.first() {
            Some(&keys::OWN) => return Ok(()),
            Some(&keys::MESSAGE) => {
                let message: Message = decode(value)?;
                tally(&mut self.counts, None, Some(message.state));
                self.census.insert(&CountedRecord::of_message(&message));
                if let Some(places) = &mut self.places {
                    places.add_message(&message);
                }
                held_by(&message).inspect(|entry| self.held.insert(*entry));
                if message.delivery.lease.is_some() {
                    self.interrupted.push(message);
                }
            }
            Some(&keys::PAUSED) => {
                let (account, since) = read_hold(key, value)?;
                self.paused.insert(account, since);
            }
            Some(&keys::LINK) => {
                let _: Link = decode(value)?;
                self.counts.links += 1;
            }
            Some(&keys::NAMES) => {
                let _: TiedNames = decode(value)?;
            }
            Some(&keys::PARKED) => {
                let parked: Parked = decode(value)?;
                let counts = &mut self.counts;
                counts.orphaned += u64::from(parked.orphaned);
                counts.parked += u64::from(parked.is_waiting());
                if !parked.orphaned {
                    self.parked.insert(parked.evidence.account);
                }
                if parked.orphaned || parked.is_waiting() {
                    self.census.insert(&CountedRecord::of_parked(&parked));
                }
            }
            Some(_) | None => {}
        }
        self.entries += 1;
        self.seal.insert(key, value);
        keys::scanned(key).inspect(|prefix| self.sparse.insert(prefix));
        Ok(())
    }
}

/// Reads every entry. `noted` is the number of batches that is known to have been synced; the index is built
/// in `places`, if it is needed.
pub(crate) fn survey(
    tree: &Tree,
    noted: Option<u64>,
    places: Option<IndexBuilder>,
) -> Result<ScanResult, LostRecord> {
    let sealed = tree.get(keys::SEAL)?.and_then(|bytes| Seal::from_bytes(&bytes));
    let sealed = sealed.ok_or(LostRecord::Unsealed)?;
    let missing = noted.unwrap_or_default().saturating_sub(sealed.batches);
    if missing > 0 {
        return Err(LostRecord::CutShort { missing });
    }
    let seal = Seal::of(sealed.batches);
    let mut found = ScanResult { seal, places, ..ScanResult::default() };
    for entry in tree {
        let (key, value) = entry?;
        found.add_entry(&key, &value)?;
    }
    if found.seal != sealed {
        return Err(LostRecord::Incomplete);
    }
    Ok(found)
}

impl Engine {
    /// Makes due at once what the process before this one had begun to report: it has ended, and
    /// its attempts with it.
    pub(crate) fn take_back(&mut self, interrupted: Vec<Message>) -> Result<(), Fatal> {
        let now = self.now();
        for before in interrupted {
            let mut message = before.clone();
            message.delivery.lease = None;
            message.delivery.due_at = Some(now);
            self.rewrite(&before, &message)?;
        }
        if self.written > 0 {
            self.write()?;
        }
        Ok(())
    }
}
