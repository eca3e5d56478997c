//! Opens a store that no process has open, for one command. Afterwards its files have the same owner as before.

use crate::store::Store as _;
use crate::store::sled::disk::data_dir::OpenError;
use crate::store::sled::disk::ownership::OwnershipGuard;
use crate::store::sled::options::Options;
use crate::store::sled::store::SledStore;

/// A store that is open for one command.
pub struct OfflineStore {
    // Dropped in this order: the closing store may write files, and the guard gives them to the owner.
    store: SledStore,
    _ownership: OwnershipGuard,
}

impl OfflineStore {
    /// Opens an existing store.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::InUse`] if a service has the store open.
    pub fn begin(options: Options) -> Result<Self, OpenError> {
        let ownership = OwnershipGuard::of_store(&options.path);
        let store = SledStore::open(Options { must_exist: true, ..options })?;
        Ok(Self { store, _ownership: ownership })
    }

    pub fn store(&self) -> &SledStore {
        &self.store
    }

    /// Closes the store, and waits until the folder is free. All records are on the disk already.
    pub async fn end(self) {
        self.store.close().await;
    }
}
