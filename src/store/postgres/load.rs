//! Loads the rows that the commands of a transaction miss: one statement for all rows by key and by search.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::domain::address::RecipientHash;
use crate::domain::click_link::LinkId;
use crate::domain::hex;
use crate::domain::matching::{Parked, WaitsFor};
use crate::domain::message::Message;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::DedupKey;
use crate::store::engine::{DueKind, ParkedRows, RecipientKey};
use crate::store::postgres::account_use;
use crate::store::postgres::cache::{Loaded, Read};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::keys::{ParkedKey, dedup, kind_number, waits_for};
use crate::store::postgres::load_parts::{
    ACCOUNTS_WITH_DUE, AUTOMATIC, COUNTED, DUE_AFTER, EVIDENCE, HOLDS, LAST_DUE_BY, LINKS,
    MESSAGES, NAMES, PERSONS, REFERENCES, SENDERS, UNBOUND, UNTIED,
};

type Result<T> = std::result::Result<T, TransactionError>;

/// A row by key or by search: its part of the statement, the number of the search from 1 on, a key, a revision or a time,
/// and the body.
type Row = (String, i64, Option<String>, Option<i64>, Option<String>);

/// Loads rows, and notes that the database has answered these reads.
pub(super) async fn load(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    reads: BTreeSet<Read>,
) -> Result<()> {
    let mut keys = Keys::default();
    let mut others = Vec::new();
    for read in &reads {
        if !keys.add(read) {
            others.push(read);
        }
    }
    if others.len() < reads.len() {
        let rows = keys.rows(connection, &loaded.claimed_elsewhere).await?;
        keys.insert(loaded, rows)?;
    }
    let accounts = reads.iter().filter_map(|read| {
        if let Read::AccountUse(account, now) = read { Some((*account, *now)) } else { None }
    });
    account_use::load_use(connection, loaded, &accounts.collect::<Vec<_>>()).await?;
    for read in others {
        other(connection, loaded, read).await?;
    }
    loaded.reads.extend(reads);
    Ok(())
}

/// Spans of time, and the most rows of each.
#[derive(Default)]
struct Spans {
    first: Vec<i64>,
    last: Vec<i64>,
    most: Vec<i64>,
}

impl Spans {
    fn push(&mut self, first: Timestamp, last: Timestamp, most: usize) {
        self.first.push(first.as_millisecond());
        self.last.push(last.as_millisecond());
        self.most.push(at_most(most));
    }
}

