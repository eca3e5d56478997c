//! The lane of one account: a concurrency limit and a circuit breaker decide which of its posts may start.
//!
//! Deliberately absent: waiting, logging and the store. `now` and `jitter` are arguments.

mod breaker;
mod limit;
mod shared;

pub use crate::worker::lane::breaker::FinishedPost;
pub use crate::worker::lane::shared::SharedChange;

use std::time::{Duration, Instant};

use crate::domain::account_block::{AccountBlock, AccountNews};
use crate::domain::feedback::{OutcomeDetail, Verdict};
use crate::worker::lane::breaker::Breaker;
use crate::worker::lane::limit::ConcurrencyLimit;
use crate::worker::lane::shared::SharedBlocks;

/// A message that had a 404 is posted again after the probe interval divided by this, plus up to half as much.
const MISSING_WAIT: u32 = 12;

/// Whether a post may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The number of posts that may start now.
    Now(usize),
    /// The time until a post may start.
    After(Duration),
    /// No post may start until a running one ends.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Posts start.
    Posting,
    /// No post starts until the wait after a 429 is over.
    Throttled,
    /// Twilio denies the account. One probe at a time finds out when that is over. After 404s, only messages that had
    /// one are posted one at a time.
    Paused,
}

impl LaneState {
    /// The word used in metrics and the readiness detail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posting => "open",
            Self::Throttled => "throttled",
            Self::Paused => "paused",
        }
    }
}

/// The state of a lane, for metrics and the readiness detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneReport {
    pub state: LaneState,
    /// The most posts in flight.
    pub limit: usize,
    pub in_flight: usize,
    /// The reason of a pause.
    pub why: Option<OutcomeDetail>,
}

/// A change of a lane's state. The caller logs it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneChange {
    /// The lane was open or paused for another reason.
    Paused(OutcomeDetail),
    /// Posts hang; this is the new limit.
    Narrowed(usize),
    /// The lane was paused.
    Resumed,
    /// Another receiver caused it.
    Shared(SharedChange),
}

/// The meaning of a verdict in the light of those before it, for `domain::retry::AttemptFacts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictContext {
    /// The message got the same 403 or 404 before, and another message of the account succeeded.
    pub suspect: bool,
    /// The wait of a message that is given back, or that got a 404.
    pub hold: Duration,
    pub change: Option<LaneChange>,
    /// For the other receivers that share the store.
    pub news: Option<AccountNews>,
}

/// One account's lane.
#[derive(Debug)]
pub struct Lane {
    probe_interval: Duration,
    limit: ConcurrencyLimit,
    breaker: Breaker,
    shared: SharedBlocks,
    in_flight: usize,
    begun: usize,
}

impl Lane {
    /// An open lane. While it is paused, one probe is posted in each `probe_interval`.
    pub fn new(ceiling: usize, probe_interval: Duration, now: Instant) -> Self {
        let limit = ConcurrencyLimit::new(ceiling, now);
        let breaker = Breaker::new(probe_interval, now);
        Self {
            probe_interval,
            limit,
            breaker,
            shared: SharedBlocks::default(),
            in_flight: 0,
            begun: 0,
        }
    }

