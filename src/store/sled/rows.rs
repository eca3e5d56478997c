//! Loading: the rows that a command touches, as the domain wants to see them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::address::Person;
use crate::domain::link::{Link, LinkId};
use crate::domain::matching::{Parked, Rows, Touched, earlier};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, ServiceSid};
use crate::domain::signal::{Evidence, Named};
use crate::store::sled::draft::{From, Pair};
use crate::store::sled::keys;
use crate::store::sled::ledger::{Fatal, Ledger};
use crate::store::sled::record::decode;

/// The most messages that are looked at for one reference or person: the newest ones.
pub(super) const MAX_RELATED: usize = 64;

impl Ledger {
    pub(super) fn rows(
        &self,
        account: AccountSid,
        message: Option<Message>,
        touched: &Touched,
        evidence: Option<&Evidence>,
        typed: bool,
    ) -> Result<Rows, Fatal> {
        let mut parked = Vec::new();
        if let Some(sid) = touched.sid {
            parked.extend(self.parked(&keys::parked_for_message(sid))?);
        }
        let links = self.links(account, touched)?;
        let of_link = touched.link.and_then(|id| links.get(&id)?.reference.as_ref());
        let reference = touched.reference.as_ref().or(of_link);
        if let Some(reference) = reference {
            parked.extend(self.parked(&keys::parked_for_reference(account, reference))?);
        }
        for person in &touched.persons {
            parked.extend(self.parked(&keys::parked_for_person(*person))?);
        }
        for id in links.keys() {
            parked.extend(self.parked(&keys::parked_for_link(*id))?);
        }
        // Another account's evidence for the same SID waits beside ours.
        parked.retain(|parked| parked.evidence.account == account);
        let all = || parked.iter().map(|parked| &parked.evidence).chain(evidence);
        let same_person = self.to_persons(&persons(touched, all()), all(), typed)?;
        let mut same_reference = Vec::new();
        if all().next().is_some() {
            // What is confirmed is noted on the others under its reference, however old they are and
            // whoever was sent them.
            let named = same_person.iter().filter(|message| message.account == account);
            let named = named.filter_map(|message| message.reference.as_ref());
            for reference in reference.into_iter().chain(named).collect::<BTreeSet<_>>() {
                same_reference.extend(self.bearing(account, reference, MAX_RELATED)?);
            }
        }
        let services = self.services(touched, all())?;
        Ok(Rows { message, seen: false, same_reference, same_person, links, parked, services })
    }

    fn links(
        &self,
        account: AccountSid,
        touched: &Touched,
    ) -> Result<BTreeMap<LinkId, Link>, Fatal> {
        let mut ids: Vec<LinkId> = touched.link.into_iter().collect();
        if let Some(reference) = &touched.reference {
            let index = keys::links_for(account, reference);
            for (key, _) in self.waiting(&index, From::End, MAX_RELATED)? {
                ids.extend(keys::read_link(&key));
            }
        }
        let mut links = BTreeMap::new();
        for id in ids {
            if let Some(link) = self.link(id)? {
                links.insert(id, link);
            }
        }
        Ok(links)
    }

    pub(super) fn bearing(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<Message>, Fatal> {
        let named = keys::reference(account, reference);
        let mut messages = Vec::new();
        for (key, _) in self.draft.beginning(&named, From::End, limit)? {
            if let Some(sid) = keys::read_named(&key) {
                messages.extend(self.message(sid)?);
            }
        }
        Ok(messages)
    }

    /// The messages to these persons, as far back as any of this evidence reaches.
    fn to_persons<'e>(
        &self,
        persons: &BTreeSet<Person>,
        evidence: impl Iterator<Item = &'e Evidence>,
        typed: bool,
    ) -> Result<Vec<Message>, Fatal> {
        let policy = &self.terms.policy;
        let windows: Vec<_> = evidence
            .filter(|evidence| {
                matches!(evidence.named, Named::Person { .. } | Named::Caller { .. })
            })
            .map(|evidence| {
                let (from, to) = policy.span(evidence.occurred_at).into_inner();
                // A code is that of its message for as long as that is pending.
                let from = if typed { from.min(earlier(to, policy.pending_ttl)) } else { from };
                (from, to)
            })
            .collect();
        let from = windows.iter().map(|window| window.0).min();
        let to = windows.iter().map(|window| window.1).max();
        let (Some(from), Some(to)) = (from, to) else { return Ok(Vec::new()) };
        let mut messages = Vec::new();
        for person in persons {
            for sid in self.index.to_person(*person, from, to, MAX_RELATED) {
                let message = self.message(sid)?;
                let is_theirs =
                    |message: &Message| message.recipient.is_some_and(|to| to.person == *person);
                messages.extend(message.filter(is_theirs));
            }
        }
        Ok(messages)
    }

    fn parked(&self, prefix: &[u8]) -> Result<Vec<Parked>, Fatal> {
        let mut parked = Vec::new();
        for (_, value) in self.waiting(prefix, From::Start, usize::MAX)? {
            parked.push(decode(&value)?);
        }
        Ok(parked)
    }

    /// What waits under a prefix: evidence, or links. Mostly there is nothing.
    fn waiting(&self, prefix: &[u8], from: From, limit: usize) -> Result<Vec<Pair>, Fatal> {
        if !self.sparse.may_hold(prefix) {
            return Ok(Vec::new());
        }
        Ok(self.draft.beginning(prefix, from, limit)?)
    }

    fn services<'e>(
        &self,
        touched: &Touched,
        evidence: impl Iterator<Item = &'e Evidence>,
    ) -> Result<BTreeMap<String, ServiceSid>, Fatal> {
        let turned_to = evidence.filter_map(|evidence| match &evidence.named {
            Named::Person { sender, .. } | Named::Caller { sender, .. } => sender.address.as_ref(),
            Named::Message(_) | Named::Reference(_) | Named::Link(_) => None,
        });
        let mut services = BTreeMap::new();
        for address in turned_to.chain(&touched.sender) {
            if let Some(value) = self.draft.get(&keys::sender(address))? {
                services.insert(address.clone(), decode(&value)?);
            }
        }
        Ok(services)
    }
}

/// Those touched, and with a caller who waits both that they may be: or what is known of the one would be
/// judged without the other.
fn persons<'e>(
    touched: &Touched,
    evidence: impl Iterator<Item = &'e Evidence>,
) -> BTreeSet<Person> {
    let mut persons: BTreeSet<Person> = touched.persons.iter().copied().collect();
    for one in evidence {
        if let Named::Caller { recipient, whatsapp, .. } = &one.named {
            persons.extend([recipient.person, *whatsapp]);
        }
    }
    persons
}
