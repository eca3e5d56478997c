//! The rows of a sled store, as the writer thread reads and changes them.
//!
//! Only the writer thread uses it, so it needs no lock. A later command of a group sees the changes of an earlier one.
//! `writer` syncs the group.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::domain::address::{RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::clock::LastSeen;
use crate::domain::findings::MIN_FREE;
use crate::domain::matching::{AutomaticSpan, Parked, WaitsFor};
use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};
use crate::domain::signal::DedupKey;
use crate::domain::size::Size;
use crate::domain::stats::MessageStats;
use crate::domain::timestamp_serde::to_millisecond;
use crate::store::engine::{
    Backend, DueKind, EngineConfig, Mutation, ParkedRows, RecipientKey, SpaceFor,
};
use crate::store::sled::backup::tee::Tee;
use crate::store::sled::error::Fatal;
use crate::store::sled::hooks::FreeSpace;
use crate::store::sled::index::evidence_holders::{EvidenceHolders, held_by};
use crate::store::sled::index::presence_filter::PresenceFilter;
use crate::store::sled::index::{Index, IndexBuilder, IndexEntry, untied};
use crate::store::sled::integrity::scan::ScanResult;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;
use crate::store::sled::record::{decode, encode};
use crate::store::sled::rows::{counted_at, hold_since, parked_key, read_counted_at};
use crate::store::sled::writer::overlay::{KeyValue, Overlay, RangeEnd};
use crate::store::{ClockGuard, RecordCounts, StoreError};

/// Below this much free space nothing is posted either: each attempt is stored, too.
const MIN_FREE_TO_DELIVER: u64 = 64 << 20;

/// The trusted time is committed this often. Far below [`crate::domain::clock::MAX_JUMP`].
const LAST_SEEN_EVERY: Duration = Duration::from_mins(5);

/// The state of the writer thread. Every field includes the changes of the present group.
pub(crate) struct SledBackend {
    pub(crate) overlay: Overlay,
    pub(crate) config: EngineConfig,
    pub(crate) clock: Arc<ClockGuard>,
    pub(crate) free_space: FreeSpace,
    pub(crate) counts: RecordCounts,
    /// The checksum over all entries.
    pub(crate) seal: Seal,
    pub(crate) index: Index,
    pub(crate) holders: EvidenceHolders,
    pub(crate) parked: ParkedRows,
    pub(crate) stats: MessageStats,
    pub(crate) holds: BTreeMap<AccountSid, Timestamp>,
    pub(crate) presence: PresenceFilter,
    /// Entries written since the last sync.
    pub(crate) written: usize,
    /// Whether a further message may be due.
    pub(crate) has_new_due: bool,
    /// The state of the clock that the store holds.
    pub(crate) last_seen: Option<LastSeen>,
    /// Messages evicted since the last sweep.
    pub(crate) evicted: usize,
    /// The key at which the sweep continues.
    pub(crate) sweep_from: Vec<u8>,
    /// The token of the next lease.
    pub(crate) next_lease: u64,
    /// Gets every group while a backup is made.
    pub(crate) tee: Option<Tee>,
    /// The free space in this group: reading it costs as much as a read from sled.
    pub(crate) free: RefCell<Option<Result<u64, String>>>,
}

