//! A reference implementation of a store in memory, which applies the domain's changes in order.
//! The tests compare the real store with it. It also checks invariants.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::RangeInclusive;

use heardback::domain::address::{NameKind, RecipientAliases, RecipientHash};
use heardback::domain::click_link::{Link, LinkId};
use heardback::domain::matching::{
    self, AffectedKeys, AutomaticSpan, Changes, Contradiction, Newest, ObserveOutcome, Parked,
    Policy, REGISTERED_WITHIN, Reason, RegisterOutcome, RowSource, Rows, WaitsFor, gather,
};
use heardback::domain::message::{Message, Reference, State};
use heardback::domain::sid::{AccountSid, MessageSid, ServiceSid};
use heardback::domain::signal::{DedupId, Evidence, MessageUpdate, Signal};
use jiff::Timestamp;

use crate::given::{at, policy};

pub(crate) struct ReferenceStore {
    pub(crate) policy: Policy,
    pub(crate) now: i64,
    /// The most messages that are loaded for one person or reference.
    pub(crate) limit: usize,
    pub(crate) messages: BTreeMap<MessageSid, Message>,
    pub(crate) parked: Vec<Parked>,
    pub(crate) links: BTreeMap<LinkId, Link>,
    seen: BTreeSet<DedupId>,
    services: BTreeMap<(AccountSid, String), ServiceSid>,
    pub(crate) tied: BTreeMap<RecipientHash, RecipientAliases>,
    pub(crate) automatic: BTreeMap<RecipientHash, AutomaticSpan>,
    /// The labels of all evidence so far.
    labels: BTreeSet<String>,
}

impl Default for ReferenceStore {
    fn default() -> Self {
        Self {
            policy: policy(),
            now: 0,
            limit: usize::MAX,
            messages: BTreeMap::new(),
            parked: Vec::new(),
            links: BTreeMap::new(),
            seen: BTreeSet::new(),
            services: BTreeMap::new(),
            tied: BTreeMap::new(),
            automatic: BTreeMap::new(),
            labels: BTreeSet::new(),
        }
    }
}

impl ReferenceStore {
    pub(crate) fn try_remember(
        &mut self,
        sighting: &MessageUpdate,
    ) -> Result<RegisterOutcome, Contradiction> {
        let known = self.messages.get(&sighting.sid);
        let rows = self.rows(sighting.account, &AffectedKeys::by_sighting(sighting, known), None);
        let (changes, remembered) = matching::remember(rows, sighting, &self.policy, at(self.now))?;
        self.labels.insert("read".to_owned());
        self.enter(changes);
        Ok(remembered)
    }

    pub(crate) fn remember(&mut self, sighting: &MessageUpdate) -> RegisterOutcome {
        self.try_remember(sighting).expect("no contradiction")
    }

    pub(crate) fn observe(&mut self, signal: &Signal) -> ObserveOutcome {
        self.try_observe(signal).expect("no contradiction")
    }

    pub(crate) fn try_observe(&mut self, signal: &Signal) -> Result<ObserveOutcome, Contradiction> {
        let evidence = signal.evidence.as_ref().ok();
        let new = evidence.map(|evidence| (evidence, signal.code.is_some()));
        let names = signal.names.as_ref();
        let touched = match (&signal.message_update, evidence) {
            (Some(sighting), _) => {
                AffectedKeys::by_sighting(sighting, self.messages.get(&sighting.sid))
            }
            (None, Some(evidence)) => AffectedKeys::by_evidence(evidence),
            (None, None) => AffectedKeys::default(),
        };
        let account = evidence.map(|evidence| evidence.account);
        let touched = AffectedKeys { names: names.map(|(_, names)| names.clone()), ..touched };
        let mut rows = match account.or(names.map(|(account, _)| *account)) {
            Some(account) => self.rows(account, &touched, new),
            None => Rows::default(),
        };
        rows.seen = signal.dedup_ids.iter().any(|once| self.seen.contains(once));
        self.labels.extend(evidence.map(|evidence| evidence.label.clone()));
        let (changes, observed) = matching::observe(rows, signal, &self.policy, at(self.now))?;
        self.enter(changes);
        Ok(observed)
    }

    pub(crate) fn state(&self, sid: MessageSid) -> State {
        self.messages[&sid].state
    }

    pub(crate) fn confirmed(&self) -> BTreeSet<MessageSid> {
        let proven = self.messages.values().filter(|message| message.proof.is_some());
        proven.map(|message| message.sid).collect()
    }

    /// Claims every confirmed message: a confirmation may be undone only before it is posted.
    pub(crate) fn claim_all(&mut self) {
        for message in self.messages.values_mut() {
            message.parked_evidence = None;
        }
    }

    /// The sweep of parked evidence that waited for a newer message.
    pub(crate) fn sweep(&mut self) {
        for parked in self.parked.clone() {
            let waited = matching::later(parked.parked_at, REGISTERED_WITHIN) <= at(self.now);
            if parked.reason == Reason::NewerMayCome && waited {
                let evidence = &parked.evidence;
                let touched = AffectedKeys::by_evidence(evidence);
                let rows = self.rows(evidence.account, &touched, Some((evidence, false)));
                self.enter(matching::reconsider(rows, &self.policy, at(self.now)).0);
            }
        }
    }