    /// Whether a post may start.
    pub fn room(&mut self, now: Instant) -> Room {
        self.limit.regain(now);
        let probe = self.next_probe();
        if probe.is_some() && self.in_flight > 0 {
            return Room::Full;
        }
        let until = self.limit.throttled_until().max(probe);
        let wait = until.map(|until| until.saturating_duration_since(now));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Room::After(wait);
        }
        let limit = if probe.is_some() { 1 } else { self.limit.current() };
        match limit.saturating_sub(self.in_flight) {
            0 => Room::Full,
            free => Room::Now(free),
        }
    }

    /// How many posts of [`Self::room`] may be for messages that had a 404.
    pub fn free_for_missing(&self) -> usize {
        self.breaker.free_for_missing()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The most posts in flight.
    pub fn limit(&self) -> usize {
        self.limit.current()
    }

    /// The number of posts since the start.
    pub fn begun(&self) -> usize {
        self.begun
    }

    /// Requires a new success before a message is refused for a 404.
    pub fn distrust(&mut self, now: Instant) {
        self.breaker.distrust(now);
    }

    /// Records the start of a post; `missing`: of a message that had a 404.
    pub fn begin(&mut self, now: Instant, missing: bool) {
        self.in_flight += 1;
        self.begun = self.begun.wrapping_add(1);
        self.breaker.begin(now, missing);
        self.shared.begin(now + self.probe_interval);
    }

    /// Records the end of a post. Returns the meaning of its verdict for the lane and the message.
    pub fn end(
        &mut self,
        post: &FinishedPost,
        verdict: &Verdict,
        now: Instant,
        jitter: f64,
    ) -> VerdictContext {
        self.limit.regain(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.breaker.end(post);
        if !matches!(verdict, Verdict::Retry { .. } | Verdict::Uncertain { .. }) {
            self.limit.reset_slow();
        }
        let was_paused = self.next_probe().is_some();
        let mut suspect = false;
        let change = match verdict {
            Verdict::Done { .. } => {
                self.limit.succeed(post.began);
                let ends_shared = self.shared.readmit(post.began);
                let ends_own = self.breaker.succeed(post.began);
                (ends_own || ends_shared).then_some(LaneChange::Resumed)
            }
            Verdict::Throttle { after, .. } => {
                self.limit.throttle(*after, post.began, now, jitter);
                None
            }
            Verdict::Missing { why } => {
                suspect = post.missing && self.breaker.is_proven();
                let pause = if suspect { None } else { self.breaker.miss(post, why, now) };
                let readmitted = self.shared.readmit(post.began);
                let readmitted = readmitted.then_some(LaneChange::Shared(SharedChange::Resumed));
                pause.map(LaneChange::Paused).or(readmitted)
            }
            Verdict::Pause { why } => {
                suspect = why.status == Some(403) && self.breaker.is_suspect(post.message);
                let pause = if suspect { None } else { self.breaker.deny(why, now) };
                pause.map(LaneChange::Paused)
            }
            Verdict::Uncertain { .. } | Verdict::Retry { .. } => {
                self.limit.fail(post.began, now).map(LaneChange::Narrowed)
            }
            Verdict::Never { .. } => None,
        };
        let hold = if matches!(verdict, Verdict::Missing { .. }) {
            (self.probe_interval / MISSING_WAIT).mul_f64(1.0 + jitter / 2.0)
        } else {
            self.hold(now, jitter)
        };
        let of_lane = (&self.limit, &self.breaker);
        let news = self.shared.news(post, verdict, was_paused, of_lane, now);
        let news = news.filter(|_| !suspect);
        VerdictContext { suspect, hold, change, news }
    }

    /// Takes over the blocks of the account, as all receivers know them now. Returns the changes that this receiver did not
    /// cause.
    pub fn share<'a>(
        &mut self,
        blocks: impl Iterator<Item = &'a AccountBlock>,
        now: Instant,
    ) -> Vec<SharedChange> {
        self.shared.read(blocks, &mut self.limit, &mut self.breaker, now)
    }

    /// The time of the next probe, if the lane is closed to all other posts.
    fn next_probe(&self) -> Option<Instant> {
        self.breaker.next_probe().max(self.shared.next_probe())
    }

    /// The state of the lane.
    pub fn report(&self, now: Instant) -> LaneReport {
        let why = self.breaker.pause_reason().or(self.shared.pause_reason()).cloned();
        let state = match &why {
            Some(_) => LaneState::Paused,
            None if self.limit.throttled_until().is_some_and(|until| until > now) => {
                LaneState::Throttled
            }
            None => LaneState::Posting,
        };
        LaneReport { state, limit: self.limit.current(), in_flight: self.in_flight, why }
    }

    /// The wait of a message that is given back: longer than until the next probe, so that another message makes it.
    fn hold(&self, now: Instant, jitter: f64) -> Duration {
        let held = self.limit.throttled_until().map(|until| until.saturating_duration_since(now));
        let paused = self.next_probe().map(|probe| {
            let probe = probe.saturating_duration_since(now).max(self.probe_interval);
            probe.mul_f64(1.05 + jitter / 5.0)
        });
        held.max(paused).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sid::MessageSid;

    pub(super) const MINUTE: Duration = Duration::from_mins(1);

    /// A lane and its clock.
    pub(super) struct LaneFixture {
        pub(super) inner: Lane,
        pub(super) now: Instant,
    }

    impl LaneFixture {
        pub(super) fn new(ceiling: usize) -> Self {
            let now = crate::worker::clock::monotonic();
            Self { inner: Lane::new(ceiling, MINUTE, now), now }
        }

        pub(super) fn wait(&mut self, seconds: u64) -> &mut Self {
            self.now += Duration::from_secs(seconds);
            self
        }

        pub(super) fn room(&mut self) -> Room {
            self.inner.room(self.now)
        }

        pub(super) fn begin(&mut self) -> Instant {
            self.inner.begin(self.now, false);
            self.now
        }

        pub(super) fn end(
            &mut self,
            message: u32,
            began: Instant,
            verdict: &Verdict,
        ) -> VerdictContext {
            self.inner.end(&post(message, began, false), verdict, self.now, 0.5)
        }

        /// One post of a message that had a 404 before.
        pub(super) fn post_again(&mut self, message: u32, verdict: &Verdict) -> VerdictContext {
            self.inner.begin(self.now, true);
            let post = post(message, self.now, true);
            self.now += Duration::from_secs(1);
            self.inner.end(&post, verdict, self.now, 0.5)
        }

        pub(super) fn why(&self) -> String {
            self.inner.report(self.now).why.expect("paused").message
        }

        /// One post that takes a second.
        pub(super) fn post(&mut self, message: u32, verdict: &Verdict) -> VerdictContext {
            let began = self.begin();
            self.wait(1).end(message, began, verdict)
        }

        pub(super) fn pause_by_404s(&mut self) {
            (0..20).for_each(|message| drop(self.post(message, &missing())));
        }

        pub(super) fn state(&self) -> LaneState {
            self.inner.report(self.now).state
        }

        pub(super) fn is_paused(&self) -> bool {
            self.state() == LaneState::Paused
        }

        /// Concurrent posts, each of which fails after ten seconds.
        pub(super) fn hang(&mut self, posts: usize) -> Vec<LaneChange> {
            let began: Vec<_> = (0..posts).map(|_| self.begin()).collect();
            self.wait(10);
            began.into_iter().filter_map(|began| self.end(1, began, &hangs()).change).collect()
        }
    }

    /// A post of a message. A higher number is a later message.
    pub(super) fn post(message: u32, began: Instant, missing: bool) -> FinishedPost {
        FinishedPost { message: sid(message), began, missing, named_by_twilio: false }
    }

    pub(super) fn sid(number: u32) -> MessageSid {
        MessageSid::parse(&format!("SM{number:032x}")).expect("valid")
    }

    pub(super) fn why(status: u16) -> OutcomeDetail {
        OutcomeDetail { status: Some(status), code: None, message: "so".to_owned() }
    }

    pub(super) fn done() -> Verdict {
        Verdict::Done { status: 200 }
    }

    pub(super) fn pause(status: u16) -> Verdict {
        Verdict::Pause { why: why(status) }
    }

    pub(super) fn missing() -> Verdict {
        Verdict::Missing { why: why(404) }
    }

    pub(super) fn hangs() -> Verdict {
        let message = "no complete answer within 10s".to_owned();
        Verdict::Retry { why: OutcomeDetail { message, ..OutcomeDetail::default() }, after: None }
    }

    pub(super) fn throttle(after: Option<u64>) -> Verdict {
        Verdict::Throttle { why: why(429), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn an_open_lane_has_room_up_to_its_ceiling() {
        let mut lane = LaneFixture::new(2);
        assert_eq!(lane.room(), Room::Now(2));
        let began = lane.begin();
        assert_eq!(lane.room(), Room::Now(1));
        lane.begin();
        assert_eq!(lane.room(), Room::Full);
        lane.end(1, began, &done());
        assert_eq!(lane.room(), Room::Now(1));
    }

    #[test]
    fn a_lane_with_a_ceiling_of_zero_has_room_for_one_post() {
        assert_eq!(LaneFixture::new(0).room(), Room::Now(1));
    }

    #[test]
    fn a_401_a_403_and_a_redirect_pause_the_lane_with_one_change() {
        for status in [401, 403, 301, 307] {
            let mut lane = LaneFixture::new(4);
            let (first, second) = (lane.begin(), lane.begin());
            let context = lane.end(1, first, &pause(status));
            assert_eq!(context.change, Some(LaneChange::Paused(why(status))));
            assert!(lane.is_paused() && !context.suspect);
            assert_eq!(lane.room(), Room::Full, "another post is still in flight");
            let context = lane.end(2, second, &pause(status));
            assert_eq!((context.change, lane.is_paused()), (None, true));
            assert_eq!(lane.inner.report(lane.now).why, Some(why(status)));
        }
    }

    #[test]
    fn a_paused_lane_lets_one_probe_through_each_minute() {
        let mut lane = LaneFixture::new(4);
        lane.post(1, &pause(401));
        assert_eq!(lane.room(), Room::After(MINUTE));
        for _ in 0..5 {
            assert_eq!(lane.wait(60).room(), Room::Now(1));
            let began = lane.begin();
            assert_eq!(lane.room(), Room::Full);
            let context = lane.wait(2).end(2, began, &pause(401));
            assert_eq!((context.change, lane.is_paused()), (None, true));
            assert_eq!(lane.room(), Room::After(Duration::from_secs(58)));
            lane.now -= Duration::from_secs(2);
        }
    }

    #[test]
    fn a_message_that_is_given_back_is_held_longer_than_until_the_next_probe() {
        let mut lane = LaneFixture::new(4);
        let context = lane.post(1, &pause(401));
        assert!(context.hold > MINUTE && context.hold < MINUTE * 2, "{:?}", context.hold);
        let began = lane.wait(60).begin();
        assert!(lane.wait(5).end(2, began, &pause(401)).hold > MINUTE);
    }

    #[test]
    fn a_probe_that_succeeds_reopens_the_lane() {
        for verdict in [pause(401), pause(403), pause(302)] {
            let mut lane = LaneFixture::new(4);
            lane.post(1, &verdict);
            let context = lane.wait(60).post(2, &done());
            assert_eq!((context.change, lane.is_paused()), (Some(LaneChange::Resumed), false));
            assert_eq!(lane.room(), Room::Now(4));
            assert_eq!(lane.state(), LaneState::Posting);
        }
    }

    #[test]
    fn a_success_from_before_the_pause_proves_nothing() {
        let mut lane = LaneFixture::new(4);
        let early = lane.begin();
        lane.wait(1).post(1, &pause(401));
        assert_eq!(lane.end(2, early, &done()).change, None);
        assert_eq!(lane.state(), LaneState::Paused);
    }

    #[test]
    fn a_probe_that_fails_for_another_reason_leaves_the_lane_paused() {
        let retry = Verdict::Retry { why: why(503), after: None };
        for verdict in [retry, throttle(None), Verdict::Never { why: why(400) }] {
            let mut lane = LaneFixture::new(4);
            lane.post(1, &pause(401));
            let context = lane.wait(60).post(2, &verdict);
            assert_eq!((context.change, lane.is_paused()), (None, true));
            assert!(matches!(lane.room(), Room::After(_)));
        }
    }
}
