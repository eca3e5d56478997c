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

type Result<T> = std::result::Result<T, TransactionError>;

// The rows by key and by search, in one round trip. `search` is the number of a search in its arrays; Rust sorts and cuts
// the rows of a search. A statement has only the parts that a transaction needs: the server prepares to read each part.
const MESSAGES: &str =
    "SELECT 0, 0::bigint, NULL::text, rev, body::text FROM message WHERE sid = ANY($1)";
const EVIDENCE: &str = "
    SELECT 1, 0::bigint, NULL::text, NULL::bigint, body::text FROM parked WHERE waits_for = ANY($2)
    UNION ALL
    SELECT 2, 0::bigint, NULL::text, rev, body::text FROM message WHERE held_by = ANY($2)";
const COUNTED: &str = "SELECT 3, 0::bigint, key, at, NULL::text FROM counted WHERE key = ANY($3)";
const LINKS: &str =
    "SELECT 4, 0::bigint, id, NULL::bigint, body::text FROM link WHERE id = ANY($4)";
const AUTOMATIC: &str = "
    SELECT 5, 0::bigint, encode(person, 'hex'), NULL::bigint, body::text
    FROM automatic WHERE person = ANY($5)";
const NAMES: &str = "
    SELECT 6, k.search, NULL::text, NULL::bigint, row.body::text
    FROM unnest($6::text[], $7::bytea[]) WITH ORDINALITY AS k(account, person, search)
    CROSS JOIN LATERAL (SELECT body FROM tied_name
                        WHERE account = k.account AND person = k.person LIMIT 1) row";
const SENDERS: &str = "
    SELECT 7, k.search, row.service, NULL::bigint, NULL::text
    FROM unnest($8::text[], $9::text[]) WITH ORDINALITY AS k(account, address, search)
    CROSS JOIN LATERAL (SELECT service FROM sender
                        WHERE account = k.account AND address = k.address LIMIT 1) row";
