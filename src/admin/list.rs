//! Lists records: page by page, or the newest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admin::posting::Posting;
use crate::domain::sid::AccountSid;
use crate::store::{Filter, ListEntry, ListPage, Select, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// Records that are read in one step.
const STEP: usize = 500;

/// The records to list.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ListQuery {
    /// The kind of record, and its state.
    pub filter: Filter,
    /// Only records that began at this time or later: messages by creation, evidence by the time it was parked.
    pub from: Option<Timestamp>,
    /// Only records that began before this time.
    pub before: Option<Timestamp>,
    /// Only records of this account.
    pub account: Option<AccountSid>,
}

impl ListQuery {
    /// The filter that the store applies.
    fn narrowed(&self) -> Filter {
        match self.filter {
            Filter::Messages(select) => Filter::Messages(Select {
                created_from: self.from,
                created_before: self.before,
                ..select
            }),
            Filter::Parked | Filter::Orphaned => self.filter,
        }
    }

    fn holds(&self, entry: &ListEntry) -> bool {
        let (account, is_in_time) = match entry {
            ListEntry::Message(message) => (message.account, true),
            ListEntry::Parked(parked) => {
                let is_late = self.from.is_none_or(|from| parked.parked_at >= from);
                let is_early = self.before.is_none_or(|before| parked.parked_at < before);
                (parked.evidence.account, is_late && is_early)
            }
        };
        is_in_time && self.account.is_none_or(|wanted| wanted == account)
    }
}

/// One page of records.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &dyn Store,
    query: &ListQuery,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<ListPage, StoreError> {
    let mut page = store.list(query.narrowed(), cursor, limit).await?;
    page.entries.retain(|entry| query.holds(entry));
    Ok(page)
}

/// The newest records, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestRecords {
    pub entries: Vec<ListEntry>,
    /// The number of records that match.
    pub of: u64,
    /// The number of accounts in the store.
    pub accounts: usize,
    /// Whether confirmed messages are posted.
    pub posting: Posting,
}

/// The newest records, by the beginning of their present state.
///
/// # Errors
/// The store is unavailable.
pub async fn newest(
    store: &dyn Store,
    service: Option<&Readiness>,
    query: &ListQuery,
    limit: usize,
) -> Result<NewestRecords, StoreError> {
    let mut newest = BinaryHeap::new();
    let (mut of, mut cursor) = (0, None);
    loop {
        let page = page(store, query, cursor, STEP).await?;
        for entry in page.entries {
            of += 1;
            newest.push(Reverse(Dated { at: since(&entry), no: of, entry }));
            if newest.len() > limit {
                newest.pop();
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let entries = newest.into_sorted_vec().into_iter().map(|Reverse(dated)| dated.entry).collect();
    let accounts = store.census().await?.accounts().count();
    let posting = Posting::of(store.paused().await?, service);
    Ok(NewestRecords { entries, of, accounts, posting })
}

/// The beginning of a record's present state.
fn since(entry: &ListEntry) -> Timestamp {
    match entry {
        ListEntry::Message(message) => message.since,
        ListEntry::Parked(parked) => parked.parked_at,
    }
}

/// A record by its date. Of records with equal dates the first is the newest.
struct Dated {
    at: Timestamp,
    no: u64,
    entry: ListEntry,
}

impl Dated {
    fn order(&self) -> (Timestamp, Reverse<u64>) {
        (self.at, Reverse(self.no))
    }
}

impl PartialEq for Dated {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Dated {}

impl PartialOrd for Dated {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Dated {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
