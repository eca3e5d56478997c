//! Which rows a command needs: all that may be judged otherwise once it is carried out.
//!
//! New knowledge of a message concerns the evidence that waits for it, for its reference or for its person; that
//! evidence may be about other messages; and those may be confirmed by other evidence, as long as Twilio was not sent
//! anything of them. So the keys are followed until there are no more. Hardly any key has evidence, and a store knows
//! that without reading: [`Source::may_concern`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::Person;
use crate::domain::link::{Link, LinkId};
use crate::domain::matching::{AutomaticReplies, Parked, Policy, Rows, Touched, UNSAID_FOR};
use crate::domain::matching::{earlier, later};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::{Evidence, Named};

/// The most keys with evidence that one command follows. With more, nothing that was confirmed is judged anew.
const MAX_KEYS: usize = 64;

/// What evidence waits for, and is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// One message.
    Message(MessageSid),
    /// Messages that bear a reference.
    Reference(AccountSid, Reference),
    /// Messages to a person.
    Person(Person),
    /// The message that a click link is in.
    Link(LinkId),
}

impl WaitsFor {
    /// The key of a piece of evidence.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        match &evidence.named {
            Named::Message(sid) => Self::Message(*sid),
            Named::Reference(name) => Self::Reference(evidence.account, name.clone()),
            Named::Person { recipient, .. } | Named::Caller { recipient, .. } => {
                Self::Person(recipient.person)
            }
            Named::Link(id) => Self::Link(*id),
        }
    }
}

