//! Lists records: one page, or the newest.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admin::posting::Posting;
use crate::domain::sid::AccountSid;
use crate::store::{Filter, ListEntry, ListPage, Select, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// The records of one read.
const RECORDS_PER_READ: usize = 500;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ListQuery {
    pub filter: Filter,
    /// Only records that began at this time or later: messages by creation, evidence by the time it was parked.
    pub from: Option<Timestamp>,
    pub before: Option<Timestamp>,
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

    fn matches(&self, entry: &ListEntry) -> bool {
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

pub(super) async fn page(
    store: &dyn Store,
    query: &ListQuery,
    cursor: Option<Vec<u8>>,
    limit: usize,
) -> Result<ListPage, StoreError> {
    let mut page = store.list(query.narrowed(), cursor, limit).await?;
    page.entries.retain(|entry| query.matches(entry));
    Ok(page)
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestRecords {
    pub entries: Vec<ListEntry>,
    /// The number of records that match.
    pub of: u64,
    pub accounts: usize,
    pub posting: Posting,
}

/// The newest records, by the beginning of their present state. Of records with equal times the first is the newest.
pub(super) async fn newest(
    store: &dyn Store,
    service: Option<&Readiness>,
    query: &ListQuery,
    limit: usize,
) -> Result<NewestRecords, StoreError> {
    let (mut newest, mut of) = (BTreeMap::new(), 0);
    scan(store, query.narrowed(), |entry| {
        if query.matches(&entry) {
            of += 1;
            let since = match &entry {
                ListEntry::Message(message) => message.since,
                ListEntry::Parked(parked) => parked.parked_at,
            };
            newest.insert((since, Reverse(of)), entry);
            if newest.len() > limit {
                newest.pop_first();
            }
        }
        true
    })
    .await?;
    let accounts = store.stats().await?.accounts().count();
    let posting = Posting::of(store.on_hold().await?, service);
    Ok(NewestRecords { entries: newest.into_values().rev().collect(), of, accounts, posting })
}

/// Calls `visit` with each record of a filter, until it returns `false`.
pub(super) async fn scan(
    store: &dyn Store,
    filter: Filter,
    mut visit: impl FnMut(ListEntry) -> bool,
) -> Result<(), StoreError> {
    let mut cursor = None;
    loop {
        let page = store.list(filter, cursor, RECORDS_PER_READ).await?;
        cursor = page.next;
        if !page.entries.into_iter().all(&mut visit) || cursor.is_none() {
            return Ok(());
        }
    }
}
