//! An ordered set of short keys in sorted chunks, for the hundreds of thousands of finished messages.
//!
//! A `BTreeMap` takes twice the room of its keys if they are inserted in order, as finished messages are.
//! Here a full last chunk is left full. Each operation moves one chunk at most.

use std::collections::{BTreeMap, BTreeSet};

/// The most keys of a chunk.
const CHUNK: usize = 256;

/// An ordered set of keys. Nearly all of them are `N` bytes long.
pub(crate) struct Chunks<const N: usize> {
    /// Each chunk by its first key when it was made: no key of the chunk is smaller. No chunk is empty.
    chunks: BTreeMap<[u8; N], Vec<[u8; N]>>,
    odd: BTreeSet<Vec<u8>>,
}

impl<const N: usize> Default for Chunks<N> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), odd: BTreeSet::new() }
    }
}

impl<const N: usize> Chunks<N> {
    pub(crate) fn insert(&mut self, key: &[u8]) {
        let Ok(key) = <[u8; N]>::try_from(key) else {
            self.odd.insert(key.to_vec());
            return;
        };
        let is_last = self.chunks.last_key_value().is_none_or(|(first, _)| *first <= key);
        let Some((_, chunk)) = self.chunks.range_mut(..=key).next_back() else {
            self.chunks.insert(key, vec![key]);
            return;
        };
        let Err(at) = chunk.binary_search(&key) else { return };
        if chunk.len() < CHUNK {
            chunk.insert(at, key);
            return;
        }
        let upper = if is_last && at == CHUNK {
            vec![key]
        } else {
            let mut upper = chunk.split_off(CHUNK / 2);
            chunk.shrink_to_fit();
            match at.checked_sub(CHUNK / 2) {
                Some(at) => upper.insert(at, key),
                None => chunk.insert(at, key),
            }
            upper
        };
        if let Some(first) = upper.first() {
            self.chunks.insert(*first, upper);
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        let Ok(key) = <[u8; N]>::try_from(key) else {
            self.odd.remove(key);
            return;
        };
        let Some((first, chunk)) = self.chunks.range_mut(..=key).next_back() else { return };
        let Ok(at) = chunk.binary_search(&key) else { return };
        chunk.remove(at);
        let first = *first;
        if chunk.is_empty() {
            self.chunks.remove(&first);
        } else if chunk.len() < chunk.capacity() / 4 {
            chunk.shrink_to_fit();
        }
    }

    /// The first keys, up to `limit` of them, that begin with `last` or come before it.
    pub(crate) fn first(&self, last: &[u8], limit: usize) -> Vec<Vec<u8>> {
        let end = bound::<N>(last);
        let even = self.chunks.range(..=end).flat_map(|(_, chunk)| chunk);
        let even = even.take_while(|key| **key <= end).map(|key| key.to_vec());
        let mut found: Vec<_> = even.take(limit).chain(self.odd_until(last).take(limit)).collect();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// How many keys begin with `last` or come before it.
    pub(crate) fn count(&self, last: &[u8]) -> usize {
        let end = bound::<N>(last);
        let mut chunks = self.chunks.range(..=end).map(|(_, chunk)| chunk).rev();
        let partial = chunks.next().map_or(0, |chunk| chunk.partition_point(|key| *key <= end));
        partial + chunks.map(Vec::len).sum::<usize>() + self.odd_until(last).count()
    }

    fn odd_until(&self, last: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let last = last.to_vec();
        self.odd
            .iter()
            .take_while(move |key| {
                key.get(..last.len()).is_none_or(|start| start <= last.as_slice())
            })
            .cloned()
    }
}

/// The greatest key with this beginning.
fn bound<const N: usize>(start: &[u8]) -> [u8; N] {
    let mut end = [u8::MAX; N];
    end.iter_mut().zip(start).for_each(|(to, from)| *to = *from);
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u16, odd: bool) -> Vec<u8> {
        let mut key = n.to_be_bytes().to_vec();
        key.extend_from_slice(if odd { &[7, 7, 7] } else { &[7, 7] });
        key
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn it_finds_and_counts_as_a_plain_set_does(
            first in 0_u16..3000,
            rising in any::<bool>(),
            drawn in prop::collection::vec((0_u16..3000, any::<bool>(), prop::bool::weighted(0.1)), 0..3000),
            last in 0_u16..3000,
            limit in 0_usize..700,
        ) {
            let (mut chunks, mut plain) = (Chunks::<4>::default(), BTreeSet::new());
            let many = (first..first + 600).map(|n| if rising { n } else { 2 * first + 599 - n });
            let many = many.map(|n| (n, true, false));
            for (n, enters, odd) in many.chain(drawn) {
                let key = key(n, odd);
                if enters {
                    chunks.insert(&key);
                    plain.insert(key);
                } else {
                    chunks.remove(&key);
                    plain.remove(&key);
                }
            }
            let last = last.to_be_bytes();
            let until: Vec<_> = plain.into_iter().filter(|key| key[..2] <= last[..]).collect();
            prop_assert_eq!(chunks.count(&last), until.len());
            let expected: Vec<_> = until.into_iter().take(limit).collect();
            prop_assert_eq!(chunks.first(&last, limit), expected);
            prop_assert!(chunks.chunks.values().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK));
        }
    }

    #[test]
    fn keys_that_come_in_order_leave_full_chunks_behind() {
        let mut chunks = Chunks::<4>::default();
        for n in 0..2560_u16 {
            chunks.insert(&key(n, false));
        }
        assert_eq!(chunks.chunks.len(), 10);
    }
}
