//! The ledger's other duties: handing out attempts and ending them, sweeping, requeueing.

use std::time::Duration;

use crate::domain::feedback::{Claim, Feedback, Lease, Settlement};
use crate::domain::link::Link;
use crate::domain::matching::{Parked, earlier, later};
use crate::domain::message::{Delivery, Message, State};
use crate::domain::sid::MessageSid;
use crate::domain::signal::Named;
use crate::store::sled::keys;
use crate::store::sled::ledger::{Fatal, Ledger, Ruling};
use crate::store::sled::record::decode;
use crate::store::sled::writing::Writing;
use crate::store::{Requeued, Settled, Swept};

/// The most that one call hands out: each claim writes three entries, and a group has room for 128.
const MAX_CLAIMS: usize = 40;

/// How long evidence that named only a person is listed as orphaned: every stray reply ends up there.
const INFERRED_ORPHANS_KEPT: Duration = Duration::from_hours(24);

impl Ledger {
    pub(super) fn claim(&mut self, limit: usize, lease: Duration) -> Ruling<Vec<Claim>> {
        if let Err(full) = self.room_to_deliver() {
            return Ok(Err(full));
        }
        let now = self.now();
        let mut due = Vec::new();
        for entry in self.tree.scan_prefix([keys::DUE]).take(limit.min(MAX_CLAIMS)) {
            match keys::read_due(&entry?.0) {
                Some((at, sid)) if at <= now => due.push(sid),
                Some(_) | None => break,
            }
        }
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

    pub(super) fn next_due(&mut self) -> Ruling<Option<Duration>> {
        let Some(first) = self.tree.scan_prefix([keys::DUE]).next() else { return Ok(Ok(None)) };
        let wait = keys::read_due(&first?.0).map(|(at, _)| {
            Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO)
        });
        Ok(Ok(wait))
    }

    pub(super) fn requeue(&mut self, sid: MessageSid) -> Ruling<Requeued> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let Some(before) = self.message(sid)? else { return Ok(Ok(Requeued::Unknown)) };
        if before.state != State::Refused {
            return Ok(Ok(Requeued::NotRefused(before.state)));
        }
        let now = self.now();
        let mut message = before.clone();
        message.enter(State::Confirmed, now);
        message.refusal = None;
        message.delivery = Delivery { due_at: Some(now), ..Delivery::default() };
        self.rewrite(&before, &message)?;
        Ok(Ok(Requeued::Queued(Box::new(message))))
    }

    pub(super) fn health(&mut self) -> Ruling<()> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let mut writing = Writing::default();
        writing.put(keys::HEALTH.to_vec(), self.now().as_millisecond().to_be_bytes().to_vec());
        self.apply(writing)?;
        Ok(Ok(()))
    }

    pub(super) fn expire(&mut self, limit: usize) -> Ruling<Swept> {
        let mut swept = Swept { complete: true, ..Swept::default() };
        let mut rows = Vec::with_capacity(limit);
        let from = std::mem::replace(&mut self.sweep_from, keys::SWEEP_FROM.to_vec());
        for entry in self.tree.range(from..keys::SWEEP_TO.to_vec()) {
            let (key, value) = entry?;
            if rows.len() == limit {
                self.sweep_from = key.to_vec();
                swept.complete = false;
                break;
            }
            rows.push((key, value));
        }
        for (key, value) in rows {
            match key.first() {
                Some(&keys::SEEN) => self.sweep_seen(&key, &value, &mut swept)?,
                Some(&keys::PARKED) => self.sweep_parked(&decode(&value)?, &mut swept)?,
                Some(&keys::LINK) => self.sweep_link(&key, &decode(&value)?, &mut swept)?,
                Some(&keys::MESSAGE) => self.sweep_message(&decode(&value)?, &mut swept)?,
                Some(_) | None => {}
            }
        }
        Ok(Ok(swept))
    }

    fn sweep_seen(&mut self, key: &[u8], value: &[u8], swept: &mut Swept) -> Result<(), Fatal> {
        let at = <[u8; 8]>::try_from(value).map_or(0, i64::from_be_bytes);
        let at = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MIN);
        if self.terms.policy.seen_until(at) <= self.now() {
            let mut writing = Writing::default();
            writing.remove(key.to_vec());
            self.apply(writing)?;
            swept.forgotten += 1;
        }
        Ok(())
    }

    fn sweep_link(&mut self, key: &[u8], link: &Link, swept: &mut Swept) -> Result<(), Fatal> {
        if self.terms.policy.link_until(link) <= self.now() {
            let mut writing = Writing::default();
            writing.remove(key.to_vec());
            self.apply(writing)?;
            swept.forgotten += 1;
        }
        Ok(())
    }

    fn sweep_parked(&mut self, parked: &Parked, swept: &mut Swept) -> Result<(), Fatal> {
        let now = self.now();
        let kept = match parked.evidence.named {
            Named::Person { .. } | Named::Caller { .. } => INFERRED_ORPHANS_KEPT,
            Named::Message(_) | Named::Reference(_) | Named::Link(_) => self.terms.policy.retention,
        };
        let mut writing = Writing::default();
        if parked.orphaned && parked.until <= earlier(now, kept) {
            writing.parked(Some(parked), None)?;
            swept.forgotten += 1;
        } else if !parked.orphaned && parked.until <= now {
            let orphan = Parked { orphaned: true, ..parked.clone() };
            writing.parked(Some(parked), Some(&orphan))?;
            swept.orphaned += 1;
        }
        self.apply(writing)
    }

    fn sweep_message(&mut self, before: &Message, swept: &mut Swept) -> Result<(), Fatal> {
        let now = self.now();
        let mut message = before.clone();
        message.age(now);
        let forget = match message.state {
            // What is not reported yet is never forgotten.
            State::Pending | State::Confirmed => false,
            State::Untracked => message.expires_at <= now,
            State::Expired | State::Undelivered | State::Reported | State::Refused => {
                self.terms.policy.kept_until(&message) <= now
            }
        };
        let mut writing = Writing::default();
        if forget {
            writing.message(Some(before), None)?;
            swept.forgotten += 1;
        } else if message != *before {
            writing.message(Some(before), Some(&message))?;
            swept.expired += 1;
        }
        self.apply(writing)
    }

    pub(super) fn rewrite(&mut self, before: &Message, after: &Message) -> Result<(), Fatal> {
        let mut writing = Writing::default();
        writing.message(Some(before), Some(after))?;
        self.apply(writing)
    }
}
