//! What a lane does, a sentence each (docs/design.md, "Posting to Twilio"). Beside `lane.rs` only for its length.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// A lane and its clock.
struct Road {
    lane: Lane,
    now: Instant,
}

impl Road {
    fn new(ceiling: usize) -> Self {
        let now = Instant::now();
        Self { lane: Lane::new(ceiling, MINUTE, now), now }
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn room(&mut self) -> Room {
        self.lane.room(self.now)
    }

    fn begin(&mut self) -> Instant {
        self.lane.begin(self.now, false);
        self.now
    }

    fn end(&mut self, message: u32, began: Instant, verdict: &Verdict) -> VerdictContext {
        self.lane.end(&post(message, began, false), verdict, self.now, 0.5)
    }

    /// One post of a message that had a 404 before.
    fn post_again(&mut self, message: u32, verdict: &Verdict) -> VerdictContext {
        self.lane.begin(self.now, true);
        let post = post(message, self.now, true);
        self.now += Duration::from_secs(1);
        self.lane.end(&post, verdict, self.now, 0.5)
    }

    fn why(&self) -> String {
        self.lane.report(self.now).why.expect("paused").message
    }

    /// One post that takes a second.
    fn post(&mut self, message: u32, verdict: &Verdict) -> VerdictContext {
        let began = self.begin();
        self.wait(1).end(message, began, verdict)
    }

    fn state(&self) -> LaneState {
        self.lane.report(self.now).state
    }
}

/// A post of a message. A higher number is a later message.
fn post(message: u32, began: Instant, missing: bool) -> FinishedPost {
    FinishedPost { message: sid(message), began, missing, named_by_twilio: false }
}

fn sid(number: u32) -> MessageSid {
    MessageSid::parse(&format!("SM{number:032x}")).expect("valid")
}

fn why(status: u16) -> OutcomeDetail {
    OutcomeDetail { status: Some(status), code: None, message: "so".to_owned() }
}

fn done() -> Verdict {
    Verdict::Done { status: 200 }
}

fn pause(status: u16) -> Verdict {
    Verdict::Pause { why: why(status) }
}

fn missing() -> Verdict {
    Verdict::Missing { why: why(404) }
}

fn throttle(after: Option<u64>) -> Verdict {
    Verdict::Throttle { why: why(429), after: after.map(Duration::from_secs) }
}

#[test]
fn an_open_lane_has_room_up_to_its_ceiling() {
    let mut road = Road::new(2);
    assert_eq!(road.room(), Room::Now(2));
    let began = road.begin();
    assert_eq!(road.room(), Room::Now(1));
    road.begin();
    assert_eq!(road.room(), Room::Full);
    road.end(1, began, &done());
    assert_eq!(road.room(), Room::Now(1));
}

#[test]
fn a_lane_without_a_ceiling_still_moves() {
    assert_eq!(Road::new(0).room(), Room::Now(1));
}

#[test]
fn a_429_halves_the_lane_and_a_clean_minute_regains_one() {
    let mut road = Road::new(4);
    let ruling = road.post(1, &throttle(None));
    assert_eq!((ruling.paused, ruling.change), (false, None));
    assert_eq!(road.state(), LaneState::Held);
    assert_eq!(road.wait(2).room(), Room::Now(2));
    assert_eq!(road.state(), LaneState::Open);
    assert_eq!(road.wait(59).room(), Room::Now(2), "the hold is no part of the clean minute");
    assert_eq!(road.wait(1).room(), Room::Now(3));
    assert_eq!(road.wait(60).room(), Room::Now(4));
    assert_eq!(road.wait(600).room(), Room::Now(4));
}

#[test]
fn posts_that_are_throttled_together_halve_the_lane_once() {
    let mut road = Road::new(4);
    let began = [road.begin(), road.begin(), road.begin(), road.begin()];
    road.wait(1);
    for (message, began) in (1..).zip(began) {
        let ruling = road.end(message, began, &throttle(None));
        assert_eq!(ruling.hold, Duration::from_millis(1500));
    }
    assert_eq!(road.wait(2).room(), Room::Now(2));
}

#[test]
fn a_429_never_closes_the_lane_and_holds_it_longer_each_time_up_to_a_minute() {
    let mut road = Road::new(4);
    for hold in [1500, 3000, 6000, 12_000, 24_000, 48_000, 60_000, 60_000] {
        let ruling = road.post(1, &throttle(None));
        assert_eq!(ruling.hold, Duration::from_millis(hold));
        assert_eq!(road.room(), Room::After(ruling.hold));
        road.now += ruling.hold;
    }
    assert_eq!(road.room(), Room::Now(1));
    road.post(2, &done());
    assert_eq!(road.post(1, &throttle(None)).hold, Duration::from_millis(1500));
}

#[test]
fn a_429_with_retry_after_holds_the_lane_at_least_that_long() {
    let mut road = Road::new(4);
    assert_eq!(road.post(1, &throttle(Some(30))).hold, Duration::from_millis(31_500));
    assert_eq!(road.wait(30).room(), Room::After(Duration::from_millis(1500)));
    // A second one cannot shorten what the first has asked for.
    let mut road = Road::new(4);
    let (first, second) = (road.begin(), road.begin());
    road.end(1, first, &throttle(Some(3600 * 24)));
    let hold = road.end(2, second, &throttle(Some(1))).hold;
    assert!(hold >= Duration::from_hours(1) && hold < Duration::from_secs(4000), "{hold:?}");
}

#[test]
fn a_401_a_403_and_a_redirect_pause_the_lane_and_say_so_once() {
    for status in [401, 403, 301, 307] {
        let mut road = Road::new(4);
        let (first, second) = (road.begin(), road.begin());
        let ruling = road.end(1, first, &pause(status));
        assert_eq!(ruling.change, Some(LaneChange::Paused(why(status))));
        assert!(ruling.paused && !ruling.suspect);
        assert_eq!(road.room(), Room::Full, "another post is still under way");
        let ruling = road.end(2, second, &pause(status));
        assert_eq!((ruling.change, ruling.paused), (None, true));
        assert_eq!(road.lane.report(road.now).why, Some(why(status)));
    }
}

#[test]
fn a_paused_lane_lets_one_probe_through_each_minute() {
    let mut road = Road::new(4);
    road.post(1, &pause(401));
    assert_eq!(road.room(), Room::After(MINUTE));
    for _ in 0..5 {
        assert_eq!(road.wait(60).room(), Room::Now(1));
        let began = road.begin();
        assert_eq!(road.room(), Room::Full);
        let ruling = road.wait(2).end(2, began, &pause(401));
        assert_eq!((ruling.change, ruling.paused), (None, true));
        assert_eq!(road.room(), Room::After(Duration::from_secs(58)));
        road.now -= Duration::from_secs(2);
    }
}

#[test]
fn a_message_that_was_given_back_stays_away_for_longer_than_until_the_next_probe() {
    let mut road = Road::new(4);
    let ruling = road.post(1, &pause(401));
    assert!(ruling.hold > MINUTE && ruling.hold < MINUTE * 2, "{:?}", ruling.hold);
    let began = road.wait(60).begin();
    assert!(road.wait(5).end(2, began, &pause(401)).hold > MINUTE);
}

#[test]
fn a_probe_that_succeeds_reopens_the_lane() {
    for verdict in [pause(401), pause(403), pause(302)] {
        let mut road = Road::new(4);
        road.post(1, &verdict);
        let ruling = road.wait(60).post(2, &done());
        assert_eq!((ruling.change, ruling.paused), (Some(LaneChange::Reopened), false));
        assert_eq!(road.room(), Room::Now(4));
        assert_eq!(road.state(), LaneState::Open);
    }
}

#[test]
fn a_success_from_before_the_pause_proves_nothing() {
    let mut road = Road::new(4);
    let early = road.begin();
    road.wait(1).post(1, &pause(401));
    assert_eq!(road.end(2, early, &done()).change, None);
    assert_eq!(road.state(), LaneState::Paused);
}

#[test]
fn a_probe_that_only_meets_other_trouble_leaves_the_lane_paused() {
    let retry = Verdict::Retry { why: why(503), after: None };
    for verdict in [retry, throttle(None), Verdict::Never { why: why(400) }] {
        let mut road = Road::new(4);
        road.post(1, &pause(401));
        let ruling = road.wait(60).post(2, &verdict);
        assert_eq!((ruling.change, ruling.paused), (None, true));
        assert!(matches!(road.room(), Room::After(_)));
    }
}

#[test]
fn a_message_that_gets_403_again_after_another_succeeded_is_the_culprit() {
    let mut road = Road::new(4);
    assert!(!road.post(1, &pause(403)).suspect);
    road.wait(60).post(2, &done());
    let ruling = road.post(1, &pause(403));
    assert_eq!((ruling.suspect, ruling.paused, ruling.change), (true, false, None));
    assert_eq!(road.state(), LaneState::Open);
}

#[test]
fn a_403_for_everyone_is_nobodys_own_fault() {
    let mut road = Road::new(4);
    for round in 0..3 {
        for message in 1..=5 {
            let ruling = road.wait(60).post(message, &pause(403));
            assert!(!ruling.suspect && ruling.paused, "{round} {message}");
        }
    }
}

#[test]
fn a_401_is_never_the_messages_own_fault() {
    let mut road = Road::new(4);
    road.post(1, &pause(401));
    road.wait(60).post(2, &done());
    let ruling = road.post(1, &pause(401));
    assert!(!ruling.suspect && ruling.paused);
}

#[test]
fn the_memory_of_403s_is_bounded() {
    let mut road = Road::new(4);
    for message in 0..3000 {
        road.post(message, &pause(403));
    }
    assert_eq!(road.lane.denied.len(), DENIED_CAP);
}

#[test]
fn twenty_404s_in_a_row_pause_the_lane_for_messages_that_had_one_and_for_no_other() {
    let mut road = Road::new(4);
    for message in 1..20 {
        assert!(!road.post(message, &missing()).paused, "{message}");
        assert_eq!(road.lane.free_for_missing(), usize::MAX);
    }
    let Some(LaneChange::Paused(why)) = road.post(20, &missing()).change else {
        panic!("not said")
    };
    assert!(why.message.starts_with("20 answers of 404 in a row"), "{}", why.message);
    assert_eq!((road.room(), road.lane.free_for_missing()), (Room::Now(4), 1));
    assert_eq!(road.post(21, &missing()).change, None, "said once");
    road.lane.begin(road.now, true);
    assert_eq!((road.room(), road.lane.free_for_missing()), (Room::Now(3), 0), "one at a time");
    assert_eq!(road.post(22, &done()).change, Some(LaneChange::Reopened));
    assert!(!road.post(23, &missing()).paused, "the count starts over");
}

#[test]
fn a_second_404_is_the_messages_own_fault_only_after_a_success_since_the_start_or_the_pause() {
    let mut road = Road::new(4);
    assert!(!road.post_again(1, &missing()).suspect, "nothing has succeeded yet");
    road.post(2, &done());
    assert!(!road.post(3, &missing()).suspect, "its first");
    assert!(road.post_again(3, &missing()).suspect);
    for message in 0..20 {
        road.post(message, &missing());
    }
    assert!(!road.post_again(3, &missing()).suspect, "the pause came after the success");
    road.post(2, &done());
    for message in 0..40 {
        let ruling = road.post_again(message, &missing());
        assert!(ruling.suspect && !ruling.paused, "{message}: the account is right");
    }
}

/// The account or its region may have become wrong since the success.
#[test]
fn after_a_pause_by_404s_an_earlier_success_proves_nothing_about_a_second_404() {
    let mut road = Road::new(4);
    road.post(100, &done());
    for message in 0..20 {
        road.post(message, &missing());
    }
    assert!(!road.post_again(20, &missing()).suspect);
    road.post(101, &done());
    assert!(road.post_again(20, &missing()).suspect);
}

#[test]
fn a_success_that_began_before_a_change_of_the_credentials_proves_nothing_about_a_404() {
    let mut road = Road::new(4);
    road.post(1, &done());
    let early = road.begin();
    let now = road.wait(1).now;
    road.lane.distrust(now);
    road.end(2, early, &done());
    assert!(!road.post_again(3, &missing()).suspect);
    road.post(4, &done());
    assert!(road.post_again(3, &missing()).suspect);
}

#[test]
fn a_pause_by_404s_names_its_cause_and_names_it_again_when_another_is_found() {
    let mut road = Road::new(4);
    for message in 0..20 {
        road.post(message, &missing());
    }
    assert!(road.why().contains(UNKNOWN_SIDS), "{}", road.why());
    let began = road.begin();
    let post = FinishedPost { named_by_twilio: true, ..post(21, began, false) };
    let ruling = road.lane.end(&post, &missing(), road.now, 0.5);
    assert!(matches!(ruling.change, Some(LaneChange::Paused(_))));
    let cause = "a status callback of Twilio names 1 of these SIDs";
    assert!(road.why().ends_with(cause), "{}", road.why());
    assert_eq!(road.post(22, &missing()).change, None);
}

#[test]
fn any_other_pause_closes_a_lane_that_404s_paused_and_a_404_of_a_probe_opens_it_for_new_messages() {
    for verdict in [pause(401), pause(403), pause(302)] {
        let mut road = Road::new(4);
        for message in 0..20 {
            road.post(message, &missing());
        }
        let early = road.begin();
        assert!(matches!(road.wait(1).post(21, &verdict).change, Some(LaneChange::Paused(_))));
        road.end(22, early, &missing());
        assert_eq!(road.room(), Room::After(MINUTE), "that post began before the pause");
        let ruling = road.wait(60).post(23, &missing());
        assert!(matches!(ruling.change, Some(LaneChange::Paused(_))) && ruling.paused);
        assert_eq!((road.room(), road.lane.free_for_missing()), (Room::Now(4), 1));
        assert_eq!(road.post(24, &done()).change, Some(LaneChange::Reopened));
    }
}

fn hangs() -> Verdict {
    let message = "no complete answer within 10s".to_owned();
    Verdict::Retry { why: OutcomeDetail { message, ..OutcomeDetail::default() }, after: None }
}

impl Road {
    /// So many posts at a time, each of which fails after ten seconds.
    fn hang(&mut self, posts: usize) -> Vec<LaneChange> {
        let began: Vec<_> = (0..posts).map(|_| self.begin()).collect();
        self.wait(10);
        began.into_iter().filter_map(|began| self.end(1, began, &hangs()).change).collect()
    }
}

#[test]
fn consecutive_timeouts_halve_the_lane_once_for_each_group_and_a_clean_minute_regains_one() {
    let mut road = Road::new(8);
    assert_eq!(road.hang(8), [LaneChange::Narrowed(4)]);
    assert_eq!(road.hang(4), [LaneChange::Narrowed(2)]);
    assert_eq!(road.hang(2), [LaneChange::Narrowed(1)]);
    assert_eq!(road.hang(1), []);
    assert_eq!((road.room(), road.state()), (Room::Now(1), LaneState::Open));
    assert_eq!(road.wait(59).room(), Room::Now(1));
    assert_eq!(road.wait(1).room(), Room::Now(2));
}

#[test]
fn a_single_timeout_and_failures_that_come_at_once_do_not_narrow_the_lane() {
    let mut road = Road::new(4);
    for message in 0..5 {
        assert_eq!(road.hang(1), []);
        road.post(message, &done());
    }
    for message in 0..50 {
        assert_eq!(road.post(message, &hangs()).change, None, "after a second");
    }
    assert_eq!(road.room(), Room::Now(4));
}

#[test]
fn a_success_between_404s_starts_the_count_over() {
    let mut road = Road::new(4);
    for message in 0..100 {
        let verdict = if message % 20 == 19 { done() } else { missing() };
        assert!(!road.post(message, &verdict).paused, "{message}");
    }
}
