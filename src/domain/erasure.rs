//! Erasure: selects all records of a store that concern one person.
//!
//! These are their messages in any state, the click links of these, and the evidence parked for these or for the person.
//! The references of these messages, which are personal, are removed from all other messages too: evidence with such a
//! reference could mean an erased message, and must not confirm another. A store passes its groups of names first, then
//! all messages, then all links, then all evidence.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::address::{Address, RecipientHash, RecipientHashKey};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::Parked;
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::EvidenceTarget;

/// The selection for the people at some addresses.
pub struct Erasure {
    key: RecipientHashKey,
    addresses: Vec<Address>,
    /// The hashes of those people in each account.
    people: BTreeMap<AccountSid, BTreeSet<RecipientHash>>,
    messages: BTreeSet<MessageSid>,
    references: BTreeSet<(AccountSid, Reference)>,
    links: BTreeSet<LinkId>,
}

impl Erasure {
    /// Selects the people at these addresses. A full number is one person, on WhatsApp and off it.
    pub fn of(addresses: Vec<Address>, key: RecipientHashKey) -> Self {
        Self {
            key,
            addresses,
            people: BTreeMap::new(),
            messages: BTreeSet::new(),
            references: BTreeSet::new(),
            links: BTreeSet::new(),
        }
    }

    /// Adds the other names of those people. Each group holds the names of one person in one account.
    pub fn add_names(&mut self, groups: &[(AccountSid, Vec<RecipientHash>)]) {
        // Two groups may share a name, so this repeats until no group adds one.
        let mut is_complete = false;
        while !is_complete {
            is_complete = true;
            for (account, names) in groups {
                let known = names.iter().filter(|name| self.is_one(*account, **name)).count();
                if known > 0 && known < names.len() {
                    self.people.entry(*account).or_default().extend(names);
                    is_complete = false;
                }
            }
        }
    }

    /// Whether a message went to one of them.
    pub fn takes_message(&mut self, message: &Message) -> bool {
        if !message.names().any(|name| self.is_one(message.account, name)) {
            return false;
        }
        self.messages.insert(message.sid);
        self.references.extend(message.reference.clone().map(|name| (message.account, name)));
        true
    }

    /// Whether a click link is in one of their messages, or was created for a future one.
    pub fn takes_link(&mut self, id: LinkId, link: &Link) -> bool {
        let takes = match link.message {
            Some(message) => self.messages.contains(&message),
            None => link.reference.as_ref().is_some_and(|name| self.is_named(link.account, name)),
        };
        if takes {
            self.links.insert(id);
        }
        takes
    }

    /// Whether evidence is about them, or about one of their messages.
    pub fn takes_evidence(&mut self, parked: &Parked) -> bool {
        let account = parked.evidence.account;
        match &parked.evidence.target {
            EvidenceTarget::Message(sid) => self.messages.contains(sid),
            EvidenceTarget::Reference(name) => self.is_named(account, name),
            EvidenceTarget::Person { recipient, .. } => self.is_one(account, recipient.person),
            EvidenceTarget::Caller { recipient, whatsapp, .. } => {
                self.is_one(account, recipient.person) || self.is_one(account, *whatsapp)
            }
            EvidenceTarget::Link(id) => self.links.contains(id),
        }
    }

    /// The references of their messages.
    pub fn references(&self) -> impl Iterator<Item = (AccountSid, &Reference)> {
        self.references.iter().map(|(account, name)| (*account, name))
    }

    /// Another person's message without such a reference; `None` if it has none.
    pub fn without_reference(&self, message: &Message) -> Option<Message> {
        let name = message.reference.as_ref()?;
        let bears = self.is_named(message.account, name);
        bears.then(|| Message {
            reference: None,
            parked_evidence: message
                .parked_evidence
                .clone()
                .filter(|kept| !self.names(kept, message)),
            superseded_by: message.superseded_by.filter(|sid| !self.messages.contains(sid)),
            ..message.clone()
        })
    }

    /// Whether the evidence that confirmed a message names one of their references.
    fn names(&self, kept: &Parked, message: &Message) -> bool {
        matches!(&kept.evidence.target, EvidenceTarget::Reference(name) if self.is_named(message.account, name))
    }

    fn is_named(&self, account: AccountSid, name: &Reference) -> bool {
        self.references.contains(&(account, name.clone()))
    }

    /// Whether the hash of that account stands for one of them.
    pub fn is_one(&mut self, account: AccountSid, person: RecipientHash) -> bool {
        let Self { key, addresses, people, .. } = self;
        let known = people.entry(account).or_insert_with(|| {
            let mut known = BTreeSet::new();
            for address in addresses.iter() {
                known.insert(key.recipient(account, address).person);
                if let Some((number, whatsapp)) = key.caller(account, address) {
                    known.extend([number.person, whatsapp]);
                }
            }
            known
        });
        known.contains(&person)
    }
}