impl SledBackend {
    pub(crate) fn new(
        overlay: Overlay,
        config: EngineConfig,
        (clock, last_seen): (Arc<ClockGuard>, Option<LastSeen>),
        free_space: FreeSpace,
        scan: ScanResult,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the tokens of an earlier process must not match"
        )]
        let next_lease = getrandom::u64().unwrap_or_default();
        let (parked_fullest, parked_share) = scan.parked.fullest(config.max_parked);
        Self {
            overlay,
            config,
            clock,
            free_space,
            counts: RecordCounts { parked_fullest, parked_share, ..scan.counts },
            seal: scan.seal,
            index: scan.index.map(IndexBuilder::into_index).unwrap_or_default(),
            holders: scan.holders,
            parked: scan.parked,
            stats: scan.stats,
            holds: scan.holds,
            presence: scan.presence,
            written: 0,
            has_new_due: false,
            last_seen,
            evicted: 0,
            sweep_from: keys::SWEEP_FROM.to_vec(),
            next_lease,
            tee: None,
            free: RefCell::default(),
        }
    }

    /// Clears the values that were read for the group before.
    pub(crate) fn begin_group(&mut self) {
        self.free.get_mut().take();
        self.overlay.clear_cache();
    }

    /// Gives the group to sled, with its seal.
    pub(crate) fn write(&mut self) -> Result<(), Fatal> {
        self.seal.batches += 1;
        if let Some(at) = self.last_seen_is_stale() {
            self.overlay.set(keys::LAST_SEEN.to_vec(), Some(keys::last_seen(at)));
            self.last_seen = Some(at);
        }
        self.overlay.set(keys::SEAL.to_vec(), Some(self.seal.to_bytes().to_vec()));
        if let Some(tee) = &mut self.tee {
            tee.note(&self.overlay);
        }
        Ok(self.overlay.write()?)
    }

    /// The state of the clock to commit, if the one in the store is not recent enough to begin with after a restart.
    pub(crate) fn last_seen_is_stale(&self) -> Option<LastSeen> {
        let now = self.clock.last();
        let is_recent = |last: LastSeen| {
            now.at.duration_since(last.at).unsigned_abs() < LAST_SEEN_EVERY
                && now.unsupported.is_some() == last.unsupported.is_some()
        };
        (!self.last_seen.is_some_and(is_recent)).then_some(now)
    }

    /// Writes or removes one entry.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), Fatal> {
        self.written += 1;
        if key.first() != Some(&keys::META_PREFIX) {
            let prefix = keys::scan_prefix(&key);
            if let Some(old) = self.overlay.get(&key)? {
                self.seal.remove(&key, &old);
                prefix.inspect(|prefix| self.presence.remove(prefix));
            }
            if let Some(new) = &value {
                self.seal.insert(&key, new);
                prefix.inspect(|prefix| self.presence.insert(prefix));
            }
        }
        self.overlay.set(key, value);
        Ok(())
    }

    /// Gives every group from this one on to a backup as well.
    pub(crate) fn begin_backup(&mut self, tee: Tee) -> Result<(), StoreError> {
        if self.tee.as_ref().is_some_and(|tee| !tee.is_closed()) {
            let reason = "another backup is being made; wait for its end".to_owned();
            return Err(StoreError::Unavailable { reason, label: "backup" });
        }
        self.tee = Some(tee);
        Ok(())
    }

    /// Gives the group to the backup. Called after the sync, never before it.
    pub(crate) fn publish_to_backup(&mut self) {
        if let Some(mut tee) = self.tee.take()
            && tee.publish(self.seal)
        {
            self.tee = Some(tee);
        }
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Fatal> {
        Ok(self.overlay.get(key)?.map(|value| decode(&value)).transpose()?)
    }

    /// Parked evidence or links under a prefix. Mostly there is none.
    fn scan(&self, prefix: &[u8], from: RangeEnd, limit: usize) -> Result<Vec<KeyValue>, Fatal> {
        if !self.presence.may_contain(prefix) {
            return Ok(Vec::new());
        }
        Ok(self.overlay.scan_prefix(prefix, from, limit)?)
    }

    fn put_message(
        &mut self,
        before: Option<&Message>,
        after: Option<&Message>,
    ) -> Result<(), Fatal> {
        let entry = |message| IndexEntry::of(message, &self.config.policy);
        let (old, new) = (before.map(entry), after.map(entry));
        if old != new {
            if let Some(old) = &old {
                self.index.remove(old);
            }
            if let Some(new) = &new {
                self.index.insert(new);
                self.has_new_due |= new.due.is_some() && new.due != old.and_then(|old| old.due);
            }
        }
        let (old, new) = (before.and_then(held_by), after.and_then(held_by));
        if old != new {
            old.inspect(|entry| self.holders.remove(*entry));
            new.inspect(|entry| self.holders.insert(*entry));
        }
        let (old, new) =
            (before.and_then(keys::reference_entry), after.and_then(keys::reference_entry));
        if old != new {
            if let Some(key) = old {
                self.put(key, None)?;
            }
            if let Some(key) = new {
                self.put(key, Some(Vec::new()))?;
            }
        }
        match (before, after) {
            (_, Some(after)) => self.put(keys::message(after.sid), Some(encode(after)?)),
            (Some(before), None) => self.put(keys::message(before.sid), None),
            (None, None) => Ok(()),
        }
    }

    fn put_parked(&mut self, before: Option<&Parked>, after: Option<&Parked>) -> Result<(), Fatal> {
        let is_counted = |parked: &&Parked| !parked.orphaned;
        if let Some(before) = before.filter(is_counted) {
            self.parked.remove(before.evidence.account);
        }
        if let Some(after) = after.filter(is_counted) {
            self.parked.insert(after.evidence.account);
        }
        match (before, after) {
            (_, Some(after)) => self.put(parked_key(after)?, Some(encode(after)?)),
            (Some(before), None) => self.put(parked_key(before)?, None),
            (None, None) => Ok(()),
        }
    }

    fn put_link(
        &mut self,
        id: LinkId,
        before: Option<&Link>,
        after: Option<&Link>,
    ) -> Result<(), Fatal> {
        let unbound = |link: &Link| {
            let key = keys::link_reference_entry(id, link);
            key.filter(|_| link.message.is_none())
        };
        let (old, new) = (before.and_then(unbound), after.and_then(unbound));
        if old != new {
            if let Some(key) = old {
                self.put(key, None)?;
            }
            if let Some(key) = new {
                self.put(key, Some(Vec::new()))?;
            }
        }
        self.put(keys::link(id), after.map(encode).transpose()?)
    }
}

