//! Reads a backup's file twice: first to its end, which proves that it is complete, then for its entries. Only the
//! batches are kept in memory.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek};

use crate::store::RecordCounts;
use crate::store::sled::backup::error::BackupError;
use crate::store::sled::backup::frame::{BackupFrame, End, FrameReader, Header};
use crate::store::sled::error::Fatal;
use crate::store::sled::integrity::scan::ScanResult;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;

/// The contents of a store or of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContents {
    pub format: u32,
    /// The number of records of each kind.
    pub counts: RecordCounts,
    /// The number of entries, those of indexes included.
    pub entries: u64,
    /// Batches written since the store was created.
    pub batches: u64,
    /// Whether the recipient hash key is in the store, and not in `HEARDBACK_PHONE_KEY`.
    pub has_recipient_hash_key: bool,
    /// The header of a backup. `None`: the contents are a store's.
    pub header: Option<Header>,
}

/// Reads a whole backup and checks it.
///
/// # Errors
/// [`BackupError`].
pub fn contents(file: impl Read + Seek) -> Result<BackupContents, BackupError> {
    let mut backup = CompleteBackup::read(file)?;
    let mut counts = EntryCounts::default();
    backup.entries(|key, value| counts.add_entry(&key, &value))?;
    counts.into_contents(&backup)
}

/// A backup with an end frame.
pub(super) struct CompleteBackup<F> {
    file: F,
    pub(super) header: Header,
    pub(super) end: End,
    /// The entries of the batches as of the end of the backup. `None`: a batch removed the key.
    written: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<F: Read + Seek> CompleteBackup<F> {
    pub(super) fn read(mut file: F) -> Result<Self, BackupError> {
        file.rewind().map_err(BackupError::Read)?;
        let mut reader = FrameReader::begin(BufReader::new(&mut file))?;
        let mut written = BTreeMap::new();
        let (mut scanned, mut teed) = (0, 0);
        let end = loop {
            match reader.next()? {
                BackupFrame::Scanned(entries) => scanned += entries.len() as u64,
                BackupFrame::Batch(entries) => {
                    teed += 1;
                    written.extend(entries);
                }
                BackupFrame::End(end) => break end,
                BackupFrame::Aborted(why) => return Err(BackupError::Aborted { why }),
            }
        };
        if (scanned, teed) != (end.scanned, end.teed) {
            let what = format!(
                "it has {scanned} entries and {teed} batches, and its end frame counts {} and {}",
                end.scanned, end.teed
            );
            return Err(BackupError::Incomplete { what });
        }
        let header = reader.header.clone();
        Ok(Self { file, header, end, written })
    }

    /// Calls `visit` for each entry of the store at the end of the backup.
    pub(super) fn entries<E: From<BackupError>>(
        &mut self,
        mut visit: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.rewind().map_err(BackupError::Read)?;
        let mut reader = FrameReader::begin(BufReader::new(&mut self.file))?;
        loop {
            match reader.next()? {
                BackupFrame::Scanned(entries) => {
                    for (key, value) in entries {
                        if let (Some(value), false) = (value, self.written.contains_key(&key)) {
                            visit(key, value)?;
                        }
                    }
                }
                BackupFrame::Batch(_) => {}
                BackupFrame::End(_) => break,
                BackupFrame::Aborted(why) => return Err(BackupError::Aborted { why }.into()),
            }
        }
        for (key, value) in &self.written {
            if let Some(value) = value {
                visit(key.clone(), value.clone())?;
            }
        }
        Ok(())
    }

    /// The store's seal at the end of the backup.
    pub(super) fn seal(&self) -> Seal {
        Seal { sum: self.end.sum, ..Seal::of(self.end.batches) }
    }
}

/// Counts entries and sums their seal.
#[derive(Default)]
pub(super) struct EntryCounts {
    scan: ScanResult,
    has_recipient_hash_key: bool,
    sealed: Option<Seal>,
}

impl EntryCounts {
    pub(super) fn add_entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
        if key == keys::SEAL {
            self.sealed = Seal::from_bytes(value);
        }
        self.has_recipient_hash_key |= key == keys::RECIPIENT_HASH_KEY;
        let unreadable = |error: Fatal| BackupError::Incomplete { what: error.to_string() };
        self.scan.add_entry(key, value).map_err(unreadable)
    }

    /// Returns the contents if the entries match the seal of the end frame and the store's own seal.
    pub(super) fn into_contents<F: Read + Seek>(
        self,
        backup: &CompleteBackup<F>,
    ) -> Result<BackupContents, BackupError> {
        let ScanResult { counts, entries, seal, .. } = self.scan;
        let found = Seal { sum: seal.sum, ..Seal::of(backup.end.batches) };
        if found != backup.seal() {
            let what = "their seal differs from the seal of its end frame".to_owned();
            return Err(BackupError::Incomplete { what });
        }
        if self.sealed != Some(backup.seal()) {
            let what = "their seal differs from the store's own seal".to_owned();
            return Err(BackupError::Incomplete { what });
        }
        Ok(BackupContents {
            format: backup.header.format,
            counts,
            entries,
            batches: backup.end.batches,
            has_recipient_hash_key: self.has_recipient_hash_key,
            header: Some(backup.header.clone()),
        })
    }
}
