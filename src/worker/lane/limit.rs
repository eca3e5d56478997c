//! The concurrency limit of one account's posts: additive increase, multiplicative decrease.
//!
//! A 429 halves the limit, so that feedback leaves the account's API concurrency to sending. Slow failures halve it too,
//! so that hanging posts hold few slots.

use std::time::{Duration, Instant};

use crate::domain::retry::obeying;

/// Each such time without a 429 or a slow failure raises the limit by one.
const CLEAN_WINDOW: Duration = Duration::from_mins(1);
/// The first 429 delays the next post for this long and up to as much again.
const WAIT_BASE: Duration = Duration::from_secs(1);
/// Consecutive 429s double the wait up to this.
const WAIT_CAP: Duration = Duration::from_mins(1);
/// A failed post that took this long occupied a slot for nothing. Shorter than any timeout of a post.
const SLOW_POST: Duration = Duration::from_secs(2);
/// From this count on, each slow failure halves the limit. A conclusive verdict resets the count.
const SLOW_LIMIT: u32 = 2;

/// Two ends of a wait this close are the same one, read twice by clocks of two machines.
const SAME_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    ceiling: usize,
    limit: usize,
    /// When the time without a 429 or a slow failure began. Each raise of the limit moves it by [`CLEAN_WINDOW`].
    clean_since: Instant,
    throttled_until: Option<Instant>,
    throttled_at: Option<Instant>,
    /// 429s in a row.
    throttles: u32,
    /// Slow failures in a row.
    slow: u32,
    narrowed_at: Option<Instant>,
}

