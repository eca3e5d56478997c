//! Statistics: counts of messages by hour, country and sender, and the oldest record of each status.
//!
//! Updated with every change of a record, and equal to a new count of all records. So a restart changes nothing but the
//! choice of the hundred named senders. Removed records do not count. It contains no recipient.

pub mod cells;
mod entry;
mod senders;
mod tally;

pub use entry::{CountedRecord, StatusBucket};
pub use tally::{BucketCounts, WAIT_BOUNDS};

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Bound::{Excluded, Unbounded};

use jiff::Timestamp;

use crate::domain::sid::AccountSid;
use crate::domain::stats::senders::{SenderNo, Senders};

/// A day and an hour, in seconds. Days are UTC's.
pub const DAY: i64 = 86_400;
/// An hour, in seconds.
pub const HOUR: i64 = 3_600;

/// Pairs of a calling code and a sender that are counted separately since the start; beyond that the sender is "other".
/// Each pair is a time series in Prometheus.
const MAX_PAIRS: usize = 500;
/// Room for pairs of a calling code and "other", because SMS pumping to a country begins when there are many pairs.
/// E.164 assigns some 230 codes, and `Address::calling_code` returns no more than this.
const MAX_CODES: usize = 306;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageStats {
    /// By hour of creation.
    hours: BTreeMap<i64, BucketCounts>,
    /// By day of creation and calling code.
    codes: BTreeMap<(i64, Option<u16>), BucketCounts>,
    /// By day of creation and sender.
    senders: BTreeMap<(i64, SenderNo), BucketCounts>,
    /// Counts of records by standing and by the second since when. A [summary](Self::summary) keeps only the first
    /// second of each standing.
    standing: BTreeMap<(StatusBucket, i64), u64>,
    /// Messages of each account.
    accounts: BTreeMap<AccountSid, u64>,
    names: Senders,
    /// Since the start, for counters, which must never go back.
    since_start: BTreeMap<(Option<u16>, SenderNo), BucketCounts>,
}

impl MessageStats {
    /// Counts a record that was found at opening.
    pub fn insert(&mut self, found: &CountedRecord) {
        self.add(found);
    }

    /// Replaces a record by an imported one that is further along. Counters since the start do not change.
    pub fn update_imported(&mut self, before: &CountedRecord, found: &CountedRecord) {
        self.subtract(before);
        self.add(found);
    }

    /// Counts the change, creation or removal of a record.
    pub fn update(&mut self, before: Option<&CountedRecord>, after: Option<&CountedRecord>) {
        if let Some(after) = after {
            self.counts_up(before, after);
        }
        if let Some(before) = before {
            self.subtract(before);
        }
        if let Some(after) = after {
            self.add(after);
        }
    }

    /// A copy for readers, with only the oldest second of each status. Its size is bounded by the retention and by the
    /// number of senders that are counted separately.
    #[must_use]
    pub fn summary(&self) -> Self {
        let mut standing = BTreeMap::new();
        let mut next = self.standing.first_key_value();
        while let Some((&(kind, since), count)) = next {
            standing.insert((kind, since), *count);
            next = self.standing.range((Excluded((kind, i64::MAX)), Unbounded)).next();
        }
        Self {
            standing,
            hours: self.hours.clone(),
            codes: self.codes.clone(),
            senders: self.senders.clone(),
            accounts: self.accounts.clone(),
            names: self.names.clone(),
            since_start: self.since_start.clone(),
        }
    }

    /// When the oldest record of a status entered it, to the second. `None` also for untracked, expired and reported
    /// messages.
    pub fn oldest(&self, standing: StatusBucket) -> Option<Timestamp> {
        let mut first = self.standing.range((standing, i64::MIN)..=(standing, i64::MAX));
        Timestamp::from_second(first.next()?.0.1).ok()
    }

    /// The sum over the hours that begin in this span.
    pub fn created(&self, from: Timestamp, to: Timestamp) -> BucketCounts {
        self.by_hour(from, to).fold(BucketCounts::default(), |all, (_, tally)| all + *tally)
    }

    /// The counts by hour of creation, without empty hours. The time is the beginning of the hour.
    pub fn by_hour(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, &BucketCounts)> {
        let hours = self.hours.range(hour(from)..=hour(to).max(hour(from)));
        hours.filter_map(|(at, tally)| Some((Timestamp::from_second(at * HOUR).ok()?, tally)))
    }

    /// Messages created on the day of this time or later, by their recipients' calling code.
    pub fn by_calling_code(&self, from: Timestamp) -> BTreeMap<Option<u16>, BucketCounts> {
        let mut all = BTreeMap::new();
        for ((_, code), tally) in self.codes.range((day(from), None)..) {
            *all.entry(*code).or_insert_with(BucketCounts::default) += *tally;
        }
        all
    }

