//! Loads the rows that a command needs: all rows whose judgement the command may change.
//!
//! A new fact about a message concerns the evidence parked for the message, its reference or its person. That evidence
//! may be about other messages, which other evidence may hold. So the keys are followed until none is left. Few keys
//! have evidence, and a store knows them without reading: [`RowSource::may_concern`].
//!

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{RecipientHash, RecipientNames};
use crate::domain::evidence::{Evidence, EvidenceTarget};
use crate::domain::matching::people::shielded;
use crate::domain::matching::policy::{Policy, UNSAID_FOR};
use crate::domain::matching::rows::{AffectedKeys, Newest, RowSource, Rows, WaitsFor};
use crate::domain::message::Message;
use crate::domain::reference::Reference;
use crate::domain::sid::AccountSid;
use crate::domain::timestamp_serde::{earlier, later};

/// The most keys with evidence that one command follows. Beyond it, no provisional confirmation is judged again.
const MAX_KEYS: usize = 64;

/// Loads the rows of a command by its affected keys and its new evidence. The flag beside the
/// evidence says whether it contains a code.
///
/// # Errors
/// Rows cannot be read.
pub fn gather<S: RowSource>(
    source: &S,
    account: AccountSid,
    touched: &AffectedKeys,
    new: Option<(&Evidence, bool)>,
    (policy, now): (&Policy, Timestamp),
) -> Result<Rows, S::Error> {
    let mut loading = Loading {
        source,
        account,
        policy,
        now,
        rows: Rows { account: Some(account), ..Rows::default() },
        pending: Vec::new(),
        done: BTreeSet::new(),
        parked: BTreeSet::new(),
        spans: BTreeMap::new(),
        concerned: 0,
        evidence: new,
        reaches: BTreeSet::new(),
        names: BTreeSet::new(),
        said: touched.names.as_ref(),
        bearing: BTreeSet::new(),
    };
    loading.start(touched)?;
    loop {
        while let Some(key) = loading.pending.pop() {
            loading.follow(&key)?;
        }
        // A confirmation is noted on all other messages under its reference, of any age and to any recipient.
        loading.add_siblings()?;
        loading.widen()?;
        if loading.pending.is_empty() {
            return loading.end(touched);
        }
    }
}

struct Loading<'a, S> {
    source: &'a S,
    account: AccountSid,
    policy: &'a Policy,
    now: Timestamp,
    rows: Rows,
    /// Keys to follow.
    pending: Vec<WaitsFor>,
    done: BTreeSet<WaitsFor>,
    /// The keys whose parked evidence is loaded.
    parked: BTreeSet<WaitsFor>,
    /// The persons whose messages are loaded, and the span of the creation times.
    spans: BTreeMap<RecipientHash, RangeInclusive<Timestamp>>,
    /// The number of followed keys that may have evidence.
    concerned: usize,
    /// The new evidence, and whether it contains a code.
    evidence: Option<(&'a Evidence, bool)>,
    /// The keys whose messages evidence may be about, even if no evidence is parked there.
    reaches: BTreeSet<WaitsFor>,
    /// The references of the loaded rows.
    names: BTreeSet<Reference>,
    /// Names that Twilio gives to one person.
    said: Option<&'a RecipientNames>,
    /// The references whose messages are loaded.
    bearing: BTreeSet<Reference>,
}

