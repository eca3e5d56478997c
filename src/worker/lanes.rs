//! Lanes: each account's, and what they have room for together.
//!
//! A claim passes over the accounts whose lanes are closed: what waits for them holds up nobody else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::sid::AccountSid;
use crate::store::Quotas;
use crate::worker::Observer;
use crate::worker::lane::{Lane, LaneReport, Room};

/// What all lanes have room for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rooms {
    /// How many posts may start, whosever they are.
    pub(crate) slots: usize,
    /// And how many of each known account.
    pub(crate) quotas: Quotas,
    /// When the first of those opens that are closed for a time.
    pub(crate) opens_in: Option<Duration>,
}

pub(crate) struct Lanes {
    ceiling: usize,
    probe_every: Duration,
    by_account: HashMap<AccountSid, Lane>,
    /// What the observer was told last.
    told: HashMap<AccountSid, LaneReport>,
}

impl Lanes {
    pub(crate) fn new(ceiling: usize, probe_every: Duration) -> Self {
        Self { ceiling, probe_every, by_account: HashMap::new(), told: HashMap::new() }
    }

    /// The account's lane; a new one is open.
    pub(crate) fn of(&mut self, account: AccountSid, now: Instant) -> &mut Lane {
        let lane = || Lane::new(self.ceiling, self.probe_every, now);
        self.by_account.entry(account).or_insert_with(lane)
    }

    /// What there is room for with so many slots free. An account of which nothing is known yet may
    /// take all of them.
    pub(crate) fn room(&mut self, slots: usize, now: Instant) -> Rooms {
        let mut rooms = Rooms { slots, ..Rooms::default() };
        for (account, lane) in &mut self.by_account {
            let quota = match lane.room(now) {
                Room::Now(free) => free,
                Room::After(wait) => {
                    rooms.opens_in = Some(rooms.opens_in.map_or(wait, |known| known.min(wait)));
                    0
                }
                Room::Full => 0,
            };
            rooms.quotas.insert(*account, quota);
        }
        rooms
    }

    /// Tells the observer of the lanes that stand differently than it was told last.
    pub(crate) fn tell(&mut self, observer: &dyn Observer, now: Instant) {
        for (account, lane) in &self.by_account {
            let report = lane.report(now);
            if self.told.get(account) != Some(&report) {
                observer.lane(*account, &report);
                self.told.insert(*account, report);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::feedback::{Verdict, Why};

    #[test]
    fn a_closed_lane_does_not_close_another_accounts() {
        let now = Instant::now();
        let mut lanes = Lanes::new(4, Duration::from_mins(1));
        let nobody = Rooms { slots: 3, ..Rooms::default() };
        assert_eq!(lanes.room(3, now), nobody, "nobody is known yet");
        let [one, two] = ["a", "b"]
            .map(|digit| AccountSid::parse(&format!("AC{}", digit.repeat(32))).expect("valid"));
        let message = "SM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let pause = Verdict::Pause { why: Why::default() };
        lanes.of(one, now).begin(now);
        lanes.of(one, now).end(message, now, &pause, now, 0.5);
        lanes.of(two, now).begin(now);
        let rooms = lanes.room(3, now);
        assert_eq!(rooms.quotas, Quotas::from([(one, 0), (two, 3)]));
        assert_eq!(rooms.opens_in, Some(Duration::from_mins(1)));
        let probe = lanes.room(3, now + Duration::from_mins(1));
        assert_eq!(probe.quotas, Quotas::from([(one, 1), (two, 3)]));
        assert_eq!(probe.opens_in, None);
    }
}
