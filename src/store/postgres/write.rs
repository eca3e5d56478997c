//! Writes the changes of a transaction: one statement for each kind of row.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::hex;
use crate::domain::matching::{EvictionRank, Policy, WaitsFor};
use crate::domain::message::{Message, State};
use crate::domain::sid::MessageSid;
use crate::store::engine::{DueKind, EngineConfig, Mutation};
use crate::store::postgres::cache::{Changed, Loaded};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::keys::{dedup, untied, waits_for};
use crate::store::postgres::load::due_kind;
use crate::store::postgres::tally;

type Result<T> = std::result::Result<T, TransactionError>;

/// A store with fewer free places counts as full.
const NEARLY: u64 = 10_000;

/// Writes all changes. A row that another transaction has changed since it was read is a conflict.
pub(super) async fn write(
    connection: &mut PgConnection,
    loaded: &Loaded,
    changed: &Changed,
    config: &EngineConfig,
    slot: i16,
) -> Result<()> {
    messages(connection, loaded, changed, &config.policy).await?;
    // Only a full store has such candidates.
    if !changed.messages.is_empty() && loaded.counts.total() + NEARLY >= config.max_messages {
        resume_blocked(connection, changed).await?;
    }
    parked(connection, changed).await?;
    links(connection, changed).await?;
    facts(connection, changed).await?;
    holds(connection, changed).await?;
    tallies(connection, &changed.mutations, slot).await?;
    postponed(connection, changed).await
}

#[derive(Default)]
struct MessageColumns {
    sids: Vec<String>,
    accounts: Vec<String>,
    states: Vec<i16>,
    persons: Vec<Option<Vec<u8>>>,
    aliases: Vec<Option<Vec<u8>>>,
    untied: Vec<Option<i16>>,
    references: Vec<Option<String>>,
    created_at: Vec<i64>,
    stands_since: Vec<i64>,
    due_at: Vec<Option<i64>>,
    due_kinds: Vec<i16>,
    held_by: Vec<Option<String>>,
    evict_ranks: Vec<Option<i16>>,
    evict_from: Vec<Option<i64>>,
    revs: Vec<i64>,
    bodies: Vec<String>,
}

impl MessageColumns {
    fn push(&mut self, message: &Message, rev: i64, policy: &Policy) -> Result<()> {
        self.sids.push(message.sid.to_string());
        self.accounts.push(message.account.to_string());
        self.states.push(state_number(message.state));
        self.persons.push(message.recipient.map(|to| to.person.as_bytes().to_vec()));
        self.aliases.push(message.alias.map(|to| to.person.as_bytes().to_vec()));
        self.untied.push(untied(message));
        self.references.push(message.reference.as_ref().map(|name| name.as_str().to_owned()));
        self.created_at.push(message.created_at.as_millisecond());
        self.stands_since.push(stands_since(message).as_millisecond());
        let is_waiting = message.state == State::Confirmed;
        let due_at = message.delivery.due_at.filter(|_| is_waiting);
        self.due_at.push(due_at.map(Timestamp::as_millisecond));
        self.due_kinds.push(due_kind(DueKind {
            is_named: message.is_named_by_twilio(),
            is_missing: message.is_missing(),
        }));
        self.held_by
            .push(message.held.as_ref().map(|held| waits_for(&WaitsFor::of(&held.evidence))));
        let evictable = policy.evictable_from(message);
        self.evict_ranks.push(evictable.map(|(rank, _)| rank_number(rank)));
        self.evict_from.push(evictable.map(|(_, from)| from.as_millisecond()));
        self.revs.push(rev);
        self.bodies.push(serde_json::to_string(message)?);
        Ok(())
    }
}

fn state_number(state: State) -> i16 {
    let at = State::ALL.iter().position(|known| *known == state);
    at.and_then(|at| i16::try_from(at).ok()).unwrap_or_default()
}

fn rank_number(rank: EvictionRank) -> i16 {
    let at = EvictionRank::ALL.iter().position(|known| *known == rank);
    at.and_then(|at| i16::try_from(at).ok()).unwrap_or_default()
}

/// The time from which on the message has its state; of a confirmed message, the time of its confirmation.
fn stands_since(message: &Message) -> Timestamp {
    let confirmed = message.proof.as_ref().map(|proof| proof.confirmed_at);
    confirmed.filter(|_| message.state == State::Confirmed).unwrap_or(message.since)
}

