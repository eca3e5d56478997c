//! The commands: apply a sighting, observe a signal, reconsider evidence after some time.
//!
//! Each command takes back the provisional confirmations among the loaded rows, adds the new facts, and settles all
//! evidence by the same rules (`settle`).

use crate::domain::address::RecipientNames;
use crate::domain::code::{Probe, TypedCode};
use crate::domain::evidence::{Evidence, EvidenceTarget, Reason, SignalSource, TimeSource};
use crate::domain::matching::apply_update::{contradiction, fresh, merged};
use crate::domain::matching::outcome::{Contradiction, ObserveOutcome, RegisterOutcome};
use crate::domain::matching::parking::{fresh as parked_as, proves_as_much};
use crate::domain::matching::policy::{Now, Policy};
use crate::domain::matching::rows::{Changes, Rows};
use crate::domain::matching::working_rows::{Closed, EvidenceOrigin, JudgedEvidence, WorkingRows};
use crate::domain::message::{Message, Status};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{MessageUpdate, Signal};
use crate::domain::timestamp_serde::to_millisecond;
use crate::domain::trace::TraceParent;

/// A message was seen.
///
/// # Errors
/// [`Contradiction`], where the sighting is strict and says otherwise than what is known.
pub fn remember(
    rows: Rows,
    sighting: &MessageUpdate,
    policy: &Policy,
    now: impl Into<Now>,
) -> Result<(Changes, RegisterOutcome), Contradiction> {
    let (sighting, now) = (&in_milliseconds(sighting), now.into());
    let mut ledger = WorkingRows::open(rows, policy, now);
    ledger.take_back();
    let new = ledger.sight(sighting)?;
    ledger.settle();
    ledger.enter_pieces();
    let message = ledger.known.get(&sighting.sid).cloned();
    let Closed { changes, confirmed, withdrawn } = ledger.close();
    // `sight` has just put it there; a fresh one says the same.
    let message = message.unwrap_or_else(|| fresh(sighting, policy, now.wall));
    Ok((changes, RegisterOutcome { message, new, confirmed, withdrawn }))
}

/// A recipient did something.
///
/// # Errors
/// [`Contradiction`], where an app's event says otherwise of its message than what is known.
pub fn observe(
    rows: Rows,
    signal: &Signal,
    policy: &Policy,
    now: impl Into<Now>,
) -> Result<(Changes, ObserveOutcome), Contradiction> {
    if rows.seen {
        return Ok((Changes::default(), ObserveOutcome::NotConfirmed(Reason::Duplicate)));
    }
    let mut ledger = WorkingRows::open(rows, policy, now.into());
    ledger.take_back();
    if let Some((account, names)) = &signal.names {
        ledger.tie(*account, names);
    }
    if let Some(sighting) = &signal.message_update {
        ledger.sight(&in_milliseconds(sighting))?;
    }
    if let Ok(evidence) = &signal.evidence {
        let occurred_at = to_millisecond(evidence.occurred_at);
        let evidence = Evidence { occurred_at, ..evidence.clone() };
        ledger.park(evidence, signal.code.as_ref(), signal.trace);
    }
    ledger.settle();
    let observed = ledger.enter_pieces();
    let observed = match &signal.evidence {
        Err(reason) => ObserveOutcome::NotConfirmed(*reason),
        Ok(_) => observed.unwrap_or(ObserveOutcome::NotConfirmed(Reason::NoMessage)),
    };
    // Another webhook may deliver the same act with a time, so the act is not marked as counted.
    if observed != ObserveOutcome::NotConfirmed(Reason::TimeUnknown) {
        ledger.changes.seen.clone_from(&signal.dedup_ids);
    }
    Ok((ledger.close().changes, observed))
}

/// Judges parked evidence anew after its wait for a newer message or after an import. Returns the messages that this
/// confirms.
#[must_use]
pub fn reconsider(rows: Rows, policy: &Policy, now: impl Into<Now>) -> (Changes, Vec<MessageSid>) {
    let mut ledger = WorkingRows::open(rows, policy, now.into());
    ledger.drop_settled();
    ledger.take_back();
    ledger.settle();
    ledger.enter_pieces();
    let Closed { changes, confirmed, .. } = ledger.close();
    (changes, confirmed)
}

