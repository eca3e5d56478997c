//! The index: messages by recipient, by the time of the next attempt, and by the time of a refusal or an eviction.
//!
//! It is built from the records when the store opens, so it cannot be lost or contradict them. It is deliberately not on
//! the disk: in sled, each entry costs 390 B, and as much CPU time as all the work that leads to it
//! (`docs/performance.md`).

pub(crate) mod candidates;
pub(crate) mod chunks;
pub(crate) mod evidence_holders;
pub(crate) mod key_set;
pub(crate) mod presence_filter;
mod time_key;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::domain::address::{NameKind, RecipientHash};
use crate::domain::matching::{EvictionRank, Policy, later};
use crate::domain::message::{Message, State};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::engine::DueKind;
use crate::store::sled::index::candidates::EvictionCandidates;
use crate::store::sled::index::key_set::{KeySet, PartitionedKeySet, PartitionedKeySetBuilder};
use crate::store::sled::index::time_key::{
    BY_TIME_LEN, SID_LEN, by_time, packed, read_by_time, timestamp_bytes,
};

/// The number of bytes of a person's hash in a key. They are few, because a million messages take 40 MiB in the index.
/// Among a million people, one in four thousand shares them with another. So a caller compares the whole hash in the
/// message's record.
const PERSON_LEN: usize = 4;
/// The length of a key: a part of a person's hash, milliseconds since 1970, and the SID.
const BY_PERSON_LEN: usize = PERSON_LEN + 6 + SID_LEN;

/// The values of a message that the index finds it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    sid: MessageSid,
    /// The hashes of the recipient's names. If a message has only one name, and it is WhatsApp's, the second is [`untied`].
    persons: [Option<RecipientHash>; 2],
    created_at: Timestamp,
    /// The account of a message that is to be reported, and the time of its next attempt.
    pub(crate) due: Option<(AccountSid, Timestamp)>,
    kind: DueKind,
    /// The time of Twilio's refusal.
    refused: Option<Timestamp>,
    /// The rank, and the time from which a full store may evict the message.
    evictable: Option<(EvictionRank, Timestamp)>,
}

impl IndexEntry {
    pub(crate) fn of(message: &Message, policy: &Policy) -> Self {
        let is_confirmed = message.state == State::Confirmed;
        Self {
            sid: message.sid,
            persons: [
                message.recipient.map(|to| to.person),
                message
                    .alias
                    .map(|to| to.person)
                    .or_else(|| message.recipient.and_then(|to| untied(message.account, to.kind))),
            ],
            created_at: message.created_at,
            due: message.delivery.due_at.filter(|_| is_confirmed).map(|at| (message.account, at)),
            kind: DueKind {
                is_named: message.is_named_by_twilio(),
                is_missing: message.is_missing(),
            },
            refused: (message.state == State::Refused).then_some(message.since),
            evictable: policy.evictable_from(message),
        }
    }
}

/// All entries, including the uncommitted changes in the overlay.
#[derive(Default)]
pub(crate) struct Index {
    persons: PartitionedKeySet<BY_PERSON_LEN>,
    /// The messages of each account that are due, now or later, by kind. No inner map or set is empty.
    due: BTreeMap<AccountSid, BTreeMap<DueKind, KeySet<BY_TIME_LEN>>>,
    refused: KeySet<BY_TIME_LEN>,
    pub(crate) evictable: EvictionCandidates,
}

/// Builds the index from the records, in any order.
pub(crate) struct IndexBuilder {
    policy: Policy,
    persons: PartitionedKeySetBuilder<BY_PERSON_LEN>,
    index: Index,
}

impl IndexBuilder {
    pub(crate) fn by(policy: Policy) -> Self {
        Self { policy, persons: PartitionedKeySetBuilder::default(), index: Index::default() }
    }

    pub(crate) fn add_message(&mut self, message: &Message) {
        self.add_entry(IndexEntry::of(message, &self.policy));
    }