/// The parameters of the statement.
#[derive(Default)]
struct Keys<'a> {
    messages: Vec<MessageSid>,
    evidence: Vec<String>,
    counted: HashMap<String, DedupKey>,
    links: Vec<LinkId>,
    automatic: Vec<RecipientHash>,
    names: Vec<(AccountSid, RecipientHash)>,
    senders: Vec<(AccountSid, &'a str)>,
    persons: Vec<(&'a Read, RecipientHash)>,
    person_spans: Spans,
    untied: Vec<(&'a Read, AccountSid, Option<i16>)>,
    untied_spans: Spans,
    references: Vec<(&'a Read, AccountSid, &'a str, i64)>,
    unbound: Vec<(&'a Read, AccountSid, &'a str, i64)>,
    due_after: Due<'a>,
    last_due_by: Due<'a>,
    holds: bool,
    accounts_with_due: bool,
}

/// Searches for due messages.
#[derive(Default)]
struct Due<'a> {
    reads: Vec<&'a Read>,
    accounts: Vec<&'a str>,
    kinds: Vec<i16>,
    at: Vec<i64>,
    most: Vec<i64>,
}

impl<'a> Due<'a> {
    fn push(
        &mut self,
        read: &'a Read,
        account: &'a AccountSid,
        kind: DueKind,
        (at, most): (Timestamp, usize),
    ) {
        self.reads.push(read);
        self.accounts.push(account.as_str());
        self.kinds.push(due_kind(kind));
        self.at.push(at.as_millisecond());
        self.most.push(at_most(most));
    }
}

impl<'a> Keys<'a> {
    /// Adds the key of a read. Returns `false` for a read that needs another statement.
    fn add(&mut self, read: &'a Read) -> bool {
        match read {
            Read::Message(sid) => self.messages.push(*sid),
            Read::To(RecipientKey::Person(person), first, last, most) => {
                self.persons.push((read, *person));
                self.person_spans.push(*first, *last, *most);
            }
            Read::To(RecipientKey::Untied(account, kind), first, last, most) => {
                self.untied.push((read, *account, kind_number(*kind)));
                self.untied_spans.push(*first, *last, *most);
            }
            Read::Reference(account, reference, most) => {
                self.references.push((read, *account, reference.as_str(), at_most(*most)));
            }
            Read::Link(id) => self.links.push(*id),
            Read::UnboundLinks(account, reference, most) => {
                self.unbound.push((read, *account, reference.as_str(), at_most(*most)));
            }
            Read::Evidence(key) => self.evidence.push(waits_for(key)),
            Read::Counted(key) => {
                self.counted.insert(dedup(key), *key);
            }
            Read::Sender(account, address) => self.senders.push((*account, address)),
            Read::Names(account, person) => self.names.push((*account, *person)),
            Read::Automatic(person) => self.automatic.push(*person),
            Read::DueAfter(account, kind, at, most) => {
                self.due_after.push(read, account, *kind, (*at, *most));
            }
            Read::LastDueBy(account, kind, at, most) => {
                self.last_due_by.push(read, account, *kind, (*at, *most));
            }
            Read::Holds => self.holds = true,
            Read::AccountsWithDue => self.accounts_with_due = true,
            Read::ParkedRows | Read::Evictable(..) | Read::AccountUse(..) => return false,
        }
        true
    }

    /// The parts that have keys.
    fn statement(&self) -> String {
        let parts = [
            (MESSAGES, self.messages.is_empty()),
            (EVIDENCE, self.evidence.is_empty()),
            (COUNTED, self.counted.is_empty()),
            (LINKS, self.links.is_empty()),
            (AUTOMATIC, self.automatic.is_empty()),
            (NAMES, self.names.is_empty()),
            (SENDERS, self.senders.is_empty()),
            (PERSONS, self.persons.is_empty()),
            (UNTIED, self.untied.is_empty()),
            (REFERENCES, self.references.is_empty()),
            (UNBOUND, self.unbound.is_empty()),
            (DUE_AFTER, self.due_after.reads.is_empty()),
            (LAST_DUE_BY, self.last_due_by.reads.is_empty()),
            (HOLDS, !self.holds),
            (ACCOUNTS_WITH_DUE, !self.accounts_with_due),
        ];
        let parts = parts.into_iter().filter(|(_, is_empty)| !is_empty);
        parts.map(|(part, _)| part).collect::<Vec<_>>().join(" UNION ALL ")
    }

    async fn rows(
        &self,
        connection: &mut PgConnection,
        claimed_elsewhere: &BTreeSet<MessageSid>,
    ) -> Result<Vec<Row>> {
        let bytes = |person: &RecipientHash| person.as_bytes().to_vec();
        let by_name = |reads: &[(&Read, AccountSid, &str, i64)]| {
            let accounts: Vec<String> = reads.iter().map(|read| read.1.to_string()).collect();
            let names: Vec<String> = reads.iter().map(|read| read.2.to_owned()).collect();
            let most: Vec<i64> = reads.iter().map(|read| read.3).collect();
            (accounts, names, most)
        };
        let references = by_name(&self.references);
        let unbound = by_name(&self.unbound);
        let rows = sqlx::query_as(AssertSqlSafe(self.statement()))
            .bind(self.messages.iter().map(MessageSid::to_string).collect::<Vec<_>>())
            .bind(&self.evidence)
            .bind(self.counted.keys().cloned().collect::<Vec<_>>())
            .bind(self.links.iter().map(|id| hex::hex(id.as_bytes())).collect::<Vec<_>>())
            .bind(self.automatic.iter().map(bytes).collect::<Vec<_>>())
            .bind(self.names.iter().map(|(account, _)| account.to_string()).collect::<Vec<_>>())
            .bind(self.names.iter().map(|(_, person)| bytes(person)).collect::<Vec<_>>())
            .bind(self.senders.iter().map(|(account, _)| account.to_string()).collect::<Vec<_>>())
            .bind(self.senders.iter().map(|(_, address)| *address).collect::<Vec<_>>())
            .bind(self.persons.iter().map(|(_, person)| bytes(person)).collect::<Vec<_>>())
            .bind(&self.person_spans.first)
            .bind(&self.person_spans.last)
            .bind(&self.person_spans.most)
            .bind(self.untied.iter().map(|(_, account, _)| account.to_string()).collect::<Vec<_>>())
            .bind(self.untied.iter().map(|(.., kind)| *kind).collect::<Vec<_>>())
            .bind(&self.untied_spans.first)
            .bind(&self.untied_spans.last)
            .bind(&self.untied_spans.most)
            .bind(references.0)
            .bind(references.1)
            .bind(references.2)
            .bind(unbound.0)
            .bind(unbound.1)
            .bind(unbound.2)
            .bind(&self.due_after.accounts)
            .bind(&self.due_after.kinds)
            .bind(&self.due_after.at)
            .bind(&self.due_after.most)
            .bind(&self.last_due_by.accounts)
            .bind(&self.last_due_by.kinds)
            .bind(&self.last_due_by.at)
            .bind(&self.last_due_by.most)
            .bind(claimed_elsewhere.iter().map(MessageSid::as_str).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
        Ok(rows)
    }

    /// Notes what was searched for, so that a search without rows is known, too. Returns the lists to fill.
    fn note_searches(&self, loaded: &mut Loaded) -> BTreeMap<&Read, Vec<MessageSid>> {
        for sid in &self.messages {
            loaded.messages.entry(*sid).or_insert(None);
        }
        for (read, ..) in &self.unbound {
            loaded.unbound.insert(Read::clone(read), Vec::new());
        }
        for read in self.due_after.reads.iter().chain(&self.last_due_by.reads) {
            loaded.due.insert(Read::clone(read), Vec::new());
        }
        let persons = self.persons.iter().map(|(read, ..)| *read);
        let untied = self.untied.iter().map(|(read, ..)| *read);
        let references = self.references.iter().map(|(read, ..)| *read);
        persons.chain(untied).chain(references).map(|read| (read, Vec::new())).collect()
    }

    fn insert(&self, loaded: &mut Loaded, rows: Vec<Row>) -> Result<()> {
        let mut lists = self.note_searches(loaded);
        for (part, search, name, number, body) in rows {
            let body = body.unwrap_or_default();
            let (name, number) = (name.unwrap_or_default(), number.unwrap_or_default());
            let search = usize::try_from(search - 1).unwrap_or(usize::MAX);
            let read = match part.as_str() {
                "person" => self.persons.get(search).map(|(read, ..)| *read),
                "untied" => self.untied.get(search).map(|(read, ..)| *read),
                "reference" => self.references.get(search).map(|(read, ..)| *read),
                _ => None,
            };
            if let Some(read) = read {
                let sid = add_message(loaded, number, &body)?;
                lists.entry(read).or_default().push(sid);
                continue;
            }
            match part.as_str() {
                "message" => {
                    add_message(loaded, number, &body)?;
                }
                "parked" => {
                    let parked: Parked = serde_json::from_str(&body)?;
                    loaded.parked.insert(ParkedKey::of(&parked), parked);
                }
                "holder" => add_holder(loaded, number, &body)?,
                "counted" => {
                    let key = self.counted.get(&name).copied();
                    loaded.counted.extend(key.map(|key| (key, timestamp(number))));
                }
                "link" => {
                    if let Some(id) = hex::bytes(&name).map(LinkId::from_bytes) {
                        loaded.links.insert(id, serde_json::from_str(&body)?);
                    }
                }
                "automatic" => {
                    if let Some(person) = hex::bytes(&name).map(RecipientHash::from_bytes) {
                        loaded.automatic.insert(person, serde_json::from_str(&body)?);
                    }
                }
                "names" => {
                    if let Some(key) = self.names.get(search) {
                        loaded.names.insert(*key, serde_json::from_str(&body)?);
                    }
                }
                "sender" => {
                    let key = self.senders.get(search).zip(name.parse().ok());
                    let key = key.map(|((account, address), service)| {
                        ((*account, (*address).to_owned()), service)
                    });
                    loaded.senders.extend(key);
                }
                "due_after" | "last_due_by" => {
                    let due = if part == "due_after" { &self.due_after } else { &self.last_due_by };
                    let at = name.parse().map(timestamp);
                    let at = at.map_err(|_| TransactionError::Damaged("due_at".to_owned()))?;
                    let sid = add_message(loaded, number, &body)?;
                    let list = due.reads.get(search).and_then(|read| loaded.due.get_mut(*read));
                    if let Some(list) = list {
                        list.push((at, sid));
                    }
                }
                "hold" => {
                    let account: Option<AccountSid> = name.parse().ok();
                    loaded.holds.extend(account.map(|account| (account, timestamp(number))));
                }
                "account_with_due" => {
                    loaded.accounts_with_due.extend(name.parse::<AccountSid>().ok());
                }
                "unbound_link" => {
                    let list = self.unbound.get(search);
                    let list = list.and_then(|(read, ..)| loaded.unbound.get_mut(*read));
                    let id = hex::bytes(&name).map(LinkId::from_bytes);
                    if let Some(list) = list {
                        list.extend(id);
                    }
                }
                _ => return Err(TransactionError::Damaged(part)),
            }
        }
        for (read, mut sids) in lists {
            sids.sort_by_key(|sid| Reverse((created_at(loaded, *sid), *sid)));
            if let Read::To(.., most) | Read::Reference(.., most) = read {
                sids.truncate(*most);
            }
            loaded.to.insert(read.clone(), sids);
        }
        for read in &self.due_after.reads {
            loaded.due.get_mut(*read).into_iter().for_each(|due| due.sort_unstable());
        }
        for read in &self.last_due_by.reads {
            let list = loaded.due.get_mut(*read).into_iter();
            list.for_each(|due| due.sort_unstable_by(|one, other| other.cmp(one)));
        }
        for ids in loaded.unbound.values_mut() {
            ids.sort_unstable_by(|one, other| other.cmp(one));
        }
        Ok(())
    }
}

fn at_most(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn created_at(loaded: &Loaded, sid: MessageSid) -> Timestamp {
    let message = loaded.messages.get(&sid).and_then(Option::as_ref);
    message.map_or(Timestamp::MIN, |(message, _)| message.created_at)
}

fn add_message(loaded: &mut Loaded, rev: i64, body: &str) -> Result<MessageSid> {
    let message: Message = serde_json::from_str(body)?;
    let sid = message.sid;
    loaded.messages.insert(sid, Some((message, rev)));
    Ok(sid)
}

/// Adds a message that holds evidence.
fn add_holder(loaded: &mut Loaded, rev: i64, body: &str) -> Result<()> {
    let sid = add_message(loaded, rev, body)?;
    let message = loaded.messages.get(&sid).and_then(Option::as_ref);
    if let Some(key) = message.and_then(|(message, _)| WaitsFor::of_message(message)) {
        let holders = loaded.holders.entry(key).or_default();
        if !holders.contains(&sid) {
            holders.push(sid);
        }
    }
    Ok(())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`Keys` loads all other rows")]
async fn other(connection: &mut PgConnection, loaded: &mut Loaded, read: &Read) -> Result<()> {
    match read {
        Read::ParkedRows => {
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "SELECT substr(key, 8), sum(n)::bigint FROM tally WHERE key LIKE 'parked:AC%' GROUP BY key",
            )
            .fetch_all(connection)
            .await?;
            let rows = rows.iter().filter_map(|(account, n)| {
                Some((account.parse::<AccountSid>().ok()?, u64::try_from(*n).ok()?))
            });
            loaded.parked_rows = ParkedRows::from_counts(rows);
        }
        Read::Evictable(by, limit) => {
            let rows: Vec<(i64, String)> = sqlx::query_as(
                "SELECT rev, body::text FROM message WHERE evict_rank IS NOT NULL AND evict_from <= $1
                 ORDER BY evict_rank, evict_from, sid LIMIT $2",
            )
            .bind(by.as_millisecond())
            .bind(i64::try_from(*limit).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
            loaded.evictable.clear();
            for (rev, body) in rows {
                let sid = add_message(loaded, rev, &body)?;
                loaded.evictable.push(sid);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The number of a kind of due messages.
pub(super) fn due_kind(kind: DueKind) -> i16 {
    i16::from(kind.is_named) * 2 + i16::from(kind.is_missing)
}

/// A time from a column. One that jiff cannot hold becomes its limit.
pub(super) fn timestamp(milliseconds: i64) -> Timestamp {
    let limit = if milliseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(milliseconds).unwrap_or(limit)
}