async fn messages(
    connection: &mut PgConnection,
    loaded: &Loaded,
    changed: &Changed,
    policy: &Policy,
) -> Result<()> {
    let mut columns = MessageColumns::default();
    let (mut removed, mut removed_revs) = (Vec::new(), Vec::new());
    for (sid, message) in &changed.messages {
        let rev = loaded.messages.get(sid).and_then(Option::as_ref).map_or(0, |(_, rev)| *rev);
        match message {
            Some(message) => columns.push(message, rev + 1, policy)?,
            None if rev == 0 => {}
            None => {
                removed.push(sid.to_string());
                removed_revs.push(rev);
            }
        }
    }
    if !columns.sids.is_empty() {
        let expected = columns.sids.len() as u64;
        let done = sqlx::query(
            "INSERT INTO message (sid, account, state, person, alias, untied, reference, created_at, stands_since,
                                  due_at, due_kind, held_by, evict_rank, evict_from, evict_own, rev, body)
             SELECT sid, account, state, person, alias, untied, reference, created_at, stands_since,
                    due_at, due_kind, held_by, evict_rank, evict_from, evict_from, rev, body::jsonb
             FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::bytea[], $6::smallint[], $7::text[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::smallint[], $12::text[], $13::smallint[],
                         $14::bigint[], $15::bigint[], $16::text[])
                  AS row(sid, account, state, person, alias, untied, reference, created_at, stands_since,
                         due_at, due_kind, held_by, evict_rank, evict_from, rev, body)
             ORDER BY sid
             ON CONFLICT (sid) DO UPDATE SET
                 account = excluded.account, state = excluded.state, person = excluded.person,
                 alias = excluded.alias, untied = excluded.untied, reference = excluded.reference,
                 created_at = excluded.created_at, stands_since = excluded.stands_since,
                 due_at = excluded.due_at, due_kind = excluded.due_kind, held_by = excluded.held_by,
                 evict_rank = excluded.evict_rank, evict_from = excluded.evict_from,
                 evict_own = excluded.evict_own, blocked_by = NULL, rev = excluded.rev,
                 body = excluded.body
             WHERE message.rev = excluded.rev - 1",
        )
        .bind(columns.sids)
        .bind(columns.accounts)
        .bind(columns.states)
        .bind(columns.persons)
        .bind(columns.aliases)
        .bind(columns.untied)
        .bind(columns.references)
        .bind(columns.created_at)
        .bind(columns.stands_since)
        .bind(columns.due_at)
        .bind(columns.due_kinds)
        .bind(columns.held_by)
        .bind(columns.evict_ranks)
        .bind(columns.evict_from)
        .bind(columns.revs)
        .bind(columns.bodies)
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() != expected {
            return Err(TransactionError::Conflict("a message changed meanwhile".to_owned()));
        }
    }
    if !removed.is_empty() {
        let expected = removed.len() as u64;
        let done = sqlx::query(
            "DELETE FROM message USING unnest($1::text[], $2::bigint[]) AS row(sid, rev)
             WHERE message.sid = row.sid AND message.rev = row.rev",
        )
        .bind(removed)
        .bind(removed_revs)
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() != expected {
            return Err(TransactionError::Conflict("a message changed meanwhile".to_owned()));
        }
    }
    Ok(())
}

async fn parked(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    for (key, parked) in &changed.parked {
        let (name, at) = (waits_for(&key.waits_for), key.parked_at.as_millisecond());
        match parked {
            Some(parked) => {
                sqlx::query(
                    "INSERT INTO parked (waits_for, parked_at, digest, account, orphaned, waiting, body)
                     VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)
                     ON CONFLICT (waits_for, parked_at, digest) DO UPDATE SET
                         orphaned = excluded.orphaned, waiting = excluded.waiting, body = excluded.body",
                )
                .bind(name)
                .bind(at)
                .bind(&key.digest[..])
                .bind(parked.evidence.account.as_str())
                .bind(parked.orphaned)
                .bind(parked.is_waiting())
                .bind(serde_json::to_string(parked)?)
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query(
                    "DELETE FROM parked WHERE waits_for = $1 AND parked_at = $2 AND digest = $3",
                )
                .bind(name)
                .bind(at)
                .bind(&key.digest[..])
                .execute(&mut *connection)
                .await?;
            }
        }
    }
    Ok(())
}

