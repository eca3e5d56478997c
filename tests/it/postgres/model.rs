//! A store in memory: the rules of `engine` over maps. It is the model that the histories of PostgreSQL are compared with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::RangeInclusive;

use heardback::domain::address::{NameKind, RecipientAliases, RecipientHash};
use heardback::domain::click_link::{Link, LinkId};
use heardback::domain::matching::{AutomaticSpan, Parked, WaitsFor};
use heardback::domain::message::{Message, Reference, State};
use heardback::domain::sid::{AccountSid, MessageSid, ServiceSid};
use heardback::domain::signal::DedupKey;
use heardback::store::engine::{
    Backend, DueKind, EngineConfig, Mutation, ParkedRows, RecipientKey, SpaceFor, StoredRow, sweep,
};
use heardback::store::{ExportRecord, RecordCounts, StoreError, Swept};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::given::{at, policy};

type ParkedKey = (WaitsFor, Timestamp, [u8; 8]);

fn parked_key(parked: &Parked) -> ParkedKey {
    let evidence = serde_json::to_vec(&parked.evidence).expect("serializable");
    let digest = Sha256::digest(evidence);
    let digest = digest.first_chunk().copied().expect("32 bytes");
    (WaitsFor::of(&parked.evidence), parked.parked_at, digest)
}

#[derive(Clone)]
pub(super) struct Model {
    config: EngineConfig,
    now: Timestamp,
    counts: RecordCounts,
    parked_rows: ParkedRows,
    messages: BTreeMap<MessageSid, Message>,
    parked: BTreeMap<ParkedKey, Parked>,
    links: BTreeMap<LinkId, Link>,
    counted: BTreeMap<DedupKey, Timestamp>,
    senders: BTreeMap<(AccountSid, String), ServiceSid>,
    names: BTreeMap<(AccountSid, RecipientHash), RecipientAliases>,
    automatic: BTreeMap<RecipientHash, AutomaticSpan>,
    holds: BTreeMap<AccountSid, Timestamp>,
    next_lease: u64,
    /// The messages that the next claim can find. `None`: all.
    claimable: Option<BTreeSet<MessageSid>>,
}

impl Model {
    pub(super) fn new() -> Self {
        let config = EngineConfig {
            policy: policy(),
            max_messages: 1_000_000,
            max_parked: heardback::domain::matching::DEFAULT_MAX_PARKED,
        };
        Self {
            config,
            now: at(0),
            counts: RecordCounts::default(),
            parked_rows: ParkedRows::default(),
            messages: BTreeMap::new(),
            parked: BTreeMap::new(),
            links: BTreeMap::new(),
            counted: BTreeMap::new(),
            senders: BTreeMap::new(),
            names: BTreeMap::new(),
            automatic: BTreeMap::new(),
            holds: BTreeMap::new(),
            next_lease: 1,
            claimable: None,
        }
    }

    pub(super) fn set(&mut self, seconds: i64) {
        self.now = at(seconds);
    }

    /// Hides all due messages but these from the next claims.
    pub(super) fn let_claim(&mut self, claimable: Option<BTreeSet<MessageSid>>) {
        self.claimable = claimable;
    }

    /// The rows in the order of a sweep.
    fn swept_rows(&self) -> Vec<StoredRow> {
        let mut rows: Vec<StoredRow> = Vec::new();
        rows.extend(self.counted.iter().map(|(key, at)| StoredRow::Counted(*key, *at)));
        rows.extend(self.automatic.iter().map(|(key, row)| StoredRow::Automatic(*key, *row)));
        rows.extend(self.parked.values().map(|row| StoredRow::Parked(Box::new(row.clone()))));
        rows.extend(self.links.iter().map(|(id, link)| StoredRow::Link(*id, link.clone())));
        rows.extend(self.messages.values().map(|row| StoredRow::Message(Box::new(row.clone()))));
        rows.extend(
            self.names
                .iter()
                .map(|((account, person), row)| StoredRow::Names(*account, *person, row.clone())),
        );
        rows
    }

