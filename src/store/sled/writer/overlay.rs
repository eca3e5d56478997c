//! The overlay: the uncommitted entries of a group, over the entries in sled.
//!
//! A later command of a group sees the changes of an earlier one here, and sled gets the whole group as one batch. Each batch
//! costs a write of the log's buffer and a `sync_file_range`, twice. One batch per command would make a hundred of these
//! writes for one sync (measured with strace; `pin_log` in sled's `pagecache/mod.rs`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use ::sled::{Batch, IVec, Tree};

/// An entry that sled returned.
pub(crate) type KeyValue = (IVec, IVec);

/// The end of a range at which reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeEnd {
    Start,
    End,
}

pub(crate) struct Overlay {
    tree: Tree,
    /// The new value of each key. `None`: the key is removed.
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The values that were read from sled for this group. A command reads a key more than once: to decide, to keep the
    /// value before the change, and to remove it from the seal.
    cache: RefCell<HashMap<Vec<u8>, Option<IVec>>>,
}

impl Overlay {
    pub(crate) fn over(tree: Tree) -> Self {
        Self { tree, entries: BTreeMap::new(), cache: RefCell::default() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> ::sled::Result<Option<IVec>> {
        if let Some(uncommitted) = self.entries.get(key) {
            return Ok(uncommitted.as_deref().map(IVec::from));
        }
        if let Some(cached) = self.cache.borrow().get(key) {
            return Ok(cached.clone());
        }
        let stored = self.tree.get(key)?;
        self.cache.borrow_mut().insert(key.to_vec(), stored.clone());
        Ok(stored)
    }

    pub(crate) fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.entries.insert(key, value);
    }

    /// The uncommitted entries.
    pub(crate) fn entries(&self) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.entries
    }

    /// Up to `limit` entries of a range, from this end on.
    pub(crate) fn range(
        &self,
        keys: Range<Vec<u8>>,
        from: RangeEnd,
        limit: usize,
    ) -> ::sled::Result<Vec<KeyValue>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let uncommitted = || self.entries.range(keys.clone());
        // At most this many of sled's entries are replaced or removed.
        let replaced = uncommitted().count();
        let enough = limit.saturating_add(replaced);
        let stored = self.tree.range(keys.clone());
        let stored: ::sled::Result<Vec<KeyValue>> = match from {
            RangeEnd::Start => stored.take(enough).collect(),
            RangeEnd::End => stored.rev().take(enough).collect(),
        };
        let mut pairs = stored?;
        if replaced > 0 {
            pairs.retain(|(key, _)| !self.entries.contains_key(key.as_ref()));
            let live = uncommitted().filter_map(|(key, value)| {
                value
                    .as_ref()
                    .map(|value| (IVec::from(key.as_slice()), IVec::from(value.as_slice())))
            });
            pairs.extend(live);
            pairs.sort_unstable();
            if from == RangeEnd::End {
                pairs.reverse();
            }
        }
        pairs.truncate(limit);
        Ok(pairs)
    }

    /// Up to `limit` entries whose keys have this prefix, from this end on.
    pub(crate) fn scan_prefix(
        &self,
        prefix: &[u8],
        from: RangeEnd,
        limit: usize,
    ) -> ::sled::Result<Vec<KeyValue>> {
        self.range(prefix.to_vec()..prefix_end(prefix), from, limit)
    }

    /// Forgets the values that were read from sled: they are kept for one group only.
    pub(crate) fn clear_cache(&mut self) {
        self.cache.get_mut().clear();
    }

    /// Gives all uncommitted entries to sled as one atomic batch.
    pub(crate) fn write(&mut self) -> ::sled::Result<()> {
        self.cache.get_mut().clear();
        let mut batch = Batch::default();
        for (key, value) in std::mem::take(&mut self.entries) {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch)
    }
}

/// The first key after all keys with this prefix. It always exists, because a key begins with an ASCII letter or `!`.
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The overlay reads as if all its entries were in sled already.
        #[test]
        fn a_draft_reads_as_if_it_had_been_written(
            written in prop::collection::btree_map(0_u8..24, any::<u8>(), 0..16),
            uncommitted in prop::collection::vec((0_u8..24, prop::option::of(any::<u8>())), 0..16),
            range in (0_u8..24, 0_u8..26),
            limit in prop_oneof![0_usize..20, Just(usize::MAX)],
        ) {
            let db = ::sled::Config::new().temporary(true).open().expect("opens");
            let mut truth = BTreeMap::new();
            for (key, value) in written {
                db.insert([key], &[value]).expect("writes");
                truth.insert(key, value);
            }
            let mut overlay = Overlay::over((*db).clone());
            for (key, value) in uncommitted {
                overlay.set(vec![key], value.map(|value| vec![value]));
                match value {
                    Some(value) => truth.insert(key, value),
                    None => truth.remove(&key),
                };
            }
            for key in 0..24 {
                let got = overlay.get(&[key]).expect("reads").map(|value| value.to_vec());
                prop_assert_eq!(got, truth.get(&key).map(|value| vec![*value]));
            }
            let of = |pairs: Vec<KeyValue>| -> Vec<u8> {
                pairs.iter().map(|(key, _)| key[0]).collect()
            };
            let inside = |key: &u8| (range.0..range.1).contains(key);
            let up: Vec<u8> = truth.keys().copied().filter(inside).take(limit).collect();
            let down: Vec<u8> = truth.keys().rev().copied().filter(inside).take(limit).collect();
            let keys = vec![range.0]..vec![range.1];
            prop_assert_eq!(of(overlay.range(keys.clone(), RangeEnd::Start, limit).expect("reads")), up);
            prop_assert_eq!(of(overlay.range(keys, RangeEnd::End, limit).expect("reads")), down);
            overlay.write().expect("writes");
            let all: Vec<u8> = db.iter().keys().map(|key| key.expect("reads")[0]).collect();
            prop_assert_eq!(all, truth.keys().copied().collect::<Vec<_>>());
        }
    }
}
