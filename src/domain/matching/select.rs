//! Selects the one message that evidence may prove, among the messages that it may be about.

use crate::domain::address::RecipientHash;
use crate::domain::clock::MAX_JUMP;
use crate::domain::evidence::{
    Evidence, EvidenceTarget, Parked, REGISTERED_WITHIN, Reason, SenderHint, SignalSource,
    TimeSource,
};
use crate::domain::matching::arrival::{Arrival, arrival, newest_of, newest_to_person, recent};
use crate::domain::matching::automatic::is_too_fast;
use crate::domain::matching::candidates::{
    Candidates, Fitting, Selection, age_order, direct, indirect, is_within_skew, newest_first,
};
use crate::domain::matching::people::shielded;
use crate::domain::matching::policy::{CLOCK_SKEW, REFERENCE_FRESH_FOR, Resend, UNSAID_FOR};
use crate::domain::matching::rows::WaitsFor;
use crate::domain::matching::sender::{is_from, sent_by};
use crate::domain::matching::typed_code::{Coded, by_unknown_code};
use crate::domain::message::{Basis, Message, State};
use crate::domain::reference::Reference;
use crate::domain::sid::MessageSid;
use crate::domain::timestamp_serde::{earlier, later};

impl Candidates<'_> {
    /// Judges a piece of evidence. `target` is its target, after links are followed.
    pub(super) fn select(&self, parked: &Parked, target: &EvidenceTarget) -> Selection {
        let evidence = &parked.evidence;
        if self.may_miss_messages(parked, target) {
            return Selection::Wait(Reason::Ambiguous);
        }
        match target {
            EvidenceTarget::Message(sid) => self.by_sid(parked, *sid),
            EvidenceTarget::Reference(name) => {
                let selection = self.by_reference(parked, name);
                self.unless_newer_may_come(parked, selection)
            }
            EvidenceTarget::Person { recipient, sender } => {
                let selection =
                    self.by_person(parked, &self.sent_to(evidence, &[recipient.person]), sender);
                self.unless_held_back(parked, selection, sender)
            }
            EvidenceTarget::Caller { recipient, whatsapp, sender } => {
                let persons = [recipient.person, *whatsapp];
                let selection = self.by_person(parked, &self.sent_to(evidence, &persons), sender);
                self.unless_held_back(parked, selection, sender)
            }
            EvidenceTarget::Link(_) => Selection::Wait(Reason::LinkUnknown),
        }
    }

    /// Whether the evidence must choose among messages, of which not all that it may be about were loaded.
    fn may_miss_messages(&self, parked: &Parked, target: &EvidenceTarget) -> bool {
        if self.cut.is_empty() {
            return false;
        }
        let evidence = &parked.evidence;
        let (window, ttl) = (self.policy.longest_window(), self.policy.pending_ttl);
        let back = if parked.code.is_some() { window.max(ttl) } else { window };
        let all_keys = |persons: &[RecipientHash]| {
            let tied = self.people.all(persons).into_iter();
            tied.map(WaitsFor::Person).collect::<Vec<_>>()
        };
        let (keys, back) = match target {
            EvidenceTarget::Message(_) | EvidenceTarget::Link(_) => return false,
            EvidenceTarget::Reference(name) => {
                (vec![WaitsFor::Reference(evidence.account, name.clone())], back.max(ttl))
            }
            EvidenceTarget::Person { recipient, .. } => (all_keys(&[recipient.person]), back),
            EvidenceTarget::Caller { recipient, whatsapp, .. } => {
                (all_keys(&[recipient.person, *whatsapp]), back)
            }
        };
        let from = earlier(evidence.occurred_at, back);
        keys.iter().any(|key| self.cut.get(key).is_some_and(|at| *at >= from))
    }

    /// The messages whose codes a typed code is compared with. The flag says whether each is recent enough for a
    /// short number.
    pub(super) fn comparable(
        &self,
        evidence: &Evidence,
        target: &EvidenceTarget,
    ) -> Vec<(&Message, bool)> {
        let ours = self.known.values().filter(|message| message.account == evidence.account);
        match target {
            EvidenceTarget::Message(sid) => {
                let about = self.known.get(sid);
                let reference = about.and_then(|about| about.reference.as_ref());
                let is_theirs = |message: &Message| {
                    about.is_some_and(|about| {
                        about.names().any(|name| self.people.is_to(message, name))
                    })
                };
                let is_near = |message: &&Message| {
                    message.sid == *sid
                        || (reference.is_some() && message.reference.as_ref() == reference)
                        || is_theirs(message)
                };
                ours.filter(is_near).map(|message| (message, true)).collect()
            }
            EvidenceTarget::Reference(name) => {
                let bearing = ours.filter(|message| message.reference.as_ref() == Some(name));
                bearing.map(|message| (message, true)).collect()
            }
            EvidenceTarget::Person { recipient, .. } => {
                self.with_age(evidence, &[recipient.person])
            }
            EvidenceTarget::Caller { .. } | EvidenceTarget::Link(_) => Vec::new(),
        }
    }

    fn with_age(&self, evidence: &Evidence, persons: &[RecipientHash]) -> Vec<(&Message, bool)> {
        let window = self.policy.window_of(evidence);
        let from = earlier(evidence.occurred_at, window);
        let theirs = self.sent_to(evidence, persons).into_iter();
        theirs.map(|message| (message, message.created_at >= from)).collect()
    }

    fn sent_to(&self, evidence: &Evidence, persons: &[RecipientHash]) -> Vec<&Message> {
        let persons = self.people.all(persons);
        let is_theirs = |message: &&Message| {
            message.account == evidence.account
                && message.names().any(|name| persons.contains(&name))
        };
        self.known.values().filter(is_theirs).collect()
    }

    /// The SID names its message. A code has priority: it was read in its message, and an app may reuse one SID.
    fn by_sid(&self, parked: &Parked, sid: MessageSid) -> Selection {
        let ours = |sid: &MessageSid| {
            self.known.get(sid).filter(|message| message.account == parked.evidence.account)
        };
        let Some(typed) = &parked.code else { return direct(ours(&sid)) };
        match typed.matching.as_slice() {
            of if of.contains(&sid) => direct(ours(&sid)),
            [] if typed.not_matching.contains(&sid) => Selection::Wait(Reason::OtherCode),
            [] => direct(ours(&sid)),
            [only] => direct(ours(only)),
            // Receipts of these messages do not lead to evidence that names another one, so it is not parked.
            _ => Selection::Nothing(Reason::Ambiguous),
        }
    }

    /// Evidence about a person: the newest message from the sender that the person turned to.
    fn by_person(&self, parked: &Parked, theirs: &[&Message], sender: &SenderHint) -> Selection {
        let evidence = &parked.evidence;
        let fitting = self.fitting(evidence, theirs);
        let calls = matches!(evidence.target, EvidenceTarget::Caller { .. });
        // A typed code was read in its message, so neither the sender nor the window matters.
        if let Some(typed) = &parked.code {
            match Coded::of(typed, theirs, &fitting.all, evidence) {
                Coded::None => {}
                Coded::Ambiguous => return Selection::Wait(Reason::Ambiguous),
                Coded::Only(only) => return direct(Some(only)),
                Coded::Likely(several) => {
                    let older = several.get(1..).unwrap_or_default();
                    return newest_of(evidence, several.first().copied(), older, Basis::Inferred);
                }
            }
        }
        let is_timed = evidence.time_source != TimeSource::Unknown;
        if is_timed && self.is_automatic(evidence) {
            return Selection::Nothing(Reason::Automatic);
        }
        // The creation time of a fresh message may still be corrected to an earlier one.
        let names = (self.services, self.people);
        if is_timed && evidence.is_plain_text() && is_too_fast(evidence, self.known, names, false) {
            return Selection::Wait(Reason::Automatic);
        }
        let may_be_from =
            |message: &Message| is_from(message, sender, self.services, calls) != Some(false);
        if let Some(typed) = &parked.code
            && let Some(selection) =
                by_unknown_code(typed, &fitting.all, may_be_from, Basis::Inferred)
        {
            return selection;
        }
        if !is_timed {
            return self.by_person_at_no_time(evidence, &fitting, theirs);
        }
        let mut from_sender = fitting.older.clone();
        from_sender.retain(|message| may_be_from(message));
        match sent_by(&from_sender, sender, self.services, calls) {
            // Without an older message, the clocks differ: the only message within the allowed skew is meant.
            Ok(None) if fitting.younger.len() == 1 && fitting.all.len() == 1 => {
                match sent_by(&fitting.younger, sender, self.services, calls) {
                    Ok(only) => indirect(only, Basis::Inferred),
                    Err(reason) => Selection::Wait(reason),
                }
            }
            // A message of unknown age proves nothing, and no older message is selected instead of it.
            Ok(Some(newest)) if newest.created_at > evidence.occurred_at => {
                match from_sender.as_slice() {
                    [only] if fitting.all.len() == 1 && is_within_skew(only, evidence) => {
                        indirect(Some(only), Basis::Inferred)
                    }
                    _ => Selection::Wait(Reason::TimeUnknown),
                }
            }
            Ok(Some(newest)) => {
                from_sender.retain(|message| age_order(message) < age_order(newest));
                newest_to_person(evidence, newest, &from_sender)
            }
            Ok(None) => indirect(None, Basis::Inferred),
            Err(reason) => Selection::Wait(reason),
        }
    }

    /// An app's event without a time is about the only message to the person, if that message is recent. Other
    /// evidence about a person proves nothing without a time.
    fn by_person_at_no_time(
        &self,
        evidence: &Evidence,
        fitting: &Fitting<'_>,
        theirs: &[&Message],
    ) -> Selection {
        if evidence.source != SignalSource::App {
            return Selection::Nothing(Reason::TimeUnknown);
        }
        let since = earlier(evidence.occurred_at, self.policy.longest_window());
        let recent = theirs.iter().filter(|it| it.may_have_arrived() && it.created_at >= since);
        match (fitting.older.as_slice(), recent.count()) {
            ([only], 1) if only.created_at <= evidence.occurred_at => {
                indirect(Some(only), Basis::Inferred)
            }
            ([], 0) => Selection::Wait(Reason::NoMessage),
            _ => Selection::Wait(Reason::TimeUnknown),
        }
    }

    fn is_automatic(&self, evidence: &Evidence) -> bool {
        let EvidenceTarget::Person { recipient, .. } = &evidence.target else { return false };
        let names = self.people.all(&[recipient.person]);
        let mut spans = names.iter().filter_map(|name| self.automatic.get(name));
        evidence.is_plain_text() && spans.any(|span| span.contains(evidence.occurred_at))
    }

    /// A reference is a shared name, even if only one known message has it: another one may still be registered.
    /// So it confirms only a pending message that may have arrived.
    fn by_reference(&self, parked: &Parked, name: &Reference) -> Selection {
        let evidence = &parked.evidence;
        let ours = self.known.values().filter(|message| message.account == evidence.account);
        let bearing: Vec<&Message> =
            ours.filter(|message| message.reference.as_ref() == Some(name)).collect();
        let (older, younger) = Self::before_and_after(evidence, &bearing);
        let all: Vec<&Message> = older.iter().chain(&younger).copied().collect();
        if let Some(typed) = &parked.code {
            match Coded::of(typed, &bearing, &all, evidence) {
                Coded::None => {}
                Coded::Ambiguous => return Selection::Wait(Reason::Ambiguous),
                Coded::Only(only) => return direct(Some(only)),
                Coded::Likely(several) => {
                    let older = several.get(1..).unwrap_or_default();
                    return self.resent(evidence, &several, older);
                }
            }
            if let Some(selection) = by_unknown_code(typed, &all, |_| true, Basis::Shared) {
                return selection;
            }
        }
        let is_first = older.is_empty();
        let (older, younger) = (arrived(&older), arrived(&younger));
        match (older.as_slice(), younger.as_slice()) {
            ([], []) => Selection::Wait(Reason::NoMessage),
            ([only], []) => indirect(Some(only), Basis::Shared),
            // Without an older message, the clocks differ: the only message within the allowed skew is meant.
            ([], [only]) if is_first => indirect(Some(only), Basis::Shared),
            // The time decides which of several messages existed when the person acted.
            _ if evidence.time_source == TimeSource::Unknown => {
                Selection::Wait(Reason::TimeUnknown)
            }
            ([], _) => Selection::Wait(Reason::TimeUnknown),
            (_, [_, ..]) if self.is_in_the_way(evidence, &younger) => {
                Selection::Wait(Reason::TimeUnknown)
            }
            ([_, rest @ ..], _) => self.resent(evidence, &older, &recent(evidence, rest)),
        }
    }

    /// Whether one of these messages may have existed before the act, within the error of the clocks.
    fn is_in_the_way(&self, evidence: &Evidence, younger: &[&Message]) -> bool {
        let is_exact = evidence.time_source == TimeSource::Exact;
        let is_unsure = |message: &&Message| !is_exact || !message.created_at_known;
        self.policy.resend != Resend::All && younger.iter().any(is_unsure)
    }

    /// The messages that existed at the time of the act, and the younger ones that may have existed: clocks differ, or the
    /// creation time is unknown.
    fn before_and_after<'m>(
        evidence: &Evidence,
        messages: &[&'m Message],
    ) -> (Vec<&'m Message>, Vec<&'m Message>) {
        let at = evidence.occurred_at;
        let sent = messages.iter().copied().filter(|message| !message.is_yet_to_go_out());
        let near = sent.filter(|message| {
            let slack = if message.created_at_known { CLOCK_SKEW } else { UNSAID_FOR };
            message.created_at <= later(at, slack)
        });
        near.partition(|message| message.created_at <= at)
    }

    /// Delays evidence about an old message while a newer message may still be registered.
    fn unless_newer_may_come(&self, parked: &Parked, selection: Selection) -> Selection {
        let (Selection::Confirms(sids, Basis::Shared), None) = (&selection, &parked.code) else {
            return selection;
        };
        // A click link is made for one message.
        if parked.evidence.source == SignalSource::Link {
            return selection;
        }
        // Evidence with a later time was parked while the clock was ahead, so its waiting time is unknown. After a small
        // step back of the clock, the evidence only waits longer.
        let is_over = later(parked.parked_at, REGISTERED_WITHIN) <= self.now
            || parked.parked_at > later(self.latest, MAX_JUMP);
        let newest = sids.first().and_then(|sid| self.known.get(sid));
        let fresh_from = earlier(parked.evidence.occurred_at, REFERENCE_FRESH_FOR);
        match newest {
            Some(newest) if !is_over && newest.created_at < fresh_from => {
                Selection::Wait(Reason::NewerMayCome)
            }
            Some(_) | None => selection,
        }
    }

    /// Makes evidence wait if a newer message may have gone to the same person under another name. Evidence with the
    /// message's own code is not delayed.
    pub(super) fn unless_held_back(
        &self,
        parked: &Parked,
        selection: Selection,
        sender: &SenderHint,
    ) -> Selection {
        let evidence = &parked.evidence;
        let older = match &selection {
            Selection::Confirms(sids, Basis::Inferred) => sids.first(),
            Selection::Already(sid, Basis::Inferred) => Some(sid),
            Selection::Confirms(..)
            | Selection::Already(..)
            | Selection::Nothing(_)
            | Selection::Wait(_) => None,
        };
        let Some(older) = older.and_then(|sid| self.known.get(sid)) else { return selection };
        if parked.code.as_ref().is_some_and(|typed| typed.matching.contains(&older.sid)) {
            return selection;
        }
        let may_miss = shielded(evidence)
            .is_some_and(|(person, _)| !self.people.is_complete(person))
            && self.people.untied_after.is_some_and(|after| older.created_at <= after);
        if may_miss {
            return Selection::Wait(Reason::RecipientUnknown);
        }
        let calls = matches!(evidence.target, EvidenceTarget::Caller { .. });
        // A message that has gained a second name since loading has a known recipient, so it does not shield.
        let is_unsaid = |message: &&Message| {
            self.known
                .get(&message.sid)
                .is_none_or(|known| known.recipient == message.recipient && known.alias.is_none())
                && message.sid != older.sid
        };
        let shields: Vec<&Message> =
            self.people.holds_back(evidence).into_iter().filter(is_unsaid).collect();
        let shields = self.fitting(evidence, &shields);
        let shields = shields.older.iter().chain(&shields.younger).any(|message| {
            age_order(message) > age_order(older)
                && is_from(message, sender, self.services, calls) != Some(false)
        });
        if shields { Selection::Wait(Reason::RecipientUnknown) } else { selection }
    }

    /// Selects among several messages with one reference, newest first. The act may be about one of `older` if the newest
    /// had not arrived.
    fn resent(
        &self,
        evidence: &Evidence,
        candidates: &[&Message],
        older: &[&Message],
    ) -> Selection {
        let newest = candidates.first().copied();
        match (self.policy.resend, candidates) {
            (Resend::Newest, _) => newest_of(evidence, newest, older, Basis::Shared),
            (Resend::OnlyDeliverable | Resend::Code, [] | [_]) => {
                indirect(candidates.first().copied(), Basis::Shared)
            }
            // A later receipt may exclude one of them; later evidence with a code may select one.
            (Resend::OnlyDeliverable | Resend::Code, _) => Selection::Wait(Reason::Ambiguous),
            (Resend::All, _) => {
                let mut compared = newest.iter().chain(older);
                // If all receipts are late, they exclude no message.
                let is_any_before =
                    compared.any(|message| arrival(message, evidence) == Arrival::Before);
                let is_after = |message: &Message| arrival(message, evidence) == Arrival::After;
                let pending = candidates.iter().filter(|message| {
                    message.state == State::Pending && !(is_any_before && is_after(message))
                });
                let pending: Vec<MessageSid> = pending.map(|message| message.sid).collect();
                if pending.is_empty() {
                    newest_of(evidence, newest, older, Basis::Shared)
                } else {
                    Selection::Confirms(pending, Basis::Shared)
                }
            }
        }
    }
}

/// The messages that may have arrived, newest first.
fn arrived<'m>(messages: &[&'m Message]) -> Vec<&'m Message> {
    let mut arrived = newest_first(messages);
    arrived.retain(|message| message.may_have_arrived());
    arrived
}
