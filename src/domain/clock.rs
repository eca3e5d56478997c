//! The trusted time: which time is safe to expire and remove records by.
//!
//! The wall clock may jump. The trusted time follows it, but a step forward of more than [`MAX_JUMP`] needs a second
//! source: Twilio's `Date`, or the operator. Removal is more careful, because it cannot be undone: only Twilio's `Date`
//! or [`SECOND_LOOK`] permits it after a jump. Records are dated by the wall clock unless it is known to be wrong.
//! Then they are dated by the expected time, so a correction of the clock makes them no older.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The largest difference that counts as an ordinary restart or correction.
pub const MAX_JUMP: Duration = Duration::from_hours(1);

/// How long no record is removed because of a jump that the operator confirmed and Twilio did not. A mistaken
/// confirmation can be corrected within this time.
pub const SECOND_LOOK: Duration = Duration::from_hours(24);

/// The state to keep over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSeen {
    /// The time that the clock check begins with.
    pub at: Timestamp,
    /// The expected time without the jump that only the operator confirmed, and the end of the second look.
    pub unsupported: Option<(Timestamp, Timestamp)>,
}

impl From<Timestamp> for LastSeen {
    fn from(at: Timestamp) -> Self {
        Self { at, unsupported: None }
    }
}

/// [`MAX_JUMP`], as a difference of two times.
const MAX_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    pub wall: Timestamp,
    /// A clock without jumps. Only differences between two readings of one process have a meaning.
    pub uptime: Duration,
}

/// A wall clock that differs from the expected time by more than [`MAX_JUMP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// How far the wall clock was ahead of the expected time when the jump was noticed; negative: behind.
    pub ahead: SignedDuration,
    /// When it was noticed, by the trusted time.
    pub since: Timestamp,
}

impl Jump {
    /// Whether the trusted time is the expected time instead of the wall clock's.
    pub fn holds_back(&self) -> bool {
        self.ahead.is_positive()
    }
}

/// The last agreed time, and a jump after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discipline {
    agreed: ClockReading,
    /// The last agreed time before the wall clock fell behind it.
    before_fall: Option<ClockReading>,
    /// Whether the agreed time is Twilio's, and the wall clock differed from it.
    is_contradicted: bool,
    jump: Option<Jump>,
    /// The agreed time before a jump that only the operator confirmed, and the end of the second look.
    unsupported: Option<(ClockReading, Timestamp)>,
}

impl Discipline {
    /// Begins with the store's last trusted time. `None`: a new store, which has no records.
    pub fn start(now: ClockReading, last: Option<LastSeen>) -> Self {
        let is_far = |last: &Timestamp| !is_within(now.wall.duration_since(*last));
        let wall = last.map(|last| last.at).filter(is_far).unwrap_or(now.wall);
        let unsupported = last.and_then(|last| last.unsupported);
        let mut started = Self {
            agreed: ClockReading { wall, ..now },
            before_fall: None,
            is_contradicted: false,
            jump: None,
            unsupported: unsupported.map(|(wall, until)| (ClockReading { wall, ..now }, until)),
        };
        started.trusted(now);
        started
    }

    /// The time to expire and remove records by.
    pub fn trusted(&mut self, now: ClockReading) -> Timestamp {
        let expected = self.expected(now);
        let ahead = now.wall.duration_since(expected);
        if is_within(ahead) {
            if self.jump.is_some_and(|jump| jump.holds_back()) {
                self.jump = None;
            }
            return now.wall;
        }
        if ahead.is_negative() {
            self.before_fall.get_or_insert(self.agreed);
            self.agreed = now;
            self.jump = Some(Jump { ahead, since: now.wall });
            return now.wall;
        }
        if !self.jump.is_some_and(|jump| jump.holds_back()) {
            self.jump = Some(Jump { ahead, since: expected });
        }
        expected
    }

    /// The time to remove records by, all but parked evidence.
    pub fn removal(&mut self, now: ClockReading) -> Timestamp {
        self.supported(now).checked_sub(MAX_JUMP).unwrap_or(Timestamp::MIN)
    }

    /// The trusted time without a jump that only the operator confirmed, within [`SECOND_LOOK`].
    pub fn supported(&mut self, now: ClockReading) -> Timestamp {
        let trusted = self.trusted(now);
        let Some((before, until)) = self.unsupported else { return trusted };
        let expected = Self::expected_from(before, now);
        if trusted < until && trusted.duration_since(expected) > MAX_SKEW {
            return expected;
        }
        self.unsupported = None;
        trusted
    }

    /// The time to date records by.
    pub fn dated(&mut self, now: ClockReading) -> Timestamp {
        self.trusted(now);
        let expected = Self::expected_from(self.before_fall.unwrap_or(self.agreed), now);
        let ahead = now.wall.duration_since(expected);
        let is_wrong = !is_within(ahead) && (ahead.is_negative() || self.is_contradicted);
        if is_wrong { expected } else { now.wall }
    }

