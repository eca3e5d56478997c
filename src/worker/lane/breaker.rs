//! The circuit breaker of one account's posts. A problem of the whole account refuses no message.
//!
//! A 404 has two possible causes: Twilio does not know the SID, or the account or region is wrong. So 404s never delay
//! the first post of a message, and one success proves that the account is right. Until then no message is refused for a
//! 404. A pause by 404s needs a new success, because the account may have become wrong since the last one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::feedback::OutcomeDetail;
use crate::domain::findings::UNKNOWN_SIDS;
use crate::domain::sid::MessageSid;

/// The number of 404s, without a success between them, that pauses the lane.
const MISSING_LIMIT: u32 = 20;
/// The most messages that got 403 and are remembered. A forgotten message merely costs one more pause.
const MAX_DENIED: usize = 1024;

/// A post that has ended.
#[derive(Debug, Clone, Copy)]
pub struct FinishedPost {
    pub message: MessageSid,
    pub began: Instant,
    /// The message's last attempt before it got a 404.
    pub missing: bool,
    /// Twilio itself named the message, long enough ago to be visible everywhere.
    pub named_by_twilio: bool,
}

#[derive(Debug)]
struct Pause {
    since: Instant,
    /// `None` after 404s, which close the lane for no message that had none.
    next_probe: Option<Instant>,
    why: OutcomeDetail,
}

#[derive(Debug)]
pub(super) struct Breaker {
    probe_interval: Duration,
    /// 404s in a row.
    missing: u32,
    /// How many of them were for messages that Twilio itself named.
    missing_named: u32,
    /// Posts in flight for messages that had a 404.
    missing_in_flight: usize,
    /// The start, or the last pause or change of the credentials. A success that began later proves the account.
    doubted_at: Instant,
    is_proven: bool,
    pause: Option<Pause>,
    successes: u64,
    /// Messages that got 403, each with the number of successes before it.
    denied: VecDeque<(MessageSid, u64)>,
}

impl Breaker {
    pub(super) fn new(probe_interval: Duration, now: Instant) -> Self {
        Self {
            probe_interval,
            missing: 0,
            missing_named: 0,
            missing_in_flight: 0,
            doubted_at: now,
            is_proven: false,
            pause: None,
            successes: 0,
            denied: VecDeque::new(),
        }
    }

    pub(super) fn pause_reason(&self) -> Option<&OutcomeDetail> {
        self.pause.as_ref().map(|pause| &pause.why)
    }