    /// The models after the sweep of one row each, of the rows that a sweep changes. With the changes of the sweep.
    pub(super) fn swept(&self) -> Vec<(Self, Swept)> {
        let mut all = Vec::new();
        for row in self.swept_rows() {
            let (mut model, mut swept) = (self.clone(), Swept::default());
            let Ok(()) = sweep(&mut model, row, &mut swept);
            if model.export() != self.export() {
                all.push((model, swept));
            }
        }
        all
    }

    /// All records, as an export contains them, as sorted text.
    pub(super) fn export(&self) -> Vec<String> {
        let rows = self.swept_rows().into_iter();
        let senders = self.senders.iter().map(|((account, address), service)| {
            StoredRow::Sender(*account, address.clone(), *service)
        });
        let holds = self.holds.iter().map(|(account, since)| StoredRow::Hold(*account, *since));
        let records = rows.chain(senders).chain(holds).filter_map(StoredRow::exported);
        as_text(records)
    }

    pub(super) fn counts(&self) -> RecordCounts {
        let mut counts = self.counts;
        (counts.parked_fullest, counts.parked_share) =
            self.parked_rows.fullest(self.config.max_parked);
        counts
    }

    fn newest<'a>(messages: impl Iterator<Item = &'a Message>, most: usize) -> Vec<MessageSid> {
        let mut found: Vec<&Message> = messages.collect();
        found.sort_by_key(|message| Reverse((message.created_at, message.sid)));
        found.into_iter().take(most).map(|message| message.sid).collect()
    }

    fn due(&self, account: AccountSid, kind: DueKind) -> Vec<(Timestamp, MessageSid)> {
        let is_of_kind = |message: &&Message| {
            message.account == account
                && message.state == State::Confirmed
                && message.is_named_by_twilio() == kind.is_named
                && message.is_missing() == kind.is_missing
                && self.claimable.as_ref().is_none_or(|sids| sids.contains(&message.sid))
        };
        let due = self.messages.values().filter(is_of_kind);
        let mut due: Vec<_> =
            due.filter_map(|message| Some((message.delivery.due_at?, message.sid))).collect();
        due.sort();
        due
    }
}

/// Records as sorted text.
pub(super) fn as_text(records: impl IntoIterator<Item = ExportRecord>) -> Vec<String> {
    let texts = records.into_iter().map(|row| serde_json::to_string(&row).expect("serializable"));
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts
}

/// The kind of WhatsApp name, of a message that bears one such name only.
fn untied(message: &Message) -> Option<NameKind> {
    let recipient = message.recipient.filter(|_| message.alias.is_none())?;
    Some(recipient.kind).filter(|kind| *kind != NameKind::Other)
}