/// What is judged is no finer than what a store keeps, or a judgement would depend on whether its rows
/// had been written and read back in between.
fn in_milliseconds(sighting: &MessageUpdate) -> MessageUpdate {
    MessageUpdate {
        created_at: sighting.created_at.map(to_millisecond),
        seen_at: to_millisecond(sighting.seen_at),
        ..sighting.clone()
    }
}

impl WorkingRows<'_> {
    /// Takes in what a sighting says. Returns whether nothing was known of the message before.
    fn sight(&mut self, sighting: &MessageUpdate) -> Result<bool, Contradiction> {
        self.learn(sighting);
        if let Some(names) = &sighting.names {
            self.tie(sighting.account, names);
        }
        let known = self.known.get(&sighting.sid).cloned();
        let new = known.is_none();
        let sighting = &self.bind(sighting, known.as_ref())?;
        let message = match &known {
            None => fresh(sighting, self.policy, self.now),
            Some(known) => {
                if let Some(field) = contradiction(known, sighting, &self.people) {
                    let contradiction = Contradiction { sid: sighting.sid, field };
                    return if sighting.strict { Err(contradiction) } else { Ok(false) };
                }
                merged(known, sighting, self.policy, self.now)
            }
        };
        self.known.insert(message.sid, message);
        self.read(sighting);
        Ok(new)
    }

    /// Ties the names of one person. Only Twilio's signed requests give names: an app could merge two people.
    fn tie(&mut self, account: AccountSid, names: &RecipientNames) {
        let learned = self.people.tie(names, self.now);
        self.changes.tied = learned.map(|learned| (account, learned));
    }

    /// Learns the Messaging Service of a sender, only from a request that Twilio signed and that names both.
    fn learn(&mut self, sighting: &MessageUpdate) {
        if let (true, Some(from), Some(service)) =
            (sighting.by_twilio, &sighting.from, sighting.service)
            && self.services.get(from) != Some(&service)
        {
            self.services.insert(from.clone(), service);
            self.changes.learned = Some((sighting.account, from.clone(), service));
        }
    }

    /// A click link that was written before its message had a name belongs to it from now on, and the
    /// message to what the link was made for.
    fn bind(
        &mut self,
        sighting: &MessageUpdate,
        known: Option<&Message>,
    ) -> Result<MessageUpdate, Contradiction> {
        let mut sighting = sighting.clone();
        let Some(id) = sighting.link else { return Ok(sighting) };
        let contradiction = Contradiction { sid: sighting.sid, field: "Link" };
        let Some(link) = self.links.get_mut(&id) else { return Err(contradiction) };
        let said = sighting.reference.as_ref().or(known.and_then(|known| known.reference.as_ref()));
        let differs = link.reference.as_ref().zip(said).is_some_and(|(made, said)| made != said);
        let taken = link.message.is_some_and(|other| other != sighting.sid);
        if differs || taken || link.account != sighting.account {
            return Err(contradiction);
        }
        sighting.reference = said.or(link.reference.as_ref()).cloned();
        if link.message.is_none() {
            link.message = Some(sighting.sid);
            self.changes.bound = Some((id, link.clone()));
        }
        Ok(sighting)
    }

    /// The status `read` proves as much as the settings say.
    fn read(&mut self, sighting: &MessageUpdate) {
        let status = self.known.get(&sighting.sid).and_then(|message| message.status);
        let is_read = status == Some(Status::Read) || sighting.status == Some(Status::Read);
        if !self.policy.read_confirms || !is_read {
            return;
        }
        let read = Evidence {
            account: sighting.account,
            named: EvidenceTarget::Message(sighting.sid),
            label: "read".to_owned(),
            occurred_at: sighting.seen_at,
            time_source: TimeSource::Exact,
            source: SignalSource::Reply,
        };
        let parked = parked_as(read, None, sighting.trace, (self.policy, self.now));
        if !self.pieces.iter().any(|piece| proves_as_much(&piece.parked, &parked)) {
            self.pieces.push(JudgedEvidence::new(parked, EvidenceOrigin::Status));
        }
    }

    /// Takes in new evidence. Its possible codes are compared with the codes of the loaded messages, and dropped.
    fn park(&mut self, evidence: Evidence, probe: Option<&Probe>, trace: Option<TraceParent>) {
        let code = probe.and_then(|probe| {
            let among = self.choice(&self.known);
            let among = among.comparable(&evidence, &evidence.named).into_iter();
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
