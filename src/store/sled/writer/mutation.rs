//! Writing: what one command changes, with the index entries and counts that follow from it.

use std::collections::BTreeMap;

use crate::domain::matching::{Parked, Policy};
use crate::domain::message::{Message, State};
use crate::domain::sid::AccountSid;
use crate::domain::stats::CountedRecord as Counted;
use crate::store::RecordCounts;
use crate::store::sled::index::IndexEntry;
use crate::store::sled::index::evidence_holders::{HeldBy, held_by};
use crate::store::sled::keys;
use crate::store::sled::record::encode;
use crate::store::sled::writer::engine::Fatal;

/// What one command writes.
#[derive(Default)]
pub(crate) struct Mutation {
    /// What each key is to hold; `None`: nothing any more.
    pub(crate) entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) moved: Vec<(Option<State>, Option<State>)>,
    /// The entries of messages that held evidence, and the entries that replace them.
    pub(crate) held: Vec<(Option<HeldBy>, Option<HeldBy>)>,
    /// Where messages stood in the index, and where they stand now.
    pub(crate) places: Vec<(Option<IndexEntry>, Option<IndexEntry>)>,
    /// What the census is to take out, and what to take in.
    pub(crate) turns: Vec<(Option<Counted>, Option<Counted>)>,
    /// Whether what is new came to pass elsewhere, and is not to be counted as news.
    pub(crate) is_found: bool,
    /// Accounts that lose or gain a row of parked evidence that is not orphaned.
    pub(crate) rows: Vec<(AccountSid, bool)>,
    pub(crate) parked: i64,
    pub(crate) orphaned: i64,
    pub(crate) links: i64,
}

impl Mutation {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.entries.insert(key, Some(value));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.entries.insert(key, None);
    }

    /// A message from one state of knowledge to the next, with the index entries that follow from it.
    pub(crate) fn message(
        &mut self,
        policy: &Policy,
        before: Option<&Message>,
        after: Option<&Message>,
    ) -> Result<(), Fatal> {
        let places = |message| IndexEntry::of(message, policy);
        let (old, new) = (before.map(places), after.map(places));
        if old != new {
            self.places.push((old, new));
        }
        let (old, new) = (before.and_then(held_by), after.and_then(held_by));
        if old != new {
            self.held.push((old, new));
        }
        self.turn(before.map(Counted::of_message), after.map(Counted::of_message));
        let (old, new) = (before.and_then(keys::reference_of), after.and_then(keys::reference_of));
        if old != new {
            if let Some(key) = old {
                self.remove(key);
            }
            if let Some(key) = new {
                self.put(key, Vec::new());
            }
        }
        match (before, after) {
            (_, Some(after)) => self.put(keys::message(after.sid), encode(after)?),
            (Some(before), None) => self.remove(keys::message(before.sid)),
            (None, None) => {}
        }
        self.moved.push((before.map(|message| message.state), after.map(|message| message.state)));
        Ok(())
    }

    /// Evidence that begins to wait, becomes an orphan, or is done with.
    pub(crate) fn parked(
        &mut self,
        before: Option<&Parked>,
        after: Option<&Parked>,
    ) -> Result<(), Fatal> {
        let counted = |parked: &&Parked| parked.orphaned || parked.is_waiting();
        let (old, new) = (before.filter(counted), after.filter(counted));
        self.turn(old.map(Counted::of_parked), new.map(Counted::of_parked));
        for (parked, step) in [(old, -1), (new, 1)] {
            if let Some(parked) = parked {
                let count = if parked.orphaned { &mut self.orphaned } else { &mut self.parked };
                *count += step;
            }
        }
        for (parked, is_gained) in [(before, false), (after, true)] {
            let parked = parked.filter(|parked| !parked.orphaned);
            self.rows.extend(parked.map(|parked| (parked.evidence.account, is_gained)));
        }
        match (before, after) {
            (_, Some(after)) => self.put(parked_key(after)?, encode(after)?),
            (Some(before), None) => self.remove(parked_key(before)?),
            (None, None) => {}
        }
        Ok(())
    }

    fn turn(&mut self, before: Option<Counted>, after: Option<Counted>) {
        if before != after {
            self.turns.push((before, after));
        }
    }
}

/// The key of parked evidence. It does not change when the evidence becomes orphaned.
pub(crate) fn parked_key(parked: &Parked) -> Result<Vec<u8>, Fatal> {
    Ok(keys::parked(parked, &encode(&parked.evidence)?))
}

/// Counts a message out of one state and into another.
pub(crate) fn tally(counts: &mut RecordCounts, from: Option<State>, to: Option<State>) {
    for (at, state) in State::ALL.into_iter().enumerate() {
        if let Some(count) = counts.messages.get_mut(at) {
            *count = count.saturating_sub(u64::from(from == Some(state)));
            *count += u64::from(to == Some(state));
        }
    }
}
