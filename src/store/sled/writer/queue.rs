//! The worker's part of the ledger: what is due, handing out attempts, ending them.
//!
//! Due messages lie by account. A claim reads at most as many of each account as it may hand out, so its cost does not
//! grow with any backlog, and no backlog delays another account.
//!
//! A wrong SID that an app registers costs posts that Twilio answers with 404. So the messages of an account take turns:
//! half of the attempts go to messages that Twilio itself named first, and half to the others. Of these, every second
//! one goes to the newest message, which a backlog of any length does not delay then.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::feedback::{Claim, Feedback, Lease, Settlement};
use crate::domain::matching::later;
use crate::domain::message::{LastAttempt, State};
use crate::domain::retry::LONGEST_WAIT;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::sled::index::DueKind;
use crate::store::sled::writer::engine::{Engine, EngineResult};
use crate::store::{Quota, Quotas, SettleOutcome};

/// The most that one call hands out: a group has room for 128 entries.
const MAX_CLAIMS: usize = 100;
/// The attempts of an account after which the turns of its messages repeat.
const TURNS: usize = 4;

impl Engine {
    pub(crate) fn claim(
        &mut self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> EngineResult<Vec<Claim>> {
        if let Err(full) = self.room_to_deliver() {
            return Ok(Err(full));
        }
        let now = self.now();
        let due = self.due_by(now, limit, quotas);
        let mut claims = Vec::with_capacity(due.len());
        for sid in due {
            let Some(before) = self.message(sid)? else { continue };
            let mut message = before.clone();
            let token = self.next_lease;
            self.next_lease = self.next_lease.wrapping_add(1);
            let delivery = &mut message.delivery;
            delivery.attempts = delivery.attempts.saturating_add(1);
            delivery.lease = Some(token);
            delivery.due_at = Some(later(now, lease));
            // An attempted confirmation is never taken back, so its evidence is not needed any more.
            message.held = None;
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
            self.rewrite(&before, &message)?;
        }
        Ok(Ok(claims))
    }

    /// Those of which something is to be reported, and that are not on hold.
    fn accounts_waiting(&self) -> impl Iterator<Item = AccountSid> {
        self.index.accounts_waiting().filter(|account| !self.paused.contains_key(account))
    }

    /// Deals the places of a claim to the accounts, one at a time: each goes to the account that has the fewest attempts
    /// under way, and among equals to the one whose next message is due the longest.
    fn due_by(&self, now: Timestamp, limit: usize, quotas: &Quotas) -> Vec<MessageSid> {
        let mut next = BTreeMap::new();
        for account in self.accounts_waiting() {
            let quota = quotas.of(account);
            let mut due = self.due_now(account, now, quota).into_iter();
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
        dealt.into_iter().map(|(_, sid)| sid).collect()
    }

    /// The due messages of an account within its quota, in the order in which they are to be attempted. Each attempt goes
    /// to a message of the kind whose turn it is, or to the next kind that has one. Of a kind, messages with a 404 come
    /// after the others.
    fn due_now(
        &self,
        account: AccountSid,
        now: Timestamp,
        quota: Quota,
    ) -> Vec<(Timestamp, MessageSid)> {
        let free = quota.free.min(MAX_CLAIMS);
        let queue = |is_named| -> VecDeque<_> {
            let of_kind = |is_missing, limit| {
                let due = self.due_of_kind(account, DueKind { is_named, is_missing }, now, limit);
                due.into_iter().map(move |(at, sid)| (at, sid, is_missing))
            };
            of_kind(false, free).chain(of_kind(true, quota.missing.min(free))).collect()
        };
        let (mut named, mut others) = (queue(true), queue(false));
        let untried = DueKind { is_named: false, is_missing: false };
        let newest = self.index.last_due_by(account, untried, now, free.div_ceil(TURNS));
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
            3 => next_of(&mut newest)
                .or_else(|| next_of(&mut others))
                .or_else(|| next_of(&mut named)),
            _ => next_of(&mut named).or_else(|| next_of(&mut others)),
        });
        due.collect()
    }

    /// A message whose due time is further away than any wait comes last: that time comes from a clock that was ahead.
    fn due_of_kind(
        &self,
        account: AccountSid,
        kind: DueKind,
        now: Timestamp,
        limit: usize,
    ) -> Vec<(Timestamp, MessageSid)> {
        let due = self.index.due_after(account, kind, Timestamp::MIN, limit);
        let far = self.index.due_after(account, kind, later(now, LONGEST_WAIT), limit);
        due.into_iter().take_while(|(at, _)| *at <= now).chain(far).take(limit).collect()
    }

    pub(crate) fn settle(
        &mut self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<LastAttempt>,
    ) -> EngineResult<SettleOutcome> {
        let Some(before) = self.message(lease.message)? else {
            return Ok(Ok(SettleOutcome::LeaseLost));
        };
        if before.state != State::Confirmed || before.delivery.lease != Some(lease.token) {
            return Ok(Ok(SettleOutcome::LeaseLost));
        }
        let now = self.now();
        let mut message = before.clone();
        message.delivery.lease = None;
        message.delivery.due_at = None;
        if let Some(attempt) = attempt {
            message.note_attempt(attempt);
        }
        match settlement {
            Settlement::Reported => {
                message.enter(State::Reported, now);
                message.reported_at = Some(now);
            }
            Settlement::Retry { after, spent } => {
                message.delivery.due_at = Some(later(now, after));
                message.delivery.spent = spent;
            }
            Settlement::Release { after } => {
                message.delivery.due_at = Some(later(now, after));
                message.delivery.attempts = message.delivery.attempts.saturating_sub(1);
            }
            Settlement::Refused(refusal) => {
                message.enter(State::Refused, now);
                message.refusal = Some(refusal);
            }
        }
        self.rewrite(&before, &message)?;
        Ok(Ok(SettleOutcome::Applied))
    }

    pub(crate) fn next_due(&self, quotas: &Quotas) -> Option<Duration> {
        let now = self.now();
        let far = later(now, LONGEST_WAIT);
        let kinds = self.accounts_waiting().flat_map(|account| {
            let quota = quotas.of(account);
            let is_open =
                move |kind: &DueKind| quota.free > 0 && (!kind.is_missing || quota.missing > 0);
            DueKind::ALL.into_iter().filter(is_open).map(move |kind| (account, kind))
        });
        let first = kinds.flat_map(|(account, kind)| {
            let far = self.index.due_after(account, kind, far, 1).into_iter().map(|_| now);
            let first = self.index.due_after(account, kind, Timestamp::MIN, 1).into_iter();
            first.map(|(at, _)| at).chain(far)
        });
        let first = first.min();
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        first.map(wait)
    }
}
