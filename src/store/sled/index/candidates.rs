//! The candidates for eviction, by the time at which each becomes evictable.
//!
//! A candidate that has to stay for another message, its blocker, is postponed: it is listed at a later time until the
//! blocker changes. The rules that rank messages and choose blockers are elsewhere (`domain/matching`, `engine/evict`).

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::matching::EvictionRank;
use crate::domain::sid::MessageSid;
use crate::store::sled::index::chunks::Chunks;
use crate::store::sled::index::time_key::{
    BY_TIME_LEN, by_time, packed, read_by_time, timestamp_bytes,
};

/// The rank and the time that follow from a candidate's own state.
type EvictionPlace = (EvictionRank, Timestamp);

#[derive(Default)]
pub(crate) struct EvictionCandidates {
    ranked: [Chunks<BY_TIME_LEN>; EvictionRank::ALL.len()],
    postponed: BTreeMap<MessageSid, Postponed>,
    /// The postponed candidates by their blocker.
    blocked: BTreeMap<MessageSid, Vec<MessageSid>>,
}

struct Postponed {
    place: EvictionPlace,
    until: Timestamp,
    blocker: MessageSid,
}

impl EvictionCandidates {
    pub(crate) fn insert(&mut self, sid: MessageSid, place: Option<EvictionPlace>) {
        if let Some((rank, at)) = place {
            self.ranked(rank).insert(&by_time(at, &packed(sid)));
        }
    }

    /// Removes a message. The candidates that it blocked return to their own places, and are evaluated again.
    pub(crate) fn remove(&mut self, sid: MessageSid, place: Option<EvictionPlace>) {
        self.resume(sid);
        for blocked in self.blocked.get(&sid).cloned().unwrap_or_default() {
            self.resume(blocked);
        }
        if let Some((rank, at)) = place {
            self.ranked(rank).remove(&by_time(at, &packed(sid)));
        }
    }

    /// Moves a candidate to a later time, or until its blocker changes.
    pub(crate) fn postpone(
        &mut self,
        sid: MessageSid,
        place: EvictionPlace,
        until: Timestamp,
        blocker: MessageSid,
    ) {
        self.resume(sid);
        let (rank, from) = place;
        self.ranked(rank).remove(&by_time(from, &packed(sid)));
        self.ranked(rank).insert(&by_time(until, &packed(sid)));
        self.postponed.insert(sid, Postponed { place, until, blocker });
        self.blocked.entry(blocker).or_default().push(sid);
    }

    /// Puts a postponed candidate back to its own place.
    fn resume(&mut self, sid: MessageSid) {
        let Some(Postponed { place: (rank, from), until, blocker }) = self.postponed.remove(&sid)
        else {
            return;
        };
        self.ranked(rank).remove(&by_time(until, &packed(sid)));
        self.ranked(rank).insert(&by_time(from, &packed(sid)));
        if let Some(blocked) = self.blocked.get_mut(&blocker) {
            blocked.retain(|other| *other != sid);
            if blocked.is_empty() {
                self.blocked.remove(&blocker);
            }
        }
    }

    fn ranked(&mut self, rank: EvictionRank) -> &mut Chunks<BY_TIME_LEN> {
        let [untracked, finished, refused] = &mut self.ranked;
        match rank {
            EvictionRank::Untracked => untracked,
            EvictionRank::Finished => finished,
            EvictionRank::Refused => refused,
        }
    }

    /// The messages to evict first, among the candidates that are evictable at this time.
    pub(crate) fn first_by(&self, by: Timestamp, limit: usize) -> Vec<MessageSid> {
        let mut found = Vec::new();
        for ranked in &self.ranked {
            let room = limit.saturating_sub(found.len());
            found.extend(ranked.first(&timestamp_bytes(by), room));
        }
        found.iter().filter_map(|key| Some(read_by_time(key)?.1)).collect()
    }

    /// The number of candidates that are evictable at this time. A candidate that is not evaluated yet counts, too.
    pub(crate) fn count_by(&self, by: Timestamp) -> u64 {
        self.ranked.iter().map(|ranked| ranked.count(&timestamp_bytes(by)) as u64).sum()
    }
}
