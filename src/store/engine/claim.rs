//! Claims due messages, in turn between accounts and between the kinds of an account's messages.
//!
//! A claim reads at most as many due messages of each account as it may hand out. So its cost does not grow with a
//! backlog, and a backlog does not delay other accounts.
//!
//! A wrong SID that an app registers costs posts that Twilio answers with 404. So the messages of an account take turns:
//! half of the attempts go to messages that Twilio named first, and half to the others. Every second attempt
//! of the others goes to the newest message, so that no backlog delays it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::feedback::{Claim, Feedback, Lease};
use crate::domain::matching::later;
use crate::domain::retry::LONGEST_WAIT;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::engine::backend::{Backend, DueKind, EngineResult, SpaceFor};
use crate::store::quota::{Quota, Quotas};

/// The most claims of one call: a group of the writer has room for 128 entries.
const MAX_CLAIMS: usize = 100;
/// The attempts of an account after which the turns of its messages repeat.
const TURNS: usize = 4;

/// Claims up to `limit` due messages for one attempt each.
///
/// # Errors
/// The backend cannot go on.
pub fn claim<B: Backend>(
    backend: &mut B,
    limit: usize,
    lease: Duration,
    quotas: &Quotas,
) -> EngineResult<Vec<Claim>, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Delivery) {
        return Ok(Err(full));
    }
    let now = backend.now();
    let due = select_due(backend, now, limit, quotas)?;
    let mut claims = Vec::with_capacity(due.len());
    for sid in due {
        let Some(before) = backend.message(sid)? else { continue };
        let mut message = before.clone();
        let token = backend.next_lease();
        let delivery = &mut message.delivery;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.lease = Some(token);
        delivery.due_at = Some(later(now, lease));
        // The result of an attempt whose lease ran out is unknown: its post may have reached Twilio.
        if before.delivery.lease.is_some() {
            message.parked_evidence = None;
        }
        claims.push(Claim {
            feedback: Feedback { account: message.account, message: sid },
            lease: Lease { message: sid, token },
            attempts: delivery.attempts,
            spent: delivery.spent,
            created_at: message.created_at,
            missing: message.is_missing(),
            named_by_twilio: message.is_named_by_twilio(),
            trace: message.trace,
        });
        backend.replace(before, message)?;
    }
    Ok(Ok(claims))
}

/// The accounts with confirmed messages that are not on hold.
fn accounts<B: Backend>(backend: &B) -> Result<Vec<AccountSid>, B::Error> {
    let mut accounts = backend.accounts_with_due()?;
    accounts.retain(|account| !backend.holds().contains_key(account));
    Ok(accounts)
}

/// The quota of an account without the places that other receivers use or have closed.
fn shared_quota<B: Backend>(
    backend: &B,
    account: AccountSid,
    now: Timestamp,
    mut quota: Quota,
) -> Result<Quota, B::Error> {
    if quota.free == 0 {
        return Ok(quota);
    }
    let Some(shared) = backend.account_use(account, now)? else { return Ok(quota) };
    let is_closed = shared.held_until.max(shared.probe_from).is_some_and(|until| until > now);
    let limit = match shared.probe_from {
        _ if is_closed => 0,
        Some(_) => 1,
        None => quota.limit,
    };
    quota.free = quota.free.min(limit.saturating_sub(shared.under_lease));
    quota.missing = quota.missing.min(quota.free);
    Ok(quota)
}

/// Gives the places of a claim to the accounts, one at a time: to the account with the fewest attempts under way, and
/// among equal accounts to the one whose next message is due the longest.
fn select_due<B: Backend>(
    backend: &B,
    now: Timestamp,
    limit: usize,
    quotas: &Quotas,
) -> Result<Vec<MessageSid>, B::Error> {
    let mut next = BTreeMap::new();
    for account in accounts(backend)? {
        let quota = shared_quota(backend, account, now, quotas.of(account))?;
        let mut due = due_now(backend, account, now, quota)?.into_iter();
        if let Some((at, sid)) = due.next() {
            next.insert((quota.under_way, at, account), (sid, due));
        }
    }
    let (mut dealt, mut left, mut own) = (Vec::new(), limit, quotas.own_slots);
    while dealt.len() < MAX_CLAIMS {
        let Some(((under_way, at, account), (sid, mut due))) = next.pop_first() else { break };
        if left > 0 {
            left -= 1;
        } else if own > 0 && under_way == 0 {
            own -= 1;
        } else {
            break;
        }
        dealt.push((at, sid));
        if let Some((at, sid)) = due.next() {
            next.insert((under_way + 1, at, account), (sid, due));
        }
    }
    // Stable: the messages of an account stay in order.
    dealt.sort_by_key(|(at, _)| *at);
    Ok(dealt.into_iter().map(|(_, sid)| sid).collect())
}

