//! Looking over the control socket: records by page, the newest of them, all that is known of a name.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::matching::Parked;
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::Named;
use crate::inbound::control::Question;
use crate::inbound::posting::Posting;
use crate::store::{Entry, Filter, Page, Select, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// Records that are looked at in one step.
const STEP: usize = 500;
/// The most messages of one reference that are shown.
const BEARING: usize = 100;
/// The most evidence that waits, or came to nothing, that is shown of one name.
const WAITING: usize = 100;

/// From when to when something began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Then or later.
    pub from: Option<Timestamp>,
    /// Before that.
    pub before: Option<Timestamp>,
}

impl Span {
    /// What of these records began in it: messages by creation, evidence by when it was parked.
    fn narrow(self, filter: Filter) -> Filter {
        match filter {
            Filter::Messages(select) => Filter::Messages(Select {
                created_from: self.from,
                created_before: self.before,
                ..select
            }),
            Filter::Parked | Filter::Orphaned => filter,
        }
    }

    fn holds(self, entry: &Entry) -> bool {
        match entry {
            Entry::Message(_) => true,
            Entry::Parked(parked) => {
                self.from.is_none_or(|from| parked.parked_at >= from)
                    && self.before.is_none_or(|before| parked.parked_at < before)
            }
        }
    }
}

/// Asks for a page of records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct List {
    /// Which.
    pub filter: Filter,
    /// And of those, these.
    pub span: Span,
    /// Of this account alone.
    pub account: Option<AccountSid>,
    /// Where the page before ended.
    pub cursor: Option<Vec<u8>>,
    /// At most so many.
    pub limit: usize,
}

#[async_trait]
impl Question for List {
    const ROUTE: &'static str = "/list";
    type Answer = Page;

    async fn answer(self, store: &dyn Store) -> Result<Page, StoreError> {
        let filter = self.span.narrow(self.filter);
        let mut page = store.list(filter, self.cursor, self.limit).await?;
        let is_asked = |entry: &Entry| self.account.is_none_or(|account| account == whose(entry));
        page.entries.retain(|entry| self.span.holds(entry) && is_asked(entry));
        Ok(page)
    }
}

fn whose(entry: &Entry) -> AccountSid {
    match entry {
        Entry::Message(message) => message.account,
        Entry::Parked(parked) => parked.evidence.account,
    }
}

/// Asks for the newest records, by when they came to stand where they do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Newest {
    /// Which.
    pub filter: Filter,
    /// And of those, these.
    pub span: Span,
    /// Of this account alone.
    pub account: Option<AccountSid>,
    /// At most so many.
    pub limit: usize,
}

/// The newest records, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The records.
    pub entries: Vec<Entry>,
    /// How many there are in all.
    pub of: u64,
    /// How many accounts there is anything of, asked for or not.
    pub accounts: usize,
    /// Whether confirmed messages are posted.
    pub posting: Posting,
}

#[async_trait]
impl Question for Newest {
    const ROUTE: &'static str = "/newest";
    type Answer = Found;

    async fn answer(self, store: &dyn Store) -> Result<Found, StoreError> {
        let Self { filter, span, account, limit } = self;
        let mut newest = BinaryHeap::new();
        let (mut of, mut cursor) = (0, None);
        loop {
            let page = List { filter, span, account, cursor, limit: STEP }.answer(store).await?;
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
        let entries = newest.into_sorted_vec().into_iter().map(|Reverse(dated)| dated.entry);
        let (accounts, on_hold) = (store.census().await?.accounts().count(), store.paused().await?);
        let posting = Posting::unserved(on_hold);
        Ok(Found { entries: entries.collect(), of, accounts, posting })
    }

    fn served(found: &mut Found, readiness: &Readiness) {
        found.posting.served(readiness);
    }
}

/// Since when a record stands where it does.
fn since(entry: &Entry) -> Timestamp {
    match entry {
        Entry::Message(message) => message.since,
        Entry::Parked(parked) => parked.parked_at,
    }
}

/// A record by its date; of several with one date, the first that was found is the newest.
struct Dated {
    at: Timestamp,
    no: u64,
    entry: Entry,
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

/// Asks what is known of a name: a message's SID, or a reference.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Show {
    /// The name.
    pub name: Reference,
}

/// What is known of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Messages, the newest first.
    pub messages: Vec<Message>,
    /// Evidence that names it and waits, or whose message never came.
    pub waiting: Vec<Parked>,
    /// Whether confirmed messages are posted.
    pub posting: Posting,
}

#[async_trait]
impl Question for Show {
    const ROUTE: &'static str = "/show";
    type Answer = Known;

    async fn answer(self, store: &dyn Store) -> Result<Known, StoreError> {
        let sid = MessageSid::parse(self.name.as_str()).ok();
        let mut messages = Vec::new();
        if let Some(sid) = sid {
            messages.extend(store.show(sid).await?);
        }
        if messages.is_empty() {
            messages = store.bearing(self.name.clone(), BEARING).await?;
        }
        let mut waiting = Vec::new();
        for filter in [Filter::Parked, Filter::Orphaned] {
            waiting.extend(naming(store, filter, sid, &self.name).await?);
        }
        waiting.truncate(WAITING);
        Ok(Known { messages, waiting, posting: Posting::unserved(store.paused().await?) })
    }

    fn served(known: &mut Known, readiness: &Readiness) {
        known.posting.served(readiness);
    }
}

/// Evidence that names it. What waits is not indexed by what an operator may ask, and is little.
async fn naming(
    store: &dyn Store,
    filter: Filter,
    sid: Option<MessageSid>,
    name: &Reference,
) -> Result<Vec<Parked>, StoreError> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(filter, cursor, STEP).await?;
        found.extend(page.entries.into_iter().filter_map(|entry| match entry {
            Entry::Parked(parked) => Some(*parked).filter(|parked| match &parked.evidence.named {
                Named::Message(named) => Some(*named) == sid,
                Named::Reference(named) => named == name,
                Named::Person { .. } | Named::Caller { .. } | Named::Link(_) => false,
            }),
            Entry::Message(_) => None,
        }));
        cursor = page.next;
        if cursor.is_none() || found.len() >= WAITING {
            return Ok(found);
        }
    }
}