    fn add_entry(&mut self, entry: IndexEntry) {
        for person in entry.persons.into_iter().flatten() {
            match by_person(person, entry.created_at, &packed(entry.sid)).try_into() {
                Ok(key) => self.persons.push(key),
                Err(longer) => self.index.persons.insert(&longer),
            }
        }
        self.index.insert(&IndexEntry { persons: [None; 2], ..entry });
    }

    pub(crate) fn into_index(self) -> Index {
        let Self { persons, mut index, policy: _ } = self;
        persons.fill(&mut index.persons);
        index
    }
}

impl Index {
    pub(crate) fn insert(&mut self, entry: &IndexEntry) {
        for person in entry.persons.into_iter().flatten() {
            self.persons.insert(&by_person(person, entry.created_at, &packed(entry.sid)));
        }
        if let Some((account, at)) = entry.due {
            let due = self.due.entry(account).or_default().entry(entry.kind).or_default();
            due.insert(&by_time(at, &packed(entry.sid)));
        }
        if let Some(at) = entry.refused {
            self.refused.insert(&by_time(at, &packed(entry.sid)));
        }
        self.evictable.insert(entry.sid, entry.evictable);
    }

    pub(crate) fn remove(&mut self, entry: &IndexEntry) {
        for person in entry.persons.into_iter().flatten() {
            self.persons.remove(&by_person(person, entry.created_at, &packed(entry.sid)));
        }
        if let Some((account, at)) = entry.due
            && let Some(kinds) = self.due.get_mut(&account)
            && let Some(keys) = kinds.get_mut(&entry.kind)
        {
            keys.remove(&by_time(at, &packed(entry.sid)));
            if keys.is_empty() {
                kinds.remove(&entry.kind);
            }
            if kinds.is_empty() {
                self.due.remove(&account);
            }
        }
        if let Some(at) = entry.refused {
            self.refused.remove(&by_time(at, &packed(entry.sid)));
        }
        self.evictable.remove(entry.sid, entry.evictable);
    }

    /// The newest messages to a person, among the messages created in this time. Another person's messages may be among
    /// them.
    pub(crate) fn to_person(
        &self,
        person: RecipientHash,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> impl Iterator<Item = MessageSid> {
        let (from, to) = (by_person(person, from, &[]), by_person(person, to, &[]));
        let found = self.persons.range(&from, &to, true, limit);
        found.into_iter().filter_map(|key| MessageSid::unpack(key.get(BY_PERSON_LEN - SID_LEN..)?))
    }

    /// The accounts with messages that are due, now or later.
    pub(crate) fn accounts_with_due(&self) -> impl Iterator<Item = AccountSid> {
        self.due.keys().copied()
    }

    /// The messages of an account that are due first, and their times.
    pub(crate) fn due_of(&self, account: AccountSid, limit: usize) -> Vec<(Timestamp, MessageSid)> {
        let kinds = DueKind::ALL.into_iter();
        let due = kinds.flat_map(|kind| self.due_after(account, kind, Timestamp::MIN, limit));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(at, sid)| (*at, packed(*sid)));
        due.truncate(limit);
        due
    }

    /// The messages of an account of this kind that are due after this time, the first due first.
    pub(crate) fn due_after(
        &self,
        account: AccountSid,
        kind: DueKind,
        after: Timestamp,
        limit: usize,
    ) -> Vec<(Timestamp, MessageSid)> {
        let from = timestamp_bytes(later(after, Duration::from_millis(1)));
        self.due_between(account, kind, (&from, &[u8::MAX; BY_TIME_LEN - SID_LEN]), false, limit)
    }

    /// The messages of an account of this kind that are due by this time, the last due first.
    pub(crate) fn last_due_by(
        &self,
        account: AccountSid,
        kind: DueKind,
        by: Timestamp,
        limit: usize,
    ) -> Vec<(Timestamp, MessageSid)> {
        self.due_between(account, kind, (&[], &timestamp_bytes(by)), true, limit)
    }

