//! The tee: during a backup, each batch that becomes durable is also sent to the backup.
//!
//! The queue's bytes are bounded, so a client that is slower than the store's traffic gets no backup. Deliberately
//! absent: a wait of the writer, which sends a batch at once or ends the backup.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::store::sled::backup::frame::write_entry;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::writer::overlay::Overlay;

/// A message of the writer to the backup.
#[derive(Debug)]
pub(super) enum TeeItem {
    /// The entries of a durable batch, encoded as in a frame.
    Batch(Vec<u8>),
    /// The backup's last batch was sent. The seal of all entries at this time.
    End(Seal),
    /// Too many bytes waited. No further item follows.
    Overflow,
}

pub(crate) struct Tee {
    /// The encoded batch until it is durable.
    unsynced: Option<Vec<u8>>,
    /// Whether the backup ends with the next group that is synced.
    ending: Arc<AtomicBool>,
    sender: UnboundedSender<TeeItem>,
    waiting: Arc<AtomicUsize>,
    /// The most bytes that may wait.
    max_waiting: usize,
}

pub(super) struct TeeReceiver {
    receiver: UnboundedReceiver<TeeItem>,
    /// The number of bytes that wait.
    waiting: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
}

pub(super) fn tee(max_waiting: usize) -> (Tee, TeeReceiver) {
    let (sender, receiver) = unbounded_channel();
    let (waiting, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let tee_receiver =
        TeeReceiver { receiver, waiting: Arc::clone(&waiting), ending: Arc::clone(&ending) };
    (Tee { unsynced: None, ending, sender, waiting, max_waiting }, tee_receiver)
}

impl Tee {
    /// Whether the backup takes no further groups.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Encodes the batch that the writer is about to write.
    pub(crate) fn note(&mut self, overlay: &Overlay) {
        let mut entries = Vec::new();
        for (key, value) in overlay.entries() {
            write_entry(&mut entries, key, value.as_deref());
        }
        self.unsynced = Some(entries);
    }

    /// Sends the batch, which is durable now. Returns whether the backup continues.
    pub(crate) fn publish(&mut self, seal: Seal) -> bool {
        if let Some(batch) = self.unsynced.take() {
            let waiting = self.waiting.fetch_add(batch.len(), Ordering::AcqRel) + batch.len();
            if waiting > self.max_waiting {
                // A failed send means that the backup has ended.
                let _ = self.sender.send(TeeItem::Overflow);
                return false;
            }
            if self.sender.send(TeeItem::Batch(batch)).is_err() {
                return false;
            }
        }
        let ending = self.ending.load(Ordering::Acquire);
        if ending {
            let _ = self.sender.send(TeeItem::End(seal));
        }
        !ending
    }
}

impl TeeReceiver {
    /// Ends the backup with the group that is synced next.
    pub(super) fn end_with_next_group(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Returns the next item if one waits.
    pub(super) fn try_next(&mut self) -> Option<TeeItem> {
        let item = self.receiver.try_recv().ok();
        self.count_received(item)
    }

    /// Waits for the next item. `None`: the writer has ended.
    pub(super) async fn next(&mut self) -> Option<TeeItem> {
        let item = self.receiver.recv().await;
        self.count_received(item)
    }

    /// Subtracts a received batch from the bytes that wait.
    fn count_received(&self, item: Option<TeeItem>) -> Option<TeeItem> {
        if let Some(TeeItem::Batch(batch)) = &item {
            self.waiting.fetch_sub(batch.len(), Ordering::AcqRel);
        }
        item
    }
}