const PERSONS: &str = "
    SELECT 8, k.search, NULL::text, row.rev, row.body::text
    FROM unnest($10::bytea[], $11::bigint[], $12::bigint[], $13::bigint[])
         WITH ORDINALITY AS k(person, first, last, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE person = k.person AND created_at BETWEEN k.first AND k.last
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row
    UNION ALL
    SELECT 8, k.search, NULL::text, row.rev, row.body::text
    FROM unnest($10::bytea[], $11::bigint[], $12::bigint[], $13::bigint[])
         WITH ORDINALITY AS k(person, first, last, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE alias = k.person AND person IS DISTINCT FROM k.person
                          AND created_at BETWEEN k.first AND k.last
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row";
const UNTIED: &str = "
    SELECT 9, k.search, NULL::text, row.rev, row.body::text
    FROM unnest($14::text[], $15::smallint[], $16::bigint[], $17::bigint[], $18::bigint[])
         WITH ORDINALITY AS k(account, kind, first, last, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE account = k.account AND untied = k.kind
                          AND created_at BETWEEN k.first AND k.last
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row";
const REFERENCES: &str = "
    SELECT 10, k.search, NULL::text, row.rev, row.body::text
    FROM unnest($19::text[], $20::text[], $21::bigint[])
         WITH ORDINALITY AS k(account, reference, most, search)
    CROSS JOIN LATERAL (SELECT rev, body FROM message
                        WHERE account = k.account AND reference = k.reference
                        ORDER BY created_at DESC, sid DESC LIMIT k.most) row";
const UNBOUND: &str = "
    SELECT 11, k.search, row.id, NULL::bigint, NULL::text
    FROM unnest($22::text[], $23::text[], $24::bigint[])
         WITH ORDINALITY AS k(account, reference, most, search)
    CROSS JOIN LATERAL (SELECT id FROM link
                        WHERE account = k.account AND reference = k.reference AND unbound
                        ORDER BY id DESC LIMIT k.most) row";

const DUE_AFTER: &str = "SELECT due_at, rev, body::text FROM message
    WHERE account = $1 AND due_kind = $2 AND due_at > $3 AND sid <> ALL($5) ORDER BY due_at, sid LIMIT $4";
const LAST_DUE_BY: &str = "SELECT due_at, rev, body::text FROM message
    WHERE account = $1 AND due_kind = $2 AND due_at <= $3 AND sid <> ALL($5)
    ORDER BY due_at DESC, sid DESC LIMIT $4";

/// A row by key or by search: its kind, the number of the search from 1 on, a key, a revision or a time, and the body.
type Row = (i32, i64, Option<String>, Option<i64>, Option<String>);

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
        let rows = keys.rows(connection).await?;
        keys.insert(loaded, rows)?;
    }
    let (due_reads, others): (Vec<&Read>, Vec<&Read>) =
        others.iter().partition(|read| matches!(read, Read::DueAfter(..) | Read::LastDueBy(..)));
    due(connection, loaded, &due_reads).await?;
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
            Read::ParkedRows
            | Read::Holds
            | Read::Evictable(..)
            | Read::AccountsWithDue
            | Read::AccountUse(..)
            | Read::DueAfter(..)
            | Read::LastDueBy(..) => return false,
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
        ];
        let parts = parts.into_iter().filter(|(_, is_empty)| !is_empty);
        parts.map(|(part, _)| part).collect::<Vec<_>>().join(" UNION ALL ")
    }

    async fn rows(&self, connection: &mut PgConnection) -> Result<Vec<Row>> {
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
            .fetch_all(connection)
            .await?;
        Ok(rows)
    }

    fn insert(&self, loaded: &mut Loaded, rows: Vec<Row>) -> Result<()> {
        for sid in &self.messages {
            loaded.messages.entry(*sid).or_insert(None);
        }
        let mut lists: BTreeMap<&Read, Vec<MessageSid>> = BTreeMap::new();
        let persons = self.persons.iter().map(|(read, ..)| *read);
        let untied = self.untied.iter().map(|(read, ..)| *read);
        let references = self.references.iter().map(|(read, ..)| *read);
        for read in persons.chain(untied).chain(references) {
            lists.insert(read, Vec::new());
        }
        for (read, ..) in &self.unbound {
            loaded.unbound.insert(Read::clone(read), Vec::new());
        }
        for (kind, search, name, number, body) in rows {
            let body = body.unwrap_or_default();
            let (name, number) = (name.unwrap_or_default(), number.unwrap_or_default());
            let search = usize::try_from(search - 1).unwrap_or(usize::MAX);
            let read = match kind {
                8 => self.persons.get(search).map(|(read, ..)| *read),
                9 => self.untied.get(search).map(|(read, ..)| *read),
                10 => self.references.get(search).map(|(read, ..)| *read),
                _ => None,
            };
            if let Some(read) = read {
                let sid = add_message(loaded, number, &body)?;
                lists.entry(read).or_default().push(sid);
                continue;
            }
            match kind {
                0 => {
                    add_message(loaded, number, &body)?;
                }
                1 => {
                    let parked: Parked = serde_json::from_str(&body)?;
                    loaded.parked.insert(ParkedKey::of(&parked), parked);
                }
                2 => add_holder(loaded, number, &body)?,
                3 => {
                    let key = self.counted.get(&name).copied();
                    loaded.counted.extend(key.map(|key| (key, timestamp(number))));
                }
                4 => {
                    if let Some(id) = hex::bytes(&name).map(LinkId::from_bytes) {
                        loaded.links.insert(id, serde_json::from_str(&body)?);
                    }
                }
                5 => {
                    if let Some(person) = hex::bytes(&name).map(RecipientHash::from_bytes) {
                        loaded.automatic.insert(person, serde_json::from_str(&body)?);
                    }
                }
                6 => {
                    if let Some(key) = self.names.get(search) {
                        loaded.names.insert(*key, serde_json::from_str(&body)?);
                    }
                }
                7 => {
                    let key = self.senders.get(search).zip(name.parse().ok());
                    let key = key.map(|((account, address), service)| {
                        ((*account, (*address).to_owned()), service)
                    });
                    loaded.senders.extend(key);
                }
                _ => {
                    let list = self.unbound.get(search);
                    let list = list.and_then(|(read, ..)| loaded.unbound.get_mut(*read));
                    let id = hex::bytes(&name).map(LinkId::from_bytes);
                    if let Some(list) = list {
                        list.extend(id);
                    }
                }
            }
        }
        for (read, mut sids) in lists {
            sids.sort_by_key(|sid| Reverse((created_at(loaded, *sid), *sid)));
            if let Read::To(.., most) | Read::Reference(.., most) = read {
                sids.truncate(*most);
            }
            loaded.to.insert(read.clone(), sids);
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

/// Due messages, without those that another receiver claims at the moment.
#[expect(clippy::wildcard_enum_match_arm, reason = "`Keys` and `other` load all other rows")]
async fn due(connection: &mut PgConnection, loaded: &mut Loaded, reads: &[&Read]) -> Result<()> {
    let excluded: Vec<String> =
        loaded.claimed_elsewhere.iter().map(MessageSid::to_string).collect();
    for read in reads {
        let (account, kind, at, limit, statement) = match read {
            Read::DueAfter(account, kind, after, limit) => (account, kind, after, limit, DUE_AFTER),
            Read::LastDueBy(account, kind, by, limit) => (account, kind, by, limit, LAST_DUE_BY),
            _ => continue,
        };
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(statement)
            .bind(account.as_str())
            .bind(due_kind(*kind))
            .bind(at.as_millisecond())
            .bind(i64::try_from(*limit).unwrap_or(i64::MAX))
            .bind(&excluded)
            .fetch_all(&mut *connection)
            .await?;
        let mut due = Vec::with_capacity(rows.len());
        for (at, rev, body) in rows {
            due.push((timestamp(at), add_message(loaded, rev, &body)?));
        }
        loaded.due.insert(Read::clone(read), due);
    }
    Ok(())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`Keys` and `due` load all other rows")]
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
        Read::Holds => {
            let rows: Vec<(String, i64)> =
                sqlx::query_as("SELECT account, since FROM hold").fetch_all(connection).await?;
            let rows = rows.iter();
            loaded.holds = rows
                .filter_map(|(account, since)| Some((account.parse().ok()?, timestamp(*since))))
                .collect();
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
        Read::AccountsWithDue => {
            // A loose index scan: one probe for each account.
            let rows: Vec<(String,)> = sqlx::query_as(
                "WITH RECURSIVE accounts AS (
                     (SELECT account FROM message WHERE due_at IS NOT NULL ORDER BY account LIMIT 1)
                     UNION ALL
                     SELECT (SELECT account FROM message WHERE due_at IS NOT NULL AND account > accounts.account
                             ORDER BY account LIMIT 1)
                     FROM accounts WHERE accounts.account IS NOT NULL)
                 SELECT account FROM accounts WHERE account IS NOT NULL",
            )
            .fetch_all(connection)
            .await?;
            let accounts = rows.iter().filter_map(|(account,)| account.parse().ok());
            loaded.accounts_with_due = accounts.collect();
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
