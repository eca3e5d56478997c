//! Reading a backup's file: first to its end, which shows that it is whole, and then once more for what
//! the store held. What was written while it was made is kept in memory for that; the rest is not.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek};

use crate::store::sled::backup::error::BackupError;
use crate::store::sled::backup::frame::{BackupFrame, End, Frames, Header};

use crate::store::RecordCounts;
use crate::store::sled::error::Fatal;
use crate::store::sled::integrity::scan::ScanResult;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;

/// What a store holds, or a backup of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContents {
    pub format: u32,
    /// Records of each kind.
    pub counts: RecordCounts,
    /// Entries, index entries included.
    pub entries: u64,
    /// Batches written since the store was made.
    pub batches: u64,
    /// Whether the key that hashes recipients lies in it, and not in `HEARDBACK_PHONE_KEY`.
    pub has_person_key: bool,
    /// Of a backup: when and by which release.
    pub header: Option<Header>,
}

/// Reads a whole backup, and finds out whether it is sound.
///
/// # Errors
/// [`BackupError`].
pub fn contents(file: impl Read + Seek) -> Result<BackupContents, BackupError> {
    let mut whole = Whole::read(file)?;
    let mut tally = EntryCounts::default();
    whole.entries(|key, value| tally.add_entry(&key, &value))?;
    tally.contents(&whole)
}

/// A backup that has its end.
pub(super) struct Whole<F> {
    file: F,
    pub(super) header: Header,
    pub(super) end: End,
    /// What was written while it was made, as it stood at the end; `None`: gone.
    written: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<F: Read + Seek> Whole<F> {
    pub(super) fn read(mut file: F) -> Result<Self, BackupError> {
        file.rewind().map_err(BackupError::Read)?;
        let mut frames = Frames::begin(BufReader::new(&mut file))?;
        let mut written = BTreeMap::new();
        let (mut scanned, mut teed) = (0, 0);
        let end = loop {
            match frames.next()? {
                BackupFrame::Scanned(entries) => scanned += entries.len() as u64,
                BackupFrame::Batch(entries) => {
                    teed += 1;
                    written.extend(entries);
                }
                BackupFrame::End(end) => break end,
                BackupFrame::BrokenOff(why) => return Err(BackupError::BrokenOff { why }),
            }
        };
        if (scanned, teed) != (end.scanned, end.teed) {
            let what = format!("{scanned} entries and {teed} batches were to be more");
            return Err(BackupError::Incomplete { what });
        }
        let header = frames.header.clone();
        Ok(Self { file, header, end, written })
    }

    /// Every entry that the store held.
    pub(super) fn entries<E: From<BackupError>>(
        &mut self,
        mut visit: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.rewind().map_err(BackupError::Read)?;
        let mut frames = Frames::begin(BufReader::new(&mut self.file))?;
        loop {
            match frames.next()? {
                BackupFrame::Scanned(entries) => {
                    for (key, value) in entries {
                        if let (Some(value), false) = (value, self.written.contains_key(&key)) {
                            visit(key, value)?;
                        }
                    }
                }
                BackupFrame::Batch(_) => {}
                BackupFrame::End(_) => break,
                BackupFrame::BrokenOff(why) => return Err(BackupError::BrokenOff { why }.into()),
            }
        }
        for (key, value) in &self.written {
            if let Some(value) = value {
                visit(key.clone(), value.clone())?;
            }
        }
        Ok(())
    }

    /// What the entries came to.
    pub(super) fn seal(&self) -> Seal {
        Seal { sum: self.end.sum, ..Seal::of(self.end.batches) }
    }
}

/// Counts entries as they come.
#[derive(Default)]
pub(super) struct EntryCounts {
    surveyed: ScanResult,
    has_person_key: bool,
    sealed: Option<Seal>,
}

impl EntryCounts {
    pub(super) fn add_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
        if key == keys::SEAL {
            self.sealed = Seal::from_bytes(value);
        }
        self.has_person_key |= key == keys::PERSON_KEY;
        let unreadable = |error: Fatal| BackupError::Incomplete { what: error.to_string() };
        self.surveyed.add_entry(key, value).map_err(unreadable)
    }

    /// What it all came to, if that is what the store said.
    pub(super) fn contents<F: Read + Seek>(
        self,
        of: &Whole<F>,
    ) -> Result<BackupContents, BackupError> {
        let ScanResult { counts, entries, seal, .. } = self.surveyed;
        let found = Seal { sum: seal.sum, ..Seal::of(of.end.batches) };
        if found != of.seal() {
            let what = "they do not come to what its end says".to_owned();
            return Err(BackupError::Incomplete { what });
        }
        if self.sealed != Some(of.seal()) {
            let what = "they do not come to what the store's own seal says".to_owned();
            return Err(BackupError::Incomplete { what });
        }
        Ok(BackupContents {
            format: of.header.format,
            counts,
            entries,
            batches: of.end.batches,
            has_person_key: self.has_person_key,
            header: Some(of.header.clone()),
        })
    }
}
