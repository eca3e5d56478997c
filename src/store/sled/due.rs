//! The worker's part of the ledger: what is due, handing out attempts, ending them.
//!
//! What is due lies by account, so that what waits for one account is stepped over for another's sake.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::feedback::{Claim, Feedback, Lease, Settlement};
use crate::domain::matching::later;
use crate::domain::message::{Attempt, State};
use crate::domain::retry::LONGEST_WAIT;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::sled::ledger::{Ledger, Ruling};
use crate::store::{Quotas, Settled};

/// The most that one call hands out: a group has room for 128 entries.
const MAX_CLAIMS: usize = 100;

impl Ledger {
    pub(super) fn claim(
        &mut self,
        limit: usize,
        lease: Duration,
        quotas: &Quotas,
    ) -> Ruling<Vec<Claim>> {
        if let Err(full) = self.room_to_deliver() {
            return Ok(Err(full));
        }
        let now = self.now();
        let due = self.due_by(now, limit.min(MAX_CLAIMS), quotas);
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

    /// The messages of all accounts that are due the longest, of each account at most its quota. A message whose
    /// due time is further away than any wait comes last: that time comes from a clock that was ahead.
    fn due_by(&self, now: Timestamp, limit: usize, quotas: &Quotas) -> Vec<MessageSid> {
        let mut due = Vec::new();
        for account in self.accounts_waiting() {
            let quota = quotas.get(&account).map_or(limit, |quota| limit.min(*quota));
            let by_now = self.index.due_of(account, quota).into_iter();
            let far = self.index.due_after(account, later(now, LONGEST_WAIT), quota);
            due.extend(by_now.take_while(|(at, _)| *at <= now).chain(far).take(quota));
        }
        // Stable, and each account's are in order already.
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().take(limit).map(|(_, sid)| sid).collect()
    }

    pub(super) fn settle(
        &mut self,
        lease: Lease,
        settlement: Settlement,
        attempt: Option<Attempt>,
    ) -> Ruling<Settled> {
        let Some(before) = self.message(lease.message)? else { return Ok(Ok(Settled::LeaseLost)) };
        if before.state != State::Confirmed || before.delivery.lease != Some(lease.token) {
            return Ok(Ok(Settled::LeaseLost));
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
        Ok(Ok(Settled::Applied))
    }

    pub(super) fn next_due(&self, quotas: &Quotas) -> Option<Duration> {
        let waiting = self.accounts_waiting();
        let waiting = waiting.filter(|account| quotas.get(account) != Some(&0));
        let now = self.now();
        let far = later(now, LONGEST_WAIT);
        let first = waiting.flat_map(|account| {
            let far = self.index.due_after(account, far, 1).into_iter().map(|_| now);
            self.index.due_of(account, 1).into_iter().map(|(at, _)| at).chain(far)
        });
        let first = first.min();
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        first.map(wait)
    }
}
