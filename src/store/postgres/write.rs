//! Writes the changes of a transaction: one statement for the rows of most commands, and one for each other kind of row.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::domain::hex;
use crate::domain::matching::{EvictionRank, ParkedKind, Policy, WaitsFor};
use crate::domain::message::{Message, State};
use crate::domain::sid::MessageSid;
use crate::store::engine::{DueKind, EngineConfig};
use crate::store::postgres::cache::{Changed, Loaded};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::keys::{dedup, untied, waits_for};
use crate::store::postgres::load::due_kind;
use crate::store::postgres::tally;

type Result<T> = std::result::Result<T, TransactionError>;

/// A store with fewer free places counts as full.
const NEARLY: u64 = 10_000;

/// New and changed messages, deduplication keys and counters: the rows of most commands, in one round trip. Returns the
/// number of messages that had the expected revision. An insert with a later revision than the first is none of them: another
/// transaction has removed the row. All transactions have their rows in the order of Rust's keys, and a scan of `unnest` keeps
/// it, so that no two of them wait for each other. A sort of one row would cost more than its write.
const WRITE: &str = "
WITH written AS (
    INSERT INTO message (sid, account, state, person, alias, untied, reference, created_at, stands_since,
                         due_at, due_kind, held_by, evict_rank, evict_from, evict_own, rev, body)
    SELECT sid, account, state, person, alias, untied, reference, created_at, stands_since,
           due_at, due_kind, held_by, evict_rank, evict_from, evict_from, rev, body::jsonb
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::bytea[], $6::smallint[], $7::text[],
                $8::bigint[], $9::bigint[], $10::bigint[], $11::smallint[], $12::text[], $13::smallint[],
                $14::bigint[], $15::bigint[], $16::text[])
         AS row(sid, account, state, person, alias, untied, reference, created_at, stands_since,
                due_at, due_kind, held_by, evict_rank, evict_from, rev, body)
    ON CONFLICT (sid) DO UPDATE SET
        account = excluded.account, state = excluded.state, person = excluded.person,
        alias = excluded.alias, untied = excluded.untied, reference = excluded.reference,
        created_at = excluded.created_at, stands_since = excluded.stands_since,
        due_at = excluded.due_at, due_kind = excluded.due_kind, held_by = excluded.held_by,
        evict_rank = excluded.evict_rank, evict_from = excluded.evict_from,
        evict_own = excluded.evict_own, blocked_by = NULL, rev = excluded.rev,
        body = excluded.body
    WHERE message.rev = excluded.rev - 1
    RETURNING message.xmax = 0 AND message.rev > 1 AS is_revived
), tallied AS (
    INSERT INTO tally (key, slot, n)
    SELECT key, $17, n FROM unnest($18::text[], $19::bigint[]) AS row(key, n)
    ON CONFLICT (key, slot) DO UPDATE SET n = tally.n + excluded.n
)";
/// The part of the statement for deduplication keys, if there are some.
const ADD_KEYS: &str = ", added AS (
    INSERT INTO counted (key, at) SELECT key, at FROM unnest($20::text[], $21::bigint[]) AS row(key, at)
    ON CONFLICT (key) DO UPDATE SET at = excluded.at
)";
const COUNT_WRITTEN: &str = " SELECT count(*) FROM written WHERE NOT is_revived";

