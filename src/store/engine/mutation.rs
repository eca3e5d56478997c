//! The rows that one command changes, and the counts that follow from them.

use jiff::Timestamp;

use crate::domain::address::{LearnedAliases, RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching::{AutomaticSpan, Parked, ParkedKind};
use crate::domain::message::Message;
use crate::domain::sid::{AccountSid, ServiceSid};
use crate::domain::signal::DedupKey;
use crate::domain::stats::{CountedRecord, MessageStats};
use crate::store::counts::RecordCounts;

/// A row before and after a command. `None`: no row.
pub type Change<T> = (Option<T>, Option<T>);

/// The rows that one command changes: all of them or none.
#[derive(Debug, Default)]
pub struct Mutation {
    pub messages: Vec<Change<Message>>,
    pub parked: Vec<Change<Parked>>,
    pub links: Vec<(LinkId, Change<Link>)>,
    /// The keys of counted messages, calls and events, with the time of the count. `None`: the key is removed.
    pub dedup_keys: Vec<(DedupKey, Option<Timestamp>)>,
    pub senders: Vec<(AccountSid, String, ServiceSid)>,
    pub names: Vec<(AccountSid, RecipientHash, Option<RecipientAliases>)>,
    pub automatic: Vec<(RecipientHash, Option<AutomaticSpan>)>,
    /// Accounts, and the time at which a hold began. `None`: no hold.
    pub holds: Vec<(AccountSid, Option<Timestamp>)>,
    /// Whether the rows were imported: the acts in them happened in another store, and do not count as new here.
    pub is_import: bool,
    /// The number of evicted messages.
    pub evicted: usize,
}

impl Mutation {
    pub fn of_message(before: Option<Message>, after: Option<Message>) -> Self {
        Self { messages: vec![(before, after)], ..Self::default() }
    }

    pub fn of_parked(before: Option<Parked>, after: Option<Parked>) -> Self {
        Self { parked: vec![(before, after)], ..Self::default() }
    }

    pub fn of_link(id: LinkId, before: Option<Link>, after: Option<Link>) -> Self {
        Self { links: vec![(id, (before, after))], ..Self::default() }
    }

    /// Adds the rows of tied names, one for each name, and removes those of dropped names.
    pub(crate) fn learn_aliases(&mut self, account: AccountSid, learned: &LearnedAliases) {
        self.names.extend(learned.dropped.iter().map(|person| (account, *person, None)));
        let all = learned.tied.names.all();
        self.names.extend(all.map(|person| (account, person, Some(learned.tied.clone()))));
    }

    /// Updates the number of records.
    pub fn count(&self, counts: &mut RecordCounts) {
        for (before, after) in &self.messages {
            let state = |message: &Option<Message>| message.as_ref().map(|message| message.state);
            counts.move_message(state(before), state(after));
        }
        for (before, after) in &self.parked {
            for (parked, step) in [(before, -1), (after, 1)] {
                let count = match parked.as_ref().map(Parked::kind) {
                    Some(ParkedKind::Parked) => &mut counts.parked,
                    Some(ParkedKind::Orphaned) => &mut counts.orphaned,
                    Some(ParkedKind::Known) | None => continue,
                };
                *count = count.saturating_add_signed(step);
            }
        }
        for (_, (before, after)) in &self.links {
            let step = i64::from(after.is_some()) - i64::from(before.is_some());
            counts.links = counts.links.saturating_add_signed(step);
        }
    }

    /// Updates the statistics.
    pub fn count_stats(&self, stats: &mut MessageStats) {
        for (before, after) in &self.messages {
            let record =
                |message: &Option<Message>| message.as_ref().map(CountedRecord::of_message);
            self.count_record(stats, record(before), record(after));
        }
        for (before, after) in &self.parked {
            let record =
                |parked: &Option<Parked>| parked.as_ref().and_then(CountedRecord::of_parked);
            self.count_record(stats, record(before), record(after));
        }
    }

    fn count_record(
        &self,
        stats: &mut MessageStats,
        before: Option<CountedRecord>,
        after: Option<CountedRecord>,
    ) {
        match (before, after) {
            (before, after) if before == after => {}
            (None, Some(after)) if self.is_import => stats.insert(&after),
            (Some(before), Some(after)) if self.is_import => stats.update_imported(&before, &after),
            (before, after) => stats.update(before.as_ref(), after.as_ref()),
        }
    }
}
