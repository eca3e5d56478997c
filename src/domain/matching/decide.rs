//! The two commands: a message was seen, a recipient did something.
//!
//! Both work on the rows at hand as on a small ledger, so that a registration settles the evidence
//! that waited for it by the very rule that would have settled it at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::link::{Link, LinkId};
use crate::domain::matching::pick::{Choice, Known, Pick, Typed};
use crate::domain::matching::sighted::{contradiction, fresh, merged};
use crate::domain::matching::{
    CLOCK_SKEW, Changes, Contradiction, Now, Observed, Parked, Policy, Reason, Remembered, Rows,
    UNSAID_FOR, later,
};
use crate::domain::message::{Basis, Delivery, Message, Proof, State, Status};
use crate::domain::sid::{MessageSid, ServiceSid};
use crate::domain::signal::fields::to_millisecond;
use crate::domain::signal::{Evidence, Named, Sighting, Signal};
use crate::domain::trace::TraceParent;

/// A message was seen.
///
/// # Errors
/// [`Contradiction`], where the sighting is strict and says otherwise than what is known.
pub fn remember(
    rows: Rows,
    sighting: &Sighting,
    policy: &Policy,
    now: impl Into<Now>,
) -> Result<(Changes, Remembered), Contradiction> {
    let (sighting, now) = (&in_milliseconds(sighting), now.into());
    let mut ledger = Ledger::open(rows, policy, now);
    let new = ledger.sight(sighting)?;
    ledger.settle_parked();
    let message = ledger.known.get(&sighting.sid).cloned();
    let (changes, confirmed) = ledger.close();
    // `sight` has just put it there; a fresh one says the same.
    let message = message.unwrap_or_else(|| fresh(sighting, policy, now.wall));
    Ok((changes, Remembered { message, new, confirmed }))
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
) -> Result<(Changes, Observed), Contradiction> {
    if rows.seen {
        return Ok((Changes::default(), Observed::Nothing(Reason::Duplicate)));
    }
    let mut ledger = Ledger::open(rows, policy, now.into());
    ledger.changes.seen.clone_from(&signal.once);
    if let Some(sighting) = &signal.remembers {
        ledger.sight(&in_milliseconds(sighting))?;
    }
    let observed = match &signal.evidence {
        Err(reason) => Observed::Nothing(*reason),
        Ok(evidence) => {
            let occurred_at = to_millisecond(evidence.occurred_at);
            let evidence = &Evidence { occurred_at, ..evidence.clone() };
            let typed = signal.code.as_ref().map_or(Typed::Nothing, Typed::Words);
            let origin = Origin { trace: signal.trace, parked_at: None };
            match ledger.settle(evidence, typed, origin) {
                Pick::Confirms(sids, _) => {
                    sids.first().map_or(Observed::Nothing(Reason::NoMessage), |newest| {
                        Observed::Confirmed(*newest)
                    })
                }
                Pick::Already(sid) => Observed::Already(sid),
                Pick::Nothing(reason) => Observed::Nothing(reason),
                Pick::Wait(reason) => ledger.park(evidence, typed, reason, signal.trace),
            }
        }
    };
    if signal.remembers.is_some() {
        ledger.settle_parked();
    }
    Ok((ledger.close().0, observed))
}

/// What is judged is no finer than what a store keeps, or a judgement would depend on whether its rows
/// had been written and read back in between.
fn in_milliseconds(sighting: &Sighting) -> Sighting {
    Sighting {
        created_at: sighting.created_at.map(to_millisecond),
        seen_at: to_millisecond(sighting.seen_at),
        ..sighting.clone()
    }
}

/// By which road evidence came.
#[derive(Clone, Copy)]
struct Origin {
    trace: Option<TraceParent>,
    /// Since when it waited, if it did.
    parked_at: Option<Timestamp>,
}

/// The rows at hand, and what becomes of them.
pub(super) struct Ledger<'a> {
    pub(super) known: Known,
    touched: BTreeSet<MessageSid>,
    confirmed: Vec<MessageSid>,
    pub(super) parked: Vec<Parked>,
    services: BTreeMap<String, ServiceSid>,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) changes: Changes,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

impl<'a> Ledger<'a> {
    pub(super) fn open(rows: Rows, policy: &'a Policy, now: Now) -> Self {
        let Rows { message, same_reference, same_person, links, mut parked, services, seen: _ } =
            rows;
        let mut known = Known::new();
        for mut message in same_reference.into_iter().chain(same_person).chain(message) {
            message.age(now.trusted);
            known.insert(message.sid, message);
        }
        parked.retain(|parked| !parked.orphaned && parked.until > now.trusted);
        parked.sort_by_key(|parked| (parked.evidence.occurred_at, parked.parked_at));
        Self {
            known,
            touched: BTreeSet::new(),
            confirmed: Vec::new(),
            parked,
            services,
            links,
            changes: Changes::default(),
            policy,
            now: now.wall,
        }
    }

    pub(super) fn close(mut self) -> (Changes, Vec<MessageSid>) {
        let touched = self.touched;
        self.changes.messages.extend(self.known.into_values().filter(|m| touched.contains(&m.sid)));
        (self.changes, self.confirmed)
    }