impl Backend for Model {
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
        &self.parked_rows
    }

    fn holds(&self) -> &BTreeMap<AccountSid, Timestamp> {
        &self.holds
    }

    fn check_space(&self, _: SpaceFor) -> Result<(), StoreError> {
        Ok(())
    }

    fn next_lease(&mut self) -> u64 {
        self.next_lease += 1;
        self.next_lease
    }

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Infallible> {
        Ok(self.messages.get(&sid).cloned())
    }

    fn sids_to(
        &self,
        group: RecipientKey,
        span: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Infallible> {
        let belongs = |message: &&Message| {
            span.contains(&message.created_at)
                && match group {
                    RecipientKey::Person(person) => message.is_to(person),
                    RecipientKey::Untied(account, kind) => {
                        message.account == account && untied(message) == Some(kind)
                    }
                }
        };
        Ok(Self::newest(self.messages.values().filter(belongs), limit))
    }

    fn sids_with_reference(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<MessageSid>, Infallible> {
        let belongs = |message: &&Message| {
            message.account == account && message.reference.as_ref() == Some(reference)
        };
        Ok(Self::newest(self.messages.values().filter(belongs), limit))
    }

    fn link(&self, id: LinkId) -> Result<Option<Link>, Infallible> {
        Ok(self.links.get(&id).cloned())
    }

    fn unbound_links(
        &self,
        account: AccountSid,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<LinkId>, Infallible> {
        let is_unbound = |(_, link): &(&LinkId, &Link)| {
            link.message.is_none()
                && link.account == account
                && link.reference.as_ref() == Some(reference)
        };
        let unbound = self.links.iter().rev().filter(is_unbound);
        Ok(unbound.take(limit).map(|(id, _)| *id).collect())
    }

    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Infallible> {
        let rows = self.parked.iter().filter(|((of, ..), _)| of == key);
        Ok(rows.map(|(_, parked)| parked.clone()).collect())
    }

    fn parked_row(&self, parked: &Parked) -> Result<Option<Parked>, Infallible> {
        Ok(self.parked.get(&parked_key(parked)).cloned())
    }

    fn may_have_evidence(&self, key: &WaitsFor) -> Result<bool, Infallible> {
        Ok(!self.parked(key)?.is_empty() || !self.sids_holding(key)?.is_empty())
    }

    fn sids_holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, Infallible> {
        let holds = |message: &&Message| WaitsFor::of_message(message).as_ref() == Some(key);
        Ok(Self::newest(self.messages.values().filter(holds), usize::MAX))
    }

    fn counted_at(&self, key: &DedupKey) -> Result<Option<Timestamp>, Infallible> {
        Ok(self.counted.get(key).copied())
    }

    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Infallible> {
        Ok(self.senders.get(&(account, sender.to_owned())).copied())
    }

    fn tied_names(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, Infallible> {
        Ok(self.names.get(&(account, person)).cloned())
    }

    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, Infallible> {
        Ok(self.automatic.get(&person).copied())
    }

    fn accounts_with_due(&self) -> Result<Vec<AccountSid>, Infallible> {
        let due = self.messages.values().filter(|message| message.state == State::Confirmed);
        let due = due.filter(|message| message.delivery.due_at.is_some());
        let accounts: BTreeSet<AccountSid> = due.map(|message| message.account).collect();
        Ok(accounts.into_iter().collect())
    }

    fn due_after(
        &self,
        account: AccountSid,
        kind: DueKind,
        after: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Infallible> {
        let due = self.due(account, kind).into_iter().filter(|(at, _)| *at > after);
        Ok(due.take(limit).collect())
    }

    fn last_due_by(
        &self,
        account: AccountSid,
        kind: DueKind,
        by: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, MessageSid)>, Infallible> {
        let due = self.due(account, kind).into_iter().rev().filter(|(at, _)| *at <= by);
        Ok(due.take(limit).collect())
    }

    /// The model never is full.
    fn evictable(&self, _: Timestamp, _: usize) -> Result<Vec<MessageSid>, Infallible> {
        Ok(Vec::new())
    }

    fn postpone_eviction(&mut self, _: &Message, _: Timestamp, _: MessageSid) {}

    fn apply(&mut self, mutation: Mutation) -> Result<(), Infallible> {
        mutation.count(&mut self.counts);
        for (before, after) in mutation.messages {
            let sid = after.as_ref().or(before.as_ref()).expect("a message").sid;
            assert_eq!(before.as_ref(), self.messages.get(&sid), "the row before");
            put(&mut self.messages, sid, after);
        }
        for (before, after) in mutation.parked {
            let row = after.as_ref().or(before.as_ref()).expect("evidence");
            let (key, account) = (parked_key(row), row.evidence.account);
            let (known, given) = (self.parked.get(&key), before.as_ref());
            assert_eq!(given.map(Parked::kind), known.map(Parked::kind), "the row before");
            if before.is_some_and(|row| !row.orphaned) {
                self.parked_rows.remove(account);
            }
            if after.as_ref().is_some_and(|row| !row.orphaned) {
                self.parked_rows.insert(account);
            }
            put(&mut self.parked, key, after);
        }
        for (id, (_, after)) in mutation.links {
            put(&mut self.links, id, after);
        }
        for (key, at) in mutation.dedup_keys {
            put(&mut self.counted, key, at);
        }
        for (account, address, service) in mutation.senders {
            self.senders.insert((account, address), service);
        }
        for (account, person, tied) in mutation.names {
            put(&mut self.names, (account, person), tied);
        }
        for (person, automatic) in mutation.automatic {
            put(&mut self.automatic, person, automatic);
        }
        for (account, since) in mutation.holds {
            put(&mut self.holds, account, since);
        }
        Ok(())
    }
}

fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: Option<V>) {
    match row {
        Some(row) => drop(rows.insert(key, row)),
        None => drop(rows.remove(&key)),
    }
}
