//! Repeatable random numbers: `SplitMix64`, from one seed.

/// A random seed, for a run without a given one.
pub(super) fn any_seed() -> u64 {
    getrandom::u64().expect("the system's randomness")
}

/// One stream of numbers.
pub(super) struct Seeded(u64);

impl Seeded {
    /// A stream for each name, independent of the other streams of the seed.
    pub(super) fn new(seed: u64, name: u64) -> Self {
        let mut first = Self(seed ^ name.wrapping_mul(0xd134_2543_de82_ef95));
        Self(first.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound; 0 if the bound is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// True in this many of a hundred cases.
    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}
