//! The outcomes of a store's commands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::message::{Message, State};
use crate::domain::sid::MessageSid;

/// The outcome of [`Store::settle`](crate::store::Store::settle).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The lease was valid, and the attempt has ended.
    Applied,
    /// The lease had expired, and another attempt owns the message. Nothing changed.
    LeaseLost,
}

/// The messages that [`Store::requeue`](crate::store::Store::requeue) puts back into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueFrom {
    Refused,
    /// A message reported at this time or later: its post may have gone to the wrong server.
    ReportedSince(Timestamp),
}

impl RequeueFrom {
    /// Whether the requeue includes a message.
    pub fn matches(self, message: &Message) -> bool {
        match self {
            Self::Refused => message.state == State::Refused,
            Self::ReportedSince(since) => {
                message.state == State::Reported
                    && message.reported_at.is_some_and(|at| at >= since)
            }
        }
    }
}

/// The outcome of [`Store::requeue`](crate::store::Store::requeue).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued {
    /// The message will be posted again.
    Queued(Box<Message>),
    /// The message stays in this state: the requeue does not include it.
    NotQueued(State),
    /// No message has this SID.
    Unknown,
}

/// The changes of one step of [`Store::expire`](crate::store::Store::expire).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pending messages that expired.
    pub expired: usize,
    /// Parked evidence that became orphaned.
    pub orphaned: usize,
    /// Messages confirmed by evidence that was parked because a newer message could come.
    pub confirmed: Vec<MessageSid>,
    /// Finished messages removed after their retention.
    pub messages: usize,
    /// Orphaned evidence removed.
    pub evidence: usize,
    /// Click links removed.
    pub links: usize,
    /// Removed deduplication keys, automatic replies and tied names.
    pub marks: usize,
    /// Messages evicted since the last step, to make room for new ones.
    pub evicted: usize,
    /// Whether the step reached the end of the store. The next one starts at its beginning.
    pub complete: bool,
}

impl Swept {
    /// The number of removed records of all kinds.
    pub fn forgotten(&self) -> usize {
        self.messages + self.evidence + self.links + self.marks
    }

    /// The counts by kind, for a log line and a metric.
    pub fn by_kind(&self) -> [(&'static str, usize); 7] {
        [
            ("expired", self.expired),
            ("orphaned", self.orphaned),
            ("messages", self.messages),
            ("evidence", self.evidence),
            ("links", self.links),
            ("marks", self.marks),
            ("evicted", self.evicted),
        ]
    }
}

impl std::ops::AddAssign for Swept {
    /// Adds the counts of a later step.
    fn add_assign(&mut self, step: Self) {
        self.expired += step.expired;
        self.orphaned += step.orphaned;
        self.confirmed.extend(step.confirmed);
        self.messages += step.messages;
        self.evidence += step.evidence;
        self.links += step.links;
        self.marks += step.marks;
        self.evicted += step.evicted;
        self.complete = step.complete;
    }
}

/// The number of records that [`Store::forget`](crate::store::Store::forget) erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Messages to the erased people.
    pub messages: u64,
    /// The erased messages that were confirmed and not reported. They will never be reported.
    pub unreported: u64,
    /// Parked evidence.
    pub evidence: u64,
    /// Click links.
    pub links: u64,
    /// Messages to other people from which a shared reference was removed.
    pub references: u64,
}

impl std::ops::AddAssign for Forgotten {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.unreported += more.unreported;
        self.evidence += more.evidence;
        self.links += more.links;
        self.references += more.references;
    }
}
