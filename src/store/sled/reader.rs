//! Reads records beside the writer, for lists and click links. A read may miss the latest writes.

use std::sync::Arc;

use ::sled::Tree;

use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::Policy;
use crate::store::engine::{list_entry, live_link};
use crate::store::sled::disk::data_dir::StoreLock;
use crate::store::sled::error::Fatal;
use crate::store::sled::keys;
use crate::store::sled::record::decode;
use crate::store::sled::rows::read_row;
use crate::store::{ClockGuard, Filter, ListPage};

/// The tree, and the clock and policy that decide which records have expired. sled closes its files with the last of its
/// handles, so each reader holds our lock, and drops it after sled's handle.
#[derive(Clone)]
pub(crate) struct StoreReader {
    pub(super) tree: Tree,
    pub(super) clock: Arc<ClockGuard>,
    pub(super) policy: Policy,
    pub(super) _lock: Arc<StoreLock>,
}

impl StoreReader {
    pub(super) fn link(&self, id: LinkId) -> Result<Option<Link>, Fatal> {
        let Some(value) = self.tree.get(keys::link(id))? else { return Ok(None) };
        Ok(live_link(decode(&value)?, &self.policy, self.clock.trusted()))
    }

    pub(super) fn page(
        &self,
        filter: Filter,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<ListPage, Fatal> {
        let now = self.clock.trusted();
        let prefix = match filter {
            Filter::Messages(_) => keys::MESSAGE,
            Filter::Parked | Filter::Orphaned => keys::PARKED,
        };
        let mut page = ListPage::default();
        // The cursor comes from a client. A cursor of another list starts at the beginning.
        let cursor = cursor.filter(|cursor| cursor.first() == Some(&prefix));
        for entry in self.tree.range(cursor.unwrap_or_else(|| vec![prefix])..vec![prefix + 1]) {
            let (key, value) = entry?;
            if page.entries.len() == limit {
                page.next = Some(key.to_vec());
                break;
            }
            let row = read_row(&key, &value)?;
            page.entries.extend(row.and_then(|row| list_entry(filter, row, now)));
        }
        Ok(page)
    }
}
