//! The rows of one transaction: what was loaded, what is missing, and what the commands changed.
//!
//! The engine reads synchronously. A read of a row that is not loaded returns an empty result and notes the row as
//! missing. Then the outcome is discarded, the missing rows are loaded, and the command runs again.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::domain::address::{RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{AutomaticSpan, Parked, WaitsFor};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::DedupKey;
use crate::store::engine::{
    AccountUse, Backend, DueKind, EngineConfig, Mutation, ParkedRows, RecipientKey, SpaceFor,
};
use crate::store::postgres::keys::{ParkedKey, belongs};
use crate::store::{RecordCounts, StoreError};

/// A read that the database has to answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    Message(MessageSid),
    /// The newest messages of a group that were created in a span of time, at most so many.
    To(RecipientKey, Timestamp, Timestamp, usize),
    Reference(AccountSid, Reference, usize),
    Link(LinkId),
    UnboundLinks(AccountSid, Reference, usize),
    /// Evidence parked under a key, and the messages that hold evidence with this key.
    Evidence(WaitsFor),
    Counted(DedupKey),
    Sender(AccountSid, String),
    Names(AccountSid, RecipientHash),
    Automatic(RecipientHash),
    ParkedRows,
    Holds,
    Evictable(Timestamp, usize),
    AccountsWithDue,
    /// The attempts under lease and the closures of an account at a time.
    AccountUse(AccountSid, Timestamp),
    DueAfter(AccountSid, DueKind, Timestamp, usize),
    LastDueBy(AccountSid, DueKind, Timestamp, usize),
}

/// The rows as they are in the database.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) reads: BTreeSet<Read>,
    /// Messages with their revision. `None`: no row.
    pub(super) messages: HashMap<MessageSid, Option<(Message, i64)>>,
    pub(super) to: BTreeMap<Read, Vec<MessageSid>>,
    pub(super) links: HashMap<LinkId, Link>,
    pub(super) unbound: BTreeMap<Read, Vec<LinkId>>,
    pub(super) parked: BTreeMap<ParkedKey, Parked>,
    /// The messages that hold evidence, by the key of the evidence.
    pub(super) holders: BTreeMap<WaitsFor, Vec<MessageSid>>,
    pub(super) counted: HashMap<DedupKey, Timestamp>,
    pub(super) senders: HashMap<(AccountSid, String), ServiceSid>,
    pub(super) names: HashMap<(AccountSid, RecipientHash), RecipientAliases>,
    pub(super) automatic: HashMap<RecipientHash, AutomaticSpan>,
    pub(super) parked_rows: ParkedRows,
    pub(super) evictable: Vec<MessageSid>,
    pub(super) accounts_with_due: Vec<AccountSid>,
    pub(super) account_use: HashMap<AccountSid, AccountUse>,
    pub(super) due: BTreeMap<Read, Vec<(Timestamp, MessageSid)>>,
    pub(super) holds: BTreeMap<AccountSid, Timestamp>,
    pub(super) counts: RecordCounts,
    /// Due messages that another receiver claims at the moment.
    pub(super) claimed_elsewhere: BTreeSet<MessageSid>,
}

impl Loaded {
    /// Forgets the due messages, so that they are loaded again without those of other receivers.
    pub(super) fn forget_due(&mut self) {
        self.due.clear();
        self.reads.retain(|read| !matches!(read, Read::DueAfter(..) | Read::LastDueBy(..)));
    }
}

/// The rows as the commands changed them. `None`: removed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) messages: BTreeMap<MessageSid, Option<Message>>,
    pub(super) parked: BTreeMap<ParkedKey, Option<Parked>>,
    pub(super) links: BTreeMap<LinkId, Option<Link>>,
    pub(super) counted: BTreeMap<DedupKey, Option<Timestamp>>,
    pub(super) senders: BTreeMap<(AccountSid, String), ServiceSid>,
    pub(super) names: BTreeMap<(AccountSid, RecipientHash), Option<RecipientAliases>>,
    pub(super) automatic: BTreeMap<RecipientHash, Option<AutomaticSpan>>,
    pub(super) holds: BTreeMap<AccountSid, Option<Timestamp>>,
    /// Candidates for eviction that stay until a time, or until another message changes.
    pub(super) postponed: BTreeMap<MessageSid, (Timestamp, MessageSid)>,
    pub(super) parked_rows: Option<ParkedRows>,
    pub(super) all_holds: Option<BTreeMap<AccountSid, Timestamp>>,
    /// The mutations in order, for counts and statistics.
    pub(super) mutations: Vec<Mutation>,
}