    /// Messages created on the day of this time or later, by sender; the first hundred, and [`OTHER`](Self::OTHER).
    pub fn by_sender(&self, from: Timestamp) -> BTreeMap<&str, BucketCounts> {
        let mut all = BTreeMap::new();
        for ((_, sender), tally) in self.senders.range((day(from), SenderNo::FIRST)..) {
            *all.entry(self.names.of(*sender)).or_insert_with(BucketCounts::default) += *tally;
        }
        all
    }

    /// Messages registered and confirmed since the process started, by calling code and sender. Never decreases.
    pub fn since_start(&self) -> impl Iterator<Item = (Option<u16>, &str, &BucketCounts)> {
        self.since_start.iter().map(|((code, sender), tally)| {
            let sender = self.names.of(*sender);
            (*code, sender, tally)
        })
    }

    /// The accounts with messages.
    pub fn accounts(&self) -> impl Iterator<Item = AccountSid> {
        self.accounts.keys().copied()
    }

    /// The name of all senders that are not counted separately.
    pub const OTHER: &str = senders::OTHER;

    fn add(&mut self, entry: &CountedRecord) {
        if let Some(stands) = entry.stands() {
            *self.standing.entry(stands).or_default() += 1;
        }
        let Some(sent) = &entry.message else { return };
        *self.accounts.entry(sent.account).or_default() += 1;
        let Some(tally) = sent.tally() else { return };
        let sender = self.names.number(sent.sender.as_deref());
        *self.hours.entry(hour(sent.created_at)).or_default() += tally;
        let day = day(sent.created_at);
        *self.codes.entry((day, sent.calling_code)).or_default() += tally;
        *self.senders.entry((day, sender)).or_default() += tally;
    }

    fn subtract(&mut self, entry: &CountedRecord) {
        if let Some(stands) = entry.stands() {
            less(&mut self.standing, stands, 1);
        }
        let Some(sent) = &entry.message else { return };
        less(&mut self.accounts, sent.account, 1);
        let Some(tally) = sent.tally() else { return };
        let sender = self.names.number(sent.sender.as_deref());
        less(&mut self.hours, hour(sent.created_at), tally);
        let day = day(sent.created_at);
        less(&mut self.codes, (day, sent.calling_code), tally);
        less(&mut self.senders, (day, sender), tally);
    }

    /// Adds the increase to the counters since the start.
    fn counts_up(&mut self, before: Option<&CountedRecord>, after: &CountedRecord) {
        let Some(sent) = &after.message else { return };
        let Some(tally) = sent.tally() else { return };
        // A message stays in its first pair, because otherwise one pair would have its sends and another its confirmations.
        let known = before.and_then(|before| before.message.as_ref());
        let known = known.and_then(|known| Some((known, known.tally()?)));
        let (sent, before) = known.unwrap_or((sent, BucketCounts::default()));
        let new = tally.increase_since(before);
        if new == BucketCounts::default() {
            return;
        }
        let sender = self.names.number(sent.sender.as_deref());
        let pair = self.counted_as(sent.calling_code, sender);
        *self.since_start.entry(pair).or_default() += new;
    }

    /// The pair of a message. It never changes later: a full table stays full.
    fn counted_as(&self, code: Option<u16>, sender: SenderNo) -> (Option<u16>, SenderNo) {
        let other = (code, SenderNo::OTHER);
        let finer = [((code, sender), MAX_PAIRS), (other, MAX_PAIRS + MAX_CODES)];
        let has_room = |(pair, most): &((Option<u16>, SenderNo), usize)| {
            self.since_start.len() < *most || self.since_start.contains_key(pair)
        };
        finer.into_iter().find(has_room).map_or((None, SenderNo::OTHER), |(pair, _)| pair)
    }
}

/// The beginning of the first of the last `hours` hours, of which the current one is the last. Messages are counted by
/// the hour, so no other span is possible.
pub fn whole_hours(now: Timestamp, hours: i64) -> Timestamp {
    let first = hour(now).saturating_sub(hours.saturating_sub(1).max(0));
    Timestamp::from_second(first.saturating_mul(HOUR)).unwrap_or(Timestamp::MIN)
}

fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR)
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

/// Subtracts from a count, and removes it at zero.
fn less<K: Ord, V>(all: &mut BTreeMap<K, V>, key: K, much: V)
where
    V: Copy + Default + PartialEq + std::ops::Sub<Output = V>,
{
    if let Slot::Occupied(mut slot) = all.entry(key) {
        let left = *slot.get() - much;
        if left == V::default() {
            slot.remove();
        } else {
            *slot.get_mut() = left;
        }
    }
}

#[cfg(test)]
mod tests;