/// The due messages of an account within its quota, in the order of their attempts. Each attempt goes to a message of
/// the kind whose turn it is, or to the next kind that has one. Within a kind, messages with a 404 come after the others.
fn due_now<B: Backend>(
    backend: &B,
    account: AccountSid,
    now: Timestamp,
    quota: Quota,
) -> Result<Vec<(Timestamp, MessageSid)>, B::Error> {
    let free = quota.free.min(MAX_CLAIMS);
    let queue = |is_named| -> Result<VecDeque<_>, B::Error> {
        let of_kind = |is_missing, limit| {
            let due = due_of_kind(backend, account, DueKind { is_named, is_missing }, now, limit)?;
            Ok(due.into_iter().map(move |(at, sid)| (at, sid, is_missing)))
        };
        Ok(of_kind(false, free)?.chain(of_kind(true, quota.missing.min(free))?).collect())
    };
    let (mut named, mut others) = (queue(true)?, queue(false)?);
    let untried = DueKind { is_named: false, is_missing: false };
    let newest = backend.last_due_by(account, untried, now, free.div_ceil(TURNS))?;
    let mut newest = newest.into_iter().map(|(at, sid)| (at, sid, false)).collect();
    let (mut missing, mut seen) = (quota.missing, HashSet::new());
    let mut next_of = |queue: &mut VecDeque<(Timestamp, MessageSid, bool)>| loop {
        let (at, sid, is_missing) = queue.pop_front()?;
        if (!is_missing || missing > 0) && seen.insert(sid) {
            missing -= usize::from(is_missing);
            return Some((at, sid));
        }
    };
    let turns = (0..free).map(|turn| quota.begun.wrapping_add(turn) % TURNS);
    let due = turns.map_while(|turn| match turn {
        1 => next_of(&mut others).or_else(|| next_of(&mut named)),
        3 => next_of(&mut newest).or_else(|| next_of(&mut others)).or_else(|| next_of(&mut named)),
        _ => next_of(&mut named).or_else(|| next_of(&mut others)),
    });
    Ok(due.collect())
}

/// A message whose due time is further away than any wait comes last: a clock that was ahead caused that time.
fn due_of_kind<B: Backend>(
    backend: &B,
    account: AccountSid,
    kind: DueKind,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(Timestamp, MessageSid)>, B::Error> {
    let due = backend.due_after(account, kind, Timestamp::MIN, limit)?;
    let far = backend.due_after(account, kind, later(now, LONGEST_WAIT), limit)?;
    Ok(due.into_iter().take_while(|(at, _)| *at <= now).chain(far).take(limit).collect())
}

/// The time until a message of an account with a free quota is due.
///
/// # Errors
/// The backend cannot go on.
pub fn next_due<B: Backend>(backend: &B, quotas: &Quotas) -> Result<Option<Duration>, B::Error> {
    let now = backend.now();
    let far = later(now, LONGEST_WAIT);
    let mut first: Option<Timestamp> = None;
    for account in accounts(backend)? {
        let quota = shared_quota(backend, account, now, quotas.of(account))?;
        let is_open = |kind: &DueKind| quota.free > 0 && (!kind.is_missing || quota.missing > 0);
        for kind in DueKind::ALL.into_iter().filter(is_open) {
            let far = backend.due_after(account, kind, far, 1)?.into_iter().map(|_| now);
            let next = backend.due_after(account, kind, Timestamp::MIN, 1)?.into_iter();
            first = next.map(|(at, _)| at).chain(far).chain(first).min();
        }
    }
    let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Ok(first.map(wait))
}