impl<S: RowSource> Loading<'_, S> {
    fn start(&mut self, touched: &AffectedKeys) -> Result<(), S::Error> {
        let mut keys = Vec::new();
        keys.extend(touched.sid.map(WaitsFor::Message));
        let reference = touched.reference.clone();
        keys.extend(reference.map(|name| WaitsFor::Reference(self.account, name)));
        keys.extend(touched.persons.iter().copied().map(WaitsFor::Person));
        keys.extend(touched.names.iter().flat_map(RecipientNames::all).map(WaitsFor::Person));
        keys.extend(touched.link.map(WaitsFor::Link));
        if let Some(sid) = touched.sid {
            self.add(self.source.message(sid)?);
        }
        if let Some((evidence, _)) = self.evidence {
            self.reach(evidence)?;
        }
        self.pending.extend(keys);
        Ok(())
    }

    /// Notes the keys that new evidence is about.
    fn reach(&mut self, evidence: &Evidence) -> Result<(), S::Error> {
        let key = WaitsFor::of(evidence);
        if let WaitsFor::Message(sid) = &key {
            let known = self.source.message(*sid)?;
            let known = known.filter(|message| message.account == self.account);
            // The code may belong to another message with the same reference or recipient.
            if let Some(message) = &known {
                self.reaches.extend(keys_of(message));
            }
            self.add(known);
        }
        if let WaitsFor::Link(id) = &key
            && let Some(link) = self.source.link(*id)?
        {
            match EvidenceTarget::of_link(*id, &link) {
                EvidenceTarget::Message(sid) => {
                    let known = self.source.message(sid)?;
                    self.add(known);
                    self.pending.push(WaitsFor::Message(sid));
                }
                EvidenceTarget::Reference(name) => {
                    let key = WaitsFor::Reference(self.account, name);
                    self.reaches.insert(key.clone());
                    self.pending.push(key);
                }
                EvidenceTarget::Person { .. }
                | EvidenceTarget::Caller { .. }
                | EvidenceTarget::Link(_) => {}
            }
        }
        if let EvidenceTarget::Caller { whatsapp, .. } = &evidence.target {
            self.reaches.insert(WaitsFor::Person(*whatsapp));
        }
        self.reaches.insert(key);
        self.pending.extend(self.reaches.iter().cloned());
        Ok(())
    }

    fn follow(&mut self, key: &WaitsFor) -> Result<(), S::Error> {
        if !self.done.insert(key.clone()) {
            return Ok(());
        }
        let (is_reached, is_concerned) =
            (self.reaches.contains(key), self.source.may_concern(key)?);
        if is_concerned && self.parked.insert(key.clone()) {
            self.concerned += 1;
            if self.concerned > MAX_KEYS {
                self.rows.is_cut = true;
                self.rows.cut.insert(key.clone(), Timestamp::MAX);
                return Ok(());
            }
            for parked in self.source.parked(key)? {
                // Another account's evidence for the same SID is parked under the same key.
                if parked.evidence.account == self.account {
                    self.found(&parked.evidence);
                    self.rows.parked.push(parked);
                }
            }
            for sid in self.source.holding(key)? {
                let message = self.source.message(sid)?;
                self.add(message.filter(|message| message.account == self.account));
            }
        }
        match key {
            WaitsFor::Message(sid) => {
                if is_concerned || is_reached {
                    let known = self.source.message(*sid)?;
                    self.add(known);
                }
            }
            WaitsFor::Link(id) => {
                if let Some(link) = self.source.link(*id)? {
                    let message = link.message.map(|sid| self.source.message(sid)).transpose()?;
                    self.add(message.flatten());
                    let name = link.reference.clone();
                    self.pending.extend(name.map(|name| WaitsFor::Reference(link.account, name)));
                    self.rows.links.insert(*id, link);
                }
            }
            // The registration of a message binds the links of its reference, too.
            WaitsFor::Reference(account, name) => {
                self.names.insert(name.clone());
                for id in self.source.links_for(*account, name)? {
                    self.pending.push(WaitsFor::Link(id));
                }
                if is_concerned || is_reached {
                    self.add_bearing(*account, name)?;
                }
            }
            WaitsFor::Person(person) => {
                self.follow_names(*person, is_concerned || is_reached)?;
                if is_concerned || is_reached {
                    self.add_sent_to(*person, self.span())?;
                    let known = self.source.automatic(*person)?;
                    self.rows.automatic.extend(known.map(|known| (*person, known)));
                }
            }
        }
        Ok(())
    }

    fn add_sent_to(
        &mut self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
    ) -> Result<(), S::Error> {
        self.spans.insert(person, span.clone());
        let found = self.source.sent_to(person, span)?;
        self.add_newest(WaitsFor::Person(person), found);
        Ok(())
    }

    /// Loads a person's messages again if evidence that was found since may be about older or newer ones.
    fn widen(&mut self) -> Result<(), S::Error> {
        let span = self.span();
        let is_narrow =
            |(_, loaded): &(&RecipientHash, &RangeInclusive<Timestamp>)| **loaded != span;
        let narrow = self.spans.iter().filter(is_narrow).map(|(person, _)| *person);
        for person in narrow.collect::<Vec<_>>() {
            self.add_sent_to(person, span.clone())?;
        }
        Ok(())
    }

    /// Follows the other names of a person. If evidence is about one of them, it is about each.
    fn follow_names(&mut self, person: RecipientHash, is_about: bool) -> Result<(), S::Error> {
        let tied = self.source.tied(self.account, person)?;
        let said = self.said.filter(|said| said.contains(person));
        let known = tied.iter().map(|tied| &tied.names).chain(said);
        let others: Vec<RecipientHash> =
            known.flat_map(RecipientNames::all).filter(|name| *name != person).collect();
        self.rows.people.tied.extend(tied.map(|tied| (person, tied)));
        for other in others {
            let key = WaitsFor::Person(other);
            if is_about && self.reaches.insert(key.clone()) {
                self.done.remove(&key);
            }
            self.pending.push(key);
        }
        Ok(())
    }

    fn add_bearing(&mut self, account: AccountSid, name: &Reference) -> Result<(), S::Error> {
        if self.bearing.insert(name.clone()) {
            let found = self.source.bearing(account, name)?;
            self.add_newest(WaitsFor::Reference(account, name.clone()), found);
        }
        Ok(())
    }

    /// Adds the messages under the references of the loaded rows, if there is evidence to judge.
    fn add_siblings(&mut self) -> Result<(), S::Error> {
        let mut messages = self.rows.messages.values();
        let is_judging = self.evidence.is_some()
            || !self.rows.parked.is_empty()
            || messages.any(|message| message.parked_evidence.is_some());
        if is_judging {
            for name in self.names.clone() {
                self.add_bearing(self.account, &name)?;
            }
        }
        Ok(())
    }

    /// Follows the keys of loaded evidence.
    fn found(&mut self, evidence: &Evidence) {
        self.pending.push(WaitsFor::of(evidence));
        if let EvidenceTarget::Caller { whatsapp, .. } = &evidence.target {
            let key = WaitsFor::Person(*whatsapp);
            self.reaches.insert(key.clone());
            self.done.remove(&key);
            self.pending.push(key);
        }
    }

    /// Adds the messages under a key. The last load of a key decides which of its messages may be missing.
    fn add_newest(&mut self, key: WaitsFor, found: Newest) {
        match found.cut_at() {
            Some(at) => self.rows.cut.insert(key, at),
            None => self.rows.cut.remove(&key),
        };
        for message in found.messages {
            self.add(Some(message));
        }
    }

    /// Adds a message, and follows its keys.
    fn add(&mut self, message: Option<Message>) {
        let Some(message) = message else { return };
        if message.account == self.account && !self.rows.messages.contains_key(&message.sid) {
            self.pending.extend(keys_of(&message));
            if let Some(held) = &message.parked_evidence {
                self.found(&held.evidence);
            }
        }
        self.rows.messages.insert(message.sid, message);
    }

    /// The creation times of the messages that the loaded evidence may be about.
    fn span(&self) -> RangeInclusive<Timestamp> {
        let window = self.policy.longest_window();
        let of = |evidence: &Evidence, has_code: bool| {
            // A code can match its message for as long as the message is pending.
            let back = if has_code { window.max(self.policy.pending_ttl) } else { window };
            (earlier(evidence.occurred_at, back), evidence.occurred_at)
        };
        let new = self.evidence.map(|(evidence, has_code)| of(evidence, has_code));
        let held =
            self.rows.messages.values().filter_map(|message| message.parked_evidence.as_deref());
        let known = self.rows.parked.iter().chain(held);
        let known = known.map(|parked| of(&parked.evidence, parked.code.is_some()));
        let all: Vec<_> = new.into_iter().chain(known).collect();
        let from = all.iter().map(|span| span.0).min().unwrap_or(self.now);
        let to = all.iter().map(|span| span.1).max().unwrap_or(self.now);
        from..=later(to, UNSAID_FOR)
    }

    /// Adds the messages to untied WhatsApp names that may belong to a person in the evidence.
    fn add_untied(&mut self) -> Result<(), S::Error> {
        let rows = &self.rows;
        let held = rows.messages.values().filter_map(|message| message.parked_evidence.as_deref());
        let waiting = rows.parked.iter().chain(held).map(|parked| &parked.evidence);
        let (mut untied, mut untied_after) = (BTreeMap::new(), None);
        for evidence in waiting.chain(self.evidence.map(|(evidence, _)| evidence)) {
            let Some((person, kind)) = shielded(evidence) else { continue };
            let is_said = self.said.is_some_and(|said| said.contains(person) && said.is_complete());
            if is_said || rows.people.is_complete(person) {
                continue;
            }
            let from = earlier(evidence.occurred_at, self.policy.window_of(evidence));
            let span = from..=later(evidence.occurred_at, UNSAID_FOR);
            let found = self.source.sent_to_kind(evidence.account, kind, span)?;
            untied_after = untied_after.max(found.cut_at());
            untied.extend(found.messages.into_iter().map(|message| (message.sid, message)));
        }
        self.rows.people.untied = untied;
        self.rows.people.untied_after = untied_after;
        let persons = self.rows.people.untied.values().filter_map(|message| message.recipient);
        for person in persons.map(|to| to.person).collect::<BTreeSet<_>>() {
            let tied = self.source.tied(self.account, person)?;
            self.rows.people.tied.extend(tied.map(|tied| (person, tied)));
        }
        Ok(())
    }

    fn end(mut self, touched: &AffectedKeys) -> Result<Rows, S::Error> {
        self.add_untied()?;
        let rows = &mut self.rows;
        let held = rows.messages.values().filter_map(|message| message.parked_evidence.as_deref());
        let waiting = rows.parked.iter().chain(held).map(|parked| &parked.evidence);
        let all = waiting.chain(self.evidence.map(|(evidence, _)| evidence));
        let senders = all.filter_map(|evidence| evidence.target.sender()?.address.clone());
        let senders: BTreeSet<String> = senders.chain(touched.sender.clone()).collect();
        let mut services = BTreeMap::new();
        for sender in senders {
            if let Some(service) = self.source.service_of(self.account, &sender)? {
                services.insert(sender, service);
            }
        }
        rows.services = services;
        Ok(self.rows)
    }
}

fn keys_of(message: &Message) -> Vec<WaitsFor> {
    let reference = message.reference.clone();
    let reference = reference.map(|name| WaitsFor::Reference(message.account, name));
    let names = message.names().map(WaitsFor::Person);
    [Some(WaitsFor::Message(message.sid)), reference].into_iter().flatten().chain(names).collect()
}
