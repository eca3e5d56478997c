//! The receipts of a message, taken together. Carriers send a receipt for each segment, late, twice and in any order,
//! so receipts contradict each other; a set of facts has no order.

use serde::{Deserialize, Serialize};

use crate::domain::message::status::Status;

/// Which kinds of statuses were received of a message.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of facts, each of which may come with any other"
)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// A receipt says that the message or a part of it arrived.
    pub arrived: bool,
    /// A receipt says that the carrier could not deliver the message.
    pub undelivered: bool,
    /// A receipt says that the message was never sent: `failed` or `canceled`.
    pub failed: bool,
    /// The message was scheduled for later.
    pub scheduled: bool,
}

impl Receipts {
    pub fn add(&mut self, status: Status) {
        match status {
            Status::Scheduled => self.scheduled = true,
            Status::PartiallyDelivered | Status::Delivered | Status::Read => self.arrived = true,
            Status::Undelivered => self.undelivered = true,
            Status::Failed | Status::Canceled => self.failed = true,
            Status::Accepted | Status::Queued | Status::Sending | Status::Sent => {}
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.arrived |= other.arrived;
        self.undelivered |= other.undelivered;
        self.failed |= other.failed;
        self.scheduled |= other.scheduled;
    }

    /// Whether a receipt says that it did not arrive, and none says that it did.
    pub fn deny(self) -> bool {
        (self.undelivered || self.failed) && !self.arrived
    }

    /// Whether it was never sent, and no receipt says otherwise. No evidence overrules that.
    pub fn deny_sending(self) -> bool {
        self.failed && !self.arrived
    }
}
