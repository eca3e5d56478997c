//! Sparse: where a scan would find nothing, without asking sled.
//!
//! Hardly any message has evidence or a link waiting for it, and yet each command has to look: by SID,
//! by reference and by person. Such a look goes down sled's tree twice, under a lock that all readers
//! share; together they were a third of what a command cost. So what waits is counted in memory, in a
//! fixed number of counters: one that stands at zero says that nothing waits, any other says nothing.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

/// How many counters there are, 128 KiB of them.
const COUNTERS: u64 = 1 << 16;

pub(crate) struct PresenceFilter(Vec<u16>);

impl Default for PresenceFilter {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| 0).collect())
    }
}

impl PresenceFilter {
    /// Whether a key may be there that begins so.
    pub(crate) fn may_hold(&self, prefix: &[u8]) -> bool {
        self.0.get(counter(prefix)).is_none_or(|count| *count > 0)
    }

    pub(crate) fn insert(&mut self, prefix: &[u8]) {
        if let Some(count) = self.0.get_mut(counter(prefix)) {
            *count = count.saturating_add(1);
        }
    }

    /// A counter that is full stays so: it is not known how many it did not count.
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
        let mut sparse = PresenceFilter::default();
        assert!(!sparse.may_hold(b"a"));
        for _ in 0..3 {
            sparse.insert(b"a");
        }
        sparse.remove(b"a");
        assert!(sparse.may_hold(b"a"));
        sparse.remove(b"a");
        sparse.remove(b"a");
        assert!(!sparse.may_hold(b"a"));
    }

    #[test]
    fn a_full_counter_never_says_that_there_is_nothing() {
        let mut sparse = PresenceFilter::default();
        for _ in 0..70_000 {
            sparse.insert(b"a");
        }
        for _ in 0..70_000 {
            sparse.remove(b"a");
        }
        assert!(sparse.may_hold(b"a"));
    }
}