    /// Takes in what a sighting says. Returns whether nothing was known of the message before.
    fn sight(&mut self, sighting: &Sighting) -> Result<bool, Contradiction> {
        self.learn(sighting);
        let known = self.known.get(&sighting.sid).cloned();
        let new = known.is_none();
        let sighting = &self.bind(sighting, known.as_ref())?;
        let message = match &known {
            None => fresh(sighting, self.policy, self.now),
            Some(known) => {
                if let Some(field) = contradiction(known, sighting) {
                    let contradiction = Contradiction { sid: sighting.sid, field };
                    return if sighting.strict { Err(contradiction) } else { Ok(false) };
                }
                merged(known, sighting, self.policy, self.now)
            }
        };
        if known.as_ref() != Some(&message) {
            self.touched.insert(message.sid);
            self.known.insert(message.sid, message);
        }
        self.read(sighting);
        Ok(new)
    }

    /// "Senders learned from status callbacks, which name both."
    fn learn(&mut self, sighting: &Sighting) {
        if let (Some(from), Some(service)) = (&sighting.from, sighting.service)
            && self.services.get(from) != Some(&service)
        {
            self.services.insert(from.clone(), service);
            self.changes.learned = Some((from.clone(), service));
        }
    }

    /// A click link that was written before its message had a name belongs to it from now on, and the
    /// message to what the link was made for.
    fn bind(
        &mut self,
        sighting: &Sighting,
        known: Option<&Message>,
    ) -> Result<Sighting, Contradiction> {
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
    fn read(&mut self, sighting: &Sighting) {
        let status = self.known.get(&sighting.sid).and_then(|message| message.status);
        if self.policy.read_confirms
            && (status == Some(Status::Read) || sighting.status == Some(Status::Read))
        {
            let read = Evidence {
                account: sighting.account,
                named: Named::Message(sighting.sid),
                label: "read".to_owned(),
                occurred_at: sighting.seen_at,
            };
            let origin = Origin { trace: sighting.trace, parked_at: None };
            self.settle(&read, Typed::Nothing, origin);
        }
    }

    fn settle_parked(&mut self) {
        for parked in std::mem::take(&mut self.parked) {
            self.settle_waiting(parked);
        }
    }

    pub(super) fn settle_waiting(&mut self, parked: Parked) {
        let typed = if parked.held_number { Typed::Number } else { Typed::Nothing };
        let origin = Origin { trace: parked.trace, parked_at: Some(parked.parked_at) };
        match self.settle(&parked.evidence, typed, origin) {
            Pick::Wait(_) => {}
            Pick::Confirms(..) | Pick::Already(_) | Pick::Nothing(_) => {
                self.changes.unpark.push(parked);
            }
        }
    }

    fn settle(&mut self, evidence: &Evidence, typed: Typed<'_>, origin: Origin) -> Pick {
        let link = match &evidence.named {
            Named::Link(id) => self.links.get(id).map(|link| (link, link.names(*id))),
            Named::Message(_)
            | Named::Reference(_)
            | Named::Person { .. }
            | Named::Caller { .. } => None,
        };
        let (link, named) = link.unzip();
        let named = named.unwrap_or_else(|| evidence.named.clone());
        // A link is bound to what is known: what is not has been forgotten.
        let forgotten = |sid| !self.known.contains_key(&sid);
        let bound = link.and_then(|link| link.message);
        if bound.is_some_and(forgotten) || self.is_yet_to_come(bound, evidence) {
            return Pick::Nothing(Reason::NoMessage);
        }
        // A link is made before its text is sent, so it is in no message that was known by then.
        let younger: Known;
        let known = match link.filter(|link| link.message.is_none()) {
            None => &self.known,
            Some(link) => {
                let known = self.known.clone().into_iter();
                younger = known.filter(|(_, m)| m.remembered_at >= link.created_at).collect();
                &younger
            }
        };
        let evidence = &Evidence { named, ..evidence.clone() };
        let services = &self.services;
        let pick = Choice { known, services, policy: self.policy, typed }.pick(evidence);
        if let Pick::Confirms(sids, basis) = &pick {
            for sid in sids {
                self.confirm(*sid, *basis, evidence, origin);
            }
            self.convert(sids, evidence);
        }
        pick
    }

    /// Unlike a SID, a link is there before its message, and whoever opened it then did not get that.
    fn is_yet_to_come(&self, bound: Option<MessageSid>, evidence: &Evidence) -> bool {
        bound.and_then(|sid| self.known.get(&sid)).is_some_and(|message| {
            let slack = if message.created_at_known { CLOCK_SKEW } else { UNSAID_FOR };
            message.created_at > later(evidence.occurred_at, slack)
        })
    }

    /// Notes on the other messages under a reference which one was confirmed instead of them.
    fn convert(&mut self, confirmed: &[MessageSid], evidence: &Evidence) {
        let Some(newest) = confirmed.first() else { return };
        let Some(reference) = self.known.get(newest).and_then(|message| message.reference.clone())
        else {
            return;
        };
        for message in self.known.values_mut() {
            let passed_over = message.account == evidence.account
                && message.reference.as_ref() == Some(&reference)
                && message.proof.is_none()
                && message.converted_by.is_none()
                && message.created_at <= evidence.occurred_at;
            if passed_over {
                message.converted_by = Some(*newest);
                self.touched.insert(message.sid);
            }
        }
    }

    fn confirm(&mut self, sid: MessageSid, basis: Basis, evidence: &Evidence, origin: Origin) {
        if let Some(message) = self.known.get_mut(&sid) {
            message.enter(State::Confirmed, self.now);
            message.proof = Some(Proof {
                label: evidence.label.clone(),
                basis,
                occurred_at: evidence.occurred_at,
                confirmed_at: self.now,
            });
            message.delivery = Delivery { due_at: Some(self.now), ..Delivery::default() };
            message.converted_by = None;
            (message.parked_at, message.trace) = (origin.parked_at, origin.trace);
            self.touched.insert(sid);
            self.confirmed.push(sid);
        }
    }
}