    fn due_between(
        &self,
        account: AccountSid,
        kind: DueKind,
        (from, to): (&[u8], &[u8]),
        backwards: bool,
        limit: usize,
    ) -> Vec<(Timestamp, MessageSid)> {
        let keys = self.due.get(&account).and_then(|kinds| kinds.get(&kind));
        let found = keys.map(|keys| keys.range(from, to, backwards, limit)).unwrap_or_default();
        found.iter().filter_map(|key| read_by_time(key)).collect()
    }

    /// The messages that Twilio refused, the latest first.
    pub(crate) fn refused(&self, limit: usize) -> impl Iterator<Item = MessageSid> {
        let found = self.refused.range(&[], &[u8::MAX; BY_TIME_LEN - SID_LEN], true, limit);
        found.into_iter().filter_map(|key| Some(read_by_time(&key)?.1))
    }
}

/// The hash that stands for all recipients of an account whose messages have this kind of WhatsApp name only.
pub(crate) fn untied(account: AccountSid, kind: NameKind) -> Option<RecipientHash> {
    kind.counterpart()?;
    let digest = Sha256::new().chain_update(account.as_str()).chain_update(format!("{kind:?}"));
    digest.finalize().first_chunk().copied().map(RecipientHash::from_bytes)
}

fn by_person(person: RecipientHash, at: Timestamp, sid: &[u8]) -> Vec<u8> {
    let part = person.as_bytes().first_chunk::<PERSON_LEN>().copied().unwrap_or_default();
    [&part[..], &timestamp_bytes(at), sid].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::address::{Address, RecipientHashKey};
    use crate::domain::matching::Resend;

    const POLICY: Policy = Policy {
        pending_ttl: Duration::ZERO,
        reply_window: Duration::ZERO,
        event_window: Duration::ZERO,
        retention: Duration::ZERO,
        read_confirms: false,
        resend: Resend::Newest,
    };

    fn person(n: u8) -> RecipientHash {
        let account = AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid");
        let address = Address::parse(&format!("+1555000{n:04}")).expect("valid");
        RecipientHashKey::new(b"key").recipient(account, &address).person
    }

    /// Every third SID has capitals, unlike Twilio's.
    fn sid(n: u8) -> MessageSid {
        let digits = if n.is_multiple_of(3) { format!("{n:030}FF") } else { format!("{n:032}") };
        MessageSid::parse(&format!("SM{digits}")).expect("valid")
    }

    fn entry((n, to, created, account, due): (u8, u8, i64, bool, Option<i64>)) -> IndexEntry {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let account = if account {
            "AC0123456789abcdef0123456789abcdef"
        } else {
            "AC01234567890000000123456789ABCDEF"
        };
        let account = AccountSid::parse(account).expect("valid");
        IndexEntry {
            sid: sid(n),
            persons: [(to > 0).then(|| person(to)), (to > 1).then(|| person(to - 1))],
            created_at: at(created),
            due: due.map(|seconds| (account, at(seconds))),
            kind: DueKind { is_named: n % 5 < 2, is_missing: n % 2 == 1 },
            refused: due.is_none().then(|| at(created)),
            evictable: due.is_none().then(|| (EvictionRank::ALL[usize::from(n % 3)], at(created))),
        }
    }

    proptest! {
        /// The index finds the same messages, in the same order, as a search through all entries.
        #[test]
        fn it_finds_what_is_there_in_order(
            steps in prop::collection::vec(
                ((0_u8..20, 0_u8..4, 0_i64..6, any::<bool>(), prop::option::of(0_i64..6)), any::<bool>()),
                0..60,
            ),
            from in 0_i64..6,
            to in 0_i64..6,
            limit in 0_usize..8,
        ) {
            let (mut index, mut all) = (Index::default(), Vec::<IndexEntry>::new());
            for (values, is_inserted) in steps {
                let next = entry(values);
                // The index has at most one entry of a message.
                if let Some(at) = all.iter().position(|known| known.sid == next.sid) {
                    index.remove(&all.remove(at));
                }
                if is_inserted {
                    index.insert(&next);
                    all.push(next);
                }
            }
            let mut builder = IndexBuilder::by(POLICY);
            for entry in &all {
                builder.add_entry(*entry);
            }
            // The index after all changes, and an index that is built when the store opens again.
            for index in [index, builder.into_index()] {
                check(&index, &all, (from, to), limit)?;
            }
        }
    }

    fn check(
        index: &Index,
        all: &[IndexEntry],
        (from, to): (i64, i64),
        limit: usize,
    ) -> Result<(), TestCaseError> {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        for recipient in 1..4 {
            let mut expected: Vec<_> = all
                .iter()
                .filter(|entry| entry.persons.contains(&Some(person(recipient))))
                .filter(|entry| (at(from)..=at(to)).contains(&entry.created_at))
                .map(|entry| (entry.created_at, packed(entry.sid), entry.sid))
                .collect();
            expected.sort_by_key(|(created, packed, _)| (*created, packed.clone()));
            let expected: Vec<_> =
                expected.iter().rev().take(limit).map(|(_, _, sid)| *sid).collect();
            let found: Vec<_> =
                index.to_person(person(recipient), at(from), at(to), limit).collect();
            prop_assert_eq!(found, expected);
        }
        let refused =
            all.iter().filter_map(|entry| Some((entry.refused?, packed(entry.sid), entry.sid)));
        let mut refused: Vec<_> = refused.collect();
        refused.sort();
        let refused: Vec<_> =
            refused.into_iter().rev().take(limit).map(|(_, _, sid)| sid).collect();
        prop_assert_eq!(index.refused(limit).collect::<Vec<_>>(), refused);
        let mut evictable: Vec<_> = all
            .iter()
            .filter_map(|entry| Some((entry.evictable?, packed(entry.sid), entry.sid)))
            .filter(|((_, from), _, _)| *from <= at(to))
            .collect();
        evictable.sort();
        prop_assert_eq!(index.evictable.count_by(at(to)), evictable.len() as u64);
        let evictable: Vec<_> = evictable.into_iter().take(limit).map(|(_, _, sid)| sid).collect();
        prop_assert_eq!(index.evictable.first_by(at(to), limit), evictable);
        let accounts: BTreeSet<_> = all.iter().filter_map(|entry| Some(entry.due?.0)).collect();
        prop_assert_eq!(index.accounts_with_due().collect::<BTreeSet<_>>(), accounts.clone());
        for account in accounts {
            let due =
                all.iter().filter_map(|entry| Some((entry.due?, packed(entry.sid), entry.sid)));
            let mut due: Vec<_> = due.filter(|((of, _), _, _)| *of == account).collect();
            due.sort_by_key(|((_, at), packed, _)| (*at, packed.clone()));
            let due: Vec<_> = due.iter().take(limit).map(|((_, at), _, sid)| (*at, *sid)).collect();
            prop_assert_eq!(index.due_of(account, limit), due);
            for kind in DueKind::ALL {
                let of_kind = all.iter().filter(|entry| entry.kind == kind);
                let due = of_kind.filter_map(|entry| entry.due);
                let (after, by): (Vec<_>, Vec<_>) = due
                    .filter(|(of, _)| *of == account)
                    .map(|(_, due)| due)
                    .partition(|due| *due > at(from));
                let found = index.due_after(account, kind, at(from), usize::MAX);
                prop_assert_eq!(found.len(), after.len());
                let found = index.last_due_by(account, kind, at(from), usize::MAX);
                prop_assert_eq!(found.len(), by.len());
                prop_assert!(found.is_sorted_by(|one, next| one.0 >= next.0));
            }
        }
        Ok(())
    }
}
