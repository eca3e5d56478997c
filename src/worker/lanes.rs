//! Lanes: each account's, and what they have room for together.
//!
//! One account today. With several, a claim should name the accounts that it is for; until then a
//! message whose lane turns out to be closed is given back by the worker.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::sid::AccountSid;
use crate::worker::Observer;
use crate::worker::lane::{Lane, LaneReport, Room};

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

    /// What there is room for with so many slots free. Before the first claim no account is known.
    pub(crate) fn room(&mut self, slots: usize, now: Instant) -> Room {
        if slots == 0 {
            return Room::Full;
        }
        let rooms = self.by_account.values_mut().map(|lane| lane.room(now));
        match rooms.reduce(both).unwrap_or(Room::Now(slots)) {
            Room::Now(free) => Room::Now(free.min(slots)),
            closed @ (Room::After(_) | Room::Full) => closed,
        }
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

fn both(one: Room, other: Room) -> Room {
    match (one, other) {
        (Room::Now(one), Room::Now(other)) => Room::Now(one + other),
        (Room::Now(one), _) | (_, Room::Now(one)) => Room::Now(one),
        (Room::After(one), Room::After(other)) => Room::After(one.min(other)),
        (Room::After(one), Room::Full) | (Room::Full, Room::After(one)) => Room::After(one),
        (Room::Full, Room::Full) => Room::Full,
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
        assert_eq!(lanes.room(3, now), Room::Now(3), "nobody is known yet");
        let [one, two] = ["a", "b"]
            .map(|digit| AccountSid::parse(&format!("AC{}", digit.repeat(32))).expect("valid"));
        let message = "SM0123456789abcdef0123456789abcdef".parse().expect("valid");
        let pause = Verdict::Pause { why: Why::default() };
        lanes.of(one, now).begin(now);
        lanes.of(one, now).end(message, now, &pause, now, 0.5);
        assert_eq!(lanes.room(3, now), Room::After(Duration::from_mins(1)));
        lanes.of(two, now);
        assert_eq!(lanes.room(3, now), Room::Now(3));
        assert_eq!(lanes.room(0, now), Room::Full);
    }
}