    /// The time for the store to begin with after a restart.
    pub fn last(&mut self, now: ClockReading) -> LastSeen {
        self.supported(now);
        let expected = Self::expected_from(self.before_fall.unwrap_or(self.agreed), now);
        let at = self.trusted(now).max(expected.min(self.dated(now)));
        let unsupported = self.unsupported;
        let unsupported =
            unsupported.map(|(before, until)| (Self::expected_from(before, now), until));
        LastSeen { at, unsupported }
    }

    /// Adopts the time in Twilio's response.
    pub fn agree(&mut self, now: ClockReading, theirs: Timestamp) {
        let before = self.jump.take();
        self.agreed = ClockReading { wall: theirs, ..now };
        (self.before_fall, self.unsupported) = (None, None);
        self.is_contradicted = !is_within(now.wall.duration_since(theirs));
        self.trusted(now);
        // The same fault as before keeps the time at which it was noticed.
        if let (Some(before), Some(jump)) = (before, &mut self.jump)
            && before.holds_back() == jump.holds_back()
        {
            jump.since = before.since;
        }
    }

    /// Adopts the wall clock, which the operator confirmed.
    pub fn confirm(&mut self, now: ClockReading) {
        self.supported(now);
        let until = now.wall.checked_add(SECOND_LOOK).unwrap_or(Timestamp::MAX);
        let is_ahead = now.wall.duration_since(self.expected(now)) > MAX_SKEW;
        let before = self.unsupported.map_or(self.agreed, |(before, _)| before);
        let unsupported = if is_ahead { Some((before, until)) } else { self.unsupported };
        *self = Self {
            agreed: now,
            before_fall: None,
            is_contradicted: false,
            jump: None,
            unsupported,
        };
    }

    /// The jump that no second source has agreed to.
    pub fn jump(&self) -> Option<Jump> {
        self.jump
    }

    /// The last agreed time, plus the time that has passed since.
    fn expected(&self, now: ClockReading) -> Timestamp {
        Self::expected_from(self.agreed, now)
    }

    fn expected_from(from: ClockReading, now: ClockReading) -> Timestamp {
        let passed = now.uptime.saturating_sub(from.uptime);
        from.wall.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}

fn is_within(difference: SignedDuration) -> bool {
    difference.unsigned_abs() <= MAX_JUMP
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn wall(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + seconds).expect("a time")
    }

    fn reading(at: i64, uptime: u64) -> ClockReading {
        ClockReading { wall: wall(at), uptime: Duration::from_secs(uptime) }
    }

    #[test]
    fn a_new_store_and_a_short_pause_are_taken_as_they_are() {
        for last in [None, Some(wall(0).into()), Some(wall(-HOUR).into()), Some(wall(HOUR).into())]
        {
            let mut clock = Discipline::start(reading(0, 7), last);
            assert_eq!((clock.jump(), clock.trusted(reading(10, 17))), (None, wall(10)));
        }
    }

    #[test]
    fn a_start_far_ahead_goes_on_from_the_last_time_until_twilio_agrees() {
        let mut clock = Discipline::start(reading(40 * DAY, 0), Some(wall(0).into()));
        let jump = clock.jump().expect("a jump");
        assert_eq!(jump.ahead, SignedDuration::from_hours(40 * 24));
        assert_eq!(clock.trusted(reading(40 * DAY + 600, 600)), wall(600));
        clock.agree(reading(40 * DAY + 600, 600), wall(40 * DAY + 599));
        assert_eq!(
            (clock.jump(), clock.trusted(reading(40 * DAY + 601, 601))),
            (None, wall(40 * DAY + 601))
        );
    }

    #[test]
    fn a_clock_that_twilio_contradicts_stays_held_back_and_follows_twilios_time() {
        let mut clock = Discipline::start(reading(40 * DAY, 0), Some(wall(0).into()));
        clock.agree(reading(40 * DAY + 5, 5), wall(HOUR * 9));
        assert!(clock.jump().is_some_and(|jump| jump.holds_back() && jump.since == wall(0)));
        assert_eq!(clock.trusted(reading(40 * DAY + 15, 15)), wall(HOUR * 9 + 10));
        // It is put right.
        assert_eq!(clock.trusted(reading(HOUR * 9 + 20, 25)), wall(HOUR * 9 + 20));
        assert_eq!(clock.jump(), None);
    }

    #[test]
    fn steps_that_are_each_small_do_not_add_up_to_a_large_one() {
        let mut clock = Discipline::start(reading(0, 0), None);
        let half = HOUR / 2;
        assert_eq!(clock.trusted(reading(half, 1)), wall(half));
        assert_eq!(clock.trusted(reading(2 * half, 2)), wall(2 * half));
        assert_eq!(clock.trusted(reading(3 * half, 3)), wall(3), "measured from the agreed time");
        assert!(clock.jump().is_some());
    }

