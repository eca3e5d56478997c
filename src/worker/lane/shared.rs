//! The part of a lane that receivers with one store share: pauses and holds that one of them learned hold back all.
//!
//! A pause ends for all receivers by the success of one. If Twilio then rejects another receiver again, that receiver's own
//! credentials are wrong: its pauses are its own until it has a success.

use std::time::{Duration, Instant};

use crate::domain::account_block::{AccountBlock, AccountNews, BlockKind};
use crate::domain::feedback::{OutcomeDetail, Verdict};
use crate::worker::lane::breaker::{Breaker, FinishedPost};
use crate::worker::lane::limit::ConcurrencyLimit;

/// A change of a lane that another receiver caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedChange {
    /// Its post was rejected, and this lane was open.
    Paused(OutcomeDetail),
    /// Its post got a 429.
    Throttled(Duration),
    /// Twilio no longer rejects the account.
    Resumed,
}

/// A pause that all receivers know, this one included.
#[derive(Debug)]
struct SharedPause {
    /// When this receiver learned it.
    since: Instant,
    next_probe: Instant,
    why: OutcomeDetail,
}

#[derive(Debug, Default)]
pub(super) struct SharedBlocks {
    pause: Option<SharedPause>,
    /// Twilio accepted another receiver's post after it had rejected this one's, and has accepted none of this one's since.
    is_contradicted: bool,
}

