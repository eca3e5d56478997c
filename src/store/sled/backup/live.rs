//! A backup of a store that is open: read in pieces, with what is written meanwhile beside it.

use std::collections::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};

use crate::store::engine::Backend as _;
use crate::store::sled::backup::frame::{End, Entry, FrameWriter, Header};
use crate::store::sled::backup::tee::{TeePiece, Teed, tee};
use crate::store::sled::disk::file_names::FORMAT;
use crate::store::sled::error::Fatal;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::store::SledStore;
use crate::store::sled::writer::Reply;
use crate::store::sled::writer::backend::SledBackend;
use crate::store::{BackupPieces, StoreError};

/// How a backup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPace {
    /// Entries that are read at a time.
    pub piece: usize,
    /// Bytes of what is written meanwhile that may wait for whoever takes the backup.
    pub most: usize,
    /// How long a piece may wait to be taken.
    pub patience: Duration,
}

impl Default for BackupPace {
    fn default() -> Self {
        // About 50 KiB a piece; 8 MiB are seconds of the heaviest traffic, and a small machine has them.
        Self { piece: 256, most: 8 << 20, patience: Duration::from_mins(1) }
    }
}

/// Pieces that may wait for whoever takes the backup; what is written meanwhile waits in the tee.
const READY: usize = 4;

impl SledStore {
    /// Makes a backup of the store as it stands at the end of it, and never holds up anybody. The pieces
    /// make a file; only a file with its end is a backup.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another one is being made, or the store is closed.
    pub async fn backup(self: &Arc<Self>, pace: BackupPace) -> Result<BackupPieces, StoreError> {
        let (to_it, teed) = tee(pace.most);
        let begin =
            |backend: &mut SledBackend| Ok(backend.begin_backup(to_it).map(|()| backend.now()));
        let begun_at = self.submit(begin).await?;
        let (sender, pieces) = channel(READY);
        let (pen, beginning) = FrameWriter::begin(&Header::of(FORMAT, begun_at));
        let maker = Maker { store: Arc::clone(self), teed, pen, sender, pace };
        tokio::spawn(async move {
            let mut maker = maker;
            // Whoever does not take it any more has been told by the end that is missing.
            if let Some(last) = maker.make(beginning).await {
                maker.give(last).await;
            }
        });
        Ok(pieces)
    }
}

struct Maker {
    store: Arc<SledStore>,
    teed: Teed,
    pen: FrameWriter,
    sender: Sender<Vec<u8>>,
    pace: BackupPace,
}

impl Maker {
    /// Everything but the last frame, which it returns; `None` if nobody takes it.
    async fn make(&mut self, beginning: Vec<u8>) -> Option<Vec<u8>> {
        self.give(beginning).await?;
        let mut end = End { scanned: 0, teed: 0, batches: 0, sum: 0 };
        let mut from = Some(Bound::Unbounded);
        loop {
            // What was written goes first: that is what must not pile up.
            let handed = match (self.teed.ready(), from.take()) {
                (Some(handed), scanning) => {
                    from = scanning;
                    Some(handed)
                }
                (None, Some(at)) => {
                    let piece = self.pace.piece;
                    let read = self.store.read(move |reader| scan(reader, at, piece)).await;
                    let entries = match read {
                        Ok(entries) => entries,
                        Err(error) => return Some(self.pen.broken_off(&error.to_string())),
                    };
                    end.scanned += entries.len() as u64;
                    let frame = self.pen.scanned(&entries);
                    self.give(frame).await?;
                    match entries.into_iter().next_back() {
                        Some((last, _)) => from = Some(Bound::Excluded(last)),
                        None => self.ask_for_the_end(),
                    }
                    continue;
                }
                (None, None) => self.teed.next().await,
            };
            match handed {
                Some(TeePiece::Batch(entries)) => {
                    end.teed += 1;
                    let frame = self.pen.batch(&entries);
                    self.give(frame).await?;
                }
                Some(TeePiece::End(seal)) => {
                    end.batches = seal.batches;
                    end.sum = seal.sum;
                    return Some(self.pen.end(&end));
                }
                Some(TeePiece::TooMuch) => {
                    let why = "the store was written to faster than the backup was taken; try \
                               again at a quieter time, or to a faster disk";
                    return Some(self.pen.broken_off(why));
                }
                None => return Some(self.pen.broken_off("the service was stopped")),
            }
        }
    }

    /// Everything was read: the group that is synced next is the last that belongs to this backup.
    fn ask_for_the_end(&self) {
        self.teed.end_with_the_next();
        // Wakes the writer. Where it cannot be asked it is awake, or gone.
        let _ = self.store.send(Box::new(|_| {
            let nobody: Reply = Box::new(|| {});
            Ok(nobody)
        }));
    }

    /// `None` if it is not taken within the time.
    async fn give(&self, frame: Vec<u8>) -> Option<()> {
        let sent = tokio::time::timeout(self.pace.patience, self.sender.send(frame)).await;
        sent.ok()?.ok()
    }
}

/// The next entries in the order of their keys.
fn scan(reader: &StoreReader, from: Bound<Vec<u8>>, limit: usize) -> Result<Vec<Entry>, Fatal> {
    let mut entries = Vec::with_capacity(limit);
    for entry in reader.tree.range((from, Bound::Unbounded)).take(limit) {
        let (key, value) = entry?;
        entries.push((key.to_vec(), Some(value.to_vec())));
    }
    Ok(entries)
}
