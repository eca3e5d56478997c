//! Loading: the rows that a command touches, as [`gather`] asks for them.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{NameKind, RecipientHash, TiedNames};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{
    AffectedKeys, AutomaticReplies, Newest, Parked, RowSource, Rows, WaitsFor, gather,
};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::Evidence;
use crate::store::sled::index::untied;
use crate::store::sled::keys;
use crate::store::sled::record::decode;
use crate::store::sled::writer::engine::{Engine, Fatal};
use crate::store::sled::writer::overlay::{KeyValue, RangeEnd};

/// The most messages that are looked at for one reference or person: the newest ones.
pub(crate) const MAX_RELATED: usize = 64;
/// The most messages to user ids, or to numbers on WhatsApp, that are read for one piece of evidence. It is read for a
/// person who is known by one kind of name only, the newest messages first.
const MAX_UNTIED: usize = 256;

impl Engine {
    /// The rows of a command. `new`: its evidence, and whether that holds a code.
    pub(crate) fn rows(
        &self,
        account: AccountSid,
        touched: &AffectedKeys,
        new: Option<(&Evidence, bool)>,
    ) -> Result<Rows, Fatal> {
        gather(self, account, touched, new, (&self.terms.policy, self.now()))
    }

    pub(crate) fn messages_with_reference(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<Message>, Fatal> {
        let named = keys::reference(account, reference);
        let mut messages = Vec::new();
        for (key, _) in self.draft.beginning(&named, RangeEnd::End, limit)? {
            if let Some(sid) = keys::read_named(&key) {
                messages.extend(self.message(sid)?);
            }
        }
        Ok(messages)
    }

    /// The newest messages under a person's entries in the index, as far as they fit.
    fn newest_to(
        &self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
        limit: usize,
        fits: impl Fn(&Message) -> bool,
    ) -> Result<Newest, Fatal> {
        let mut found = self.index.to_person(person, *span.start(), *span.end(), limit + 1);
        let mut messages = Vec::new();
        for sid in found.by_ref().take(limit) {
            messages.extend(self.message(sid)?.filter(&fits));
        }
        Ok(Newest { messages, is_cut: found.next().is_some() })
    }

    /// Parked evidence or links under a prefix. Mostly there is nothing.
    fn waiting(&self, prefix: &[u8], from: RangeEnd, limit: usize) -> Result<Vec<KeyValue>, Fatal> {
        if !self.sparse.may_hold(prefix) {
            return Ok(Vec::new());
        }
        Ok(self.draft.beginning(prefix, from, limit)?)
    }
}

impl RowSource for Engine {
    type Error = Fatal;

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Fatal> {
        self.message(sid)
    }

    fn sent_to(
        &self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Fatal> {
        self.newest_to(person, span, MAX_RELATED, |message| message.is_to(person))
    }

    fn bearing(&self, account: AccountSid, reference: &Reference) -> Result<Newest, Fatal> {
        let mut messages = self.messages_with_reference(account, reference, MAX_RELATED + 1)?;
        let is_cut = messages.len() > MAX_RELATED;
        messages.truncate(MAX_RELATED);
        Ok(Newest { messages, is_cut })
    }

    fn link(&self, id: LinkId) -> Result<Option<Link>, Fatal> {
        self.link(id)
    }

    fn links_for(&self, account: AccountSid, reference: &Reference) -> Result<Vec<LinkId>, Fatal> {
        let found =
            self.waiting(&keys::links_for(account, reference), RangeEnd::End, MAX_RELATED)?;
        Ok(found.iter().filter_map(|(key, _)| keys::read_link(key)).collect())
    }

    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Fatal> {
        let found = self.waiting(&keys::parked_for(key), RangeEnd::Start, usize::MAX)?;
        found.iter().map(|(_, value)| Ok(decode(value)?)).collect()
    }

    fn may_concern(&self, key: &WaitsFor) -> bool {
        let prefix = keys::parked_for(key);
        self.sparse.may_hold(&prefix) || self.held.may_have(&prefix)
    }

    fn holding(&self, key: &WaitsFor) -> Vec<MessageSid> {
        self.held.under(&keys::parked_for(key))
    }

    fn service_of(&self, account: AccountSid, sender: &str) -> Result<Option<ServiceSid>, Fatal> {
        let value = self.draft.get(&keys::sender(account, sender))?;
        Ok(value.map(|value| decode(&value)).transpose()?)
    }

    fn tied(&self, account: AccountSid, person: RecipientHash) -> Result<Option<TiedNames>, Fatal> {
        self.tied(account, person)
    }

    fn sent_to_kind(
        &self,
        account: AccountSid,
        kind: NameKind,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Fatal> {
        let Some(untied) = untied(account, kind) else { return Ok(Newest::default()) };
        self.newest_to(untied, span, MAX_UNTIED, |message| {
            let is_of_kind = message.recipient.is_some_and(|to| to.kind == kind);
            message.account == account && message.alias.is_none() && is_of_kind
        })
    }

    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticReplies>, Fatal> {
        let value = self.draft.get(&keys::automatic(person))?;
        Ok(value.map(|value| decode(&value)).transpose()?)
    }
}
