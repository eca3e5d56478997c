//! An ordered set of short keys in sorted chunks, for the hundreds of thousands of finished messages.
//!
//! A `BTreeMap` takes twice the memory of its keys if they are inserted in order, as finished messages are.
//! Here a full last chunk stays full. Each operation moves the keys of at most one chunk.

use std::collections::{BTreeMap, BTreeSet};

/// The largest number of keys in a chunk.
const MAX_CHUNK_LEN: usize = 256;

/// An ordered set of keys. Nearly all of them are `N` bytes long.
pub(crate) struct Chunks<const N: usize> {
    /// The chunks, each by the first key that it had when it was created: no key of the chunk is smaller. No chunk is
    /// empty.
    chunks: BTreeMap<[u8; N], Vec<[u8; N]>>,
    /// The keys of other lengths.
    other: BTreeSet<Vec<u8>>,
}

impl<const N: usize> Default for Chunks<N> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), other: BTreeSet::new() }
    }
}

impl<const N: usize> Chunks<N> {
    pub(crate) fn insert(&mut self, key: &[u8]) {
        let Ok(key) = <[u8; N]>::try_from(key) else {
            self.other.insert(key.to_vec());
            return;
        };
        let is_last = self.chunks.last_key_value().is_none_or(|(first, _)| *first <= key);
        let Some((_, chunk)) = self.chunks.range_mut(..=key).next_back() else {
            self.chunks.insert(key, vec![key]);
            return;
        };
        let Err(at) = chunk.binary_search(&key) else { return };
        if chunk.len() < MAX_CHUNK_LEN {
            chunk.insert(at, key);
            return;
        }
        let upper = if is_last && at == MAX_CHUNK_LEN {
            vec![key]
        } else {
            let mut upper = chunk.split_off(MAX_CHUNK_LEN / 2);
            chunk.shrink_to_fit();
            match at.checked_sub(MAX_CHUNK_LEN / 2) {
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
            self.other.remove(key);
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

    /// Up to `limit` keys that begin with `last` or sort before it, the smallest first.
    pub(crate) fn first(&self, last: &[u8], limit: usize) -> Vec<Vec<u8>> {
        let end = max_with_prefix::<N>(last);
        let fixed = self.chunks.range(..=end).flat_map(|(_, chunk)| chunk);
        let fixed = fixed.take_while(|key| **key <= end).map(|key| key.to_vec());
        let mut found: Vec<_> =
            fixed.take(limit).chain(self.other_until(last).take(limit)).collect();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// The number of keys that begin with `last` or sort before it.
    pub(crate) fn count(&self, last: &[u8]) -> usize {
        let end = max_with_prefix::<N>(last);
        let mut chunks = self.chunks.range(..=end).map(|(_, chunk)| chunk).rev();
        let partial = chunks.next().map_or(0, |chunk| chunk.partition_point(|key| *key <= end));
        partial + chunks.map(Vec::len).sum::<usize>() + self.other_until(last).count()
    }

    fn other_until(&self, last: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let last = last.to_vec();
        self.other
            .iter()
            .take_while(move |key| {
                key.get(..last.len()).is_none_or(|start| start <= last.as_slice())
            })
            .cloned()
    }
}

/// The greatest key with this prefix.
fn max_with_prefix<const N: usize>(prefix: &[u8]) -> [u8; N] {
    let mut end = [u8::MAX; N];
    end.iter_mut().zip(prefix).for_each(|(to, from)| *to = *from);
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u16, is_longer: bool) -> Vec<u8> {
        let mut key = n.to_be_bytes().to_vec();
        key.extend_from_slice(if is_longer { &[7, 7, 7] } else { &[7, 7] });
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
            for (n, is_inserted, is_longer) in many.chain(drawn) {
                let key = key(n, is_longer);
                if is_inserted {
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
            prop_assert!(chunks.chunks.values().all(|chunk| !chunk.is_empty() && chunk.len() <= MAX_CHUNK_LEN));
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
