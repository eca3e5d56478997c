//! A counting filter of key prefixes, in memory: it skips scans of sled that would find nothing.
//!
//! Hardly any message has parked evidence or a click link, but each command searches both by SID, reference and person. Each
//! scan goes down sled's tree twice, under a lock that all readers share. Together, the scans took a third of a command's
//! time.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

/// The number of counters. They take 128 KiB.
const COUNTERS: u64 = 1 << 16;

/// A counter of zero means that no key has a prefix with this hash. Any other value means nothing.
pub(crate) struct PresenceFilter(Vec<u16>);

impl Default for PresenceFilter {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| 0).collect())
    }
}

impl PresenceFilter {
    /// Whether a key with this prefix may exist.
    pub(crate) fn may_contain(&self, prefix: &[u8]) -> bool {
        self.0.get(counter(prefix)).is_none_or(|count| *count > 0)
    }

    pub(crate) fn insert(&mut self, prefix: &[u8]) {
        if let Some(count) = self.0.get_mut(counter(prefix)) {
            *count = count.saturating_add(1);
        }
    }

    /// A full counter stays full: the number of keys beyond it is unknown.
    pub(crate) fn remove(&mut self, prefix: &[u8]) {
        if let Some(count) = self.0.get_mut(counter(prefix))
            && *count < u16::MAX
        {
            *count = count.saturating_sub(1);
        }
    }
}

fn counter(prefix: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    prefix.hash(&mut hasher);
    usize::try_from(hasher.finish() % COUNTERS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_entered_and_did_not_leave_is_never_missed() {
        let mut filter = PresenceFilter::default();
        assert!(!filter.may_contain(b"a"));
        for _ in 0..3 {
            filter.insert(b"a");
        }
        filter.remove(b"a");
        assert!(filter.may_contain(b"a"));
        filter.remove(b"a");
        filter.remove(b"a");
        assert!(!filter.may_contain(b"a"));
    }

    #[test]
    fn a_full_counter_never_says_that_there_is_nothing() {
        let mut filter = PresenceFilter::default();
        for _ in 0..70_000 {
            filter.insert(b"a");
        }
        for _ in 0..70_000 {
            filter.remove(b"a");
        }
        assert!(filter.may_contain(b"a"));
    }
}