async fn links(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    for (id, link) in &changed.links {
        let id = hex::hex(id.as_bytes());
        match link {
            Some(link) => {
                sqlx::query(
                    "INSERT INTO link (id, account, reference, unbound, body) VALUES ($1, $2, $3, $4, $5::jsonb)
                     ON CONFLICT (id) DO UPDATE SET
                         account = excluded.account, reference = excluded.reference, unbound = excluded.unbound,
                         body = excluded.body",
                )
                .bind(id)
                .bind(link.account.as_str())
                .bind(link.reference.as_ref().map(crate::domain::message::Reference::as_str))
                .bind(link.message.is_none())
                .bind(serde_json::to_string(link)?)
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query("DELETE FROM link WHERE id = $1")
                    .bind(id)
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Deduplication keys, senders, names and automatic replies.
async fn facts(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    for (key, at) in &changed.counted {
        match at {
            Some(at) => {
                sqlx::query(
                    "INSERT INTO counted (key, at) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
                )
                .bind(dedup(key))
                .bind(at.as_millisecond())
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query("DELETE FROM counted WHERE key = $1")
                    .bind(dedup(key))
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
    for ((account, address), service) in &changed.senders {
        sqlx::query(
            "INSERT INTO sender (account, address, service) VALUES ($1, $2, $3)
             ON CONFLICT (account, address) DO UPDATE SET service = excluded.service",
        )
        .bind(account.as_str())
        .bind(address)
        .bind(service.as_str())
        .execute(&mut *connection)
        .await?;
    }
    for ((account, person), tied) in &changed.names {
        let person = person.as_bytes().to_vec();
        match tied {
            Some(tied) => {
                sqlx::query(
                    "INSERT INTO tied_name (account, person, body) VALUES ($1, $2, $3::jsonb)
                     ON CONFLICT (account, person) DO UPDATE SET body = excluded.body",
                )
                .bind(account.as_str())
                .bind(person)
                .bind(serde_json::to_string(tied)?)
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query("DELETE FROM tied_name WHERE account = $1 AND person = $2")
                    .bind(account.as_str())
                    .bind(person)
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
    for (person, automatic) in &changed.automatic {
        let person = person.as_bytes().to_vec();
        match automatic {
            Some(automatic) => {
                sqlx::query(
                    "INSERT INTO automatic (person, body) VALUES ($1, $2::jsonb)
                     ON CONFLICT (person) DO UPDATE SET body = excluded.body",
                )
                .bind(person)
                .bind(serde_json::to_string(automatic)?)
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query("DELETE FROM automatic WHERE person = $1")
                    .bind(person)
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
    Ok(())
}

async fn holds(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    for (account, since) in &changed.holds {
        match since {
            Some(since) => {
                sqlx::query(
                    "INSERT INTO hold (account, since) VALUES ($1, $2) ON CONFLICT (account) DO NOTHING",
                )
                .bind(account.as_str())
                .bind(since.as_millisecond())
                .execute(&mut *connection)
                .await?;
            }
            None => {
                sqlx::query("DELETE FROM hold WHERE account = $1")
                    .bind(account.as_str())
                    .execute(&mut *connection)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Adds the differences to the counters of one slot.
async fn tallies(connection: &mut PgConnection, mutations: &[Mutation], slot: i16) -> Result<()> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for mutation in mutations {
        tally::add(&mut sums, mutation);
    }
    sums.retain(|_, n| *n != 0);
    if sums.is_empty() {
        return Ok(());
    }
    let (keys, counts): (Vec<String>, Vec<i64>) = sums.into_iter().unzip();
    sqlx::query(
        "INSERT INTO tally (key, slot, n)
         SELECT key, $3, n FROM unnest($1::text[], $2::bigint[]) AS row(key, n) ORDER BY key
         ON CONFLICT (key, slot) DO UPDATE SET n = tally.n + excluded.n",
    )
    .bind(keys)
    .bind(counts)
    .bind(slot)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes until when candidates for eviction stay. This is no change of a row, so the revisions stay the same. A row that is
/// locked is judged again later.
pub(super) async fn postponed(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let (mut sids, mut times, mut blockers) = (Vec::new(), Vec::new(), Vec::new());
    for (sid, (until, blocker)) in &changed.postponed {
        if !changed.messages.contains_key(sid) {
            sids.push(sid.to_string());
            times.push(until.as_millisecond());
            blockers.push(blocker.to_string());
        }
    }
    if sids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE message SET evict_from = row.until, blocked_by = row.blocker
         FROM (SELECT k.* FROM unnest($1::text[], $2::bigint[], $3::text[]) AS k(sid, until, blocker)
               JOIN message USING (sid) ORDER BY sid FOR UPDATE OF message SKIP LOCKED) row
         WHERE message.sid = row.sid AND message.evict_rank IS NOT NULL",
    )
    .bind(sids)
    .bind(times)
    .bind(blockers)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lists the candidates again that stayed because of a changed message.
async fn resume_blocked(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let sids: Vec<String> = changed.messages.keys().map(MessageSid::to_string).collect();
    sqlx::query(
        "UPDATE message SET evict_from = evict_own, blocked_by = NULL
         WHERE sid IN (SELECT sid FROM message WHERE blocked_by = ANY($1) ORDER BY sid FOR UPDATE SKIP LOCKED)",
    )
    .bind(sids)
    .execute(connection)
    .await?;
    Ok(())
}
