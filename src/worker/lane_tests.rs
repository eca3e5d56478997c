//! What a lane does, a sentence each (DESIGN §6). Beside `lane.rs` only for its length.

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
        self.lane.begin(self.now);
        self.now
    }

    fn end(&mut self, message: u32, began: Instant, verdict: &Verdict) -> Ruling {
        self.lane.end(sid(message), began, verdict, self.now, 0.5)
    }

    /// One post that takes a second.
    fn post(&mut self, message: u32, verdict: &Verdict) -> Ruling {
        let began = self.begin();
        self.wait(1).end(message, began, verdict)
    }

    fn state(&self) -> LaneState {
        self.lane.report(self.now).state
    }
}

fn sid(number: u32) -> MessageSid {
    MessageSid::parse(&format!("SM{number:032x}")).expect("valid")
}

fn why(status: u16) -> Why {
    Why { status: Some(status), code: None, message: "so".to_owned() }
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
        assert_eq!(ruling.change, Some(Change::Paused(why(status))));
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
        assert_eq!((ruling.change, ruling.paused), (Some(Change::Reopened), false));
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
    for verdict in [retry, missing(), throttle(None), Verdict::Never { why: why(400) }] {
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
fn twenty_404s_in_a_row_pause_the_lane() {
    let mut road = Road::new(4);
    for message in 1..20 {
        assert!(!road.post(message, &missing()).paused, "{message}");
    }
    let ruling = road.post(20, &missing());
    assert!(ruling.paused);
    let Some(Change::Paused(why)) = ruling.change else { panic!("not said") };
    assert!(why.message.starts_with("20 answers of 404 in a row"), "{}", why.message);
    assert!(road.wait(60).post(21, &missing()).paused, "a probe that finds nothing either");
    assert_eq!(road.wait(60).post(22, &done()).change, Some(Change::Reopened));
    assert!(!road.post(23, &missing()).paused, "the count starts over");
}

#[test]
fn a_success_between_404s_starts_the_count_over() {
    let mut road = Road::new(4);
    for message in 0..100 {
        let verdict = if message % 20 == 19 { done() } else { missing() };
        assert!(!road.post(message, &verdict).paused, "{message}");
    }
}
