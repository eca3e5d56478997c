//! Chance: a small generator of numbers (`SplitMix64`) that draws the same world from the same seed on
//! every machine. Whole numbers only, so that no floating point library has a say in it.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

/// A stretch of time that was drawn with some weight: weight, shortest and longest in milliseconds.
pub(crate) type Spread = (u64, i64, i64);

/// A stream of numbers.
pub(crate) struct Random(u64);

impl Random {
    /// The stream that belongs to a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number from zero up to, and not including, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is below one in a billion for every bound that is used here.
        self.draw() % bound.max(1)
    }

    /// Whether something comes about that does so that many times in ten thousand.
    pub(crate) fn chance(&mut self, in_ten_thousand: u64) -> bool {
        self.below(10_000) < in_ten_thousand
    }

    /// A moment between two.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = u64::try_from(to - from).unwrap_or_default();
        from + i64::try_from(self.below(span + 1)).unwrap_or_default()
    }

    /// One of several.
    pub(crate) fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(of.len() as u64)).ok()?;
        of.get(at)
    }

    /// A stretch of time: first which of the stretches, by weight, then how long within it.
    pub(crate) fn spread(&mut self, of: &[Spread]) -> i64 {
        let mut left = self.below(of.iter().map(|(weight, ..)| weight).sum());
        for &(weight, shortest, longest) in of {
            if left < weight {
                return self.between(shortest, longest);
            }
            left -= weight;
        }
        0
    }
}

/// A number that has nothing to do with the one that it was made from, as far as anybody can see.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
