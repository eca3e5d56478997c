//! Chance that can be repeated: `SplitMix64`, from one seed.

/// The next seed for whoever asks for none in particular.
pub(super) fn any_seed() -> u64 {
    getrandom::u64().expect("the system's randomness")
}

/// One stream of numbers.
pub(super) struct Seeded(u64);

impl Seeded {
    /// A stream for each name, whatever else is drawn from the same seed.
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

    /// One of so many, from 0; 0 if there is none.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}