impl Changed {
    pub(super) fn is_empty(&self) -> bool {
        self.mutations.is_empty() && self.postponed.is_empty()
    }
}

pub(super) struct RowCache {
    pub(super) config: EngineConfig,
    /// The database's time.
    pub(super) now: Timestamp,
    pub(super) loaded: Loaded,
    pub(super) changed: Changed,
    pub(super) counts: RecordCounts,
    pub(super) missing: RefCell<BTreeSet<Read>>,
    /// Whether a command of a group saw too few candidates for eviction, because earlier commands took them.
    pub(super) lacks_candidates: Cell<bool>,
    pub(super) next_lease: u64,
}

impl RowCache {
    /// A cache without rows.
    pub(super) fn new(
        config: EngineConfig,
        now: Timestamp,
        counts: RecordCounts,
        next_lease: u64,
    ) -> Self {
        Self {
            config,
            now,
            loaded: Loaded { counts, ..Loaded::default() },
            changed: Changed::default(),
            counts,
            missing: RefCell::default(),
            lacks_candidates: Cell::default(),
            next_lease,
        }
    }

    /// Discards the changes of a run that missed rows.
    pub(super) fn discard_changes(&mut self) {
        self.changed = Changed::default();
        self.counts = self.loaded.counts;
    }

    /// Keeps only the first mutations: a refused command leaves no change of its own. The candidates for eviction that stay
    /// are kept, so that they are not judged again for each message that a full store refuses.
    pub(super) fn keep_mutations(&mut self, kept: usize) {
        if self.changed.mutations.len() == kept {
            return;
        }
        let Changed { mutations, postponed, .. } = std::mem::take(&mut self.changed);
        self.discard_changes();
        for mutation in mutations.into_iter().take(kept) {
            let Ok(()) = self.apply(mutation);
        }
        self.changed.postponed = postponed;
    }

    /// Whether the database has answered a read. Otherwise it is missing.
    fn has(&self, read: Read) -> bool {
        let has = self.loaded.reads.contains(&read);
        if !has {
            self.missing.borrow_mut().insert(read);
        }
        has
    }

    fn current(&self, sid: MessageSid) -> Option<&Message> {
        match self.changed.messages.get(&sid) {
            Some(changed) => changed.as_ref(),
            None => self.loaded.messages.get(&sid)?.as_ref().map(|(message, _)| message),
        }
    }

    /// A list of messages of the database, with the changes of this transaction.
    fn with_changes(
        &self,
        loaded: &[MessageSid],
        limit: usize,
        belongs: impl Fn(&Message) -> bool,
    ) -> Vec<MessageSid> {
        let kept = loaded.iter().filter(|sid| !self.changed.messages.contains_key(*sid));
        let mut sids: Vec<MessageSid> = kept.copied().collect();
        let changed = self.changed.messages.values().flatten().filter(|message| belongs(message));
        sids.extend(changed.map(|message| message.sid));
        sids.sort_by_key(|sid| {
            let created_at =
                self.current(*sid).map_or(Timestamp::MIN, |message| message.created_at);
            Reverse((created_at, *sid))
        });
        sids.truncate(limit);
        sids
    }
}

impl Backend for RowCache {
    type Error = Infallible;