/// Where rows come from. The newest ones, where there are too many.
#[expect(clippy::missing_errors_doc, reason = "each of them fails where rows cannot be read")]
pub trait Source {
    /// Why rows cannot be read.
    type Error;
    /// A message.
    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Self::Error>;
    /// The messages to a person that were created in a span of time.
    fn sent_to(
        &self,
        person: Person,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Vec<Message>, Self::Error>;
    /// The messages of an account that bear a reference.
    fn bearing(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<Message>, Self::Error>;
    /// A click link that is still kept.
    fn link(&self, id: LinkId) -> Result<Option<Link>, Self::Error>;
    /// The click links made for a reference that are in no message yet.
    fn links_for(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<LinkId>, Self::Error>;
    /// The evidence that waits under a key.
    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Self::Error>;
    /// Whether evidence may wait under a key, or confirmed a message that Twilio was not sent anything of.
    fn may_concern(&self, key: &WaitsFor) -> bool;
    /// The messages that hold such evidence. It may name some that hold other evidence.
    fn holding(&self, key: &WaitsFor) -> Vec<MessageSid>;
    /// The Messaging Service that an account's sender is known to belong to.
    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Self::Error>;
    /// Whether and when texts of a person were automatic.
    fn automatic(&self, person: Person) -> Result<Option<AutomaticReplies>, Self::Error>;
}

/// Loads the rows of a command: what it touches, and its new evidence if there is any. `typed` says whether that
/// holds a code.
///
/// # Errors
/// Rows cannot be read.
pub fn gather<S: Source>(
    source: &S,
    account: AccountSid,
    touched: &Touched,
    new: Option<(&Evidence, bool)>,
    (policy, now): (&Policy, Timestamp),
) -> Result<Rows, S::Error> {
    let mut loading = Loading {
        source,
        account,
        policy,
        now,
        rows: Rows::default(),
        pending: Vec::new(),
        done: BTreeSet::new(),
        concerned: 0,
        evidence: new,
        reaches: BTreeSet::new(),
        names: BTreeSet::new(),
        bearing: BTreeSet::new(),
    };
    loading.start(touched)?;
    loop {
        while let Some(key) = loading.pending.pop() {
            loading.follow(&key)?;
        }
        // A confirmation is noted on the others under its reference, however old they are and whoever got them.
        if !loading.add_siblings()? {
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
    /// How many of them may have evidence.
    concerned: usize,
    /// The new evidence, and whether it holds a code.
    evidence: Option<(&'a Evidence, bool)>,
    /// The keys that the new evidence is about, whether or not other evidence waits there.
    reaches: BTreeSet<WaitsFor>,
    /// The references of what is at hand.
    names: BTreeSet<Reference>,
    /// Those whose messages are at hand.
    bearing: BTreeSet<Reference>,
}

impl<S: Source> Loading<'_, S> {
    fn start(&mut self, touched: &Touched) -> Result<(), S::Error> {
        let mut keys = Vec::new();
        keys.extend(touched.sid.map(WaitsFor::Message));
        let reference = touched.reference.clone();
        keys.extend(reference.map(|name| WaitsFor::Reference(self.account, name)));
        keys.extend(touched.persons.iter().copied().map(WaitsFor::Person));
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

    /// Notes what new evidence is about.
    fn reach(&mut self, evidence: &Evidence) -> Result<(), S::Error> {
        let key = WaitsFor::of(evidence);
        if let WaitsFor::Message(sid) = &key {
            let known = self.source.message(*sid)?;
            let known = known.filter(|message| message.account == self.account);
            // A code that is another message's is looked for among those.
            if let Some(message) = &known {
                self.reaches.extend(keys_of(message));
            }
            self.add(known);
        }
        if let WaitsFor::Link(id) = &key
            && let Some(link) = self.source.link(*id)?
        {
            match link.names(*id) {
                Named::Message(sid) => {
                    let known = self.source.message(sid)?;
                    self.add(known);
                    self.pending.push(WaitsFor::Message(sid));
                }
                Named::Reference(name) => {
                    let key = WaitsFor::Reference(self.account, name);
                    self.reaches.insert(key.clone());
                    self.pending.push(key);
                }
                Named::Person { .. } | Named::Caller { .. } | Named::Link(_) => {}
            }
        }
        if let Named::Caller { whatsapp, .. } = &evidence.named {
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
        let (is_reached, is_concerned) = (self.reaches.contains(key), self.source.may_concern(key));
        let mut parked = Vec::new();
        if is_concerned {
            self.concerned += 1;
            if self.concerned > MAX_KEYS {
                self.rows.is_cut = true;
                return Ok(());
            }
            parked = self.source.parked(key)?;
            // Another account's evidence for the same SID waits beside ours.
            parked.retain(|parked| parked.evidence.account == self.account);
            for sid in self.source.holding(key) {
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
            // Links are bound by the registration of a message with their reference, too.
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
                if is_concerned || is_reached {
                    let span = self.span(&parked);
                    for message in self.source.sent_to(*person, span)? {
                        self.add(Some(message));
                    }
                    let known = self.source.automatic(*person)?;
                    self.rows.automatic.extend(known.map(|known| (*person, known)));
                }
            }
        }
        for parked in parked {
            self.found(&parked.evidence);
            self.rows.parked.push(parked);
        }
        Ok(())
    }

    fn add_bearing(&mut self, account: AccountSid, name: &Reference) -> Result<(), S::Error> {
        if self.bearing.insert(name.clone()) {
            for message in self.source.bearing(account, name)? {
                self.add(Some(message));
            }
        }
        Ok(())
    }

    /// Adds the messages under the references of those at hand, if there is evidence to judge. Returns whether keys
    /// are left to follow.
    fn add_siblings(&mut self) -> Result<bool, S::Error> {
        let mut messages = self.rows.messages.values();
        let is_judging = self.evidence.is_some()
            || !self.rows.parked.is_empty()
            || messages.any(|message| message.held.is_some());
        if is_judging {
            for name in self.names.clone() {
                self.add_bearing(self.account, &name)?;
            }
        }
        Ok(!self.pending.is_empty())
    }

    /// Follows the keys of evidence that was found.
    fn found(&mut self, evidence: &Evidence) {
        self.pending.push(WaitsFor::of(evidence));
        if let Named::Caller { whatsapp, .. } = &evidence.named {
            let key = WaitsFor::Person(*whatsapp);
            self.reaches.insert(key.clone());
            self.done.remove(&key);
            self.pending.push(key);
        }
    }

    /// Takes in a message, and follows its keys.
    fn add(&mut self, message: Option<Message>) {
        let Some(message) = message else { return };
        if message.account == self.account && !self.rows.messages.contains_key(&message.sid) {
            self.pending.extend(keys_of(&message));
            if let Some(held) = &message.held {
                self.found(&held.evidence);
            }
        }
        self.rows.messages.insert(message.sid, message);
    }

    /// When the messages were created that evidence about a person may be about.
    fn span(&self, parked: &[Parked]) -> RangeInclusive<Timestamp> {
        let window = self.policy.longest_window();
        let new = self.evidence.map(|(evidence, typed)| {
            // A code is that of its message for as long as that is pending.
            let back = if typed { window.max(self.policy.pending_ttl) } else { window };
            (earlier(evidence.occurred_at, back), evidence.occurred_at)
        });
        let held = self.rows.messages.values().filter_map(|message| message.held.as_deref());
        let known = parked.iter().chain(held).map(|parked| {
            let at = parked.evidence.occurred_at;
            (earlier(at, window), at)
        });
        let all: Vec<_> = new.into_iter().chain(known).collect();
        let from = all.iter().map(|span| span.0).min().unwrap_or(self.now);
        let to = all.iter().map(|span| span.1).max().unwrap_or(self.now);
        from..=later(to, UNSAID_FOR)
    }

    fn end(mut self, touched: &Touched) -> Result<Rows, S::Error> {
        let rows = &mut self.rows;
        let held = rows.messages.values().filter_map(|message| message.held.as_deref());
        let waiting = rows.parked.iter().chain(held).map(|parked| &parked.evidence);
        let all = waiting.chain(self.evidence.map(|(evidence, _)| evidence));
        let senders = all.filter_map(|evidence| evidence.named.sender()?.address.clone());
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
    let person = message.recipient.map(|to| WaitsFor::Person(to.person));
    [Some(WaitsFor::Message(message.sid)), reference, person].into_iter().flatten().collect()
}
