//! The ledger: loads the rows that a command touches, lets the domain judge, writes what it says.
//!
//! Owned by the writer thread alone, so nothing here locks, and a later command of a group sees
//! what an earlier one did. Nothing here syncs either: that is the writer's part of the promise.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::click_link::{Link, LinkId};
use crate::domain::clock::LastSeen;
use crate::domain::findings::MIN_FREE;
use crate::domain::matching;
use crate::domain::matching::{
    AffectedKeys, Changes, Now, ObserveOutcome, Parked, Policy, RegisterOutcome, Rows,
};
use crate::domain::message::Message;
use crate::domain::sid::MessageSid;
use crate::domain::signal::{Evidence, MessageUpdate, Signal};
use crate::domain::size::Size;
use crate::domain::stats::MessageStats;
use crate::domain::timestamp_serde::to_millisecond;
use crate::store::sled::backup::Tee;
use crate::store::sled::disk::path_guard::Displaced;
use crate::store::sled::index::Index;
use crate::store::sled::index::evidence_holders::EvidenceHolders;
use crate::store::sled::index::parked::ParkedRows;
use crate::store::sled::index::presence_filter::PresenceFilter;
use crate::store::sled::integrity::seal::Seal;
use crate::store::sled::keys;
use crate::store::sled::queries::Paused;
use crate::store::sled::record::{Damaged, decode, encode};
use crate::store::sled::writer::mutation::{Mutation, parked_key, tally};
use crate::store::sled::writer::overlay::Overlay;
use crate::store::{ClockGuard, MAX_PARKED_LABEL, RecordCounts, StoreError};

/// The store cannot go on: what it holds can no longer be read, or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("sled: {0}")]
    Sled(#[from] ::sled::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Displaced(#[from] Displaced),
    #[error("cannot sync {path}: {error}")]
    Sync { path: String, error: std::io::Error },
}

/// A verb's answer, or the end of the store.
pub(crate) type EngineResult<T> = Result<Result<T, StoreError>, Fatal>;

/// How much room there is where the store lies, in bytes.
pub type FreeSpace = Arc<dyn Fn() -> std::io::Result<u64> + Send + Sync>;

/// Below this, nothing goes out either: each attempt is written down, too.
const MIN_FREE_TO_DELIVER: u64 = 64 << 20;

/// The trusted time is committed this often. Far below [`crate::domain::clock::MAX_JUMP`].
const LAST_SEEN_EVERY: Duration = Duration::from_mins(5);

/// What the ledger decides by.
pub(crate) struct EngineConfig {
    pub(crate) policy: Policy,
    pub(crate) max_messages: u64,
    pub(crate) max_parked: u64,
    pub(crate) clock: Arc<ClockGuard>,
    pub(crate) free_space: FreeSpace,
}

pub(crate) struct Engine {
    pub(crate) draft: Overlay,
    pub(crate) terms: EngineConfig,
    pub(crate) counts: RecordCounts,
    /// What all entries come to, this group's included.
    pub(crate) seal: Seal,
    /// Which messages went to whom, and which are due, this group's changes included.
    pub(crate) index: Index,
    /// Which messages hold the evidence that confirmed them, this group's changes included.
    pub(crate) held: EvidenceHolders,
    /// Rows of parked evidence by account, this group's changes included.
    pub(crate) parked: ParkedRows,
    /// What all messages come to, this group's changes included.
    pub(crate) census: MessageStats,
    /// Which accounts are on hold, this group's changes included.
    pub(crate) paused: Paused,
    /// Where nothing waits, this group's changes included.
    pub(crate) sparse: PresenceFilter,
    /// Entries written since the last sync.
    pub(crate) written: usize,
    /// Whether something may be due that was not before.
    pub(crate) stirred: bool,
    /// The trusted time that the store holds, this group's change included.
    pub(crate) last_seen: Option<LastSeen>,
    /// Messages evicted since the last sweep.
    pub(crate) evicted: usize,
    /// Where the sweep goes on.
    pub(crate) sweep_from: Vec<u8>,
    /// Names the next attempt.
    pub(crate) next_lease: u64,
    /// Where what is written goes as well while a backup is made.
    pub(crate) tee: Option<Tee>,
    /// What was found of the disk's room in this group: asking costs as much as a look into sled.
    pub(crate) free: RefCell<Option<Result<u64, String>>>,
}

