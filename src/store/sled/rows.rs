//! Loading: the rows that a command touches, as the domain wants to see them.

use std::collections::BTreeMap;

use crate::domain::matching::{Parked, Rows, Touched};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, ServiceSid};
use crate::domain::signal::{Evidence, Named};
use crate::store::sled::keys;
use crate::store::sled::ledger::{Fatal, Ledger};
use crate::store::sled::record::decode;

/// The most messages that are looked at for one reference or person: the newest ones.
const MAX_RELATED: usize = 64;

impl Ledger {
    pub(super) fn rows(
        &self,
        account: AccountSid,
        message: Option<Message>,
        touched: &Touched,
        evidence: Option<&Evidence>,
    ) -> Result<Rows, Fatal> {
        let mut parked = Vec::new();
        if let Some(sid) = touched.sid {
            parked.extend(self.parked(&keys::parked_for_message(sid))?);
        }
        if let Some(reference) = &touched.reference {
            parked.extend(self.parked(&keys::parked_for_reference(account, reference))?);
        }
        if let Some(person) = touched.person {
            parked.extend(self.parked(&keys::parked_for_person(person))?);
        }
        let all = || parked.iter().map(|parked| &parked.evidence).chain(evidence);
        let named = |evidence: &&Evidence| matches!(evidence.named, Named::Reference(_));
        let same_reference = match &touched.reference {
            Some(reference) if all().any(|one| named(&one)) => self.bearing(account, reference)?,
            Some(_) | None => Vec::new(),
        };
        let same_person = self.to_person(touched, all())?;
        let services = self.services(touched, all())?;
        Ok(Rows { message, seen: false, same_reference, same_person, parked, services })
    }

    fn bearing(&self, account: AccountSid, reference: &Reference) -> Result<Vec<Message>, Fatal> {
        let index = self.tree.scan_prefix(keys::reference(account, reference));
        self.indexed(index.rev().take(MAX_RELATED))
    }

    /// The messages to the person, as far back as any of this evidence reaches.
    fn to_person<'e>(
        &self,
        touched: &Touched,
        evidence: impl Iterator<Item = &'e Evidence>,
    ) -> Result<Vec<Message>, Fatal> {
        let windows: Vec<_> = evidence
            .filter(|evidence| matches!(evidence.named, Named::Person { .. }))
            .map(|evidence| self.terms.policy.span(evidence.occurred_at).into_inner())
            .collect();
        let from = windows.iter().map(|window| window.0).min();
        let to = windows.iter().map(|window| window.1).max();
        let (Some(person), Some(from), Some(to)) = (touched.person, from, to) else {
            return Ok(Vec::new());
        };
        let mut end = keys::created(keys::person(person), to);
        end.push(u8::MAX);
        let index = self.tree.range(keys::created(keys::person(person), from)..end);
        self.indexed(index.rev().take(MAX_RELATED))
    }

    fn indexed(
        &self,
        index: impl Iterator<Item = ::sled::Result<(::sled::IVec, ::sled::IVec)>>,
    ) -> Result<Vec<Message>, Fatal> {
        let mut messages = Vec::new();
        for entry in index {
            if let Some(sid) = keys::read_indexed(&entry?.0) {
                messages.extend(self.message(sid)?);
            }
        }
        Ok(messages)
    }

    fn parked(&self, prefix: &[u8]) -> Result<Vec<Parked>, Fatal> {
        let mut parked = Vec::new();
        for entry in self.tree.scan_prefix(prefix) {
            parked.push(decode(&entry?.1)?);
        }
        Ok(parked)
    }

    fn services<'e>(
        &self,
        touched: &Touched,
        evidence: impl Iterator<Item = &'e Evidence>,
    ) -> Result<BTreeMap<String, ServiceSid>, Fatal> {
        let turned_to = evidence.filter_map(|evidence| match &evidence.named {
            Named::Person { sender, .. } => sender.address.as_ref(),
            Named::Message(_) | Named::Reference(_) => None,
        });
        let mut services = BTreeMap::new();
        for address in turned_to.chain(&touched.sender) {
            if let Some(value) = self.tree.get(keys::sender(address))? {
                services.insert(address.clone(), decode(&value)?);
            }
        }
        Ok(services)
    }
}
