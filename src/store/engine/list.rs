//! The rows that a list shows, and links that have not expired.

use jiff::Timestamp;

use crate::domain::click_link::Link;
use crate::domain::matching::{ParkedKind, Policy};
use crate::store::engine::row::StoredRow;
use crate::store::list::{Filter, ListEntry};

/// A row as a list shows it now. `None` if the filter does not select it.
pub fn list_entry(filter: Filter, row: StoredRow, now: Timestamp) -> Option<ListEntry> {
    match (filter, row) {
        (Filter::Messages(select), StoredRow::Message(mut message)) => {
            message.apply_expiry(now);
            select.matches(&message).then_some(ListEntry::Message(message))
        }
        (Filter::Parked | Filter::Orphaned, StoredRow::Parked(mut parked)) => {
            parked.apply_expiry(now);
            let kind =
                if filter == Filter::Parked { ParkedKind::Parked } else { ParkedKind::Orphaned };
            (parked.kind() == kind).then_some(ListEntry::Parked(parked))
        }
        _ => None,
    }
}

/// A link that has not expired, whether or not the sweep has removed it.
pub fn live_link(link: Link, policy: &Policy, now: Timestamp) -> Option<Link> {
    (policy.link_until(&link) > now).then_some(link)
}
