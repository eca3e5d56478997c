//! The advisory locks of a transaction (docs/design.md, "PostgreSQL").
//!
//! Row locks and revisions guard rows that exist. Advisory locks guard rows that do not exist yet: a message that is
//! registered while evidence for it is judged, and the other way round.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::hex::hex;
use crate::domain::matching::WaitsFor;
use crate::domain::message::Message;
use crate::store::engine::RecipientKey;
use crate::store::postgres::cache::{Changed, Loaded, Read};
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::keys::{dedup, kind_number, lock, untied, waits_for};
use crate::store::postgres::load::timestamp;

/// Takes locks in the order of their numbers, so that no two transactions wait for each other, and returns the time at which
/// it has them, and whether the server is read-only. A transaction that does not wait for the disk could lose an acknowledged
/// command.
const LOCK: &str = "
SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(number)::text
            WHEN NOT exclusive THEN pg_advisory_xact_lock_shared(number)::text
            WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint, current_setting('transaction_read_only') = 'on'
FROM unnest($1::bigint[], $2::boolean[]) AS k(number, exclusive) ORDER BY number NULLS LAST";

/// Takes further locks. It does not wait, because these come after others in no order.
const TRY_LOCK: &str = "
SELECT coalesce(bool_and(CASE WHEN exclusive THEN pg_try_advisory_xact_lock(number)
                              ELSE pg_try_advisory_xact_lock_shared(number) END), true)
FROM unnest($1::bigint[], $2::boolean[]) AS k(number, exclusive)";

/// Locks by number. `true`: exclusive, `false`: shared.
pub(super) type Locks = BTreeMap<i64, bool>;

/// Guards the list of holds. Claims read it, so no claim comes between a hold and its answer.
const HOLDS: &str = "holds";

fn add(locks: &mut Locks, text: &str, is_exclusive: bool) {
    *locks.entry(lock(text)).or_default() |= is_exclusive;
}

/// Adds the locks of a read.
pub(super) fn add_read(locks: &mut Locks, read: &Read) {
    let of = |key: &WaitsFor| waits_for(key);
    match read {
        Read::Message(sid) => add(locks, &of(&WaitsFor::Message(*sid)), true),
        Read::To(RecipientKey::Person(person), ..) | Read::Automatic(person) => {
            add(locks, &of(&WaitsFor::Person(*person)), true);
        }
        Read::Names(_, person) => add(locks, &of(&WaitsFor::Person(*person)), true),
        Read::To(RecipientKey::Untied(account, kind), ..) => {
            add(locks, &untied_text(account.as_str(), kind_number(*kind)), false);
        }
        Read::Reference(account, reference, _) | Read::UnboundLinks(account, reference, _) => {
            add(locks, &of(&WaitsFor::Reference(*account, reference.clone())), true);
        }
        Read::Link(id) => add(locks, &of(&WaitsFor::Link(*id)), true),
        Read::Evidence(key) => add(locks, &of(key), true),
        Read::Counted(key) => add(locks, &format!("counted:{}", dedup(key)), true),
        Read::Sender(account, address) => add(locks, &format!("sender:{account}:{address}"), false),
        Read::Holds => add(locks, HOLDS, false),
        // Two claims must not both count the same free places.
        Read::AccountUse(account, _) => add(locks, &format!("claim:{account}"), true),
        // Near the limit only: two commands must not both count the same free places.
        Read::ParkedRows => add(locks, "parked rows", true),
        Read::Evictable(..) | Read::AccountsWithDue | Read::DueAfter(..) | Read::LastDueBy(..) => {}
    }
}

fn untied_text(account: &str, kind: Option<i16>) -> String {
    format!("untied:{account}:{}", kind.unwrap_or_default())
}

