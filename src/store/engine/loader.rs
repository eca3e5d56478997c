//! Loads the rows of a judgement ([`gather`]) from a backend, within limits and lifetimes.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{NameKind, RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{
    AffectedKeys, AutomaticSpan, Newest, Parked, RowSource, Rows, WaitsFor, gather,
};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::Evidence;
use crate::store::engine::backend::{Backend, RecipientKey};
use crate::store::engine::list::live_link;

/// The most messages that are read for one reference or person: the newest ones.
pub const MAX_RELATED: usize = 64;
/// The most messages to user ids, or to numbers on WhatsApp, that are read for one piece of evidence. They are read for a
/// person who is known by one kind of name only, the newest messages first.
const MAX_UNTIED: usize = 256;

/// Reads rows from a backend for a judgement.
pub(crate) struct Loader<'a, B>(pub(crate) &'a B);

impl<B: Backend> Loader<'_, B> {
    /// The rows of a command. `new`: its evidence, and whether that contains a code.
    pub(crate) fn rows(
        &self,
        account: AccountSid,
        keys: &AffectedKeys,
        new: Option<(&Evidence, bool)>,
    ) -> Result<Rows, B::Error> {
        gather(self, account, keys, new, (&self.0.config().policy, self.0.now()))
    }

    /// The newest messages with a reference.
    pub(crate) fn messages_with_reference(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<Message>, B::Error> {
        let sids = self.0.sids_with_reference(account, reference, limit)?;
        sids.into_iter().filter_map(|sid| self.0.message(sid).transpose()).collect()
    }

    /// The newest messages of a group that really belong to it.
    fn newest_to(
        &self,
        group: RecipientKey,
        span: RangeInclusive<Timestamp>,
        limit: usize,
        belongs: impl Fn(&Message) -> bool,
    ) -> Result<Newest, B::Error> {
        let mut sids = self.0.sids_to(group, span, limit + 1)?;
        let is_cut = sids.len() > limit;
        sids.truncate(limit);
        let mut messages = Vec::with_capacity(sids.len());
        for sid in sids {
            messages.extend(self.0.message(sid)?.filter(&belongs));
        }
        Ok(Newest { messages, is_cut })
    }
}

impl<B: Backend> RowSource for Loader<'_, B> {
    type Error = B::Error;

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, B::Error> {
        self.0.message(sid)
    }

    fn sent_to(
        &self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, B::Error> {
        let group = RecipientKey::Person(person);
        self.newest_to(group, span, MAX_RELATED, |message| message.is_to(person))
    }

    fn bearing(&self, account: AccountSid, reference: &Reference) -> Result<Newest, B::Error> {
        let mut messages = self.messages_with_reference(account, reference, MAX_RELATED + 1)?;
        let is_cut = messages.len() > MAX_RELATED;
        messages.truncate(MAX_RELATED);
        Ok(Newest { messages, is_cut })
    }

    fn link(&self, id: LinkId) -> Result<Option<Link>, B::Error> {
        let link = self.0.link(id)?;
        Ok(link.and_then(|link| live_link(link, &self.0.config().policy, self.0.trusted())))
    }

    fn links_for(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<LinkId>, B::Error> {
        self.0.unbound_links(account, reference, MAX_RELATED)
    }

    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, B::Error> {
        self.0.parked(key)
    }

    fn may_concern(&self, key: &WaitsFor) -> Result<bool, B::Error> {
        self.0.may_have_evidence(key)
    }

    fn holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, B::Error> {
        self.0.sids_holding(key)
    }

    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, B::Error> {
        self.0.service_of(account, sender)
    }

    fn tied(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, B::Error> {
        let tied = self.0.tied_names(account, person)?;
        Ok(tied.filter(|tied| tied.until() > self.0.trusted()))
    }

    fn sent_to_kind(
        &self,
        account: AccountSid,
        kind: NameKind,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, B::Error> {
        self.newest_to(RecipientKey::Untied(account, kind), span, MAX_UNTIED, |message| {
            let is_of_kind = message.recipient.is_some_and(|to| to.kind == kind);
            message.account == account && message.alias.is_none() && is_of_kind
        })
    }

    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, B::Error> {
        self.0.automatic(person)
    }
}
