//! The ledger's other duties: sweeping, requeueing, proving that it can write.

use std::time::Duration;

use crate::domain::click_link::Link;
use crate::domain::clock::MAX_JUMP;
use crate::domain::matching;
use crate::domain::matching::{
    AutomaticReplies, Parked, REGISTERED_WITHIN, Reason, RowSource, WaitsFor, earlier, later,
};
use crate::domain::message::{Delivery, Message, State};
use crate::domain::sid::MessageSid;
use crate::domain::signal::{Evidence, EvidenceTarget};
use crate::domain::timestamp_serde::to_millisecond;
use crate::store::sled::keys;
use crate::store::sled::record::decode;
use crate::store::sled::writer::engine::{Engine, EngineResult, Fatal};
use crate::store::sled::writer::mutation::Mutation;
use crate::store::sled::writer::overlay::RangeEnd;
use crate::store::{RequeueFrom, Requeued, Swept};

/// How long evidence that named only a person is listed as orphaned: every stray reply ends up there.
const INFERRED_ORPHANS_KEPT: Duration = Duration::from_hours(24);

impl Engine {
    pub(crate) fn requeue(&mut self, sid: MessageSid, from: RequeueFrom) -> EngineResult<Requeued> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let Some(before) = self.message(sid)? else { return Ok(Ok(Requeued::Unknown)) };
        if !from.takes(&before) {
            return Ok(Ok(Requeued::Otherwise(before.state)));
        }
        let now = self.now();
        let mut message = before.clone();
        message.enter(State::Confirmed, now);
        message.refusal = None;
        message.delivery = Delivery { due_at: Some(now), ..Delivery::default() };
        self.rewrite(&before, &message)?;
        Ok(Ok(Requeued::Queued(Box::new(message))))
    }

    pub(crate) fn health(&mut self) -> EngineResult<()> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let mut writing = Mutation::default();
        writing.put(keys::HEALTH.to_vec(), self.now().as_millisecond().to_be_bytes().to_vec());
        self.apply(writing)?;
        Ok(Ok(()))
    }

    pub(crate) fn expire(&mut self, limit: usize) -> EngineResult<Swept> {
        let evicted = std::mem::take(&mut self.evicted);
        let mut swept = Swept { evicted, complete: true, ..Swept::default() };
        // An idle store commits its last trusted time as well.
        self.written += usize::from(self.last_seen_is_stale().is_some());
        let from = std::mem::replace(&mut self.sweep_from, keys::SWEEP_FROM.to_vec());
        let range = from..keys::SWEEP_TO.to_vec();
        let mut rows = self.draft.range(range, RangeEnd::Start, limit.saturating_add(1))?;
        if let Some((next, _)) = rows.get(limit) {
            self.sweep_from = next.to_vec();
            swept.complete = false;
            rows.truncate(limit);
        }
        for (key, _) in rows {
            // An earlier row of this step may have changed this one.
            let Some(value) = self.draft.get(&key)? else { continue };
            match key.first() {
                Some(&keys::SEEN) => self.sweep_seen(&key, &value, &mut swept)?,
                Some(&keys::AUTOMATIC) => {
                    self.sweep_automatic(&key, &decode(&value)?, &mut swept)?;
                }
                Some(&keys::PARKED) => self.sweep_parked(&decode(&value)?, &mut swept)?,
                Some(&keys::LINK) => self.sweep_link(&key, &decode(&value)?, &mut swept)?,
                Some(&keys::MESSAGE) => self.sweep_message(&decode(&value)?, &mut swept)?,
                Some(&keys::NAMES) => self.sweep_names(&key, &decode(&value)?, &mut swept)?,
                Some(_) | None => {}
            }
        }
        Ok(Ok(swept))
    }

    fn sweep_seen(&mut self, key: &[u8], value: &[u8], swept: &mut Swept) -> Result<(), Fatal> {
        let at = <[u8; 8]>::try_from(value).map_or(0, i64::from_be_bytes);
        let at = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MIN);
        if self.terms.policy.seen_until(at) <= self.removal() {
            let mut writing = Mutation::default();
            writing.remove(key.to_vec());
            self.apply(writing)?;
            swept.marks += 1;
        }
        Ok(())
    }

    fn sweep_automatic(
        &mut self,
        key: &[u8],
        automatic: &AutomaticReplies,
        swept: &mut Swept,
    ) -> Result<(), Fatal> {
        if automatic.until <= self.removal() {
            let mut writing = Mutation::default();
            writing.remove(key.to_vec());
            self.apply(writing)?;
            swept.marks += 1;
        }
        Ok(())
    }

    fn sweep_link(&mut self, key: &[u8], link: &Link, swept: &mut Swept) -> Result<(), Fatal> {
        if self.terms.policy.link_until(link) <= self.removal() {
            self.remove_link(key, link)?;
            swept.links += 1;
        }
        Ok(())
    }

    pub(crate) fn remove_link(&mut self, key: &[u8], link: &Link) -> Result<(), Fatal> {
        let mut writing = Mutation::default();
        writing.remove(key.to_vec());
        if let Some(index) = keys::read_link(key).and_then(|id| keys::link_index(id, link)) {
            writing.remove(index);
        }
        writing.links -= 1;
        self.apply(writing)
    }

    fn sweep_parked(&mut self, parked: &Parked, swept: &mut Swept) -> Result<(), Fatal> {
        let now = self.trusted();
        let kept = match parked.evidence.named {
            EvidenceTarget::Person { .. } | EvidenceTarget::Caller { .. } => INFERRED_ORPHANS_KEPT,
            EvidenceTarget::Message(_) | EvidenceTarget::Reference(_) | EvidenceTarget::Link(_) => {
                self.terms.policy.retention
            }
        };
        let mut aged = parked.clone();
        aged.age(now);
        if aged != *parked {
            let mut writing = Mutation::default();
            writing.parked(Some(parked), Some(&aged))?;
            return self.apply(writing);
        }
        let is_from_the_future = parked.parked_at > later(now.max(self.now()), MAX_JUMP);
        let waited = later(parked.parked_at, REGISTERED_WITHIN) <= now || is_from_the_future;
        if parked.reason == Reason::NewerMayCome && waited && parked.until > now {
            swept.confirmed += self.reconsider(&parked.evidence)?.len();
            return Ok(());
        }
        let mut writing = Mutation::default();
        let removal = to_millisecond(self.terms.clock.supported());
        if !parked.orphaned && !parked.is_waiting() && parked.may_prove_until() <= now {
            if parked.may_prove_until() <= removal {
                writing.parked(Some(parked), None)?;
            }
        } else if parked.orphaned
            && (parked.until <= earlier(removal, kept)
                || (parked.until <= removal && self.counts.orphaned > self.terms.max_parked))
        {
            writing.parked(Some(parked), None)?;
            swept.evidence += 1;
        } else if !parked.orphaned && parked.until <= now {
            let orphan = Parked { orphaned: true, ..parked.clone() };
            // Orphaned evidence proves nothing more. It is kept to be listed, as far as there is room.
            if self.counts.orphaned < self.terms.max_parked {
                writing.parked(Some(parked), Some(&orphan))?;
                swept.orphaned += 1;
            } else if parked.until <= removal {
                writing.parked(Some(parked), None)?;
                swept.orphaned += 1;
                swept.evidence += 1;
            }
        }
        self.apply(writing)
    }

    /// Judges evidence anew. Returns the messages that this confirms.
    pub(crate) fn reconsider(&mut self, evidence: &Evidence) -> Result<Vec<MessageSid>, Fatal> {
        let rows = self.rows_by(evidence)?;
        let (changes, confirmed) = matching::reconsider(rows, &self.terms.policy, self.both());
        // Only a new message could be one too many, and there is none among them.
        let _ = self.carry_out(Ok((changes, ())))?;
        Ok(confirmed)
    }

    fn sweep_message(&mut self, before: &Message, swept: &mut Swept) -> Result<(), Fatal> {
        let removal = self.removal();
        let mut message = before.clone();
        message.age(self.trusted());
        message.code = before.code.filter(|_| before.expires_at > removal);
        let forget = match message.state {
            // What is not reported yet is never forgotten.
            State::Pending | State::Confirmed => false,
            State::Untracked => message.expires_at <= removal,
            State::Expired | State::Undelivered | State::Reported | State::Refused => {
                self.terms.policy.kept_until(&message) <= removal
            }
        };
        let mut writing = Mutation::default();
        if forget && !self.is_judged_with_evidence(before)? {
            writing.message(&self.terms.policy, Some(before), None)?;
            swept.messages += 1;
        } else if message != *before {
            writing.message(&self.terms.policy, Some(before), Some(&message))?;
            let has_expired = message.state == State::Expired && before.state != State::Expired;
            swept.expired += usize::from(has_expired);
        }
        self.apply(writing)
    }

    /// Whether evidence is parked or held under one of the message's names. Without the message, that evidence could
    /// prove more than it did, or prove it of an older message.
    fn is_judged_with_evidence(&self, message: &Message) -> Result<bool, Fatal> {
        let names = self.all_names(message)?.persons;
        let reference = message.reference.clone();
        let reference = reference.map(|name| WaitsFor::Reference(message.account, name));
        let (now, keys) =
            (self.trusted(), names.into_iter().map(WaitsFor::Person).chain(reference));
        for key in keys.filter(|key| self.may_concern(key)) {
            let is_open = |parked: &Parked| !parked.orphaned && parked.may_prove_until() > now;
            if !self.holding(&key).is_empty() || self.parked(&key)?.iter().any(is_open) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn rewrite(&mut self, before: &Message, after: &Message) -> Result<(), Fatal> {
        let mut writing = Mutation::default();
        writing.message(&self.terms.policy, Some(before), Some(after))?;
        self.apply(writing)
    }
}
