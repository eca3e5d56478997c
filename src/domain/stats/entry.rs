//! The contribution of one record to the statistics.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::matching::{Parked, ParkedKind};
use crate::domain::message::{Message, State};
use crate::domain::sid::AccountSid;
use crate::domain::stats::tally::BucketCounts;

/// The status by which a record is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusBucket {
    /// A message, in a state.
    Message(State),
    /// Evidence that waits for its message.
    Parked,
    /// Evidence whose message never came.
    Orphaned,
}

impl StatusBucket {
    /// Whether the age of the oldest record is kept, to the second. The other states show no age.
    fn has_age(self) -> bool {
        match self {
            Self::Message(
                State::Confirmed | State::Pending | State::Undelivered | State::Refused,
            )
            | Self::Parked
            | Self::Orphaned => true,
            Self::Message(State::Untracked | State::Expired | State::Reported) => false,
        }
    }
}

/// The counted facts of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRecord {
    bucket: StatusBucket,
    since: Timestamp,
    pub(super) message: Option<CountedMessage>,
}

/// The counted facts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountedMessage {
    pub(super) account: AccountSid,
    pub(super) created_at: Timestamp,
    pub(super) calling_code: Option<u16>,
    /// The Messaging Service, otherwise the exact sender: the number that a service used becomes known only later.
    pub(super) sender: Option<String>,
    state: State,
    /// The time from the creation to the person's act.
    wait: Option<Duration>,
}

impl CountedRecord {
    pub fn of_message(message: &Message) -> Self {
        let wait = message.proof.as_ref().map(|proof| {
            let wait = proof.occurred_at.duration_since(message.created_at);
            Duration::try_from(wait).unwrap_or_default()
        });
        let sent = CountedMessage {
            account: message.account,
            created_at: message.created_at,
            calling_code: message.recipient.and_then(|recipient| recipient.calling_code),
            sender: message.service.map(|service| service.to_string()).or(message.from.clone()),
            state: message.state,
            wait,
        };
        // The stored state: a pending message past its lifetime counts as pending until the sweep marks it expired.
        let bucket = StatusBucket::Message(message.state);
        // The age of a confirmed message runs from its confirmation, even if it was requeued later.
        let since = message.proof.as_ref().map(|proof| proof.confirmed_at);
        let since = since.filter(|_| message.state == State::Confirmed).unwrap_or(message.since);
        Self { bucket, since, message: Some(sent) }
    }

    /// `None` for evidence that is not counted.
    pub fn of_parked(parked: &Parked) -> Option<Self> {
        let bucket = match parked.kind() {
            ParkedKind::Parked => StatusBucket::Parked,
            ParkedKind::Orphaned => StatusBucket::Orphaned,
            ParkedKind::Known => return None,
        };
        Some(Self { bucket, since: parked.parked_at, message: None })
    }

    /// The status, and the second in which it began.
    pub(super) fn stands(&self) -> Option<(StatusBucket, i64)> {
        self.bucket.has_age().then(|| (self.bucket, self.since.as_second()))
    }
}

impl CountedMessage {
    /// `None` for an untracked message: no feedback was requested, so it has no conversion.
    pub(super) fn tally(&self) -> Option<BucketCounts> {
        if self.state == State::Untracked {
            return None;
        }
        let is = |state| u64::from(self.state == state);
        let mut tally = BucketCounts {
            sent: 1,
            undelivered: is(State::Undelivered),
            confirmed: u64::from(self.wait.is_some()),
            reported: is(State::Reported),
            refused: is(State::Refused),
            ..BucketCounts::default()
        };
        if let Some(wait) = self.wait {
            tally.waited(wait);
        }
        Some(tally)
    }
}
