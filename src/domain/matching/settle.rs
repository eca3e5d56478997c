//! Settles evidence: all loaded evidence is judged together, in a fixed order, so the order of arrival changes nothing.
//!
//! Until a post of it may have reached Twilio, a confirmation is provisional, and its message holds the evidence. Each command
//! takes these confirmations back, and judges their evidence again with the parked and the new evidence. Unchanged rows
//! are not written.

use std::collections::BTreeSet;

use crate::domain::evidence::{Evidence, EvidenceTarget, Parked, Reason};
use crate::domain::matching::automatic;
use crate::domain::matching::candidates::{Candidates, KnownMessages, Selection};
use crate::domain::matching::outcome::ObserveOutcome;
use crate::domain::matching::parking::make_room;
use crate::domain::matching::policy::{CLOCK_SKEW, UNSAID_FOR};
use crate::domain::matching::working_rows::{EvidenceOrigin, JudgedEvidence, WorkingRows};
use crate::domain::message::{Basis, Delivery, Message, Proof, State};
use crate::domain::sid::MessageSid;
use crate::domain::timestamp_serde::later;

impl WorkingRows<'_> {
    /// Withdraws each provisional confirmation, together with its evidence, if all rows that it depends on are loaded.
    pub(super) fn withdraw_provisional(&mut self) {
        if self.is_cut {
            return;
        }
        let mut taken = BTreeSet::new();
        let now = self.now;
        // A signed request that names another account's message must not change it.
        let is_ours = |message: &&mut Message| {
            Some(message.account) == self.account && message.is_provisional()
        };
        for message in self.known.values_mut().filter(is_ours) {
            if let Some(held) = message.parked_evidence.take() {
                let is_known = |piece: &JudgedEvidence| {
                    piece.origin == EvidenceOrigin::Held && piece.parked == *held
                };
                if !self.pieces.iter().any(is_known) {
                    self.pieces.push(JudgedEvidence::new(*held, EvidenceOrigin::Held));
                }
            }
            taken.insert(message.sid);
            (message.state, message.since) = (State::Pending, now);
            (message.proof, message.delivery) = (None, Delivery::default());
            (message.parked_at, message.trace) = (None, None);
        }
        for message in self.known.values_mut() {
            message.superseded_by = message.superseded_by.filter(|sid| !taken.contains(sid));
        }
    }

    /// Judges all evidence until nothing changes: each confirmation may settle further evidence.
    pub(super) fn settle(&mut self) {
        for message in self.known.values_mut() {
            let was_undelivered = message.state == State::Undelivered;
            message.apply_receipts(self.now);
            // A message does not expire here only because its confirmation was taken back.
            if was_undelivered {
                message.apply_expiry(self.trusted);
            }
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_by(|one, other| {
            let tie = || one.parked.parked_at.cmp(&other.parked.parked_at);
            let (rank, code) = (self.rank(&one.parked), &one.parked.code);
            (rank, code).cmp(&(self.rank(&other.parked), &other.parked.code)).then_with(tie)
        });
        let all = pieces.iter().map(|piece| &piece.parked);
        let names = (&self.services, &self.people);
        automatic::add_spans(all, &self.known, names, &mut self.automatic);
        let mut is_done = false;
        while !is_done {
            is_done = true;
            for piece in
                pieces.iter_mut().filter(|piece| matches!(piece.selection, Selection::Wait(_)))
            {
                piece.selection = self.judge(&piece.parked, &self.known);
                if let Selection::Confirms(sids, basis) = &piece.selection {
                    is_done = false;
                    for sid in sids {
                        self.confirm(*sid, *basis, piece);
                    }
                    self.mark_superseded(sids, &piece.parked.evidence);
                }
            }
        }
        self.pieces = pieces;
    }

    /// The rank in the order of judgement: evidence that names its message first, then the earliest act. So evidence that
    /// must choose cannot use up a message that other evidence names. The other fields only break ties.
    fn rank<'p>(&self, parked: &'p Parked) -> (bool, &'p Evidence) {
        let is_named = match &parked.evidence.target {
            EvidenceTarget::Message(_) => true,
            EvidenceTarget::Link(id) => {
                self.links.get(id).is_some_and(|link| link.message.is_some())
            }
            EvidenceTarget::Reference(_)
            | EvidenceTarget::Person { .. }
            | EvidenceTarget::Caller { .. } => {
                parked.code.as_ref().is_some_and(|typed| typed.matching.len() == 1)
            }
        };
        (!is_named, &parked.evidence)
    }

    /// Judges one piece of evidence against these messages.
    pub(super) fn judge(&self, parked: &Parked, known: &KnownMessages) -> Selection {
        let evidence = &parked.evidence;
        let EvidenceTarget::Link(id) = &evidence.target else {
            return self.candidates(known).select(parked, &evidence.target);
        };
        let Some(link) = self.links.get(id) else {
            return self.candidates(known).select(parked, &evidence.target);
        };
        // A link is bound to a known message. If the message is missing, it was forgotten.
        let is_forgotten = |sid| !self.known.contains_key(&sid);
        if link.message.is_some_and(is_forgotten) || self.is_yet_to_come(link.message, evidence) {
            return Selection::Nothing(Reason::NoMessage);
        }
        // A link is created before its text is sent, so it is in no message that was known by then.
        let mut younger = known.clone();
        if link.message.is_none() {
            younger.retain(|_, message| message.remembered_at >= link.created_at);
        }
        self.candidates(&younger).select(parked, &EvidenceTarget::of_link(*id, link))
    }

    pub(super) fn candidates<'c>(&'c self, known: &'c KnownMessages) -> Candidates<'c> {
        let (services, people, automatic) = (&self.services, &self.people, &self.automatic);
        let (now, latest) = (self.trusted, self.trusted.max(self.now));
        let (cut, policy) = (&self.cut, self.policy);
        Candidates { known, services, people, automatic, cut, policy, now, latest }
    }

    /// Whether a link was opened before its message existed. Such an act cannot be a reaction to the message.
    fn is_yet_to_come(&self, bound: Option<MessageSid>, evidence: &Evidence) -> bool {
        bound.and_then(|sid| self.known.get(&sid)).is_some_and(|message| {
            let slack = if message.created_at_known { CLOCK_SKEW } else { UNSAID_FOR };
            message.created_at > later(evidence.occurred_at, slack)
        })
    }

    /// Sets `superseded_by` on the unconfirmed messages with the same reference that existed when the person acted.
    fn mark_superseded(&mut self, confirmed: &[MessageSid], evidence: &Evidence) {
        let Some(newest) = confirmed.first() else { return };
        let Some(reference) = self.known.get(newest).and_then(|message| message.reference.clone())
        else {
            return;
        };
        for message in self.known.values_mut() {
            let passed_over = message.account == evidence.account
                && message.reference.as_ref() == Some(&reference)
                && message.proof.is_none()
                && message.superseded_by.is_none()
                && message.created_at <= evidence.occurred_at;
            if passed_over {
                message.superseded_by = Some(*newest);
            }
        }
    }

    fn confirm(&mut self, sid: MessageSid, basis: Basis, piece: &JudgedEvidence) {
        let (parked, now) = (&piece.parked, self.now);
        let loaded = self.loaded.get(&sid);
        let Some(message) = self.known.get_mut(&sid) else { return };
        message.parked_evidence = Some(Box::new(parked.clone()));
        message.superseded_by = None;
        // The same evidence confirmed it before: keep the earlier confirmation with its times.
        if let Some(before) =
            loaded.filter(|before| before.parked_evidence == message.parked_evidence)
        {
            message.state = before.state;
            message.since = before.since;
            message.proof = before.proof.clone().map(|proof| Proof { basis, ..proof });
            message.delivery = before.delivery.clone();
            (message.parked_at, message.trace) = (before.parked_at, before.trace);
            return;
        }
        message.enter(State::Confirmed, now);
        message.proof = Some(Proof {
            label: parked.evidence.label.clone(),
            basis,
            occurred_at: parked.evidence.occurred_at,
            confirmed_at: now,
        });
        message.delivery = Delivery { due_at: Some(now), ..Delivery::default() };
        message.parked_at = (piece.origin != EvidenceOrigin::New).then_some(parked.parked_at);
        message.trace = parked.trace;
    }

    /// Records how each parked row changes. Returns the outcome of the new evidence, or of the evidence that it repeats.
    pub(super) fn record_changes(&mut self) -> Option<ObserveOutcome> {
        let (new, others): (Vec<JudgedEvidence>, Vec<JudgedEvidence>) =
            std::mem::take(&mut self.pieces)
                .into_iter()
                .partition(|it| it.origin == EvidenceOrigin::New);
        let mut kept = Vec::new();
        for piece in others.iter().filter(|piece| piece.origin != EvidenceOrigin::Status) {
            let before = (piece.origin == EvidenceOrigin::Parked).then(|| piece.parked.clone());
            let after = self.kept(piece);
            let is_moved = |after: &Parked| after.evidence.target != piece.parked.evidence.target;
            if before.is_some() && after.as_ref().is_some_and(is_moved) {
                kept.push((before, None));
                kept.push((None, after));
            } else {
                kept.push((before, after));
            }
        }
        let observed = new.first().map(|piece| {
            let parked = self.kept(piece);
            let is_full = parked.as_ref().is_some_and(|parked| !make_room(parked, &mut kept));
            if !is_full {
                kept.push((None, parked));
            }
            self.observed(piece, is_full)
        });
        let observed = observed.or_else(|| {
            let same = self.repeated.as_ref()?;
            let piece = others.iter().find(|piece| piece.parked == *same)?;
            Some(self.observed(piece, false))
        });
        self.changes.parked.extend(kept.into_iter().filter(|(before, after)| before != after));
        observed
    }

    /// The row that stays parked for this evidence, or `None`. Evidence stays unless it confirmed its message directly,
    /// because a later message may fit it better.
    fn kept(&self, piece: &JudgedEvidence) -> Option<Parked> {
        let parked = &piece.parked;
        match piece.selection {
            Selection::Confirms(..)
            | Selection::Nothing(_)
            | Selection::Already(_, Basis::Direct) => None,
            Selection::Already(_, Basis::Shared | Basis::Inferred) => {
                let known = Parked { reason: Reason::Known, ..parked.clone() };
                (known.may_prove_until() > self.trusted).then_some(known)
            }
            Selection::Wait(reason) => {
                // Keep the first reason, except for the reasons that the sweep selects by.
                let is_watched = |reason| matches!(reason, Reason::Known | Reason::NewerMayCome);
                let is_first = piece.origin == EvidenceOrigin::New;
                let changes = is_first || is_watched(reason) || is_watched(parked.reason);
                let reason = if changes { reason } else { parked.reason };
                let mut kept = Parked { reason, ..parked.clone() };
                // Once its link is bound, evidence is parked under the message, where a registration finds it.
                if let EvidenceTarget::Link(id) = parked.evidence.target
                    && let Some(sid) = self.links.get(&id).and_then(|link| link.message)
                {
                    kept.evidence.target = EvidenceTarget::Message(sid);
                }
                Some(kept)
            }
        }
    }

    fn observed(&self, piece: &JudgedEvidence, is_full: bool) -> ObserveOutcome {
        let was_proven =
            |sid: &MessageSid| self.loaded.get(sid).is_some_and(|message| message.proof.is_some());
        match &piece.selection {
            Selection::Confirms(sids, _) => match sids.first() {
                Some(newest) if was_proven(newest) => ObserveOutcome::AlreadyConfirmed(*newest),
                Some(newest) => ObserveOutcome::Confirmed(*newest),
                None => ObserveOutcome::NotConfirmed(Reason::NoMessage),
            },
            Selection::Already(sid, _) => ObserveOutcome::AlreadyConfirmed(*sid),
            Selection::Nothing(reason) => ObserveOutcome::NotConfirmed(*reason),
            Selection::Wait(_) if is_full => ObserveOutcome::NotConfirmed(Reason::TooManyParked),
            Selection::Wait(reason) => {
                ObserveOutcome::Parked { until: piece.parked.until, reason: *reason }
            }
        }
    }
}