    fn config(&self) -> &EngineConfig {
        &self.config
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn trusted(&self) -> Timestamp {
        self.now
    }

    fn supported(&self) -> Timestamp {
        self.now
    }

    fn removal(&self) -> Timestamp {
        self.now
    }

    fn counts(&self) -> &RecordCounts {
        &self.counts
    }

    fn parked_rows(&self) -> &ParkedRows {
        self.has(Read::ParkedRows);
        self.changed.parked_rows.as_ref().unwrap_or(&self.loaded.parked_rows)
    }

    fn holds(&self) -> &BTreeMap<AccountSid, Timestamp> {
        self.has(Read::Holds);
        self.changed.all_holds.as_ref().unwrap_or(&self.loaded.holds)
    }

    /// The database server watches its own disk.
    fn check_space(&self, _: SpaceFor) -> Result<(), StoreError> {
        Ok(())
    }

    fn next_lease(&mut self) -> u64 {
        let token = self.next_lease;
        self.next_lease = token.wrapping_add(1);
        token
    }

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Infallible> {
        if !self.changed.messages.contains_key(&sid) && !self.loaded.messages.contains_key(&sid) {
            self.has(Read::Message(sid));
        }
        Ok(self.current(sid).cloned())
    }

    fn sids_to(
        &self,
        group: RecipientKey,
        span: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Infallible> {
        let read = Read::To(group, *span.start(), *span.end(), limit);
        self.has(read.clone());
        let loaded = self.loaded.to.get(&read).map(Vec::as_slice).unwrap_or_default();
        Ok(self.with_changes(loaded, limit, |message| {
            belongs(message, group) && span.contains(&message.created_at)
        }))
    }

    fn sids_with_reference(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Infallible> {
        let read = Read::Reference(account, reference.clone(), limit);
        self.has(read.clone());
        let loaded = self.loaded.to.get(&read).map(Vec::as_slice).unwrap_or_default();
        Ok(self.with_changes(loaded, limit, |message| {
            message.account == account && message.reference.as_ref() == Some(reference)
        }))
    }

    fn link(&self, id: LinkId) -> Result<Option<Link>, Infallible> {
        if let Some(changed) = self.changed.links.get(&id) {
            return Ok(changed.clone());
        }
        self.has(Read::Link(id));
        Ok(self.loaded.links.get(&id).cloned())
    }

    fn unbound_links(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<LinkId>, Infallible> {
        let read = Read::UnboundLinks(account, reference.clone(), limit);
        self.has(read.clone());
        let loaded = self.loaded.unbound.get(&read).map(Vec::as_slice).unwrap_or_default();
        let kept = loaded.iter().filter(|id| !self.changed.links.contains_key(*id)).copied();
        let is_unbound = |link: &Link| {
            link.message.is_none()
                && link.account == account
                && link.reference.as_ref() == Some(reference)
        };
        let changed = self.changed.links.iter();
        let changed = changed.filter(|(_, link)| link.as_ref().is_some_and(is_unbound));
        let mut ids: Vec<LinkId> = kept.chain(changed.map(|(id, _)| *id)).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.truncate(limit);
        Ok(ids)
    }

    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Infallible> {
        self.has(Read::Evidence(key.clone()));
        let mut rows: BTreeMap<&ParkedKey, Option<&Parked>> = BTreeMap::new();
        let loaded = self.loaded.parked.range(ParkedKey::first(key)..);
        let loaded = loaded.take_while(|(row, _)| row.waits_for == *key);
        rows.extend(loaded.map(|(row, parked)| (row, Some(parked))));
        let changed = self.changed.parked.range(ParkedKey::first(key)..);
        let changed = changed.take_while(|(row, _)| row.waits_for == *key);
        rows.extend(changed.map(|(row, parked)| (row, parked.as_ref())));
        Ok(rows.into_values().flatten().cloned().collect())
    }

    fn parked_row(&self, parked: &Parked) -> Result<Option<Parked>, Infallible> {
        let key = ParkedKey::of(parked);
        if let Some(changed) = self.changed.parked.get(&key) {
            return Ok(changed.clone());
        }
        self.has(Read::Evidence(key.waits_for.clone()));
        Ok(self.loaded.parked.get(&key).cloned())
    }

    fn may_have_evidence(&self, key: &WaitsFor) -> Result<bool, Infallible> {
        Ok(!self.parked(key)?.is_empty() || !self.sids_holding(key)?.is_empty())
    }

    fn sids_holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, Infallible> {
        self.has(Read::Evidence(key.clone()));
        let loaded = self.loaded.holders.get(key).map(Vec::as_slice).unwrap_or_default();
        let holds = |message: &Message| WaitsFor::of_message(message).as_ref() == Some(key);
        Ok(self.with_changes(loaded, usize::MAX, holds))
    }

    fn counted_at(&self, key: &DedupKey) -> Result<Option<Timestamp>, Infallible> {
        if let Some(changed) = self.changed.counted.get(key) {
            return Ok(*changed);
        }
        self.has(Read::Counted(*key));
        Ok(self.loaded.counted.get(key).copied())
    }

    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Infallible> {
        let key = (account, sender.to_owned());
        if let Some(changed) = self.changed.senders.get(&key) {
            return Ok(Some(*changed));
        }
        self.has(Read::Sender(account, sender.to_owned()));
        Ok(self.loaded.senders.get(&key).copied())
    }

    fn tied_names(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, Infallible> {
        if let Some(changed) = self.changed.names.get(&(account, person)) {
            return Ok(changed.clone());
        }
        self.has(Read::Names(account, person));
        Ok(self.loaded.names.get(&(account, person)).cloned())
    }

    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, Infallible> {
        if let Some(changed) = self.changed.automatic.get(&person) {
            return Ok(*changed);
        }
        self.has(Read::Automatic(person));
        Ok(self.loaded.automatic.get(&person).copied())
    }

    fn accounts_with_due(&self) -> Result<Vec<AccountSid>, Infallible> {
        self.has(Read::AccountsWithDue);
        Ok(self.loaded.accounts_with_due.clone())
    }

    fn account_use(
        &self,
        account: AccountSid,
        now: Timestamp,
    ) -> Result<Option<AccountUse>, Infallible> {
        self.has(Read::AccountUse(account, now));
        Ok(Some(self.loaded.account_use.get(&account).copied().unwrap_or_default()))
    }

    fn due_after(
        &self,
        account: AccountSid,
        kind: DueKind,
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Infallible> {
        let read = Read::DueAfter(account, kind, after, limit);
        self.has(read.clone());
        Ok(self.loaded.due.get(&read).cloned().unwrap_or_default())
    }

    fn last_due_by(
        &self,
        account: AccountSid,
        kind: DueKind,
        by: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Infallible> {
        let read = Read::LastDueBy(account, kind, by, limit);
        self.has(read.clone());
        Ok(self.loaded.due.get(&read).cloned().unwrap_or_default())
    }

    fn evictable(&self, by: Timestamp, limit: usize) -> Result<Vec<MessageSid>, Infallible> {
        self.has(Read::Evictable(by, limit));
        let is_taken = |sid: &MessageSid| {
            self.changed.postponed.contains_key(sid)
                || matches!(self.changed.messages.get(sid), Some(None))
        };
        let loaded = &self.loaded.evictable;
        let left: Vec<MessageSid> = loaded.iter().filter(|sid| !is_taken(sid)).copied().collect();
        // Only the database knows the candidates after these.
        let is_cut = loaded.len() >= limit && left.len() < loaded.len();
        self.lacks_candidates.set(self.lacks_candidates.get() || is_cut);
        Ok(left)
    }

    fn postpone_eviction(&mut self, message: &Message, until: Timestamp, blocker: MessageSid) {
        self.changed.postponed.insert(message.sid, (until, blocker));
    }

    fn apply(&mut self, mutation: Mutation) -> Result<(), Infallible> {
        mutation.count(&mut self.counts);
        let changed = &mut self.changed;
        for (before, after) in &mutation.messages {
            if let Some(message) = after.as_ref().or(before.as_ref()) {
                changed.messages.insert(message.sid, after.clone());
                changed.postponed.retain(|_, (_, blocker)| *blocker != message.sid);
            }
        }
        if !mutation.parked.is_empty() {
            let rows = changed.parked_rows.get_or_insert_with(|| self.loaded.parked_rows.clone());
            for (before, after) in &mutation.parked {
                if let Some(parked) = after.as_ref().or(before.as_ref()) {
                    changed.parked.insert(ParkedKey::of(parked), after.clone());
                }
            }
            rows.apply(&mutation);
        }
        for (id, (_, after)) in &mutation.links {
            changed.links.insert(*id, after.clone());
        }
        changed.counted.extend(mutation.dedup_keys.iter().copied());
        for (account, sender, service) in &mutation.senders {
            changed.senders.insert((*account, sender.clone()), *service);
        }
        for (account, person, tied) in &mutation.names {
            changed.names.insert((*account, *person), tied.clone());
        }
        changed.automatic.extend(mutation.automatic.iter().copied());
        if !mutation.holds.is_empty() {
            let mut all = changed.all_holds.take().unwrap_or_else(|| self.loaded.holds.clone());
            for (account, since) in &mutation.holds {
                changed.holds.insert(*account, *since);
                match since {
                    Some(since) => all.insert(*account, *since),
                    None => all.remove(account),
                };
            }
            changed.all_holds = Some(all);
        }
        changed.mutations.push(mutation);
        Ok(())
    }
}