    /// The time of the next probe, if the lane is closed to all other posts.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.pause.as_ref().and_then(|pause| pause.next_probe)
    }

    /// How many posts may be for messages that had a 404: one at a time during a pause by 404s.
    pub(super) fn free_for_missing(&self) -> usize {
        match &self.pause {
            Some(Pause { next_probe: None, .. }) => 1_usize.saturating_sub(self.missing_in_flight),
            Some(_) | None => usize::MAX,
        }
    }

    /// Requires a new success before a message is refused for a 404.
    pub(super) fn distrust(&mut self, now: Instant) {
        (self.doubted_at, self.is_proven) = (now, false);
    }

    pub(super) fn begin(&mut self, now: Instant, missing: bool) {
        self.missing_in_flight += usize::from(missing);
        if let Some(probe) = self.pause.as_mut().and_then(|pause| pause.next_probe.as_mut()) {
            *probe = now + self.probe_interval;
        }
    }

    pub(super) fn end(&mut self, post: &FinishedPost) {
        self.missing_in_flight = self.missing_in_flight.saturating_sub(usize::from(post.missing));
    }

    /// Records a success. Returns whether it ends a pause: only a post that began after the pause does.
    pub(super) fn succeed(&mut self, began: Instant) -> bool {
        self.successes += 1;
        (self.missing, self.missing_named) = (0, 0);
        self.is_proven |= began >= self.doubted_at;
        self.pause.take_if(|pause| began >= pause.since).is_some()
    }

    /// Whether a second 404 is the message's own fault.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Records a 404. Returns the reason of a pause that it begins. A 404 of a probe proves that Twilio accepts the
    /// credentials, so from then on only messages with a 404 wait.
    pub(super) fn miss(
        &mut self,
        post: &FinishedPost,
        why: &OutcomeDetail,
        now: Instant,
    ) -> Option<OutcomeDetail> {
        self.missing = self.missing.saturating_add(1);
        self.missing_named = self.missing_named.saturating_add(u32::from(post.named_by_twilio));
        let (named, count) = (self.missing_named, self.missing);
        match &self.pause {
            Some(Pause { next_probe: Some(_), since, .. }) if post.began < *since => return None,
            Some(Pause { next_probe: Some(_), .. }) => {}
            // Reported again only if the cause turns out to be another one.
            Some(pause) if named == 0 || !pause.why.message.contains(UNKNOWN_SIDS) => return None,
            Some(_) | None if count < MISSING_LIMIT => return None,
            Some(_) | None => {}
        }
        let cause = match named {
            0 => UNKNOWN_SIDS.to_owned(),
            _ => format!("a status callback of Twilio names {named} of these SIDs"),
        };
        let answers = if count == 1 { "answer" } else { "answers" };
        let message = format!("{count} {answers} of 404 in a row, and {cause}");
        Some(self.begin_pause(OutcomeDetail { message, ..why.clone() }, None, now))
    }

    /// Records a 401, a 403 or a redirect. Returns the reason of a pause that it begins. While a probe is planned the
    /// earlier reason stays; a pause by 404s is replaced.
    pub(super) fn deny(&mut self, why: &OutcomeDetail, now: Instant) -> Option<OutcomeDetail> {
        let probe = now + self.probe_interval;
        let is_probing = self.next_probe().is_some();
        (!is_probing).then(|| self.begin_pause(why.clone(), Some(probe), now))
    }

    /// Ends a pause by a denial. Returns whether there was one.
    pub(super) fn end_denial(&mut self) -> bool {
        self.pause.take_if(|pause| pause.next_probe.is_some()).is_some()
    }

    fn begin_pause(
        &mut self,
        why: OutcomeDetail,
        next_probe: Option<Instant>,
        now: Instant,
    ) -> OutcomeDetail {
        self.distrust(now);
        self.pause = Some(Pause { since: now, next_probe, why: why.clone() });
        why
    }

    /// Records a 403. Returns whether this message had one before and another message succeeded since.
    pub(super) fn is_suspect(&mut self, message: MessageSid) -> bool {
        let known = self.denied.iter().position(|(denied, _)| *denied == message);
        let Some((at, &(_, before))) = known.and_then(|at| Some((at, self.denied.get(at)?))) else {
            if self.denied.len() >= MAX_DENIED {
                self.denied.pop_front();
            }
            self.denied.push_back((message, self.successes));
            return false;
        };
        let is_suspect = self.successes > before;
        if is_suspect {
            self.denied.remove(at);
        }
        is_suspect
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::lane::tests::{LaneFixture, MINUTE, done, missing, pause, post, sid};
    use crate::worker::lane::{LaneChange, LaneState, Room};

    #[test]
    fn the_memory_of_403s_is_bounded() {
        let mut breaker = Breaker::new(Duration::ZERO, crate::worker::clock::monotonic());
        for message in 0..3000 {
            assert!(!breaker.is_suspect(sid(message)));
        }
        assert_eq!(breaker.denied.len(), MAX_DENIED);
    }

    #[test]
    fn a_second_403_after_a_success_of_another_message_is_the_messages_own_fault() {
        let mut lane = LaneFixture::new(4);
        assert!(!lane.post(1, &pause(403)).suspect);
        lane.wait(60).post(2, &done());
        let context = lane.post(1, &pause(403));
        assert_eq!((context.suspect, lane.is_paused(), context.change), (true, false, None));
        assert_eq!(lane.state(), LaneState::Posting);
    }

    #[test]
    fn a_403_for_every_message_refuses_none() {
        let mut lane = LaneFixture::new(4);
        for round in 0..3 {
            for message in 1..=5 {
                let context = lane.wait(60).post(message, &pause(403));
                assert!(!context.suspect && lane.is_paused(), "{round} {message}");
            }
        }
    }

    #[test]
    fn a_401_is_never_the_messages_own_fault() {
        let mut lane = LaneFixture::new(4);
        lane.post(1, &pause(401));
        lane.wait(60).post(2, &done());
        let context = lane.post(1, &pause(401));
        assert!(!context.suspect && lane.is_paused());
    }

    #[test]
    fn twenty_404s_in_a_row_pause_the_lane_for_messages_that_had_one_and_for_no_other() {
        let mut lane = LaneFixture::new(4);
        for message in 1..20 {
            lane.post(message, &missing());
            assert!(!lane.is_paused(), "{message}");
            assert_eq!(lane.inner.free_for_missing(), usize::MAX);
        }
        let Some(LaneChange::Paused(why)) = lane.post(20, &missing()).change else {
            panic!("no pause")
        };
        assert!(why.message.starts_with("20 answers of 404 in a row"), "{}", why.message);
        assert_eq!((lane.room(), lane.inner.free_for_missing()), (Room::Now(4), 1));
        assert_eq!(lane.post(21, &missing()).change, None, "one change");
        lane.inner.begin(lane.now, true);
        assert_eq!(
            (lane.room(), lane.inner.free_for_missing()),
            (Room::Now(3), 0),
            "one at a time"
        );
        assert_eq!(lane.post(22, &done()).change, Some(LaneChange::Resumed));
        lane.post(23, &missing());
        assert!(!lane.is_paused(), "the count starts over");
    }

    #[test]
    fn a_second_404_is_the_messages_own_fault_only_after_a_success_since_the_start_or_the_pause() {
        let mut lane = LaneFixture::new(4);
        assert!(!lane.post_again(1, &missing()).suspect, "nothing has succeeded yet");
        lane.post(2, &done());
        assert!(!lane.post(3, &missing()).suspect, "its first");
        assert!(lane.post_again(3, &missing()).suspect);
        lane.pause_by_404s();
        assert!(!lane.post_again(3, &missing()).suspect, "the pause came after the success");
        lane.post(2, &done());
        for message in 0..40 {
            let context = lane.post_again(message, &missing());
            assert!(context.suspect && !lane.is_paused(), "{message}: the account is proven");
        }
    }

    /// The account or its region may have become wrong since the success.
    #[test]
    fn after_a_pause_by_404s_an_earlier_success_proves_nothing_about_a_second_404() {
        let mut lane = LaneFixture::new(4);
        lane.post(100, &done());
        lane.pause_by_404s();
        assert!(!lane.post_again(20, &missing()).suspect);
        lane.post(101, &done());
        assert!(lane.post_again(20, &missing()).suspect);
    }

    #[test]
    fn a_success_that_began_before_a_change_of_the_credentials_proves_nothing_about_a_404() {
        let mut lane = LaneFixture::new(4);
        lane.post(1, &done());
        let early = lane.begin();
        let now = lane.wait(1).now;
        lane.inner.distrust(now);
        lane.end(2, early, &done());
        assert!(!lane.post_again(3, &missing()).suspect);
        lane.post(4, &done());
        assert!(lane.post_again(3, &missing()).suspect);
    }

    #[test]
    fn a_pause_by_404s_names_its_cause_and_names_it_again_when_another_is_found() {
        let mut lane = LaneFixture::new(4);
        lane.pause_by_404s();
        assert!(lane.why().contains(UNKNOWN_SIDS), "{}", lane.why());
        let began = lane.begin();
        let post = FinishedPost { named_by_twilio: true, ..post(21, began, false) };
        let context = lane.inner.end(&post, &missing(), lane.now, 0.5);
        assert!(matches!(context.change, Some(LaneChange::Paused(_))));
        let cause = "a status callback of Twilio names 1 of these SIDs";
        assert!(lane.why().ends_with(cause), "{}", lane.why());
        assert_eq!(lane.post(22, &missing()).change, None);
    }

    #[test]
    fn any_other_denial_closes_a_lane_paused_by_404s_until_a_probe_gets_a_404() {
        for verdict in [pause(401), pause(403), pause(302)] {
            let mut lane = LaneFixture::new(4);
            lane.pause_by_404s();
            let early = lane.begin();
            assert!(matches!(lane.wait(1).post(21, &verdict).change, Some(LaneChange::Paused(_))));
            lane.end(22, early, &missing());
            assert_eq!(lane.room(), Room::After(MINUTE), "that post began before the pause");
            let context = lane.wait(60).post(23, &missing());
            assert!(matches!(context.change, Some(LaneChange::Paused(_))) && lane.is_paused());
            assert_eq!((lane.room(), lane.inner.free_for_missing()), (Room::Now(4), 1));
            assert_eq!(lane.post(24, &done()).change, Some(LaneChange::Resumed));
        }
    }

    #[test]
    fn a_success_between_404s_starts_the_count_over() {
        let mut lane = LaneFixture::new(4);
        for message in 0..100 {
            let verdict = if message % 20 == 19 { done() } else { missing() };
            lane.post(message, &verdict);
            assert!(!lane.is_paused(), "{message}");
        }
    }
}
