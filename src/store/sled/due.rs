//! The worker's part of the ledger: what is due, handing out attempts, ending them.
//!
//! Due keys lie by account, so that what waits for one account is stepped over for another's sake.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::feedback::{Claim, Feedback, Lease, Settlement};
use crate::domain::matching::later;
use crate::domain::message::State;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::sled::draft::{From, Pair};
use crate::store::sled::keys;
use crate::store::sled::ledger::{Fatal, Ledger, Ruling};
use crate::store::sled::record::decode;
use crate::store::sled::writing::{Writing, parked_key};
use crate::store::{Quotas, Settled};

/// The most that one call hands out: each claim writes three entries, and a group has room for 128.
const MAX_CLAIMS: usize = 40;
/// Due keys that one batch moves from format 1: each takes two entries.
const MOVED_AT_ONCE: usize = 64;

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
        let due = self.due_by(now, limit.min(MAX_CLAIMS), quotas)?;
        let mut claims = Vec::with_capacity(due.len());
        for (_, sid) in due {
            let Some(before) = self.message(sid)? else { continue };
            let mut message = before.clone();
            let token = self.next_lease;
            self.next_lease = self.next_lease.wrapping_add(1);
            let delivery = &mut message.delivery;
            delivery.attempts = delivery.attempts.saturating_add(1);
            delivery.lease = Some(token);
            delivery.due_at = Some(later(now, lease));
            claims.push(Claim {
                feedback: Feedback { account: message.account, message: sid },
                lease: Lease { message: sid, token },
                attempts: delivery.attempts,
                spent: delivery.spent,
                created_at: message.created_at,
            });
            self.rewrite(&before, &message)?;
        }
        Ok(Ok(claims))
    }

    /// The longest due of all accounts, of none more than its quota.
    fn due_by(
        &self,
        now: Timestamp,
        limit: usize,
        quotas: &Quotas,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Fatal> {
        let mut due = Vec::new();
        for account in self.accounts_waiting()? {
            let quota = quotas.get(&account).map_or(limit, |quota| limit.min(*quota));
            for (key, _) in self.draft.beginning(&keys::due_of(account), From::Start, quota)? {
                match keys::read_due(&key) {
                    Some((_, at, sid)) if at <= now => due.push((at, sid)),
                    Some(_) | None => break,
                }
            }
        }
        // Stable, and each account's are in order already.
        due.sort_by_key(|(at, _)| *at);
        due.truncate(limit);
        Ok(due)
    }

    /// Each account of which something waits to be reported: one look at the tree for each.
    fn accounts_waiting(&self) -> Result<Vec<AccountSid>, Fatal> {
        let mut accounts = Vec::new();
        let mut from = vec![keys::DUE];
        while let Some((key, _)) = self.first(from..vec![keys::DUE + 1])? {
            let Some((account, _, _)) = keys::read_due(&key) else { break };
            accounts.push(account);
            // No due key follows its account with nine bytes of the highest value.
            from = keys::due_of(account);
            from.extend([u8::MAX; 9]);
        }
        Ok(accounts)
    }

    pub(super) fn settle(&mut self, lease: Lease, settlement: Settlement) -> Ruling<Settled> {
        let Some(before) = self.message(lease.message)? else { return Ok(Ok(Settled::LeaseLost)) };
        if before.state != State::Confirmed || before.delivery.lease != Some(lease.token) {
            return Ok(Ok(Settled::LeaseLost));
        }
        let now = self.now();
        let mut message = before.clone();
        message.delivery.lease = None;
        message.delivery.due_at = None;
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

    pub(super) fn next_due(&mut self, quotas: &Quotas) -> Ruling<Option<Duration>> {
        let mut first: Option<Timestamp> = None;
        for account in self.accounts_waiting()? {
            if quotas.get(&account) == Some(&0) {
                continue;
            }
            let due = self.draft.beginning(&keys::due_of(account), From::Start, 1)?;
            let at = due.first().and_then(|(key, _)| keys::read_due(key)).map(|(_, at, _)| at);
            first = first.into_iter().chain(at).min();
        }
        let now = self.now();
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        Ok(Ok(first.map(wait)))
    }

    /// Puts the account into each due key that has none, as format 1 wrote them. Cut short, it goes
    /// on the next time: a key of either kind is told apart by its length.
    pub(super) fn move_due_keys(&mut self) -> Result<(), Fatal> {
        let mut old = Vec::new();
        for (key, _) in self.draft.beginning(&[keys::DUE], From::Start, usize::MAX)? {
            old.extend(keys::read_due_of_format_1(&key).map(|sid| (key, sid)));
        }
        for some in old.chunks(MOVED_AT_ONCE) {
            let mut writing = Writing::default();
            for (key, sid) in some {
                writing.remove(key.to_vec());
                // The record knows better than the key, should they ever differ.
                for index in self.message(*sid)?.iter().flat_map(keys::indexes) {
                    if index.first() == Some(&keys::DUE) {
                        writing.put(index, Vec::new());
                    }
                }
            }
            self.apply(writing)?;
            self.write()?;
        }
        Ok(())
    }

    /// Format 1 knew one account only, and had none in the keys of what waits for a message.
    pub(super) fn move_parked_keys(&mut self) -> Result<(), Fatal> {
        let parked = self.draft.beginning(&[keys::PARKED], From::Start, usize::MAX)?;
        for some in parked.chunks(MOVED_AT_ONCE) {
            let mut writing = Writing::default();
            for (old, value) in some {
                let key = parked_key(&decode(value)?)?;
                if key != old.as_ref() {
                    writing.remove(old.to_vec());
                    writing.put(key, value.to_vec());
                }
            }
            self.apply(writing)?;
            if self.written > 0 {
                self.write()?;
            }
        }
        Ok(())
    }

    fn first(&self, of: Range<Vec<u8>>) -> Result<Option<Pair>, Fatal> {
        Ok(self.draft.range(of, From::Start, 1)?.pop())
    }
}
