//! Loads the rows that the commands of a transaction miss: one statement for each kind.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::address::RecipientHash;
use crate::domain::click_link::LinkId;
use crate::domain::hex;
use crate::domain::matching::{Parked, WaitsFor};
use crate::domain::message::Message;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::engine::{DueKind, ParkedRows, RecipientKey};
use crate::store::postgres::account_use;
use crate::store::postgres::cache::{Loaded, Read};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::keys::{ParkedKey, dedup, kind_number, waits_for};

type Result<T> = std::result::Result<T, TransactionError>;

const DUE_AFTER: &str = "SELECT due_at, rev, body::text FROM message
    WHERE account = $1 AND due_kind = $2 AND due_at > $3 AND sid <> ALL($5) ORDER BY due_at, sid LIMIT $4";
const LAST_DUE_BY: &str = "SELECT due_at, rev, body::text FROM message
    WHERE account = $1 AND due_kind = $2 AND due_at <= $3 AND sid <> ALL($5)
    ORDER BY due_at DESC, sid DESC LIMIT $4";

/// A message of a search: the number of the search, and the row.
type Found = (i32, String, i64, String);

/// Loads rows, and notes that the database has answered these reads.
pub(super) async fn load(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    reads: BTreeSet<Read>,
) -> Result<()> {
    let mut kinds = Kinds::default();
    for read in &reads {
        kinds.add(read);
    }
    messages(connection, loaded, &kinds.messages).await?;
    sent_to(connection, loaded, &kinds.to).await?;
    with_reference(connection, loaded, &kinds.references).await?;
    evidence(connection, loaded, &kinds.evidence).await?;
    links(connection, loaded, &kinds.links, &kinds.unbound).await?;
    facts(connection, loaded, &kinds).await?;
    account_use::load_use(connection, loaded, &kinds.accounts).await?;
    due(connection, loaded, &kinds.due).await?;
    for read in kinds.others {
        other(connection, loaded, read).await?;
    }
    loaded.reads.extend(reads);
    Ok(())
}

#[derive(Default)]
struct Kinds<'a> {
    messages: Vec<MessageSid>,
    to: Vec<&'a Read>,
    references: Vec<&'a Read>,
    links: Vec<LinkId>,
    unbound: Vec<&'a Read>,
    evidence: Vec<&'a WaitsFor>,
    counted: Vec<&'a Read>,
    senders: Vec<&'a Read>,
    names: Vec<(AccountSid, RecipientHash)>,
    automatic: Vec<RecipientHash>,
    accounts: Vec<(AccountSid, Timestamp)>,
    due: Vec<&'a Read>,
    others: Vec<&'a Read>,
}

impl<'a> Kinds<'a> {
    fn add(&mut self, read: &'a Read) {
        match read {
            Read::Message(sid) => self.messages.push(*sid),
            Read::To(..) => self.to.push(read),
            Read::Reference(..) => self.references.push(read),
            Read::Link(id) => self.links.push(*id),
            Read::UnboundLinks(..) => self.unbound.push(read),
            Read::Evidence(key) => self.evidence.push(key),
            Read::Counted(_) => self.counted.push(read),
            Read::Sender(..) => self.senders.push(read),
            Read::Names(account, person) => self.names.push((*account, *person)),
            Read::Automatic(person) => self.automatic.push(*person),
            Read::AccountUse(account, now) => self.accounts.push((*account, *now)),
            Read::DueAfter(..) | Read::LastDueBy(..) => self.due.push(read),
            Read::ParkedRows | Read::Holds | Read::Evictable(..) | Read::AccountsWithDue => {
                self.others.push(read);
            }
        }
    }
}

fn add_message(loaded: &mut Loaded, rev: i64, body: &str) -> Result<MessageSid> {
    let message: Message = serde_json::from_str(body)?;
    let sid = message.sid;
    loaded.messages.insert(sid, Some((message, rev)));
    Ok(sid)
}

fn add_found(loaded: &mut Loaded, reads: &[&Read], found: Vec<Found>) -> Result<()> {
    let mut lists = vec![Vec::new(); reads.len()];
    for (search, _, rev, body) in found {
        let sid = add_message(loaded, rev, &body)?;
        if let Some(list) = usize::try_from(search).ok().and_then(|at| lists.get_mut(at)) {
            list.push(sid);
        }
    }
    loaded.to.extend(reads.iter().map(|read| Read::clone(read)).zip(lists));
    Ok(())
}

