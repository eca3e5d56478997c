//! A backup of an open store. The store is read in pieces, and batches that are written meanwhile go into the same
//! file. Deliberately absent: any wait of the store's writer for the backup's client.

use std::collections::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};

use crate::store::engine::Backend as _;
use crate::store::sled::backup::frame::{End, Entry, FrameWriter, Header};
use crate::store::sled::backup::tee::{TeePiece, TeeReceiver, tee};
use crate::store::sled::disk::file_names::FORMAT;
use crate::store::sled::error::Fatal;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::store::SledStore;
use crate::store::sled::writer::Reply;
use crate::store::sled::writer::backend::SledBackend;
use crate::store::{BackupPieces, StoreError};

/// The limits of a backup of an open store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPace {
    /// The number of entries that are read at a time.
    pub piece: usize,
    /// The most bytes of new batches that may wait for the client.
    pub most: usize,
    /// The longest time that a piece may wait for the client.
    pub patience: Duration,
}

impl Default for BackupPace {
    fn default() -> Self {
        // A piece has about 50 KiB. 8 MiB hold seconds of the heaviest traffic, and fit into a small machine's memory.
        Self { piece: 256, most: 8 << 20, patience: Duration::from_mins(1) }
    }
}

/// The most pieces that may wait for the client. New batches wait in the tee.
const MAX_QUEUED_PIECES: usize = 4;

impl SledStore {
    /// Backs up the store as it is at the end of the backup, and delays no other caller. The pieces form a file; only a
    /// file with an end frame is a backup.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another backup is being made, or the store is closed.
    pub async fn backup(self: &Arc<Self>, pace: BackupPace) -> Result<BackupPieces, StoreError> {
        let (tee, tee_receiver) = tee(pace.most);
        let begin =
            |backend: &mut SledBackend| Ok(backend.begin_backup(tee).map(|()| backend.now()));
        let begun_at = self.submit(begin).await?;
        let (sender, pieces) = channel(MAX_QUEUED_PIECES);
        let (writer, beginning) = FrameWriter::begin(&Header::of(FORMAT, begun_at));
        let backup = LiveBackup { store: Arc::clone(self), tee_receiver, writer, sender, pace };
        tokio::spawn(async move {
            let mut backup = backup;
            // After a failed send the file has no end frame, so the client knows that it is incomplete.
            if let Some(last) = backup.run(beginning).await {
                backup.send(last).await;
            }
        });
        Ok(pieces)
    }
}

struct LiveBackup {
    store: Arc<SledStore>,
    tee_receiver: TeeReceiver,
    writer: FrameWriter,
    sender: Sender<Vec<u8>>,
    pace: BackupPace,
}

impl LiveBackup {
    /// Sends every frame but the last, and returns the last. `None`: the client is too slow or disconnected.
    async fn run(&mut self, beginning: Vec<u8>) -> Option<Vec<u8>> {
        self.send(beginning).await?;
        let mut end = End { scanned: 0, teed: 0, batches: 0, sum: 0 };
        let mut from = Some(Bound::Unbounded);
        loop {
            // New batches go first, because they must not pile up.
            let piece = match (self.tee_receiver.try_next(), from.take()) {
                (Some(piece), scanning) => {
                    from = scanning;
                    Some(piece)
                }
                (None, Some(at)) => {
                    let piece = self.pace.piece;
                    let read = self.store.read(move |reader| scan(reader, at, piece)).await;
                    let entries = match read {
                        Ok(entries) => entries,
                        Err(error) => return Some(self.writer.broken_off(&error.to_string())),
                    };
                    end.scanned += entries.len() as u64;
                    let frame = self.writer.scanned(&entries);
                    self.send(frame).await?;
                    match entries.into_iter().next_back() {
                        Some((last, _)) => from = Some(Bound::Excluded(last)),
                        None => self.request_end(),
                    }
                    continue;
                }
                (None, None) => self.tee_receiver.next().await,
            };
            match piece {
                Some(TeePiece::Batch(entries)) => {
                    end.teed += 1;
                    let frame = self.writer.batch(&entries);
                    self.send(frame).await?;
                }
                Some(TeePiece::End(seal)) => {
                    end.batches = seal.batches;
                    end.sum = seal.sum;
                    return Some(self.writer.end(&end));
                }
                Some(TeePiece::Overflow) => {
                    let why = "the store was written faster than the backup was received; try \
                               again at a quieter time, or to a faster disk";
                    return Some(self.writer.broken_off(why));
                }
                None => return Some(self.writer.broken_off("the service stopped")),
            }
        }
    }

    /// Requests the end after every entry was read: the next synced group is the last of this backup.
    fn request_end(&self) {
        self.tee_receiver.end_with_next_group();
        // An empty command wakes the writer. If it cannot be sent, the writer is awake or has ended.
        let _ = self.store.send(Box::new(|_| {
            let no_reply: Reply = Box::new(|| {});
            Ok(no_reply)
        }));
    }

    /// `None`: the client did not receive the frame in time, or is disconnected.
    async fn send(&self, frame: Vec<u8>) -> Option<()> {
        let sent = tokio::time::timeout(self.pace.patience, self.sender.send(frame)).await;
        sent.ok()?.ok()
    }
}

/// Reads the next entries in the order of their keys.
fn scan(reader: &StoreReader, from: Bound<Vec<u8>>, limit: usize) -> Result<Vec<Entry>, Fatal> {
    let mut entries = Vec::with_capacity(limit);
    for entry in reader.tree.range((from, Bound::Unbounded)).take(limit) {
        let (key, value) = entry?;
        entries.push((key.to_vec(), Some(value.to_vec())));
    }
    Ok(entries)
}