    #[test]
    fn a_clock_that_fell_back_and_leaps_forward_again_is_held_back() {
        let mut clock = Discipline::start(reading(40 * DAY, 0), None);
        assert_eq!(
            clock.trusted(reading(10, 10)),
            wall(10),
            "nothing lapses early by an earlier time"
        );
        assert!(clock.jump().is_some_and(|jump| !jump.holds_back()));
        assert_eq!(clock.trusted(reading(40 * DAY, 20)), wall(20));
        assert!(clock.jump().is_some_and(|jump| jump.holds_back()));
        clock.confirm(reading(40 * DAY, 30));
        assert_eq!((clock.jump(), clock.trusted(reading(40 * DAY, 30))), (None, wall(40 * DAY)));
    }

    #[test]
    fn a_clock_that_is_behind_twilios_is_followed_and_named() {
        let mut clock = Discipline::start(reading(0, 0), None);
        for uptime in [1, 2, 3] {
            clock.agree(reading(0, uptime), wall(10 * DAY));
            assert_eq!(clock.trusted(reading(0, uptime)), wall(0));
            assert!(clock.jump().is_some_and(|jump| !jump.holds_back()));
        }
        clock.agree(reading(10 * DAY, 4), wall(10 * DAY));
        assert_eq!((clock.jump(), clock.trusted(reading(10 * DAY, 5))), (None, wall(10 * DAY)));
    }

    #[test]
    fn records_are_dated_by_the_expected_time_while_the_clock_is_known_to_be_wrong() {
        let mut clock = Discipline::start(reading(-40 * DAY, 0), Some(wall(0).into()));
        for (at, uptime) in [(-40 * DAY, 0), (-40 * DAY + 9, 9), (-50 * DAY, 60)] {
            let seconds = i64::try_from(uptime).expect("small");
            let at = reading(at, uptime);
            assert_eq!((clock.dated(at), clock.last(at).at), (wall(seconds), wall(seconds)));
        }
        // Put right, and not agreed upon yet.
        let right = reading(70, 70);
        assert_eq!((clock.dated(right), clock.last(right).at), (wall(70), wall(70)));
        clock.agree(right, wall(70));
        assert_eq!((clock.dated(right), clock.trusted(right)), (wall(70), wall(70)));
        // Ahead, it may be right until Twilio says otherwise.
        let ahead = reading(40 * DAY, 80);
        assert_eq!((clock.dated(ahead), clock.last(ahead).at), (wall(40 * DAY), wall(80)));
        clock.agree(ahead, wall(80));
        assert_eq!((clock.dated(ahead), clock.trusted(ahead)), (wall(80), wall(80)));
    }

    #[test]
    fn a_jump_that_only_the_operator_confirmed_removes_nothing_for_a_day() {
        let mut clock = Discipline::start(reading(0, 0), None);
        let ahead = reading(9 * DAY, 10);
        clock.confirm(ahead);
        assert_eq!((clock.trusted(ahead), clock.removal(ahead)), (wall(9 * DAY), wall(10 - HOUR)));
        // Another confirmation and restarts do not end the second look.
        clock.confirm(reading(12 * DAY, 20));
        let last = clock.last(reading(12 * DAY, 20));
        let mut again = Discipline::start(reading(12 * DAY + 60, 0), Some(last));
        assert_eq!(again.removal(reading(12 * DAY + 60, 0)), wall(20 - HOUR));
        // Put right, it goes on as before.
        let mut right = again;
        assert_eq!(right.removal(reading(90, 30)), wall(90 - HOUR));
        // Twilio agrees, or a day passes.
        let mut agreed = again;
        agreed.agree(reading(12 * DAY + 90, 30), wall(12 * DAY + 90));
        assert_eq!(agreed.removal(reading(12 * DAY + 90, 30)), wall(12 * DAY + 90 - HOUR));
        let day = reading(13 * DAY + 60, 86_400);
        assert_eq!(again.removal(day), wall(13 * DAY + 60 - HOUR));
        assert_eq!(again.last(day).unsupported, None);
    }

    proptest! {
        /// For any series of jumps: trusted time is never ahead of the wall clock, nor of an honest clock by more
        /// than the bound, if it began with an honest one.
        #[test]
        fn no_series_of_jumps_brings_the_trusted_time_ahead_of_the_true_one(
            steps in prop::collection::vec((0_u64..10_000, -50 * DAY..50 * DAY), 1..40),
        ) {
            let mut clock = Discipline::start(reading(0, 0), None);
            let (mut uptime, mut truth) = (0, 0);
            for (passed, wrong) in steps {
                uptime += passed;
                truth += i64::try_from(passed).expect("small");
                let at = reading(truth + wrong, uptime);
                let trusted = clock.trusted(at);
                prop_assert!(trusted <= at.wall);
                prop_assert!(clock.removal(at) <= wall(truth), "{trusted} at {truth}");
                prop_assert!(trusted <= wall(truth + HOUR), "{trusted} at {truth}");
            }
        }
    }
}