impl Engine {
    /// Forgets what was looked up for the group before.
    pub(crate) fn begin_group(&mut self) {
        self.free.get_mut().take();
        self.draft.look_again();
    }

    /// The time to date records by.
    pub(crate) fn now(&self) -> Timestamp {
        to_millisecond(self.terms.clock.dated())
    }

    /// The time to expire records by.
    pub(crate) fn trusted(&self) -> Timestamp {
        to_millisecond(self.terms.clock.trusted())
    }

    /// The time to remove records by, all but parked evidence.
    pub(crate) fn removal(&self) -> Timestamp {
        to_millisecond(self.terms.clock.removal())
    }

    pub(crate) fn both(&self) -> Now {
        Now { wall: self.now(), trusted: self.trusted() }
    }

    pub(crate) fn remember(&mut self, sighting: &MessageUpdate) -> EngineResult<RegisterOutcome> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let known = self.message(sighting.sid)?;
        let touched = AffectedKeys::by_sighting(sighting, known.as_ref());
        let rows = self.rows(sighting.account, &touched, None)?;
        let judged = matching::remember(rows, sighting, &self.terms.policy, self.both());
        self.carry_out(judged.map_err(StoreError::from))
    }

    pub(crate) fn observe(&mut self, signal: &Signal) -> EngineResult<ObserveOutcome> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        let mut rows = self.rows_of(signal)?;
        for once in &signal.dedup_ids {
            rows.seen |= self.draft.get(&keys::seen(once))?.is_some();
        }
        let judged = matching::observe(rows, signal, &self.terms.policy, self.both());
        if let (Ok((changes, observed)), Ok(evidence)) = (&judged, &signal.evidence)
            && matches!(observed, ObserveOutcome::Parked { .. })
            && adds_rows(changes)
            && !self.parked.has_room(evidence.account, self.terms.max_parked)
        {
            return Ok(Err(self.full_of_parked(self.parked.of(evidence.account))));
        }
        self.carry_out(judged.map_err(StoreError::from))
    }

    fn rows_of(&self, signal: &Signal) -> Result<Rows, Fatal> {
        let evidence = signal.evidence.as_ref().ok();
        let new = evidence.map(|evidence| (evidence, signal.code.is_some()));
        let touched = match (&signal.message_update, evidence) {
            (Some(sighting), _) => {
                let known = self.message(sighting.sid)?;
                AffectedKeys::by_sighting(sighting, known.as_ref())
            }
            (None, Some(evidence)) => AffectedKeys::by_evidence(evidence),
            (None, None) => AffectedKeys::default(),
        };
        let names = signal.names.as_ref();
        let account = signal.message_update.as_ref().map(|sighting| sighting.account);
        let account = account.or(evidence.map(|evidence| evidence.account));
        let Some(account) = account.or(names.map(|(account, _)| *account)) else {
            return Ok(Rows::default());
        };
        let names = names.map(|(_, names)| names.clone());
        self.rows(account, &AffectedKeys { names, ..touched }, new)
    }

    /// The rows that a piece of evidence touches.
    pub(crate) fn rows_by(&self, evidence: &Evidence) -> Result<Rows, Fatal> {
        self.rows(evidence.account, &AffectedKeys::by_evidence(evidence), Some((evidence, false)))
    }

    /// Keeps a click link, whether or not its message is known yet.
    pub(crate) fn keep_link(&mut self, id: LinkId, link: &Link) -> EngineResult<Timestamp> {
        if let Err(full) = self.room_to_take_in() {
            return Ok(Err(full));
        }
        if self.counts.links >= self.terms.max_messages {
            return Ok(Err(self.full("links")));
        }
        let mut writing = Mutation::default();
        writing.links += i64::from(self.draft.get(&keys::link(id))?.is_none());
        writing.put(keys::link(id), encode(link)?);
        if let Some(key) = keys::link_index(id, link).filter(|_| link.message.is_none()) {
            writing.put(key, Vec::new());
        }
        self.apply(writing)?;
        Ok(Ok(self.terms.policy.link_until(link)))
    }

    pub(crate) fn link(&self, id: LinkId) -> Result<Option<Link>, Fatal> {
        let Some(value) = self.draft.get(&keys::link(id))? else { return Ok(None) };
        let link: Link = decode(&value)?;
        // What has lapsed has lapsed, swept or not.
        Ok(Some(link).filter(|link| self.terms.policy.link_until(link) > self.trusted()))
    }

    /// Writes the changes of a judgement, all of them or none.
    pub(crate) fn carry_out<T>(
        &mut self,
        judged: Result<(Changes, T), StoreError>,
    ) -> EngineResult<T> {
        let (changes, outcome) = match judged {
            Ok(judged) => judged,
            Err(error) => return Ok(Err(error)),
        };
        let mut writing = Mutation::default();
        let mut new = 0;
        for message in &changes.messages {
            let before = self.message(message.sid)?;
            new += usize::from(before.is_none());
            writing.message(&self.terms.policy, before.as_ref(), Some(message))?;
        }
        let Some(evicted) = self.make_room(new, &changes.messages)? else {
            return Ok(Err(self.full("messages")));
        };
        for message in &evicted {
            writing.message(&self.terms.policy, Some(message), None)?;
        }
        self.evicted += evicted.len();
        for (before, after) in &changes.parked {
            let Some(parked) = after.as_ref().or(before.as_ref()) else { continue };
            // What lapsed before may lie under the same key, and is no longer counted then.
            let before = self.draft.get(&parked_key(parked)?)?;
            let before: Option<Parked> = before.map(|value| decode(&value)).transpose()?;
            writing.parked(before.as_ref(), after.as_ref())?;
        }
        for once in &changes.seen {
            writing.put(keys::seen(once), self.now().as_millisecond().to_be_bytes().to_vec());
        }
        if let Some((id, link)) = &changes.bound {
            writing.put(keys::link(*id), encode(link)?);
            if let Some(key) = keys::link_index(*id, link) {
                writing.remove(key);
            }
        }
        if let Some((account, address, service)) = &changes.learned {
            writing.put(keys::sender(*account, address), encode(service)?);
        }
        if let Some((account, learned)) = &changes.tied {
            writing.names(*account, learned)?;
        }
        for (person, automatic) in &changes.automatic {
            writing.put(keys::automatic(*person), encode(automatic)?);
        }
        self.apply(writing)?;
        Ok(Ok(outcome))
    }

    /// One command is in the draft as a whole or not at all.
    pub(crate) fn apply(&mut self, writing: Mutation) -> Result<(), Fatal> {
        if writing.entries.is_empty() {
            return Ok(());
        }
        self.written += writing.entries.len();
        for (key, value) in writing.entries {
            if key.first() != Some(&keys::OWN) {
                let sparse = keys::scanned(&key);
                if let Some(old) = self.draft.get(&key)? {
                    self.seal.remove(&key, &old);
                    sparse.inspect(|prefix| self.sparse.remove(prefix));
                }
                if let Some(new) = &value {
                    self.seal.insert(&key, new);
                    sparse.inspect(|prefix| self.sparse.insert(prefix));
                }
            }
            self.draft.set(key, value);
        }
        for (from, to) in &writing.places {
            if let Some(from) = from {
                self.index.remove(from);
            }
            if let Some(to) = to {
                self.index.insert(to);
                self.stirred |= to.due.is_some() && to.due != from.and_then(|from| from.due);
            }
        }
        for (from, to) in &writing.held {
            from.inspect(|entry| self.held.remove(*entry));
            to.inspect(|entry| self.held.insert(*entry));
        }
        for (before, after) in &writing.turns {
            match (before, after) {
                (None, Some(found)) if writing.is_found => self.census.insert(found),
                (Some(before), Some(found)) if writing.is_found => {
                    self.census.finds_further(before, found);
                }
                (before, after) => self.census.update(before.as_ref(), after.as_ref()),
            }
        }
        for (from, to) in writing.moved {
            tally(&mut self.counts, from, to);
        }
        self.counts.parked = self.counts.parked.saturating_add_signed(writing.parked);
        self.counts.orphaned = self.counts.orphaned.saturating_add_signed(writing.orphaned);
        self.counts.links = self.counts.links.saturating_add_signed(writing.links);
        if !writing.rows.is_empty() {
            for (account, is_gained) in writing.rows {
                if is_gained {
                    self.parked.insert(account);
                } else {
                    self.parked.remove(account);
                }
            }
            (self.counts.parked_fullest, self.counts.parked_share) =
                self.parked.fullest(self.terms.max_parked);
        }
        Ok(())
    }

    /// Hands the draft to sled, with the seal that belongs to it.
    pub(crate) fn write(&mut self) -> Result<(), Fatal> {
        self.seal.batches += 1;
        if let Some(at) = self.last_seen_is_stale() {
            self.draft.set(keys::LAST_SEEN.to_vec(), Some(keys::last_seen(at)));
            self.last_seen = Some(at);
        }
        self.draft.set(keys::SEAL.to_vec(), Some(self.seal.to_bytes().to_vec()));
        if let Some(tee) = &mut self.tee {
            tee.note(&self.draft);
        }
        Ok(self.draft.write()?)
    }

    /// The state of the clock to commit, if the one in the store is not recent enough to begin with after a restart.
    pub(crate) fn last_seen_is_stale(&self) -> Option<LastSeen> {
        let now = self.terms.clock.last();
        let is_recent = |last: LastSeen| {
            now.at.duration_since(last.at).unsigned_abs() < LAST_SEEN_EVERY
                && now.unsupported.is_some() == last.unsupported.is_some()
        };
        (!self.last_seen.is_some_and(is_recent)).then_some(now)
    }

    pub(crate) fn message(&self, sid: MessageSid) -> Result<Option<Message>, Fatal> {
        let Some(value) = self.draft.get(&keys::message(sid))? else { return Ok(None) };
        Ok(Some(decode(&value)?))
    }

    pub(crate) fn room_to_deliver(&self) -> Result<(), StoreError> {
        self.room(MIN_FREE_TO_DELIVER)
    }

    pub(crate) fn room_to_take_in(&self) -> Result<(), StoreError> {
        self.room(MIN_FREE)
    }

    pub(crate) fn full(&self, of: &str) -> StoreError {
        let most = self.terms.max_messages;
        let reason = format!(
            "the limit of {most} {of} (HEARDBACK_MAX_MESSAGES) is reached, and too few of them can be evicted"
        );
        StoreError::Unavailable { reason, label: "max_messages" }
    }

    pub(crate) fn full_of_parked(&self, rows: u64) -> StoreError {
        let most = self.terms.max_parked;
        let reason = format!(
            "{rows} pieces of evidence are parked already, which is the account's share of the limit of {most} \
             (HEARDBACK_MAX_PARKED); register their messages, or raise the limit"
        );
        StoreError::Unavailable { reason, label: MAX_PARKED_LABEL }
    }

    fn room(&self, least: u64) -> Result<(), StoreError> {
        let mut free = self.free.borrow_mut();
        let ask = || (self.terms.free_space)().map_err(|error| error.to_string());
        let reason = match free.get_or_insert_with(ask) {
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
}

/// Whether a command keeps more evidence than before.
fn adds_rows(changes: &Changes) -> bool {
    let before = changes.parked.iter().filter(|(before, _)| before.is_some()).count();
    let after = changes.parked.iter().filter(|(_, after)| after.is_some()).count();
    after > before
}
