//! The lanes of all accounts, and their quotas for the next claim.
//!
//! A claim skips accounts with closed lanes, so their backlog delays no other account. Hanging posts delay no other
//! account either: beside the shared slots, a bounded pool has one slot for each account without a post in flight.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::sid::AccountSid;
use crate::store::{Quota, Quotas};
use crate::worker::lane::{Lane, LaneReport, Room};
use crate::worker::observer::Observer;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rooms {
    /// Free shared slots.
    pub(crate) slots: usize,
    /// The posts that each known account may start, and the free own slots.
    pub(crate) quotas: Quotas,
    /// The time until the first lane opens that is closed for a time.
    pub(crate) opens_in: Option<Duration>,
}

pub(crate) struct Lanes {
    ceiling: usize,
    probe_interval: Duration,
    by_account: HashMap<AccountSid, Lane>,
    /// The last report of each lane to the observer.
    reported: HashMap<AccountSid, LaneReport>,
}

impl Lanes {
    pub(crate) fn new(ceiling: usize, probe_interval: Duration) -> Self {
        Self { ceiling, probe_interval, by_account: HashMap::new(), reported: HashMap::new() }
    }

    /// The lane of an account; a new lane is open.
    pub(crate) fn of(&mut self, account: AccountSid, now: Instant) -> &mut Lane {
        let lane = || Lane::new(self.ceiling, self.probe_interval, now);
        self.by_account.entry(account).or_insert_with(lane)
    }

    /// Requires a new success of each account before one of its messages is refused for a 404.
    pub(crate) fn distrust(&mut self, now: Instant) {
        for lane in self.by_account.values_mut() {
            lane.distrust(now);
        }
    }

    /// The quota of each lane while `slots` shared slots and `own_slots` own slots are free. An account without a lane
    /// may use all shared slots.
    pub(crate) fn room(&mut self, slots: usize, own_slots: usize, now: Instant) -> Rooms {
        let mut rooms = Rooms { slots, ..Rooms::default() };
        rooms.quotas.own_slots = own_slots;
        for (account, lane) in &mut self.by_account {
            let under_way = lane.in_flight();
            let free = match lane.room(now) {
                Room::Now(_) if slots == 0 && (own_slots == 0 || under_way > 0) => 0,
                Room::Now(free) => free,
                Room::After(wait) => {
                    rooms.opens_in = Some(rooms.opens_in.map_or(wait, |known| known.min(wait)));
                    0
                }
                Room::Full => 0,
            };
            let missing = lane.free_for_missing().min(free);
            let quota = Quota { under_way, free, missing, begun: lane.begun() };
            rooms.quotas.by_account.insert(*account, quota);
        }
        rooms
    }

    /// Reports the lanes whose state changed to the observer.
    pub(crate) fn report(&mut self, observer: &dyn Observer, now: Instant) {
        for (account, lane) in &self.by_account {
            let report = lane.report(now);
            if self.reported.get(account) != Some(&report) {
                observer.lane(*account, &report);
                self.reported.insert(*account, report);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::feedback::{OutcomeDetail, Verdict};
    use crate::worker::lane::FinishedPost;

    const MINUTE: Duration = Duration::from_mins(1);

    fn accounts() -> [AccountSid; 2] {
        ["a", "b"]
            .map(|digit| AccountSid::parse(&format!("AC{}", digit.repeat(32))).expect("valid"))
    }

    fn quota(under_way: usize, free: usize, begun: usize) -> Quota {
        Quota { under_way, free, missing: free, begun }
    }

    #[test]
    fn a_closed_lane_does_not_close_another_accounts() {
        let now = crate::worker::clock::monotonic();
        let mut lanes = Lanes::new(4, MINUTE);
        let unknown = lanes.room(3, 2, now).quotas;
        assert!(unknown.by_account.is_empty() && unknown.own_slots == 2);
        let [one, two] = accounts();
        let message = "SM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let pause = Verdict::Pause { why: OutcomeDetail::default() };
        lanes.of(one, now).begin(now, false);
        let post = FinishedPost { message, began: now, missing: false, named_by_twilio: false };
        lanes.of(one, now).end(&post, &pause, now, 0.5);
        lanes.of(two, now).begin(now, false);
        let rooms = lanes.room(3, 2, now);
        let expected = [(one, quota(0, 0, 1)), (two, quota(1, 3, 1))].into();
        assert_eq!((rooms.quotas.by_account, rooms.opens_in), (expected, Some(MINUTE)));
        let probe = lanes.room(3, 2, now + MINUTE);
        let expected = [(one, quota(0, 1, 1)), (two, quota(1, 3, 1))].into();
        assert_eq!((probe.quotas.by_account, probe.opens_in), (expected, None));
    }

    #[test]
    fn without_a_shared_slot_only_accounts_with_no_post_in_flight_may_start_one() {
        let now = crate::worker::clock::monotonic();
        let mut lanes = Lanes::new(4, MINUTE);
        let [one, two] = accounts();
        lanes.of(one, now).begin(now, false);
        lanes.of(two, now);
        let quotas = lanes.room(0, 1, now).quotas;
        assert_eq!(quotas.by_account, [(one, quota(1, 0, 1)), (two, quota(0, 4, 0))].into());
        let quotas = lanes.room(0, 0, now).quotas;
        assert_eq!(quotas.by_account, [(one, quota(1, 0, 1)), (two, quota(0, 0, 0))].into());
    }
}