/// Writes all changes. A row that another transaction has changed since it was read is a conflict.
pub(super) async fn write(
    connection: &mut PgConnection,
    loaded: &Loaded,
    changed: &Changed,
    config: &EngineConfig,
    slot: i16,
) -> Result<()> {
    remove_messages(connection, loaded, changed).await?;
    upsert(connection, loaded, changed, &config.policy, slot).await?;
    // Only a full store has such candidates.
    if !changed.messages.is_empty() && loaded.counts.total() + NEARLY >= config.max_messages {
        resume_blocked(connection, changed).await?;
    }
    parked(connection, changed).await?;
    links(connection, changed).await?;
    facts(connection, changed).await?;
    holds(connection, changed).await?;
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
        self.held_by.push(WaitsFor::of_message(message).map(|key| waits_for(&key)));
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

async fn upsert(
    connection: &mut PgConnection,
    loaded: &Loaded,
    changed: &Changed,
    policy: &Policy,
    slot: i16,
) -> Result<()> {
    let mut columns = MessageColumns::default();
    for (sid, message) in &changed.messages {
        if let Some(message) = message {
            columns.push(message, rev(loaded, *sid) + 1, policy)?;
        }
    }
    let added = changed.counted.iter().filter_map(|(key, at)| Some((dedup(key), (*at)?)));
    let (keys, times): (Vec<String>, Vec<i64>) =
        added.map(|(key, at)| (key, at.as_millisecond())).unzip();
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for mutation in &changed.mutations {
        tally::add(&mut sums, mutation);
    }
    sums.retain(|_, n| *n != 0);
    if columns.sids.is_empty() && keys.is_empty() && sums.is_empty() {
        return Ok(());
    }
    let (counters, counts): (Vec<String>, Vec<i64>) = sums.into_iter().unzip();
    let expected = columns.sids.len();
    let add_keys = if keys.is_empty() { "" } else { ADD_KEYS };
    let statement = [WRITE, add_keys, COUNT_WRITTEN].concat();
    let (written,): (i64,) = sqlx::query_as(AssertSqlSafe(statement))
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
        .bind(slot)
        .bind(counters)
        .bind(counts)
        .bind(keys)
        .bind(times)
        .fetch_one(connection)
        .await?;
    if usize::try_from(written).ok() == Some(expected) { Ok(()) } else { Err(changed_meanwhile()) }
}

fn rev(loaded: &Loaded, sid: MessageSid) -> i64 {
    loaded.messages.get(&sid).and_then(Option::as_ref).map_or(0, |(_, rev)| *rev)
}

fn changed_meanwhile() -> TransactionError {
    TransactionError::Conflict("a message changed meanwhile".to_owned())
}

async fn remove_messages(
    connection: &mut PgConnection,
    loaded: &Loaded,
    changed: &Changed,
) -> Result<()> {
    let removed = changed.messages.iter().filter(|(_, message)| message.is_none());
    let removed = removed.map(|(sid, _)| (sid.to_string(), rev(loaded, *sid)));
    let (sids, revs): (Vec<String>, Vec<i64>) = removed.filter(|(_, rev)| *rev > 0).unzip();
    if sids.is_empty() {
        return Ok(());
    }
    let expected = sids.len() as u64;
    let done = sqlx::query(
        "DELETE FROM message USING unnest($1::text[], $2::bigint[]) AS row(sid, rev)
         WHERE message.sid = row.sid AND message.rev = row.rev",
    )
    .bind(sids)
    .bind(revs)
    .execute(connection)
    .await?;
    if done.rows_affected() == expected { Ok(()) } else { Err(changed_meanwhile()) }
}

async fn parked(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let mut removed = (Vec::new(), Vec::new(), Vec::new());
    let mut kept = (Vec::new(), Vec::new(), Vec::new());
    let (mut accounts, mut orphaned, mut waiting, mut bodies) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (key, parked) in &changed.parked {
        let keys = if parked.is_some() { &mut kept } else { &mut removed };
        keys.0.push(waits_for(&key.waits_for));
        keys.1.push(key.parked_at.as_millisecond());
        keys.2.push(key.digest.to_vec());
        if let Some(parked) = parked {
            accounts.push(parked.evidence.account.to_string());
            orphaned.push(parked.orphaned);
            waiting.push(parked.kind() == ParkedKind::Parked);
            bodies.push(serde_json::to_string(parked)?);
        }
    }
    if !removed.0.is_empty() {
        sqlx::query(
            "DELETE FROM parked USING unnest($1::text[], $2::bigint[], $3::bytea[]) AS row(waits_for, parked_at, digest)
             WHERE parked.waits_for = row.waits_for AND parked.parked_at = row.parked_at
               AND parked.digest = row.digest",
        )
        .bind(removed.0)
        .bind(removed.1)
        .bind(removed.2)
        .execute(&mut *connection)
        .await?;
    }
    if !kept.0.is_empty() {
        sqlx::query(
            "INSERT INTO parked (waits_for, parked_at, digest, account, orphaned, waiting, body)
             SELECT waits_for, parked_at, digest, account, orphaned, waiting, body::jsonb
             FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[], $5::boolean[], $6::boolean[], $7::text[])
                  AS row(waits_for, parked_at, digest, account, orphaned, waiting, body)
             ORDER BY waits_for, parked_at, digest
             ON CONFLICT (waits_for, parked_at, digest) DO UPDATE SET
                 orphaned = excluded.orphaned, waiting = excluded.waiting, body = excluded.body",
        )
        .bind(kept.0)
        .bind(kept.1)
        .bind(kept.2)
        .bind(accounts)
        .bind(orphaned)
        .bind(waiting)
        .bind(bodies)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn links(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let removed = changed.links.iter().filter(|(_, link)| link.is_none());
    let removed: Vec<String> = removed.map(|(id, _)| hex::hex(id.as_bytes())).collect();
    if !removed.is_empty() {
        sqlx::query("DELETE FROM link WHERE id = ANY($1)")
            .bind(removed)
            .execute(&mut *connection)
            .await?;
    }
    let (mut ids, mut accounts, mut references) = (Vec::new(), Vec::new(), Vec::new());
    let (mut unbound, mut bodies) = (Vec::new(), Vec::new());
    for (id, link) in &changed.links {
        let Some(link) = link else { continue };
        ids.push(hex::hex(id.as_bytes()));
        accounts.push(link.account.to_string());
        references.push(link.reference.as_ref().map(|name| name.as_str().to_owned()));
        unbound.push(link.message.is_none());
        bodies.push(serde_json::to_string(link)?);
    }
    if !ids.is_empty() {
        sqlx::query(
            "INSERT INTO link (id, account, reference, unbound, body)
             SELECT id, account, reference, unbound, body::jsonb
             FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[])
                  AS row(id, account, reference, unbound, body)
             ORDER BY id
             ON CONFLICT (id) DO UPDATE SET
                 account = excluded.account, reference = excluded.reference, unbound = excluded.unbound,
                 body = excluded.body",
        )
        .bind(ids)
        .bind(accounts)
        .bind(references)
        .bind(unbound)
        .bind(bodies)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Removed deduplication keys, senders, names and automatic replies.
async fn facts(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let removed = changed.counted.iter().filter(|(_, at)| at.is_none());
    let removed: Vec<String> = removed.map(|(key, _)| dedup(key)).collect();
    if !removed.is_empty() {
        sqlx::query("DELETE FROM counted WHERE key = ANY($1)")
            .bind(removed)
            .execute(&mut *connection)
            .await?;
    }
    if !changed.senders.is_empty() {
        let (mut accounts, mut addresses, mut services) = (Vec::new(), Vec::new(), Vec::new());
        for ((account, address), service) in &changed.senders {
            accounts.push(account.to_string());
            addresses.push(address.clone());
            services.push(service.to_string());
        }
        sqlx::query(
            "INSERT INTO sender (account, address, service)
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS row(account, address, service)
             ORDER BY account, address
             ON CONFLICT (account, address) DO UPDATE SET service = excluded.service",
        )
        .bind(accounts)
        .bind(addresses)
        .bind(services)
        .execute(&mut *connection)
        .await?;
    }
    names(connection, changed).await?;
    automatic(connection, changed).await
}

async fn names(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let mut removed = (Vec::new(), Vec::new());
    let (mut kept, mut bodies) = ((Vec::new(), Vec::new()), Vec::new());
    for ((account, person), tied) in &changed.names {
        let keys = if tied.is_some() { &mut kept } else { &mut removed };
        keys.0.push(account.to_string());
        keys.1.push(person.as_bytes().to_vec());
        if let Some(tied) = tied {
            bodies.push(serde_json::to_string(tied)?);
        }
    }
    if !removed.0.is_empty() {
        sqlx::query(
            "DELETE FROM tied_name USING unnest($1::text[], $2::bytea[]) AS row(account, person)
             WHERE tied_name.account = row.account AND tied_name.person = row.person",
        )
        .bind(removed.0)
        .bind(removed.1)
        .execute(&mut *connection)
        .await?;
    }
    if !bodies.is_empty() {
        sqlx::query(
            "INSERT INTO tied_name (account, person, body)
             SELECT account, person, body::jsonb
             FROM unnest($1::text[], $2::bytea[], $3::text[]) AS row(account, person, body)
             ORDER BY account, person
             ON CONFLICT (account, person) DO UPDATE SET body = excluded.body",
        )
        .bind(kept.0)
        .bind(kept.1)
        .bind(bodies)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn automatic(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    let (mut removed, mut kept, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for (person, automatic) in &changed.automatic {
        let keys = if automatic.is_some() { &mut kept } else { &mut removed };
        keys.push(person.as_bytes().to_vec());
        if let Some(automatic) = automatic {
            bodies.push(serde_json::to_string(automatic)?);
        }
    }
    if !removed.is_empty() {
        sqlx::query("DELETE FROM automatic WHERE person = ANY($1)")
            .bind(removed)
            .execute(&mut *connection)
            .await?;
    }
    if !kept.is_empty() {
        sqlx::query(
            "INSERT INTO automatic (person, body)
             SELECT person, body::jsonb FROM unnest($1::bytea[], $2::text[]) AS row(person, body) ORDER BY person
             ON CONFLICT (person) DO UPDATE SET body = excluded.body",
        )
        .bind(kept)
        .bind(bodies)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn holds(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
    for (account, since) in &changed.holds {
        let statement = match since {
            Some(_) => {
                "INSERT INTO hold (account, since) VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET since = excluded.since"
            }
            None => "DELETE FROM hold WHERE account = $1 AND $2::bigint IS NULL",
        };
        sqlx::query(statement)
            .bind(account.as_str())
            .bind(since.map(Timestamp::as_millisecond))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Notes until when candidates for eviction stay. This is no change of a row, so the revisions stay the same. A row that is
/// locked is judged again later.
async fn postponed(connection: &mut PgConnection, changed: &Changed) -> Result<()> {
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