impl ConcurrencyLimit {
    pub(super) fn new(ceiling: usize, now: Instant) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            ceiling,
            limit: ceiling,
            clean_since: now,
            throttled_until: None,
            throttled_at: None,
            throttles: 0,
            slow: 0,
            narrowed_at: None,
        }
    }

    pub(super) fn current(&self) -> usize {
        self.limit
    }

    pub(super) fn throttled_until(&self) -> Option<Instant> {
        self.throttled_until
    }

    /// Raises the limit for each clean window that has passed.
    pub(super) fn regain(&mut self, now: Instant) {
        while self.limit < self.ceiling
            && now.saturating_duration_since(self.clean_since) >= CLEAN_WINDOW
        {
            self.limit += 1;
            self.clean_since += CLEAN_WINDOW;
        }
    }

    pub(super) fn succeed(&mut self, began: Instant) {
        if self.throttled_at.is_none_or(|at| began > at) {
            self.throttles = 0;
        }
    }

    /// Records a verdict that shows that Twilio answers.
    pub(super) fn reset_slow(&mut self) {
        self.slow = 0;
    }

    /// Records a 429. Concurrent posts that are throttled together count once.
    pub(super) fn throttle(
        &mut self,
        after: Option<Duration>,
        began: Instant,
        now: Instant,
        jitter: f64,
    ) {
        if self.throttled_at.is_none_or(|at| began > at) {
            self.limit = (self.limit / 2).max(1);
            self.throttled_at = Some(now);
            self.throttles = self.throttles.saturating_add(1);
        }
        let doublings = self.throttles.saturating_sub(1).min(6);
        let own = WAIT_BASE.saturating_mul(1 << doublings).mul_f64(1.0 + jitter).min(WAIT_CAP);
        let requested = after.map_or(Duration::ZERO, |after| obeying(after, jitter));
        let until = self.throttled_until.map_or(now, |until| until.max(now));
        let until = until.max(now + own.max(requested));
        self.throttled_until = Some(until);
        // A minute without a post is no clean one.
        self.clean_since = until;
    }

    /// Records a 429 that another receiver got. Returns whether it is a new one.
    pub(super) fn throttle_elsewhere(&mut self, until: Instant, now: Instant) -> bool {
        if self.throttled_until.is_some_and(|known| until <= known + SAME_WAIT) {
            return false;
        }
        self.limit = (self.limit / 2).max(1);
        (self.throttled_at, self.throttled_until) = (Some(now), Some(until));
        self.clean_since = until;
        true
    }

    /// Records a failure. Returns the new limit if the failure was slow and lowers it. Concurrent posts that hang
    /// together count once.
    pub(super) fn fail(&mut self, began: Instant, now: Instant) -> Option<usize> {
        if now.saturating_duration_since(began) < SLOW_POST {
            return None;
        }
        self.clean_since = now;
        self.slow = self.slow.saturating_add(1);
        if self.slow < SLOW_LIMIT
            || self.limit == 1
            || self.narrowed_at.is_some_and(|at| began < at)
        {
            return None;
        }
        self.limit = (self.limit / 2).max(1);
        self.narrowed_at = Some(now);
        Some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::lane::tests::{LaneFixture, done, hangs, throttle};
    use crate::worker::lane::{LaneChange, LaneState, Room};

    #[test]
    fn a_429_halves_the_lane_and_a_clean_minute_regains_one() {
        let mut lane = LaneFixture::new(4);
        let context = lane.post(1, &throttle(None));
        assert_eq!((lane.is_paused(), context.change), (false, None));
        assert_eq!(lane.state(), LaneState::Throttled);
        assert_eq!(lane.wait(2).room(), Room::Now(2));
        assert_eq!(lane.state(), LaneState::Posting);
        assert_eq!(lane.wait(59).room(), Room::Now(2), "the hold is no part of the clean minute");
        assert_eq!(lane.wait(1).room(), Room::Now(3));
        assert_eq!(lane.wait(60).room(), Room::Now(4));
        assert_eq!(lane.wait(600).room(), Room::Now(4));
    }

    #[test]
    fn posts_that_are_throttled_together_halve_the_lane_once() {
        let mut lane = LaneFixture::new(4);
        let began = [lane.begin(), lane.begin(), lane.begin(), lane.begin()];
        lane.wait(1);
        for (message, began) in (1..).zip(began) {
            let context = lane.end(message, began, &throttle(None));
            assert_eq!(context.hold, Duration::from_millis(1500));
        }
        assert_eq!(lane.wait(2).room(), Room::Now(2));
    }

    #[test]
    fn a_429_never_closes_the_lane_and_holds_it_longer_each_time_up_to_a_minute() {
        let mut lane = LaneFixture::new(4);
        for hold in [1500, 3000, 6000, 12_000, 24_000, 48_000, 60_000, 60_000] {
            let context = lane.post(1, &throttle(None));
            assert_eq!(context.hold, Duration::from_millis(hold));
            assert_eq!(lane.room(), Room::After(context.hold));
            lane.now += context.hold;
        }
        assert_eq!(lane.room(), Room::Now(1));
        lane.post(2, &done());
        assert_eq!(lane.post(1, &throttle(None)).hold, Duration::from_millis(1500));
    }

    #[test]
    fn a_429_with_retry_after_holds_the_lane_at_least_that_long() {
        let mut lane = LaneFixture::new(4);
        assert_eq!(lane.post(1, &throttle(Some(30))).hold, Duration::from_millis(31_500));
        assert_eq!(lane.wait(30).room(), Room::After(Duration::from_millis(1500)));
        // A second Retry-After cannot shorten the first.
        let mut lane = LaneFixture::new(4);
        let (first, second) = (lane.begin(), lane.begin());
        lane.end(1, first, &throttle(Some(3600 * 24)));
        let hold = lane.end(2, second, &throttle(Some(1))).hold;
        assert!(hold >= Duration::from_hours(1) && hold < Duration::from_secs(4000), "{hold:?}");
    }

    #[test]
    fn consecutive_timeouts_halve_the_lane_once_for_each_group_and_a_clean_minute_regains_one() {
        let mut lane = LaneFixture::new(8);
        assert_eq!(lane.hang(8), [LaneChange::Narrowed(4)]);
        assert_eq!(lane.hang(4), [LaneChange::Narrowed(2)]);
        assert_eq!(lane.hang(2), [LaneChange::Narrowed(1)]);
        assert_eq!(lane.hang(1), []);
        assert_eq!((lane.room(), lane.state()), (Room::Now(1), LaneState::Posting));
        assert_eq!(lane.wait(59).room(), Room::Now(1));
        assert_eq!(lane.wait(1).room(), Room::Now(2));
    }

    #[test]
    fn a_single_timeout_and_failures_that_come_at_once_do_not_narrow_the_lane() {
        let mut lane = LaneFixture::new(4);
        for message in 0..5 {
            assert_eq!(lane.hang(1), []);
            lane.post(message, &done());
        }
        for message in 0..50 {
            assert_eq!(lane.post(message, &hangs()).change, None, "after a second");
        }
        assert_eq!(lane.room(), Room::Now(4));
    }
}
