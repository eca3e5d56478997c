//! A backup of an open store. The store is read in chunks of entries. Batches that the store writes meanwhile go into the
//! same file through the tee. Deliberately absent: a wait of the store's writer for the backup's client.

use std::collections::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};

use crate::store::engine::Backend as _;
use crate::store::sled::backup::frame::{End, Entry, FrameWriter, Header};
use crate::store::sled::backup::tee::{TeeItem, TeeReceiver, tee};
use crate::store::sled::disk::file_names::FORMAT;
use crate::store::sled::error::Fatal;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::reader::StoreReader;
use crate::store::sled::store::SledStore;
use crate::store::sled::writer::Reply;
use crate::store::sled::writer::backend::SledBackend;
use crate::store::{BackupFrames, StoreError};

/// The limits of a backup of an open store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupLimits {
    pub entries_per_chunk: usize,
    /// The most bytes of new batches that may be queued for the client.
    pub max_pending_bytes: usize,
    /// The longest time that the client may take to accept a frame.
    pub send_timeout: Duration,
}

impl Default for BackupLimits {
    fn default() -> Self {
        // A chunk has about 50 KiB. 8 MiB hold seconds of the heaviest traffic, and fit into a small machine's memory.
        Self {
            entries_per_chunk: 256,
            max_pending_bytes: 8 << 20,
            send_timeout: Duration::from_mins(1),
        }
    }
}

/// The most frames that may be queued for the client. New batches are queued in the tee.
const MAX_QUEUED_FRAMES: usize = 4;

impl SledStore {
    /// Backs up the store as it is at the end of the backup, and delays no other caller. The frames form a file, which is a
    /// backup only if it ends with an end frame.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if another backup is being made, or the store is closed.
    pub async fn backup(
        self: &Arc<Self>,
        limits: BackupLimits,
    ) -> Result<BackupFrames, StoreError> {
        let (tee, tee_receiver) = tee(limits.max_pending_bytes);
        let begin =
            |backend: &mut SledBackend| Ok(backend.begin_backup(tee).map(|()| backend.now()));
        let begun_at = self.submit(begin).await?;
        let (sender, frames) = channel(MAX_QUEUED_FRAMES);
        let (writer, beginning) = FrameWriter::begin(&Header::of(FORMAT, begun_at));
        let mut backup =
            LiveBackup { store: Arc::clone(self), tee_receiver, writer, sender, limits };
        tokio::spawn(async move {
            // After a failed send the file has no end frame, so the client knows that it is incomplete.
            if let Some(last) = backup.run(beginning).await {
                backup.send(last).await;
            }
        });
        Ok(frames)
    }
}

struct LiveBackup {
    store: Arc<SledStore>,
    tee_receiver: TeeReceiver,
    writer: FrameWriter,
    sender: Sender<Vec<u8>>,
    limits: BackupLimits,
}

impl LiveBackup {
    /// Sends every frame but the last, and returns the last. `None`: the client is too slow or disconnected.
    async fn run(&mut self, beginning: Vec<u8>) -> Option<Vec<u8>> {
        self.send(beginning).await?;
        let mut end = End::default();
        let mut next_chunk = Some(Bound::Unbounded);
        loop {
            // New batches go first, because they must not pile up.
            let item = match (self.tee_receiver.try_next(), next_chunk.take()) {
                (Some(item), chunk) => {
                    next_chunk = chunk;
                    Some(item)
                }
                (None, Some(from)) => {
                    let limit = self.limits.entries_per_chunk;
                    let read = self.store.read(move |reader| scan(reader, from, limit)).await;
                    let entries = match read {
                        Ok(entries) => entries,
                        Err(error) => return Some(self.writer.abort(&error.to_string())),
                    };
                    end.scanned += entries.len() as u64;
                    let frame = self.writer.scanned(&entries);
                    self.send(frame).await?;
                    match entries.into_iter().next_back() {
                        Some((last, _)) => next_chunk = Some(Bound::Excluded(last)),
                        None => self.request_end(),
                    }
                    continue;
                }
                (None, None) => self.tee_receiver.next().await,
            };
            match item {
                Some(TeeItem::Batch(entries)) => {
                    end.teed += 1;
                    let frame = self.writer.batch(&entries);
                    self.send(frame).await?;
                }
                Some(TeeItem::End(Seal { batches, sum })) => {
                    return Some(self.writer.end(&End { batches, sum, ..end }));
                }
                Some(TeeItem::Overflow) => {
                    let reason = "the store was written faster than the backup was received; try \
                                  again at a quieter time, or to a faster disk";
                    return Some(self.writer.abort(reason));
                }
                None => {
                    let reason = "the service stopped before the backup ended; start it and back \
                                  up again";
                    return Some(self.writer.abort(reason));
                }
            }
        }
    }

    /// Requests the end, once every entry is read: the group that is synced next is the last of this backup.
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
        let sent = tokio::time::timeout(self.limits.send_timeout, self.sender.send(frame)).await;
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
