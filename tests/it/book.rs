//! A book in which the domain's changes are entered as they come: the plainest store there is, to
//! judge the judgement by. It also watches what must never happen.

use std::collections::{BTreeMap, BTreeSet};

use heardback::domain::link::{Link, LinkId};
use heardback::domain::matching::{
    self, Changes, Contradiction, Observed, Parked, Policy, Remembered, Rows, Touched,
};
use heardback::domain::message::{Message, State};
use heardback::domain::sid::{MessageSid, ServiceSid};
use heardback::domain::signal::{Named, Once, Sighting, Signal};

use crate::given::{at, policy};

pub(crate) struct Book {
    pub(crate) policy: Policy,
    pub(crate) now: i64,
    pub(crate) messages: BTreeMap<MessageSid, Message>,
    pub(crate) parked: Vec<Parked>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    seen: BTreeSet<Once>,
    services: BTreeMap<String, ServiceSid>,
    /// The labels of all evidence so far.
    labels: BTreeSet<String>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            policy: policy(),
            now: 0,
            messages: BTreeMap::new(),
            parked: Vec::new(),
            links: BTreeMap::new(),
            seen: BTreeSet::new(),
            services: BTreeMap::new(),
            labels: BTreeSet::new(),
        }
    }
}

impl Book {
    pub(crate) fn try_remember(
        &mut self,
        sighting: &Sighting,
    ) -> Result<Remembered, Contradiction> {
        let known = self.messages.get(&sighting.sid);
        let rows = self.rows(&Touched::by_sighting(sighting, known), Some(sighting.sid));
        let (changes, remembered) = matching::remember(rows, sighting, &self.policy, at(self.now))?;
        self.labels.insert("read".to_owned());
        self.enter(changes);
        Ok(remembered)
    }

    pub(crate) fn remember(&mut self, sighting: &Sighting) -> Remembered {
        self.try_remember(sighting).expect("no contradiction")
    }

    pub(crate) fn observe(&mut self, signal: &Signal) -> Observed {
        let touched = match (&signal.remembers, &signal.evidence) {
            (Some(sighting), _) => Touched::by_sighting(sighting, self.messages.get(&sighting.sid)),
            (None, Ok(evidence)) => {
                let mut touched = Touched::by_evidence(evidence);
                let link = touched.link.and_then(|id| Some((id, self.links.get(&id)?)));
                match link.map_or(evidence.named.clone(), |(id, link)| link.names(id)) {
                    Named::Message(sid) => touched.sid = Some(sid),
                    Named::Reference(reference) => touched.reference = Some(reference),
                    Named::Person { .. } | Named::Caller { .. } | Named::Link(_) => {}
                }
                let known = touched.sid.and_then(|sid| self.messages.get(&sid));
                if let Some(reference) = known.and_then(|message| message.reference.clone()) {
                    touched.reference = Some(reference);
                }
                touched
            }
            (None, Err(_)) => Touched::default(),
        };
        let mut rows = self.rows(&touched, touched.sid);
        rows.seen = signal.once.iter().any(|once| self.seen.contains(once));
        self.labels.extend(signal.evidence.iter().map(|evidence| evidence.label.clone()));
        let (changes, observed) =
            matching::observe(rows, signal, &self.policy, at(self.now)).expect("no contradiction");
        self.enter(changes);
        observed
    }

    pub(crate) fn state(&self, sid: MessageSid) -> State {
        self.messages[&sid].state
    }

    pub(crate) fn confirmed(&self) -> BTreeSet<MessageSid> {
        let proven = self.messages.values().filter(|message| message.proof.is_some());
        proven.map(|message| message.sid).collect()
    }

    fn rows(&self, touched: &Touched, sid: Option<MessageSid>) -> Rows {
        let all = || self.messages.values().cloned();
        let mut persons = touched.persons.clone();
        for parked in &self.parked {
            if let Named::Caller { recipient, whatsapp, .. } = &parked.evidence.named
                && touched.persons.contains(&recipient.person)
            {
                persons.extend([recipient.person, *whatsapp]);
            }
        }
        let kept = |link: &Link| self.policy.link_until(link) > at(self.now);
        let of_link = touched.link.and_then(|id| self.links.get(&id)?.reference.clone());
        let reference = touched.reference.clone().or(of_link);
        let made_for = |link: &Link| link.message.is_none() && link.reference.is_some();
        let links: BTreeMap<LinkId, Link> = (self.links.iter())
            .filter(|(id, link)| {
                let by_reference = made_for(link) && link.reference == touched.reference;
                kept(link) && (touched.link == Some(**id) || by_reference)
            })
            .map(|(id, link)| (*id, link.clone()))
            .collect();
        let waits = |parked: &&Parked| match &parked.evidence.named {
            Named::Message(sid) => touched.sid == Some(*sid),
            Named::Reference(name) => reference.as_ref() == Some(name),
            Named::Person { recipient, .. } | Named::Caller { recipient, .. } => {
                touched.persons.contains(&recipient.person)
            }
            Named::Link(id) => touched.link == Some(*id) || links.contains_key(id),
        };
        let to_them =
            |m: &&Message| m.recipient.is_some_and(|recipient| persons.contains(&recipient.person));
        let theirs = self.messages.values().filter(to_them);
        let named: BTreeSet<_> =
            theirs.filter_map(|m| m.reference.clone()).chain(reference.clone()).collect();
        Rows {
            message: sid.and_then(|sid| self.messages.get(&sid).cloned()),
            seen: false,
            same_reference: all()
                .filter(|m| m.reference.as_ref().is_some_and(|name| named.contains(name)))
                .collect(),
            same_person: self.messages.values().filter(to_them).cloned().collect(),
            parked: self.parked.iter().filter(waits).cloned().collect(),
            links,
            services: self.services.clone(),
        }
    }

    fn enter(&mut self, changes: Changes) {
        for message in changes.messages {
            let before = self.messages.get(&message.sid);
            self.watch(before, &message);
            self.messages.insert(message.sid, message);
        }
        self.parked.retain(|parked| !changes.unpark.contains(parked));
        self.parked.extend(changes.park);
        self.seen.extend(changes.seen);
        self.links.extend(changes.bound);
        self.services.extend(changes.learned);
    }

    /// States move along DESIGN's arrows only, and what is proven was proven by something, once.
    fn watch(&self, before: Option<&Message>, after: &Message) {
        use State::{Confirmed, Expired, Pending, Undelivered, Untracked};
        let from = before.map(|message| message.state);
        let along_an_arrow = from == Some(after.state)
            || match from {
                // A registration, a receipt and parked evidence may come to one step.
                None | Some(Untracked) => {
                    matches!(after.state, Untracked | Pending | Undelivered | Confirmed)
                }
                Some(Pending) => matches!(after.state, Confirmed | Expired | Undelivered),
                Some(Expired | Undelivered) => after.state == Confirmed,
                Some(State::Confirmed | State::Reported | State::Refused) => false,
            };
        assert!(along_an_arrow, "{from:?} to {:?}", after.state);
        assert_eq!(after.proof.is_some(), after.state == Confirmed);
        if let Some(proof) = before.and_then(|message| message.proof.as_ref()) {
            assert_eq!(Some(proof), after.proof.as_ref(), "confirmed twice");
        }
        if let Some(proof) = &after.proof {
            assert!(self.labels.contains(&proof.label), "confirmed without evidence");
        }
    }
}