impl Backend for SledBackend {
    type Error = Fatal;

    fn config(&self) -> &EngineConfig {
        &self.config
    }

    fn now(&self) -> Timestamp {
        to_millisecond(self.clock.dated())
    }

    fn trusted(&self) -> Timestamp {
        to_millisecond(self.clock.trusted())
    }

    fn supported(&self) -> Timestamp {
        to_millisecond(self.clock.supported())
    }

    fn removal(&self) -> Timestamp {
        to_millisecond(self.clock.removal())
    }

    fn counts(&self) -> &RecordCounts {
        &self.counts
    }

    fn parked_rows(&self) -> &ParkedRows {
        &self.parked
    }

    fn holds(&self) -> &BTreeMap<AccountSid, Timestamp> {
        &self.holds
    }

    fn check_space(&self, purpose: SpaceFor) -> Result<(), StoreError> {
        let least = match purpose {
            SpaceFor::Records => MIN_FREE,
            SpaceFor::Delivery => MIN_FREE_TO_DELIVER,
        };
        let mut free = self.free.borrow_mut();
        let read = || (self.free_space)().map_err(|error| error.to_string());
        let reason = match free.get_or_insert_with(read) {
            Ok(free) if *free >= least => return Ok(()),
            Ok(free) => format!(
                "the store's disk has {} left, {} required; extend the volume",
                Size(*free),
                Size(least)
            ),
            Err(error) => format!("cannot read the free space of the store's disk: {error}"),
        };
        Err(StoreError::Unavailable { reason, label: "disk_full" })
    }

    fn next_lease(&mut self) -> u64 {
        let token = self.next_lease;
        self.next_lease = token.wrapping_add(1);
        token
    }

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Fatal> {
        self.read(&keys::message(sid))
    }