/// Adds the locks of the lists in which changed rows appear or from which they disappear.
pub(super) fn add_changes(locks: &mut Locks, loaded: &Loaded, changed: &Changed, is_claim: bool) {
    for (sid, after) in &changed.messages {
        let before = loaded.messages.get(sid).and_then(Option::as_ref).map(|(before, _)| before);
        let moved = |message: &Message| (message.created_at, lists(message, is_claim));
        let (before, after) = (before.map(moved), after.as_ref().map(moved));
        if before != after {
            add(locks, &waits_for(&WaitsFor::Message(*sid)), true);
            for text in before.into_iter().chain(after).flat_map(|(_, lists)| lists) {
                add(locks, &text, true);
            }
        }
    }
    for key in changed.parked.keys() {
        add(locks, &waits_for(&key.waits_for), true);
    }
    for (id, link) in &changed.links {
        add(locks, &waits_for(&WaitsFor::Link(*id)), true);
        if let Some((link, reference)) =
            link.as_ref().and_then(|link| Some((link, link.reference.clone()?)))
        {
            add(locks, &waits_for(&WaitsFor::Reference(link.account, reference)), true);
        }
    }
    for (account, address) in changed.senders.keys() {
        add(locks, &format!("sender:{account}:{address}"), true);
    }
    if !changed.holds.is_empty() {
        add(locks, HOLDS, true);
    }
    for (_, person) in changed.names.keys() {
        add(locks, &format!("person:{}", hex(person.as_bytes())), true);
    }
    for person in changed.automatic.keys() {
        add(locks, &format!("person:{}", hex(person.as_bytes())), true);
    }
}

/// The lists that a message is in. A claim removes held evidence from its message; the row lock and the revision guard this.
fn lists(message: &Message, is_claim: bool) -> Vec<String> {
    let names = message.names().map(WaitsFor::Person);
    let reference = message.reference.clone();
    let reference = reference.map(|name| WaitsFor::Reference(message.account, name));
    let untied = untied(message).map(|kind| untied_text(message.account.as_str(), Some(kind)));
    let held = WaitsFor::of_message(message).filter(|_| !is_claim);
    names.chain(reference).chain(held).map(|key| waits_for(&key)).chain(untied).collect()
}

/// The locks that are wanted and not held, or held as shared only.
pub(super) fn lacking(wanted: &Locks, held: &Locks) -> Locks {
    let is_lacking = |(number, is_exclusive): &(&i64, &bool)| match held.get(number) {
        Some(held) => **is_exclusive && !held,
        None => true,
    };
    wanted.iter().filter(is_lacking).map(|(number, kind)| (*number, *kind)).collect()
}

/// Takes locks, and returns the time at which it has them.
///
/// # Errors
/// A read-only server: its rows may be older than those of the primary, so it must not answer that nothing is to be done.
pub(super) async fn wait_for_locks(
    connection: &mut PgConnection,
    locks: &Locks,
    salt: i64,
) -> Result<Timestamp, TransactionError> {
    // The last row stands for no lock.
    let numbers = locks.keys().map(|number| Some(number ^ salt)).chain([None]);
    let exclusive = locks.values().copied().map(Some).chain([None]);
    let rows: Vec<(Option<String>, i64, bool)> = sqlx::query_as(LOCK)
        .bind(numbers.collect::<Vec<Option<i64>>>())
        .bind(exclusive.collect::<Vec<Option<bool>>>())
        .fetch_all(connection)
        .await?;
    match rows.last() {
        Some((_, now, false)) => Ok(timestamp(*now)),
        Some((.., true)) | None => Err(TransactionError::ReadOnly),
    }
}

/// Takes further locks. Returns `false` if another transaction holds one of them.
pub(super) async fn take_locks(
    connection: &mut PgConnection,
    wanted: &Locks,
    held: &mut Locks,
    salt: i64,
) -> Result<bool, TransactionError> {
    let more = lacking(wanted, held);
    if more.is_empty() {
        return Ok(true);
    }
    let (numbers, exclusive): (Vec<i64>, Vec<bool>) =
        more.iter().map(|(number, exclusive)| (number ^ salt, *exclusive)).unzip();
    let (is_taken,): (bool,) =
        sqlx::query_as(TRY_LOCK).bind(numbers).bind(exclusive).fetch_one(connection).await?;
    if !is_taken {
        return Ok(false);
    }
    held.extend(more);
    Ok(true)
}