    fn newest<'m>(&self, found: impl Iterator<Item = &'m Message>) -> Newest {
        let mut messages: Vec<Message> = found.cloned().collect();
        messages.sort_by_key(|message| Reverse((message.created_at, message.sid)));
        let is_cut = messages.len() > self.limit;
        messages.truncate(self.limit);
        Newest { messages, is_cut }
    }

    fn rows(
        &self,
        account: AccountSid,
        touched: &AffectedKeys,
        new: Option<(&Evidence, bool)>,
    ) -> Rows {
        let Ok(rows) = gather(self, account, touched, new, (&self.policy, at(self.now)));
        rows
    }

    fn enter(&mut self, changes: Changes) {
        for message in changes.messages {
            let before = self.messages.get(&message.sid);
            self.watch(before, &message);
            self.messages.insert(message.sid, message);
        }
        for (before, after) in changes.parked {
            self.parked.retain(|parked| Some(parked) != before.as_ref());
            self.parked.extend(after);
        }
        self.seen.extend(changes.seen);
        self.links.extend(changes.bound);
        if let Some((account, sender, service)) = changes.learned {
            self.services.insert((account, sender), service);
        }
        if let Some((_, learned)) = changes.tied {
            self.tied.retain(|name, _| !learned.dropped.contains(name));
            let names = learned.tied.names.all().map(|name| (name, learned.tied.clone()));
            self.tied.extend(names.collect::<Vec<_>>());
        }
        self.automatic.extend(changes.automatic);
    }

    /// States change only along the arrows of docs/design.md. A confirmation that may have been
    /// posted is never undone.
    fn watch(&self, before: Option<&Message>, after: &Message) {
        use State::{Confirmed, Expired, Pending, Undelivered, Untracked};
        let from = before.map(|message| message.state);
        let is_final = before.is_some_and(|message| message.parked_evidence.is_none());
        let along_an_arrow = from == Some(after.state)
            || match from {
                // One step may combine a registration, a receipt and parked evidence.
                None | Some(Untracked) => {
                    matches!(after.state, Untracked | Pending | Undelivered | Confirmed)
                }
                // Receipts may contradict each other.
                Some(Pending) => matches!(after.state, Confirmed | Expired | Undelivered),
                Some(Undelivered) => matches!(after.state, Confirmed | Expired | Pending),
                Some(Expired) => after.state == Confirmed,
                Some(Confirmed) => {
                    !is_final && matches!(after.state, Pending | Undelivered | Expired)
                }
                Some(State::Reported | State::Refused) => false,
            };
        assert!(along_an_arrow, "{from:?} to {:?}", after.state);
        assert_eq!(after.proof.is_some(), after.state == Confirmed);
        if let Some(proof) = before.filter(|_| is_final).and_then(|it| it.proof.as_ref()) {
            assert_eq!(Some(proof), after.proof.as_ref(), "confirmed twice");
        }
        if let Some(proof) = &after.proof {
            assert!(self.labels.contains(&proof.label), "confirmed without evidence");
        }
    }
}

impl RowSource for ReferenceStore {
    type Error = Infallible;

    fn message(&self, sid: MessageSid) -> Result<Option<Message>, Infallible> {
        Ok(self.messages.get(&sid).cloned())
    }

    fn sent_to(
        &self,
        person: RecipientHash,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Infallible> {
        let theirs = self
            .messages
            .values()
            .filter(|message| message.is_to(person) && span.contains(&message.created_at));
        Ok(self.newest(theirs))
    }

    fn bearing(&self, account: AccountSid, reference: &Reference) -> Result<Newest, Infallible> {
        let bearing = self.messages.values().filter(|message| {
            message.account == account && message.reference.as_ref() == Some(reference)
        });
        Ok(self.newest(bearing))
    }

    fn link(&self, id: LinkId) -> Result<Option<Link>, Infallible> {
        let kept = |link: &&Link| self.policy.link_until(link) > at(self.now);
        Ok(self.links.get(&id).filter(kept).cloned())
    }

    fn links_for(
        &self,
        account: AccountSid,
        reference: &Reference,
    ) -> Result<Vec<LinkId>, Infallible> {
        let unbound = self.links.iter().filter(|(_, link)| {
            link.account == account
                && link.message.is_none()
                && link.reference.as_ref() == Some(reference)
        });
        Ok(unbound.map(|(id, _)| *id).collect())
    }

    fn parked(&self, key: &WaitsFor) -> Result<Vec<Parked>, Infallible> {
        let waits = |parked: &&Parked| WaitsFor::of(&parked.evidence) == *key;
        Ok(self.parked.iter().filter(waits).cloned().collect())
    }

    fn may_concern(&self, key: &WaitsFor) -> Result<bool, Infallible> {
        let held = self.messages.values().filter_map(|message| message.parked_evidence.as_deref());
        Ok(held.chain(&self.parked).any(|parked| WaitsFor::of(&parked.evidence) == *key))
    }

    fn holding(&self, key: &WaitsFor) -> Result<Vec<MessageSid>, Infallible> {
        let holds = |message: &&Message| WaitsFor::of_message(message).as_ref() == Some(key);
        Ok(self.messages.values().filter(holds).map(|message| message.sid).collect())
    }

    fn service_of(
        &self,
        account: AccountSid,
        sender: &str,
    ) -> Result<Option<ServiceSid>, Infallible> {
        Ok(self.services.get(&(account, sender.to_owned())).copied())
    }

    fn tied(
        &self,
        _: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<RecipientAliases>, Infallible> {
        Ok(self.tied.get(&person).cloned())
    }

    fn sent_to_kind(
        &self,
        account: AccountSid,
        kind: NameKind,
        span: RangeInclusive<Timestamp>,
    ) -> Result<Newest, Infallible> {
        let of_kind = self.messages.values().filter(|message| {
            message.account == account
                && message.alias.is_none()
                && message.recipient.is_some_and(|to| to.kind == kind)
                && span.contains(&message.created_at)
        });
        Ok(self.newest(of_kind))
    }

    fn automatic(&self, person: RecipientHash) -> Result<Option<AutomaticSpan>, Infallible> {
        Ok(self.automatic.get(&person).copied())
    }
}