impl SharedBlocks {
    /// Takes over the blocks of the account, as all receivers know them now. Returns the changes that this receiver did not
    /// cause.
    pub(super) fn read<'a>(
        &mut self,
        blocks: impl Iterator<Item = &'a AccountBlock>,
        limit: &mut ConcurrencyLimit,
        breaker: &mut Breaker,
        now: Instant,
    ) -> Vec<SharedChange> {
        let (mut pause, mut changes) = (None, Vec::new());
        for block in blocks {
            match block.kind {
                BlockKind::Paused => pause = Some(block),
                BlockKind::Throttled if limit.throttle_elsewhere(now + block.wait, now) => {
                    changes.push(SharedChange::Throttled(block.wait));
                }
                BlockKind::Throttled => {}
            }
        }
        let known = self.pause.take();
        let change = match pause {
            Some(block) => {
                let since = known.as_ref().map_or(now, |known| known.since);
                let (next_probe, why) = (now + block.wait, block.why.clone());
                self.pause = Some(SharedPause { since, next_probe, why: why.clone() });
                known.is_none().then_some(SharedChange::Paused(why))
            }
            None if known.is_some() => {
                self.is_contradicted = breaker.end_denial();
                Some(SharedChange::Resumed)
            }
            None => None,
        };
        changes.extend(change.filter(|_| breaker.next_probe().is_none()));
        changes
    }

    /// The time of the next probe during a pause.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.pause.as_ref().map(|pause| pause.next_probe)
    }

    pub(super) fn pause_reason(&self) -> Option<&OutcomeDetail> {
        self.pause.as_ref().map(|pause| &pause.why)
    }

    /// Records the start of a post, which is a probe during a pause.
    pub(super) fn begin(&mut self, next_probe: Instant) {
        if let Some(pause) = &mut self.pause {
            pause.next_probe = next_probe;
        }
    }

    /// Records an answer that proves the credentials. Returns whether it ends a pause.
    pub(super) fn readmit(&mut self, began: Instant) -> bool {
        self.is_contradicted = false;
        self.pause.take_if(|pause| began >= pause.since).is_some()
    }

    /// What the other receivers must know after a post.
    pub(super) fn news(
        &mut self,
        post: &FinishedPost,
        verdict: &Verdict,
        was_paused: bool,
        (limit, breaker): (&ConcurrencyLimit, &Breaker),
        now: Instant,
    ) -> Option<AccountNews> {
        match verdict {
            Verdict::Throttle { why, .. } => {
                let wait = limit.throttled_until()?.saturating_duration_since(now);
                let (kind, why) = (BlockKind::Throttled, why.clone());
                Some(AccountNews::Blocked(AccountBlock { kind, wait, why }))
            }
            Verdict::Done { .. } | Verdict::Missing { .. } if was_paused => {
                let began = now.saturating_duration_since(post.began);
                Some(AccountNews::Accepted { began })
            }
            // A redirect, or an account that is not configured here, says nothing about the other receivers.
            Verdict::Pause { why } if matches!(why.status, Some(401 | 403)) => {
                let next_probe = breaker.next_probe()?;
                let wait = next_probe.saturating_duration_since(now);
                if was_paused || self.is_contradicted {
                    return Some(AccountNews::StillPaused { wait });
                }
                self.pause = Some(SharedPause { since: now, next_probe, why: why.clone() });
                let (kind, why) = (BlockKind::Paused, why.clone());
                Some(AccountNews::Blocked(AccountBlock { kind, wait, why }))
            }
            Verdict::Done { .. }
            | Verdict::Missing { .. }
            | Verdict::Pause { .. }
            | Verdict::Uncertain { .. }
            | Verdict::Retry { .. }
            | Verdict::Never { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::lane::tests::{LaneFixture, MINUTE, done, missing, pause, throttle, why};
    use crate::worker::lane::{LaneChange, LaneState, Room};

    fn block(kind: BlockKind, wait: Duration) -> AccountBlock {
        AccountBlock { kind, wait, why: why(401) }
    }

    /// A read of the blocks.
    fn read(lane: &mut LaneFixture, blocks: &[AccountBlock]) -> Vec<SharedChange> {
        lane.inner.share(blocks.iter(), lane.now)
    }

    fn paused(seconds: u64) -> [AccountBlock; 1] {
        [block(BlockKind::Paused, Duration::from_secs(seconds))]
    }

    #[test]
    fn a_pause_of_another_receiver_closes_the_lane_until_its_row_is_gone() {
        let mut lane = LaneFixture::new(4);
        assert_eq!(read(&mut lane, &paused(60)), [SharedChange::Paused(why(401))]);
        assert_eq!((lane.state(), lane.why()), (LaneState::Paused, "so".to_owned()));
        assert_eq!(lane.room(), Room::After(MINUTE));
        assert_eq!(read(lane.wait(10), &paused(50)), []);
        assert_eq!(lane.room(), Room::After(Duration::from_secs(50)));
        assert_eq!(read(&mut lane, &[]), [SharedChange::Resumed]);
        assert_eq!((lane.state(), lane.room()), (LaneState::Posting, Room::Now(4)));
        assert_eq!(read(&mut lane, &[]), []);
    }

    #[test]
    fn a_probe_of_a_shared_pause_reopens_the_lane_for_all_receivers_or_keeps_it_paused() {
        let mut lane = LaneFixture::new(4);
        read(&mut lane, &paused(5));
        assert_eq!(lane.wait(5).room(), Room::Now(1));
        let rejected = lane.post(1, &pause(401));
        assert_eq!(rejected.change, Some(LaneChange::Paused(why(401))));
        assert_eq!(rejected.news, Some(AccountNews::StillPaused { wait: MINUTE }));
        assert_eq!(read(&mut lane, &paused(60)), []);
        let accepted = lane.wait(60).post(2, &done());
        let began = Duration::from_secs(1);
        assert_eq!(accepted.news, Some(AccountNews::Accepted { began }));
        assert_eq!(accepted.change, Some(LaneChange::Resumed));
        assert_eq!(lane.room(), Room::Now(4));
        assert_eq!(read(&mut lane, &[]), [], "this receiver caused the change");
    }

    #[test]
    fn the_first_rejection_is_news_and_a_redirect_is_not() {
        for (status, is_news) in [(401, true), (403, true), (302, false)] {
            let mut lane = LaneFixture::new(4);
            let wait = MINUTE;
            let own = AccountBlock { kind: BlockKind::Paused, wait, why: why(status) };
            let news = lane.post(1, &pause(status)).news;
            assert_eq!(news, is_news.then_some(AccountNews::Blocked(own)), "{status}");
        }
        let mut lane = LaneFixture::new(4);
        assert_eq!(lane.post(1, &done()).news, None, "the lane was open");
    }

    #[test]
    fn another_receivers_success_ends_a_pause_of_this_receivers_own_once() {
        let mut lane = LaneFixture::new(4);
        lane.post(1, &pause(401));
        assert_eq!(read(&mut lane, &paused(60)), [], "its own news");
        assert_eq!(read(lane.wait(10), &[]), [SharedChange::Resumed]);
        assert_eq!((lane.state(), lane.room()), (LaneState::Posting, Room::Now(4)));
        // Its own credentials are wrong: this holds no other receiver back.
        for _ in 0..2 {
            let rejected = lane.post(2, &pause(401)).news;
            assert!(matches!(rejected, Some(AccountNews::StillPaused { .. })), "{rejected:?}");
            assert_eq!(read(lane.wait(60), &[]), []);
            assert!(lane.is_paused());
        }
        lane.post(3, &done());
        let rejected = lane.post(4, &pause(401)).news;
        assert!(matches!(rejected, Some(AccountNews::Blocked(_))), "{rejected:?}");
    }

    #[test]
    fn a_404_of_a_probe_ends_a_shared_pause_too() {
        let mut lane = LaneFixture::new(4);
        read(&mut lane, &paused(0));
        let context = lane.post(1, &missing());
        let began = Duration::from_secs(1);
        assert_eq!(context.news, Some(AccountNews::Accepted { began }));
        assert_eq!(
            (context.change, lane.state()),
            (Some(LaneChange::Shared(SharedChange::Resumed)), LaneState::Posting)
        );
    }

    #[test]
    fn a_429_of_another_receiver_holds_the_lane_and_halves_its_limit_once() {
        let mut lane = LaneFixture::new(4);
        let held = |seconds| [block(BlockKind::Throttled, Duration::from_secs(seconds))];
        let change = SharedChange::Throttled(Duration::from_secs(30));
        assert_eq!(read(&mut lane, &held(30)), [change]);
        assert_eq!((lane.state(), lane.room()), (LaneState::Throttled, Room::After(MINUTE / 2)));
        assert_eq!(read(lane.wait(10), &held(20)), [], "the same hold");
        assert_eq!(lane.wait(20).room(), Room::Now(2));
        assert_eq!(read(&mut lane, &held(40)).len(), 1, "a new one");
        assert_eq!(lane.wait(40).room(), Room::Now(1));
    }

    #[test]
    fn a_429_of_this_receiver_is_news_and_not_taken_over_from_itself() {
        let mut lane = LaneFixture::new(4);
        let news = lane.post(1, &throttle(Some(10))).news;
        let Some(AccountNews::Blocked(own)) = news else { panic!("{news:?}") };
        assert_eq!(own.kind, BlockKind::Throttled);
        assert_eq!(lane.room(), Room::After(own.wait));
        assert_eq!(read(&mut lane, std::slice::from_ref(&own)), []);
        assert_eq!(lane.inner.limit(), 2);
    }
}
