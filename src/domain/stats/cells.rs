//! The statistics as single counters, for a store that keeps them as rows and adds up differences.

use crate::domain::sid::AccountSid;
use crate::domain::stats::entry::{CountedRecord, StatusBucket};
use crate::domain::stats::tally::{BUCKETS, BucketCounts};
use crate::domain::stats::{MessageStats, day, hour};

/// Numbers in a [`BucketCounts`].
const NUMBERS: usize = 6 + BUCKETS;

/// A group of messages that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatsCell {
    /// Hours since 1970.
    Hour(i64),
    /// Days since 1970, and a calling code.
    Code(i64, Option<u16>),
    /// Days since 1970, and a sender.
    Sender(i64, Option<String>),
    /// All messages of an account, also untracked ones.
    Account(AccountSid),
}

impl StatsCell {
    /// The text of a group, for a key.
    #[must_use]
    pub fn to_text(&self) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Hour(hour) => format!("hour:{hour}"),
            Self::Code(day, code) => format!("code:{day}:{}", or_none(code.map(|n| n.to_string()))),
            Self::Sender(day, sender) => format!("sender:{day}:{}", or_none(sender.clone())),
            Self::Account(account) => format!("account:{account}"),
        }
    }

    /// Reads the text of a group.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let given = |text: &str| (text != "-").then(|| text.to_owned());
        match kind {
            "hour" => Some(Self::Hour(rest.parse().ok()?)),
            "code" => {
                let (day, code) = rest.split_once(':')?;
                let code = given(code).map(|code| code.parse()).transpose().ok()?;
                Some(Self::Code(day.parse().ok()?, code))
            }
            "sender" => {
                let (day, sender) = rest.split_once(':')?;
                Some(Self::Sender(day.parse().ok()?, given(sender)))
            }
            "account" => Some(Self::Account(rest.parse().ok()?)),
            _ => None,
        }
    }
}

impl BucketCounts {
    /// The numbers in a fixed order.
    #[must_use]
    pub fn to_numbers(&self) -> [u64; NUMBERS] {
        let mut numbers = [0; NUMBERS];
        let first = [
            self.sent,
            self.undelivered,
            self.confirmed,
            self.reported,
            self.refused,
            self.waited_ms,
        ];
        for (to, from) in numbers.iter_mut().zip(first.into_iter().chain(self.waits)) {
            *to = from;
        }
        numbers
    }

    /// Adds to one of the numbers.
    pub fn add_number(&mut self, at: usize, count: u64) {
        let number = match at {
            0 => &mut self.sent,
            1 => &mut self.undelivered,
            2 => &mut self.confirmed,
            3 => &mut self.reported,
            4 => &mut self.refused,
            5 => &mut self.waited_ms,
            at => match self.waits.get_mut(at - 6) {
                Some(wait) => wait,
                None => return,
            },
        };
        *number = number.saturating_add(count);
    }
}

impl CountedRecord {
    /// The groups that the record belongs to, and the numbers that it adds to each.
    #[must_use]
    pub fn cells(&self) -> Vec<(StatsCell, BucketCounts)> {
        let Some(sent) = &self.message else { return Vec::new() };
        let one = BucketCounts { sent: 1, ..BucketCounts::default() };
        let mut cells = vec![(StatsCell::Account(sent.account), one)];
        if let Some(counts) = sent.tally() {
            let day = day(sent.created_at);
            cells.push((StatsCell::Hour(hour(sent.created_at)), counts));
            cells.push((StatsCell::Code(day, sent.calling_code), counts));
            cells.push((StatsCell::Sender(day, sent.sender.clone()), counts));
        }
        cells
    }
}

impl MessageStats {
    /// The statistics of these groups. The counters since the start stay, and so do the numbers of the senders.
    /// `oldest`: the second since which the oldest record of a bucket is in it.
    #[must_use]
    pub fn with_cells(
        &self,
        cells: impl IntoIterator<Item = (StatsCell, BucketCounts)>,
        oldest: impl IntoIterator<Item = (StatusBucket, i64)>,
    ) -> Self {
        let mut stats = Self {
            names: self.names.clone(),
            since_start: self.since_start.clone(),
            standing: oldest.into_iter().map(|stands| (stands, 1)).collect(),
            ..Self::default()
        };
        for (cell, counts) in cells {
            match cell {
                StatsCell::Hour(hour) => *stats.hours.entry(hour).or_default() += counts,
                StatsCell::Code(day, code) => {
                    *stats.codes.entry((day, code)).or_default() += counts;
                }
                StatsCell::Sender(day, sender) => {
                    let sender = stats.names.number(sender.as_deref());
                    *stats.senders.entry((day, sender)).or_default() += counts;
                }
                StatsCell::Account(account) => {
                    *stats.accounts.entry(account).or_default() += counts.sent;
                }
            }
        }
        stats
    }
}
