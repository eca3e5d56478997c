//! How many messages came how far, and how long people took.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of the waits, in seconds; the last bucket is open. A code is valid for minutes, and a person who takes an
/// hour may have returned for it.
pub const WAIT_BOUNDS: [u64; 11] = [5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600];
pub(super) const BUCKETS: usize = WAIT_BOUNDS.len() + 1;

/// The progress of a group of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCounts {
    /// Sent with feedback requested.
    pub sent: u64,
    /// Of those, undelivered by the carrier's report, without evidence against it.
    pub undelivered: u64,
    /// Of those sent, proven to have arrived; reported and refused ones too.
    pub confirmed: u64,
    /// Of those confirmed, reported to Twilio.
    pub reported: u64,
    /// Of those confirmed, refused by Twilio.
    pub refused: u64,
    /// Of those confirmed, the number whose time from creation to the act is in each bucket of [`WAIT_BOUNDS`]; the last
    /// bucket is open.
    pub waits: [u64; BUCKETS],
    /// The sum of these times, in milliseconds.
    pub waited_ms: u64,
}

impl BucketCounts {
    pub(super) fn waited(&mut self, wait: Duration) {
        let at = WAIT_BOUNDS.iter().position(|bound| wait <= Duration::from_secs(*bound));
        if let Some(count) = self.waits.get_mut(at.unwrap_or(BUCKETS - 1)) {
            *count = 1;
        }
        self.waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    }

    /// The share of sent messages that are confirmed, from 0 to 1. `None` if none was sent.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub fn conversion(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.confirmed as f64 / self.sent as f64)
    }

    /// The increase since then. A wait counts with its first value, although it may become longer.
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
