//! How many messages came how far, and how long people took.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of how long people took, in seconds; the last bucket has none. A code lives some minutes,
/// and who takes an hour may have come back for it.
pub const WAIT_BOUNDS: [u64; 11] = [5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600];
pub(super) const BUCKETS: usize = WAIT_BOUNDS.len() + 1;

/// So many messages came so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCounts {
    /// Sent with feedback asked for.
    pub sent: u64,
    /// Of those, what the carrier says did not arrive, and nobody has proven otherwise.
    pub undelivered: u64,
    /// Of those sent, proven to have arrived; reported and refused ones too.
    pub confirmed: u64,
    /// Of those confirmed, what Twilio knows.
    pub reported: u64,
    /// Of those confirmed, what Twilio would not take.
    pub refused: u64,
    /// Of those confirmed, how many were proven within each of [`WAIT_BOUNDS`] and not sooner, from
    /// creation to the person's act; the last: later.
    pub waits: [u64; BUCKETS],
    /// All of these waits together, in milliseconds.
    pub waited_ms: u64,
}

impl BucketCounts {
    /// Proven after so long.
    pub(super) fn waited(&mut self, wait: Duration) {
        let at = WAIT_BOUNDS.iter().position(|bound| wait <= Duration::from_secs(*bound));
        if let Some(count) = self.waits.get_mut(at.unwrap_or(BUCKETS - 1)) {
            *count = 1;
        }
        self.waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    }

    /// The share of what was sent that is proven, from 0 to 1. `None` if nothing was sent.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn conversion(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.confirmed as f64 / self.sent as f64)
    }

    /// What came to pass since then. A wait counts as it was told first: it may still turn out to be longer.
    pub(super) fn increase_since(self, then: Self) -> Self {
        let mut news = self - then;
        if news.confirmed == 0 {
            (news.waits, news.waited_ms) = Default::default();
        }
        news
    }

    fn each(mut self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        for (to, from) in self.waits.iter_mut().zip(other.waits) {
            *to = with(*to, from);
        }
        Self {
            sent: with(self.sent, other.sent),
            undelivered: with(self.undelivered, other.undelivered),
            confirmed: with(self.confirmed, other.confirmed),
            reported: with(self.reported, other.reported),
            refused: with(self.refused, other.refused),
            waits: self.waits,
            waited_ms: with(self.waited_ms, other.waited_ms),
        }
    }
}

impl Add for BucketCounts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

impl AddAssign for BucketCounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for BucketCounts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }
}
