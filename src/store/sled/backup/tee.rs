//! The tee: while a backup reads the store, each batch that the writer makes durable goes to it as well.
//!
//! It never holds up the writer: what it hands over is taken at once or not at all. What waits to be
//! taken is bounded; whoever is slower than the store's own traffic gets no backup this time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::store::sled::backup::frame::write_entry;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::writer::overlay::Overlay;

/// What the writer hands over.
#[derive(Debug)]
pub(super) enum TeePiece {
    /// The entries of a batch that is durable, as a frame holds them.
    Batch(Vec<u8>),
    /// The last of them that belongs to the backup was handed over; what all entries come to now.
    End(Seal),
    /// Too much waited. Nothing more will come.
    TooMuch,
}

pub(crate) struct Tee {
    /// The batch that is being made durable.
    noted: Option<Vec<u8>>,
    /// Whether the backup ends with this group.
    ending: Arc<AtomicBool>,
    to: UnboundedSender<TeePiece>,
    waiting: Arc<AtomicUsize>,
    /// How many bytes may wait.
    most: usize,
}

pub(super) struct Teed {
    from: UnboundedReceiver<TeePiece>,
    waiting: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
}

pub(super) fn tee(most: usize) -> (Tee, Teed) {
    let (to, from) = unbounded_channel();
    let (waiting, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let teed = Teed { from, waiting: Arc::clone(&waiting), ending: Arc::clone(&ending) };
    (Tee { noted: None, ending, to, waiting, most }, teed)
}

impl Tee {
    /// Whether the backup takes no further groups.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// What the draft is about to write.
    pub(crate) fn note(&mut self, draft: &Overlay) {
        let mut entries = Vec::new();
        for (key, value) in draft.entries() {
            write_entry(&mut entries, key, value.as_deref());
        }
        self.noted = Some(entries);
    }

    /// Sends the group that is durable now. Returns whether the backup goes on.
    pub(crate) fn publish(&mut self, seal: Seal) -> bool {
        if let Some(batch) = self.noted.take() {
            let waiting = self.waiting.fetch_add(batch.len(), Ordering::AcqRel) + batch.len();
            if waiting > self.most {
                // Whoever does not take it has gone away.
                let _ = self.to.send(TeePiece::TooMuch);
                return false;
            }
            if self.to.send(TeePiece::Batch(batch)).is_err() {
                return false;
            }
        }
        let ending = self.ending.load(Ordering::Acquire);
        if ending {
            let _ = self.to.send(TeePiece::End(seal));
        }
        !ending
    }
}

impl Teed {
    /// With the group that is synced next, the backup ends.
    pub(super) fn end_with_the_next(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// The next thing that is there already.
    pub(super) fn ready(&mut self) -> Option<TeePiece> {
        let handed = self.from.try_recv().ok();
        self.taken(handed)
    }

    /// The next thing; `None` if the writer has ended.
    pub(super) async fn next(&mut self) -> Option<TeePiece> {
        let handed = self.from.recv().await;
        self.taken(handed)
    }

    fn taken(&self, handed: Option<TeePiece>) -> Option<TeePiece> {
        if let Some(TeePiece::Batch(batch)) = &handed {
            self.waiting.fetch_sub(batch.len(), Ordering::AcqRel);
        }
        handed
    }
}