    fn sids_to(
        &self,
        group: RecipientKey,
        span: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Fatal> {
        let person = match group {
            RecipientKey::Person(person) => Some(person),
            RecipientKey::Untied(account, kind) => untied(account, kind),
        };
        let (from, to) = span.into_inner();
        let found = person.map(|person| self.index.to_person(person, from, to, limit));
        Ok(found.into_iter().flatten().collect())
    }

    fn sids_with_reference(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Fatal> {
        let prefix = keys::reference_prefix(account, reference);
        let found = self.overlay.scan_prefix(&prefix, RangeEnd::End, limit)?;
        Ok(found.iter().filter_map(|(key, _)| keys::read_reference_entry(key)).collect())
    }

    fn link(&self, id: LinkId) -> Result<Option<Link>, Fatal> {
        self.read(&keys::link(id))
    }

    fn unbound_links(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<LinkId>, Fatal> {
        let found = self.scan(&keys::links_prefix(account, reference), RangeEnd::End, limit)?;
        Ok(found.iter().filter_map(|(key, _)| keys::read_link(key)).collect())
    }

    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Fatal> {
        let found = self.scan(&keys::parked_prefix(key), RangeEnd::Start, usize::MAX)?;
        found.iter().map(|(_, value)| Ok(decode(value)?)).collect()
    }

    fn parked_row(&self, parked: &Parked) -> Result<Option<Parked>, Fatal> {
        self.read(&parked_key(parked)?)
    }

    fn may_have_evidence(&self, key: &WaitsFor) -> Result<bool, Fatal> {
        let prefix = keys::parked_prefix(key);
        Ok(self.presence.may_contain(&prefix) || self.holders.may_have(&prefix))
    }

    fn sids_holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, Fatal> {
        Ok(self.holders.under(&keys::parked_prefix(key)))
    }

    fn counted_at(&self, key: &DedupKey) -> Result<Option<Timestamp>, Fatal> {
        let value = self.overlay.get(&keys::dedup(key))?;
        Ok(value.map(|value| read_counted_at(&value)).transpose()?)
    }

    fn service_of(&self, account: AccountSid, sender: &str) -> Result<Option<ServiceSid>, Fatal> {
        self.read(&keys::sender(account, sender))
    }

    fn tied_names(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, Fatal> {
        let key = keys::names(account, person);
        if self.presence.may_contain(&key) { self.read(&key) } else { Ok(None) }
    }

    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, Fatal> {
        self.read(&keys::automatic(person))
    }

    fn accounts_with_due(&self) -> Result<Vec<AccountSid>, Fatal> {
        Ok(self.index.accounts_with_due().collect())
    }

    fn due_after(
        &self,
        account: AccountSid,
        kind: DueKind,
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Fatal> {
        Ok(self.index.due_after(account, kind, after, limit))
    }

    fn last_due_by(
        &self,
        account: AccountSid,
        kind: DueKind,
        by: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Fatal> {
        Ok(self.index.last_due_by(account, kind, by, limit))
    }

    fn evictable(&self, by: Timestamp, limit: usize) -> Result<Vec<MessageSid>, Fatal> {
        Ok(self.index.evictable.first_by(by, limit))
    }

    fn postpone_eviction(&mut self, message: &Message, until: Timestamp, blocker: MessageSid) {
        if let Some(place) = self.config.policy.evictable_from(message) {
            self.index.evictable.postpone(message.sid, place, until, blocker);
        }
    }

    fn apply(&mut self, mutation: Mutation) -> Result<(), Fatal> {
        mutation.count(&mut self.counts);
        mutation.count_stats(&mut self.stats);
        self.evicted += mutation.evicted;
        for (before, after) in &mutation.messages {
            self.put_message(before.as_ref(), after.as_ref())?;
        }
        for (before, after) in &mutation.parked {
            self.put_parked(before.as_ref(), after.as_ref())?;
        }
        if !mutation.parked.is_empty() {
            (self.counts.parked_fullest, self.counts.parked_share) =
                self.parked.fullest(self.config.max_parked);
        }
        for (id, (before, after)) in &mutation.links {
            self.put_link(*id, before.as_ref(), after.as_ref())?;
        }
        for (key, at) in mutation.dedup_keys {
            self.put(keys::dedup(&key), at.map(counted_at))?;
        }
        for (account, sender, service) in mutation.senders {
            self.put(keys::sender(account, &sender), Some(encode(&service)?))?;
        }
        for (account, person, tied) in mutation.names {
            self.put(keys::names(account, person), tied.as_ref().map(encode).transpose()?)?;
        }
        for (person, automatic) in mutation.automatic {
            self.put(keys::automatic(person), automatic.as_ref().map(encode).transpose()?)?;
        }
        for (account, since) in mutation.holds {
            self.put(keys::hold(account), since.map(hold_since).transpose()?)?;
            match since {
                Some(since) => self.holds.insert(account, since),
                None => self.holds.remove(&account),
            };
            self.has_new_due |= since.is_none();
        }
        Ok(())
    }
}
