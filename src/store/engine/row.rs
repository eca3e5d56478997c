//! The rows of a store, as backends read them one after the other.

use jiff::Timestamp;

use crate::domain::address::{RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{AutomaticSpan, Parked};
use crate::domain::message::Message;
use crate::domain::sid::{AccountSid, ServiceSid};
use crate::domain::signal::DedupKey;
use crate::store::transfer::ExportRecord;

/// A row of a store, with its key.
#[derive(Debug, Clone)]
pub enum StoredRow {
    Message(Box<Message>),
    Parked(Box<Parked>),
    Link(LinkId, Link),
    /// An act that was counted, and when.
    Counted(DedupKey, Timestamp),
    /// A sender of an account, and its Messaging Service.
    Sender(AccountSid, String, ServiceSid),
    /// One of the tied names of a person; each of them has a row with all names.
    Names(AccountSid, RecipientHash, RecipientAliases),
    Automatic(RecipientHash, AutomaticSpan),
    Hold(AccountSid, Timestamp),
}

impl StoredRow {
    /// The record of an export. `None` for a row that repeats another one.
    pub fn exported(self) -> Option<ExportRecord> {
        Some(match self {
            Self::Message(mut message) => {
                // An attempt ends with the store that began it.
                message.delivery.lease = None;
                ExportRecord::Message(message)
            }
            Self::Parked(parked) => ExportRecord::Parked(parked),
            Self::Link(id, link) => ExportRecord::Link { id, link },
            Self::Counted(once, at) => ExportRecord::DedupKey { once, at },
            Self::Sender(account, address, service) => {
                ExportRecord::Sender { account, address, service }
            }
            Self::Names(account, person, tied) => {
                let is_first = tied.names.all().next() == Some(person);
                return is_first.then_some(ExportRecord::Names { account, tied });
            }
            Self::Automatic(person, automatic) => ExportRecord::Automatic { person, automatic },
            Self::Hold(account, since) => ExportRecord::Hold { account, since },
        })
    }
}
