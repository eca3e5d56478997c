//! The draft: what a group has written so far, laid over what sled holds.
//!
//! A later command of a group sees an earlier one's effect here, and sled gets the whole group as one
//! batch. It is not a matter of taste: each of sled's batches hands the log's buffer over twice, with a
//! write and a `sync_file_range` each time, so that a batch a command costs as much as a hundred of
//! these writes for one sync (measured with strace; `pin_log` in sled's `pagecache/mod.rs`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use ::sled::{Batch, IVec, Tree};

/// An entry, as sled gives it.
pub(crate) type KeyValue = (IVec, IVec);

/// From which end a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RangeEnd {
    Start,
    End,
}

pub(crate) struct Overlay {
    tree: Tree,
    /// What each key is to hold; `None`: nothing any more.
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What was looked up in this group, for one command asks for the same thing more than once: to
    /// judge it, to note what it was, and to take it out of the seal.
    looked_up: RefCell<HashMap<Vec<u8>, Option<IVec>>>,
}

impl Overlay {
    pub(crate) fn over(tree: Tree) -> Self {
        Self { tree, entries: BTreeMap::new(), looked_up: RefCell::default() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> ::sled::Result<Option<IVec>> {
        if let Some(drafted) = self.entries.get(key) {
            return Ok(drafted.as_deref().map(IVec::from));
        }
        if let Some(known) = self.looked_up.borrow().get(key) {
            return Ok(known.clone());
        }
        let held = self.tree.get(key)?;
        self.looked_up.borrow_mut().insert(key.to_vec(), held.clone());
        Ok(held)
    }

    pub(crate) fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.entries.insert(key, value);
    }

    /// What it holds that sled does not have yet.
    pub(crate) fn entries(&self) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.entries
    }

    /// Up to `limit` entries of a range, from that end on.
    pub(crate) fn range(
        &self,
        keys: Range<Vec<u8>>,
        from: RangeEnd,
        limit: usize,
    ) -> ::sled::Result<Vec<KeyValue>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let drafted = || self.entries.range(keys.clone());
        // So many more may turn out to be replaced, or gone.
        let replaced = drafted().count();
        let enough = limit.saturating_add(replaced);
        let held = self.tree.range(keys.clone());
        let held: ::sled::Result<Vec<KeyValue>> = match from {
            RangeEnd::Start => held.take(enough).collect(),
            RangeEnd::End => held.rev().take(enough).collect(),
        };
        let mut pairs = held?;
        if replaced > 0 {
            pairs.retain(|(key, _)| !self.entries.contains_key(key.as_ref()));
            let live = drafted().filter_map(|(key, value)| {
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

    /// The same, of all keys that begin alike.
    pub(crate) fn beginning(
        &self,
        with: &[u8],
        from: RangeEnd,
        limit: usize,
    ) -> ::sled::Result<Vec<KeyValue>> {
        self.range(with.to_vec()..after(with), from, limit)
    }

    /// What was looked up is looked up afresh: it is kept for a group's sake only.
    pub(crate) fn look_again(&mut self) {
        self.looked_up.get_mut().clear();
    }

    /// Hands everything to sled, all of it or nothing.
    pub(crate) fn write(&mut self) -> ::sled::Result<()> {
        self.looked_up.get_mut().clear();
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

/// The first key that comes after all those that begin so. Kinds are ASCII: there always is one.
fn after(prefix: &[u8]) -> Vec<u8> {
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
        /// Whatever was written and whatever is a draft: it reads as if all had been written.
        #[test]
        fn a_draft_reads_as_if_it_had_been_written(
            written in prop::collection::btree_map(0_u8..24, any::<u8>(), 0..16),
            drafted in prop::collection::vec((0_u8..24, prop::option::of(any::<u8>())), 0..16),
            range in (0_u8..24, 0_u8..26),
            limit in prop_oneof![0_usize..20, Just(usize::MAX)],
        ) {
            let db = ::sled::Config::new().temporary(true).open().expect("opens");
            let mut truth = BTreeMap::new();
            for (key, value) in written {
                db.insert([key], &[value]).expect("writes");
                truth.insert(key, value);
            }
            let mut draft = Overlay::over((*db).clone());
            for (key, value) in drafted {
                draft.set(vec![key], value.map(|value| vec![value]));
                match value {
                    Some(value) => truth.insert(key, value),
                    None => truth.remove(&key),
                };
            }
            for key in 0..24 {
                let got = draft.get(&[key]).expect("reads").map(|value| value.to_vec());
                prop_assert_eq!(got, truth.get(&key).map(|value| vec![*value]));
            }
            let of = |pairs: Vec<KeyValue>| -> Vec<u8> {
                pairs.iter().map(|(key, _)| key[0]).collect()
            };
            let inside = |key: &u8| (range.0..range.1).contains(key);
            let up: Vec<u8> = truth.keys().copied().filter(inside).take(limit).collect();
            let down: Vec<u8> = truth.keys().rev().copied().filter(inside).take(limit).collect();
            let keys = vec![range.0]..vec![range.1];
            prop_assert_eq!(of(draft.range(keys.clone(), RangeEnd::Start, limit).expect("reads")), up);
            prop_assert_eq!(of(draft.range(keys, RangeEnd::End, limit).expect("reads")), down);
            draft.write().expect("writes");
            let all: Vec<u8> = db.iter().keys().map(|key| key.expect("reads")[0]).collect();
            prop_assert_eq!(all, truth.keys().copied().collect::<Vec<_>>());
        }
    }
}