async fn messages(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    sids: &[MessageSid],
) -> Result<()> {
    if sids.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = sids.iter().map(MessageSid::as_str).collect();
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT rev, body::text FROM message WHERE sid = ANY($1)")
            .bind(names)
            .fetch_all(connection)
            .await?;
    for sid in sids {
        loaded.messages.entry(*sid).or_insert(None);
    }
    for (rev, body) in rows {
        add_message(loaded, rev, &body)?;
    }
    Ok(())
}

async fn sent_to(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    reads: &[&Read],
) -> Result<()> {
    if reads.is_empty() {
        return Ok(());
    }
    let (mut persons, mut accounts, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut from, mut to, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for read in reads {
        let Read::To(group, first, last, limit) = read else { continue };
        let (person, account, kind) = match group {
            RecipientKey::Person(person) => (Some(person.as_bytes().to_vec()), None, None),
            RecipientKey::Untied(account, kind) => {
                (None, Some(account.to_string()), kind_number(*kind))
            }
        };
        persons.push(person);
        accounts.push(account);
        kinds.push(kind);
        from.push(first.as_millisecond());
        to.push(last.as_millisecond());
        limits.push(i64::try_from(*limit).unwrap_or(i64::MAX));
    }
    let found: Vec<Found> = sqlx::query_as(
        "SELECT k.search::int - 1, m.sid, m.rev, m.body::text
         FROM unnest($1::bytea[], $2::text[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[])
              WITH ORDINALITY AS k(person, account, kind, first, last, most, search)
         CROSS JOIN LATERAL (
             SELECT * FROM (
                 (SELECT sid, rev, body, created_at FROM message
                  WHERE person = k.person AND created_at BETWEEN k.first AND k.last
                  ORDER BY created_at DESC, sid DESC LIMIT k.most)
                 UNION ALL
                 (SELECT sid, rev, body, created_at FROM message
                  WHERE alias = k.person AND person IS DISTINCT FROM k.person
                    AND created_at BETWEEN k.first AND k.last
                  ORDER BY created_at DESC, sid DESC LIMIT k.most)
                 UNION ALL
                 (SELECT sid, rev, body, created_at FROM message
                  WHERE account = k.account AND untied = k.kind AND created_at BETWEEN k.first AND k.last
                  ORDER BY created_at DESC, sid DESC LIMIT k.most)
             ) found ORDER BY created_at DESC, sid DESC LIMIT k.most
         ) m
         ORDER BY k.search, m.created_at DESC, m.sid DESC",
    )
    .bind(persons)
    .bind(accounts)
    .bind(kinds)
    .bind(from)
    .bind(to)
    .bind(limits)
    .fetch_all(connection)
    .await?;
    add_found(loaded, reads, found)
}

async fn with_reference(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    reads: &[&Read],
) -> Result<()> {
    if reads.is_empty() {
        return Ok(());
    }
    let (mut accounts, mut references, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for read in reads {
        let Read::Reference(account, reference, limit) = read else { continue };
        accounts.push(account.to_string());
        references.push(reference.as_str());
        limits.push(i64::try_from(*limit).unwrap_or(i64::MAX));
    }
    let found: Vec<Found> = sqlx::query_as(
        "SELECT k.search::int - 1, m.sid, m.rev, m.body::text
         FROM unnest($1::text[], $2::text[], $3::bigint[])
              WITH ORDINALITY AS k(account, reference, most, search)
         CROSS JOIN LATERAL (
             SELECT sid, rev, body, created_at FROM message
             WHERE account = k.account AND reference = k.reference
             ORDER BY created_at DESC, sid DESC LIMIT k.most
         ) m
         ORDER BY k.search, m.created_at DESC, m.sid DESC",
    )
    .bind(accounts)
    .bind(references)
    .bind(limits)
    .fetch_all(connection)
    .await?;
    add_found(loaded, reads, found)
}

async fn evidence(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    keys: &[&WaitsFor],
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = keys.iter().map(|key| waits_for(key)).collect();
    let rows: Vec<(Option<String>, Option<i64>, String)> = sqlx::query_as(
        "SELECT NULL, NULL, body::text FROM parked WHERE waits_for = ANY($1)
         UNION ALL
         SELECT held_by, rev, body::text FROM message WHERE held_by = ANY($1)",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    for (held_by, rev, body) in rows {
        match held_by.zip(rev) {
            None => {
                let parked: Parked = serde_json::from_str(&body)?;
                loaded.parked.insert(ParkedKey::of(&parked), parked);
            }
            Some((_, rev)) => {
                let sid = add_message(loaded, rev, &body)?;
                let message = loaded.messages.get(&sid).and_then(Option::as_ref);
                let held = message.and_then(|(message, _)| message.held.as_ref());
                if let Some(key) = held.map(|held| WaitsFor::of(&held.evidence)) {
                    let holders = loaded.holders.entry(key).or_default();
                    if !holders.contains(&sid) {
                        holders.push(sid);
                    }
                }
            }
        }
    }
    Ok(())
}

async fn links(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    ids: &[LinkId],
    unbound: &[&Read],
) -> Result<()> {
    if !ids.is_empty() {
        let names: Vec<String> = ids.iter().map(|id| hex::hex(id.as_bytes())).collect();
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, body::text FROM link WHERE id = ANY($1)")
                .bind(names)
                .fetch_all(&mut *connection)
                .await?;
        for (id, body) in rows {
            if let Some(id) = hex::bytes(&id).map(LinkId::from_bytes) {
                loaded.links.insert(id, serde_json::from_str(&body)?);
            }
        }
    }
    for read in unbound {
        let Read::UnboundLinks(account, reference, limit) = read else { continue };
        let ids: Vec<(String,)> = sqlx::query_as(
            "SELECT id FROM link WHERE account = $1 AND reference = $2 AND unbound ORDER BY id DESC LIMIT $3",
        )
        .bind(account.as_str())
        .bind(reference.as_str())
        .bind(i64::try_from(*limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
        let ids = ids.iter().filter_map(|(id,)| hex::bytes(id).map(LinkId::from_bytes));
        loaded.unbound.insert(Read::clone(read), ids.collect());
    }
    Ok(())
}

/// Deduplication keys, senders, names and automatic replies.
async fn facts(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    kinds: &Kinds<'_>,
) -> Result<()> {
    if !kinds.counted.is_empty() {
        let keys = kinds.counted.iter().filter_map(|read| match read {
            Read::Counted(key) => Some((dedup(key), *key)),
            _ => None,
        });
        let keys: Vec<_> = keys.collect();
        let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT key, at FROM counted WHERE key = ANY($1)")
                .bind(names)
                .fetch_all(&mut *connection)
                .await?;
        for (name, at) in rows {
            let known = keys.iter().filter(|(key, _)| *key == name);
            loaded.counted.extend(known.map(|(_, key)| (*key, timestamp(at))));
        }
    }
    for read in &kinds.senders {
        let Read::Sender(account, address) = read else { continue };
        let row: Option<(String,)> =
            sqlx::query_as("SELECT service FROM sender WHERE account = $1 AND address = $2")
                .bind(account.as_str())
                .bind(address.as_str())
                .fetch_optional(&mut *connection)
                .await?;
        if let Some(service) = row.and_then(|(service,)| service.parse().ok()) {
            loaded.senders.insert((*account, address.clone()), service);
        }
    }
    if !kinds.names.is_empty() {
        let accounts: Vec<&str> = kinds.names.iter().map(|(account, _)| account.as_str()).collect();
        let persons = kinds.names.iter().map(|(_, person)| person.as_bytes().to_vec());
        let rows: Vec<(String, Vec<u8>, String)> = sqlx::query_as(
            "SELECT account, person, body::text FROM tied_name
             JOIN unnest($1::text[], $2::bytea[]) AS k(account, person) USING (account, person)",
        )
        .bind(accounts)
        .bind(persons.collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        for (account, person, body) in rows {
            let account = account.parse().ok();
            let person = person.try_into().ok().map(RecipientHash::from_bytes);
            if let Some(key) = account.zip(person) {
                loaded.names.insert(key, serde_json::from_str(&body)?);
            }
        }
    }
    if !kinds.automatic.is_empty() {
        let persons = kinds.automatic.iter().map(|person| person.as_bytes().to_vec());
        let rows: Vec<(Vec<u8>, String)> =
            sqlx::query_as("SELECT person, body::text FROM automatic WHERE person = ANY($1)")
                .bind(persons.collect::<Vec<_>>())
                .fetch_all(&mut *connection)
                .await?;
        for (person, body) in rows {
            if let Ok(person) = person.try_into() {
                let automatic = serde_json::from_str(&body)?;
                loaded.automatic.insert(RecipientHash::from_bytes(person), automatic);
            }
        }
    }
    Ok(())
}

/// Due messages, without those that another receiver claims at the moment.
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
