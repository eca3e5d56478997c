//! Random numbers (`SplitMix64`) that are the same for a seed on every machine. Integers only, because floating-point
//! libraries differ.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

/// A range with a weight: weight, shortest and longest time in milliseconds.
pub(crate) type WeightedRange = (u64, i64, i64);

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash(self.0)
    }

    /// A number from zero up to, and not including, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is below one in a billion for the bounds in use.
        self.next() % bound.max(1)
    }

    /// An index below `bound`.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or_default()
    }

    /// True with this probability, in ten-thousandths.
    pub(crate) fn chance(&mut self, in_ten_thousand: u64) -> bool {
        self.below(10_000) < in_ten_thousand
    }

    /// A number of this range, both ends included.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = u64::try_from(to - from).unwrap_or_default();
        from + i64::try_from(self.below(span + 1)).unwrap_or_default()
    }

    pub(crate) fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.index(at + 1);
            items.swap(at, other);
        }
    }

    /// A number of one of the ranges, which is drawn by weight.
    pub(crate) fn weighted(&mut self, ranges: &[WeightedRange]) -> i64 {
        let mut left = self.below(ranges.iter().map(|(weight, ..)| weight).sum());
        for &(weight, shortest, longest) in ranges {
            if left < weight {
                return self.between(shortest, longest);
            }
            left -= weight;
        }
        0
    }
}

/// A well-distributed hash of a number.
pub(crate) fn hash(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
