//! The commands: apply a message update, observe a signal, reconsider evidence.
//!
//! Each command withdraws the provisional confirmations of the loaded rows, adds the new facts, and settles all
//! evidence by the same rules (`settle`).

use crate::domain::address::RecipientNames;
use crate::domain::code::{Probe, TypedCode};
use crate::domain::evidence::{Evidence, EvidenceTarget, Reason, SignalSource, TimeSource};
use crate::domain::matching::apply_update::{contradiction, fresh, merged};
use crate::domain::matching::outcome::{Contradiction, ObserveOutcome, RegisterOutcome};
use crate::domain::matching::parking::{fresh as parked_as, proves_as_much};
use crate::domain::matching::policy::{Now, Policy};
use crate::domain::matching::rows::{Changes, Rows};
use crate::domain::matching::working_rows::{
    CommandResult, EvidenceOrigin, JudgedEvidence, WorkingRows,
};
use crate::domain::message::{Message, Status};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::timestamp_serde::to_millisecond;
use crate::domain::trace::TraceParent;

/// Applies facts about a message.
///
/// # Errors
/// [`Contradiction`] if the update is strict and contradicts the known facts.
pub fn remember(
    rows: Rows,
    update: &MessageUpdate,
    policy: &Policy,
    now: impl Into<Now>,
) -> Result<(Changes, RegisterOutcome), Contradiction> {
    let (update, now) = (&in_milliseconds(update), now.into());
    let mut working = WorkingRows::open(rows, policy, now);
    working.withdraw_provisional();
    let new = working.apply_update(update)?;
    working.settle();
    working.record_changes();
    let message = working.known.get(&update.sid).cloned();
    let CommandResult { changes, confirmed, withdrawn } = working.close();
    // `apply_update` has just added it; a new message has the same facts.
    let message = message.unwrap_or_else(|| fresh(update, policy, now.wall));
    Ok((changes, RegisterOutcome { message, new, confirmed, withdrawn }))
}

/// Applies a recipient's act.
///
/// # Errors
/// [`Contradiction`] if an app's event contradicts the known facts of its message.
pub fn observe(
    rows: Rows,
    signal: &Signal,
    policy: &Policy,
    now: impl Into<Now>,
) -> Result<(Changes, ObserveOutcome), Contradiction> {
    if rows.seen {
        return Ok((Changes::default(), ObserveOutcome::NotConfirmed(Reason::Duplicate)));
    }
    let mut working = WorkingRows::open(rows, policy, now.into());
    working.withdraw_provisional();
    if let Some((account, names)) = &signal.names {
        working.tie(*account, names);
    }
    if let Some(update) = &signal.message_update {
        working.apply_update(&in_milliseconds(update))?;
    }
    if let Ok(evidence) = &signal.evidence {
        let occurred_at = to_millisecond(evidence.occurred_at);
        let evidence = Evidence { occurred_at, ..evidence.clone() };
        working.park(evidence, signal.code.as_ref(), signal.trace);
    }
    working.settle();
    let observed = working.record_changes();
    let observed = match &signal.evidence {
        Err(reason) => ObserveOutcome::NotConfirmed(*reason),
        Ok(_) => observed.unwrap_or(ObserveOutcome::NotConfirmed(Reason::NoMessage)),
    };
    // An act without a time is not marked as counted, because another webhook may deliver it with one.
    if observed != ObserveOutcome::NotConfirmed(Reason::TimeUnknown) {
        working.changes.seen.clone_from(&signal.dedup_ids);
    }
    Ok((working.close().changes, observed))
}

/// Judges parked evidence again, after its wait for a newer message or after an import. Returns the messages that this
/// confirms.
pub fn reconsider(rows: Rows, policy: &Policy, now: impl Into<Now>) -> (Changes, Vec<MessageSid>) {
    let mut working = WorkingRows::open(rows, policy, now.into());
    working.drop_settled();
    working.withdraw_provisional();
    working.settle();
    working.record_changes();
    let CommandResult { changes, confirmed, .. } = working.close();
    (changes, confirmed)
}

/// Truncates times to the stored precision. With finer times, a judgement would depend on whether its rows had been
/// written and read in between.
fn in_milliseconds(update: &MessageUpdate) -> MessageUpdate {
    MessageUpdate {
        created_at: update.created_at.map(to_millisecond),
        seen_at: to_millisecond(update.seen_at),
        ..update.clone()
    }
}

