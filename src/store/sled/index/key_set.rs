//! Ordered sets of short keys, as small as they can be: a million of them stand in the index.
//!
//! A set that is made of all its keys at once has full nodes, and takes two thirds of what it takes if they come one by
//! one in no order: 14 MiB less of a million messages. But while it is made, all keys are there twice. So keys
//! that are asked for by how they begin lie in a set for each first byte: one of these is twice there at a time, and
//! opening a store takes no more memory than having it open.

use std::collections::BTreeSet;

/// An ordered set of keys that nearly all are `N` bytes long: those lie side by side, without a pointer.
pub(crate) struct KeySet<const N: usize> {
    even: BTreeSet<[u8; N]>,
    odd: BTreeSet<Vec<u8>>,
}

impl<const N: usize> Default for KeySet<N> {
    fn default() -> Self {
        Self { even: BTreeSet::new(), odd: BTreeSet::new() }
    }
}

impl<const N: usize> KeySet<N> {
    pub(crate) fn insert(&mut self, key: &[u8]) {
        match <[u8; N]>::try_from(key) {
            Ok(key) => self.even.insert(key),
            Err(_) => self.odd.insert(key.to_vec()),
        };
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        match <[u8; N]>::try_from(key) {
            Ok(key) => self.even.remove(&key),
            Err(_) => self.odd.remove(key),
        };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.even.is_empty() && self.odd.is_empty()
    }

    /// Up to `limit` keys, from the smallest that begins with `from` or comes after it to the greatest
    /// that begins with `to`; or from that end on.
    pub(crate) fn between(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        limit: usize,
    ) -> Vec<Vec<u8>> {
        let (mut first, mut last) = ([0; N], [u8::MAX; N]);
        first.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        last.iter_mut().zip(to).for_each(|(to, from)| *to = *from);
        if first > last {
            return Vec::new();
        }
        let even = self.even.range(first..=last).map(|key| key.to_vec());
        // However long they are, they come before all that could begin with it and this.
        let beyond = [to, &[u8::MAX; N]].concat();
        let odd = self.odd.range(from.to_vec()..beyond).cloned();
        let mut found: Vec<_> = if backwards {
            even.rev().take(limit).chain(odd.rev().take(limit)).collect()
        } else {
            even.take(limit).chain(odd.take(limit)).collect()
        };
        if !self.odd.is_empty() {
            found.sort_unstable();
            if backwards {
                found.reverse();
            }
            found.truncate(limit);
        }
        found
    }
}

/// Keys that are asked for by how they begin, in a set for each first byte.
pub(crate) struct KeySets<const N: usize>(Vec<KeySet<N>>);

impl<const N: usize> Default for KeySets<N> {
    fn default() -> Self {
        Self((0..=u8::MAX).map(|_| KeySet::default()).collect())
    }
}

impl<const N: usize> KeySets<N> {
    pub(crate) fn insert(&mut self, key: &[u8]) {
        if let Some(keys) = first(key).and_then(|at| self.0.get_mut(at)) {
            keys.insert(key);
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        if let Some(keys) = first(key).and_then(|at| self.0.get_mut(at)) {
            keys.remove(key);
        }
    }

    /// As [`KeySet::between`]; both ends have the same first byte.
    pub(crate) fn between(
        &self,
        from: &[u8],
        to: &[u8],
        backwards: bool,
        limit: usize,
    ) -> Vec<Vec<u8>> {
        let keys = first(from).and_then(|at| self.0.get(at));
        keys.map(|keys| keys.between(from, to, backwards, limit)).unwrap_or_default()
    }
}

fn first(key: &[u8]) -> Option<usize> {
    key.first().copied().map(usize::from)
}

/// Keys in one piece: a vector that grows is there twice, too, and leaves holes behind.
const PIECE: usize = 64;

/// What is to be shelved, in the order in which it is found: for each first byte, in pieces.
pub(crate) struct KeySetBuilder<const N: usize>(Vec<Vec<Vec<[u8; N]>>>);

impl<const N: usize> Default for KeySetBuilder<N> {
    fn default() -> Self {
        Self((0..=u8::MAX).map(|_| Vec::new()).collect())
    }
}

impl<const N: usize> KeySetBuilder<N> {
    pub(crate) fn push(&mut self, key: [u8; N]) {
        let Some(pieces) = first(&key).and_then(|at| self.0.get_mut(at)) else { return };
        if let Some(last) = pieces.last_mut().filter(|last| last.len() < PIECE) {
            last.push(key);
            return;
        }
        let mut piece = Vec::with_capacity(PIECE);
        piece.push(key);
        pieces.push(piece);
    }

    /// Shelves them, where there are none of this length yet.
    pub(crate) fn fill(self, shelves: &mut KeySets<N>) {
        for (pieces, keys) in self.0.into_iter().zip(&mut shelves.0) {
            keys.even = pieces.into_iter().flatten().collect();
        }
    }
}
