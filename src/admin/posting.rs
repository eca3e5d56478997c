//! When a confirmed message is posted next, or why it is not posted yet, for the terminal and the page.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::message::{Message, State};
use crate::domain::sid::AccountSid;
use crate::telemetry::readiness::Readiness;

/// The conditions that prevent posts now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Accounts on hold, with the beginning of each hold.
    pub on_hold: BTreeMap<AccountSid, Timestamp>,
    /// Accounts whose lane does not post due messages.
    pub paused: BTreeSet<String>,
    /// Whether a service has the store open; without one nothing is posted.
    pub is_served: bool,
    /// Whether that service records confirmations and does not post them.
    pub is_dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPost {
    /// Once the operator resumes its account.
    OnHold,
    /// Once a service has opened the store.
    NotServed,
    /// Once dry run is switched off.
    DryRun,
    /// Once Twilio accepts a post of its account.
    LanePaused,
    UnderWay,
    /// At this time, or at once if it has passed.
    At(Timestamp),
}

impl Posting {
    /// The state of a store, and of the service that has it open, if one runs.
    pub fn of(on_hold: BTreeMap<AccountSid, Timestamp>, service: Option<&Readiness>) -> Self {
        let Some(service) = service else { return Self { on_hold, ..Self::default() } };
        let lanes = service.lanes().into_iter().filter(|(_, lane)| lane.blocks_posts());
        let paused = lanes.map(|(account, _)| account).collect();
        Self { on_hold, paused, is_served: true, is_dry_run: service.is_dry_run() }
    }

    /// When a message is posted next; `None` if it is not to be posted.
    pub fn next(&self, message: &Message) -> Option<NextPost> {
        let due = message.delivery.due_at.filter(|_| message.state == State::Confirmed)?;
        Some(if self.on_hold.contains_key(&message.account) {
            NextPost::OnHold
        } else if !self.is_served {
            NextPost::NotServed
        } else if self.is_dry_run {
            NextPost::DryRun
        } else if message.delivery.lease.is_some() {
            NextPost::UnderWay
        } else if self.paused.contains(message.account.as_str()) {
            NextPost::LanePaused
        } else {
            NextPost::At(due)
        })
    }
}

impl NextPost {
    /// As text. The text of [`Self::At`] is `now`, so a caller shows a future time itself.
    pub fn describe(self) -> &'static str {
        match self {
            Self::OnHold => "on hold",
            Self::NotServed => "when the service runs",
            Self::DryRun => "after the dry run",
            Self::LanePaused => "when its lane opens",
            Self::UnderWay => "under way",
            Self::At(_) => "now",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::readiness::{LaneDetail, LaneReadiness};

    #[test]
    fn a_message_is_posted_now_only_if_nothing_prevents_it() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut message = Message::example(State::Confirmed, at(0));
        message.delivery.due_at = Some(at(5));
        let mut posting = Posting::of(BTreeMap::new(), None);
        assert_eq!(posting.next(&message), Some(NextPost::NotServed));
        let readiness = Readiness::new();
        posting = Posting::of(BTreeMap::new(), Some(&readiness));
        assert_eq!(posting.next(&message), Some(NextPost::At(at(5))));
        message.delivery.lease = Some(1);
        assert_eq!(posting.next(&message), Some(NextPost::UnderWay));
        message.delivery.lease = None;
        let lane = LaneDetail {
            state: LaneReadiness::Paused,
            why: None,
            status: None,
            code: None,
            since: None,
        };
        readiness.set_lane(message.account.to_string(), lane);
        posting = Posting::of(BTreeMap::new(), Some(&readiness));
        assert_eq!(posting.next(&message), Some(NextPost::LanePaused));
        readiness.set_dry_run(true);
        posting = Posting::of(BTreeMap::new(), Some(&readiness));
        assert_eq!(posting.next(&message), Some(NextPost::DryRun));
        posting.on_hold.insert(message.account, at(1));
        assert_eq!(posting.next(&message), Some(NextPost::OnHold));
        message.state = State::Reported;
        assert_eq!(posting.next(&message), None);
    }
}
