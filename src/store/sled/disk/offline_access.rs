//! A visit: a store that nobody has open, opened for one command and left as it was found, its files
//! their owner's.

use crate::store::Store as _;
use crate::store::sled::disk::data_dir::OpenError;
use crate::store::sled::disk::ownership::OwnershipGuard;
use crate::store::sled::options::Options;
use crate::store::sled::store::SledStore;

/// A store that a command has open.
pub struct OfflineStore {
    // Dropped in this order.
    store: SledStore,
    _hand_back: OwnershipGuard,
}

impl OfflineStore {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::InUse`] if a service has it.
    pub fn begin(options: Options) -> Result<Self, OpenError> {
        let hand_back = OwnershipGuard::of_store(&options.path);
        let store = SledStore::open(Options { must_be_there: true, ..options })?;
        Ok(Self { store, _hand_back: hand_back })
    }

    pub fn store(&self) -> &SledStore {
        &self.store
    }

    /// Everything is on the disk already; this waits until the folder is free.
    pub async fn end(self) {
        self.store.close().await;
    }
}
