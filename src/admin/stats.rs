//! Counts of all records by state, and the conversion of sent messages: in total, by calling code and by sender.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::message::State;
use crate::domain::sid::AccountSid;
use crate::domain::stats::{BucketCounts, MessageStats, StatusBucket, whole_hours};
use crate::store::{Store, StoreError};
use crate::telemetry::readiness::{ForeignAnswers, LaneDetail, LaneReadiness, Readiness};

/// The spans of the funnel: name and days.
const SPANS: [(&str, i64); 3] = [("24h", 1), ("7d", 7), ("30d", 30)];
/// The days of the counts by calling code and sender, today included.
const DAYS: i64 = 30;
const HOURS_A_DAY: i64 = 24;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCount {
    pub count: u64,
    /// When the oldest record entered the state, to the second. `None` for a final state.
    pub oldest: Option<Timestamp>,
}

/// Counts of the sent messages of one span, calling code or sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversionRow {
    /// The name of the span, calling code or sender: `24h`, `+49`.
    #[serde(rename = "of")]
    pub label: String,
    /// The beginning of a span: a whole hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(flatten)]
    pub counts: BucketCounts,
    /// The share of confirmed messages, from 0 to 1.
    pub conversion: Option<f64>,
}

impl ConversionRow {
    fn new(label: impl Into<String>, counts: BucketCounts) -> Self {
        Self { label: label.into(), since: None, counts, conversion: counts.conversion() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Messages by state, and `parked` and `orphaned` evidence.
    #[serde(rename = "waiting")]
    pub by_state: BTreeMap<String, StateCount>,
    pub links: u64,
    /// The last day, week and month.
    pub funnel: Vec<ConversionRow>,
    /// The last month by calling code, the most sent first.
    pub calling_codes: Vec<ConversionRow>,
    /// The last month by sender, the most sent first.
    pub senders: Vec<ConversionRow>,
    /// Accounts on hold, with the beginning of each hold.
    pub on_hold: BTreeMap<AccountSid, Timestamp>,
    /// Lanes that do not post now (`throttled`, `paused`), by account. Only a running service has any.
    #[serde(default)]
    pub lanes: BTreeMap<String, LaneDetail>,
    /// Answers of servers other than Twilio's, by account. Only a running service has any.
    #[serde(default)]
    pub foreign_answers: BTreeMap<String, ForeignAnswers>,
    /// Whether a running service records confirmations and does not post them.
    #[serde(default)]
    pub dry_run: bool,
}

pub(super) async fn stats(
    store: &dyn Store,
    service: Option<&Readiness>,
    now: Timestamp,
) -> Result<Summary, StoreError> {
    let (stats, counts) = (store.stats().await?, store.counts());
    let messages =
        State::ALL.map(|state| (state.as_str(), StatusBucket::Message(state), counts.of(state)));
    let evidence = [
        ("parked", StatusBucket::Parked, counts.parked),
        ("orphaned", StatusBucket::Orphaned, counts.orphaned),
    ];
    let by_state = messages.into_iter().chain(evidence).map(|(name, bucket, count)| {
        (name.to_owned(), StateCount { count, oldest: stats.oldest(bucket) })
    });
    let funnel = SPANS.map(|(name, days)| {
        let since = whole_hours(now, days * HOURS_A_DAY);
        ConversionRow { since: Some(since), ..ConversionRow::new(name, stats.created(since, now)) }
    });
    let span = SignedDuration::from_hours((DAYS - 1) * HOURS_A_DAY);
    let month = now.checked_sub(span).unwrap_or(Timestamp::MIN);
    let mut lanes = service.map(Readiness::lanes).unwrap_or_default();
    lanes.retain(|_, lane| lane.state != LaneReadiness::Posting);
    Ok(Summary {
        by_state: by_state.collect(),
        links: counts.links,
        funnel: funnel.to_vec(),
        calling_codes: by_calling_code(&stats, month),
        senders: by_sender(&stats, month),
        on_hold: store.on_hold().await?,
        lanes,
        foreign_answers: service.map(Readiness::foreign_answers).unwrap_or_default(),
        dry_run: service.is_some_and(Readiness::is_dry_run),
    })
}

/// Counts since the day of `since`, by calling code, the most sent first.
pub(super) fn by_calling_code(stats: &MessageStats, since: Timestamp) -> Vec<ConversionRow> {
    let codes = stats.by_calling_code(since).into_iter().map(|(code, counts)| {
        ConversionRow::new(
            code.map_or_else(|| "unknown".to_owned(), |code| format!("+{code}")),
            counts,
        )
    });
    most_sent_first(codes.collect())
}

/// Counts since the day of `since`, by sender, the most sent first.
pub(super) fn by_sender(stats: &MessageStats, since: Timestamp) -> Vec<ConversionRow> {
    let senders = stats.by_sender(since).into_iter();
    most_sent_first(senders.map(|(sender, counts)| ConversionRow::new(sender, counts)).collect())
}

fn most_sent_first(mut rows: Vec<ConversionRow>) -> Vec<ConversionRow> {
    rows.sort_by_key(|row| std::cmp::Reverse(row.counts.sent));
    rows
}