impl WorkingRows<'_> {
    /// Applies an update. Returns whether the message is new.
    fn apply_update(&mut self, update: &MessageUpdate) -> Result<bool, Contradiction> {
        self.learn(update);
        if let Some(names) = &update.names {
            self.tie(update.account, names);
        }
        let known = self.known.get(&update.sid).cloned();
        let new = known.is_none();
        let update = &self.bind(update, known.as_ref())?;
        let message = match &known {
            None => fresh(update, self.policy, self.now),
            Some(known) => {
                if let Some(field) = contradiction(known, update, &self.people) {
                    let contradiction = Contradiction { sid: update.sid, field };
                    return if update.strict { Err(contradiction) } else { Ok(false) };
                }
                merged(known, update, self.policy, self.now)
            }
        };
        self.known.insert(message.sid, message);
        self.add_read_receipt(update);
        Ok(new)
    }

    /// Ties the hashes of one person. They come only from requests that Twilio signed: those of an app could merge two people.
    fn tie(&mut self, account: AccountSid, names: &RecipientNames) {
        if let Some(learned) = self.people.tie(names, self.now) {
            self.changes.tied = Some((account, learned));
        }
    }

    /// Learns the Messaging Service of a sender, only from a request that Twilio signed and that names both.
    fn learn(&mut self, update: &MessageUpdate) {
        if let (true, Some(from), Some(service)) = (update.by_twilio, &update.from, update.service)
            && self.services.get(from) != Some(&service)
        {
            self.services.insert(from.clone(), service);
            self.changes.learned = Some((update.account, from.clone(), service));
        }
    }

    /// Binds a click link that was created before its message had a SID. The message gets the reference of the link.
    fn bind(
        &mut self,
        update: &MessageUpdate,
        known: Option<&Message>,
    ) -> Result<MessageUpdate, Contradiction> {
        let mut update = update.clone();
        let Some(id) = update.link else { return Ok(update) };
        let contradiction = Contradiction { sid: update.sid, field: "Link" };
        let Some(link) = self.links.get_mut(&id) else { return Err(contradiction) };
        let said = update.reference.as_ref().or(known.and_then(|known| known.reference.as_ref()));
        let differs = link.reference.as_ref().zip(said).is_some_and(|(made, said)| made != said);
        let taken = link.message.is_some_and(|other| other != update.sid);
        if differs || taken || link.account != update.account {
            return Err(contradiction);
        }
        update.reference = said.or(link.reference.as_ref()).cloned();
        if link.message.is_none() {
            link.message = Some(update.sid);
            self.changes.bound = Some((id, link.clone()));
        }
        Ok(update)
    }

    /// Adds the status `read` as evidence, if the setting allows it.
    fn add_read_receipt(&mut self, update: &MessageUpdate) {
        let status = self.known.get(&update.sid).and_then(|message| message.status);
        let is_read = status == Some(Status::Read) || update.status == Some(Status::Read);
        if !self.policy.read_confirms || !is_read {
            return;
        }
        let read = Evidence {
            account: update.account,
            target: EvidenceTarget::Message(update.sid),
            label: "read".to_owned(),
            occurred_at: update.seen_at,
            time_source: TimeSource::Exact,
            source: SignalSource::Reply,
        };
        let parked = parked_as(read, None, update.trace, (self.policy, self.now));
        if !self.pieces.iter().any(|piece| proves_as_much(&piece.parked, &parked)) {
            self.pieces.push(JudgedEvidence::new(parked, EvidenceOrigin::Status));
        }
    }

    /// Adds new evidence. Keeps of its possible codes only the comparison with the codes of the loaded messages.
    fn park(&mut self, evidence: Evidence, probe: Option<&Probe>, trace: Option<TraceParent>) {
        let code = probe.and_then(|probe| {
            let among = self.candidates(&self.known);
            let among = among.comparable(&evidence, &evidence.target).into_iter();
            let with_code = |(message, is_recent): (&Message, bool)| {
                Some((message.sid, message.code?, is_recent))
            };
            TypedCode::compared(probe, among.filter_map(with_code))
        });
        let parked = parked_as(evidence, code, trace, (self.policy, self.now));
        let same = self.pieces.iter().find(|piece| proves_as_much(&piece.parked, &parked));
        match same {
            Some(piece) => self.repeated = Some(piece.parked.clone()),
            None => self.pieces.push(JudgedEvidence::new(parked, EvidenceOrigin::New)),
        }
    }
}
