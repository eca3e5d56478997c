//! Looking without asking the writer: for lists, which are a look and not a promise.

use std::sync::Arc;

use ::sled::Tree;

use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{Parked, Policy};
use crate::domain::message::Message;
use crate::store::sled::disk::data_dir::StoreLock;
use crate::store::sled::keys;
use crate::store::sled::record::decode;
use crate::store::sled::writer::engine::Fatal;
use crate::store::{ClockGuard, Filter, ListEntry, ListPage};

/// What looking without asking the writer takes. sled lets go of its files with the last of its
/// handles, so each of them holds our lock, and drops it after sled's.
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
        let link: Link = decode(&value)?;
        Ok(Some(link).filter(|link| self.policy.link_until(link) > self.clock.trusted()))
    }
}

pub(super) fn page(
    reader: &StoreReader,
    filter: Filter,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<ListPage, Fatal> {
    let now = reader.clock.trusted();
    let prefix = match filter {
        Filter::Messages(_) => keys::MESSAGE,
        Filter::Parked | Filter::Orphaned => keys::PARKED,
    };
    let mut page = ListPage::default();
    // A cursor comes from outside; one of another list, or none of ours at all, starts over.
    let cursor = cursor.filter(|cursor| cursor.first() == Some(&prefix));
    for entry in reader.tree.range(cursor.unwrap_or_else(|| vec![prefix])..vec![prefix + 1]) {
        let (key, value) = entry?;
        if page.entries.len() == limit {
            page.next = Some(key.to_vec());
            break;
        }
        match filter {
            Filter::Messages(select) => {
                let mut message: Message = decode(&value)?;
                message.age(now);
                if select.takes(&message) {
                    page.entries.push(ListEntry::Message(Box::new(message)));
                }
            }
            Filter::Parked | Filter::Orphaned => {
                let mut parked: Parked = decode(&value)?;
                parked.age(now);
                let is_asked_for = match filter {
                    Filter::Orphaned => parked.orphaned,
                    Filter::Messages(_) | Filter::Parked => parked.is_waiting(),
                };
                if is_asked_for {
                    page.entries.push(ListEntry::Parked(Box::new(parked)));
                }
            }
        }
    }
    Ok(page)
}
