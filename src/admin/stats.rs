//! Counts all records: how many are in each state and since when, and the share of sent messages that is confirmed
//! and reported, by country and sender.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::message::State;
use crate::domain::sid::AccountSid;
use crate::domain::stats::{BucketCounts, MessageStats, StatusBucket, whole_hours};
use crate::store::{RecordCounts, Store, StoreError};
use crate::telemetry::readiness::{ForeignAnswers, LaneDetail, LaneReadiness, Readiness};

/// The spans over which a funnel is told, in days, by name.
const SPANS: [(&str, i64); 3] = [("24h", 1), ("7d", 7), ("30d", 30)];
/// Days that calling codes and senders are told of.
const DAYS: i64 = 30;
const HOURS_A_DAY: i64 = 24;

/// Records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub count: u64,
    /// Since when the oldest has waited, to the second.
    pub oldest: Option<Timestamp>,
}

/// What was sent, and how far it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Of what: `24h`, `+49`, a sender.
    pub of: String,
    /// Since when, of a span: the beginning of an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(flatten)]
    pub tally: BucketCounts,
    /// The share of what was sent that is proven, from 0 to 1.
    pub conversion: Option<f64>,
}

impl Share {
    fn of(of: impl Into<String>, tally: BucketCounts) -> Self {
        Self { of: of.into(), since: None, tally, conversion: tally.conversion() }
    }
}

/// What it all comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Messages by state, and `parked` and `orphaned` evidence.
    pub waiting: BTreeMap<String, Waiting>,
    /// Click links.
    pub links: u64,
    /// The last day, week and month.
    pub funnel: Vec<Share>,
    /// The last month by calling code, the most sent to first.
    pub calling_codes: Vec<Share>,
    /// The last month by sender, the most used first.
    pub senders: Vec<Share>,
    /// Accounts that the operator has put on hold, and since when.
    pub on_hold: BTreeMap<AccountSid, Timestamp>,
    /// Lanes that Twilio has closed (`held`, `paused`), by their account. Only a service that runs knows
    /// of any.
    #[serde(default)]
    pub lanes: BTreeMap<String, LaneDetail>,
    /// Answers to posts that were not Twilio's, by account. Only a running service has any.
    #[serde(default)]
    pub foreign_answers: BTreeMap<String, ForeignAnswers>,
    /// Whether a running service records confirmations and does not post them.
    #[serde(default)]
    pub dry_run: bool,
}

/// Counts all records.
///
/// # Errors
/// The store is unavailable.
pub async fn stats(
    store: &dyn Store,
    service: Option<&Readiness>,
    now: Timestamp,
) -> Result<Summary, StoreError> {
    let (census, on_hold) = (store.census().await?, store.paused().await?);
    let mut summary = summary(&census, &store.counts(), on_hold, now);
    if let Some(service) = service {
        summary.lanes = service.lanes();
        summary.lanes.retain(|_, lane| lane.state != LaneReadiness::Open);
        summary.foreign_answers = service.foreign_answers();
        summary.dry_run = service.is_dry_run();
    }
    Ok(summary)
}

fn summary(
    census: &MessageStats,
    counts: &RecordCounts,
    on_hold: BTreeMap<AccountSid, Timestamp>,
    now: Timestamp,
) -> Summary {
    // Days are told whole, today included.
    let span = SignedDuration::from_hours((DAYS - 1) * HOURS_A_DAY);
    let month = now.checked_sub(span).unwrap_or(Timestamp::MIN);
    let mut waiting = BTreeMap::new();
    let states =
        State::ALL.map(|state| (state.as_str(), StatusBucket::Message(state), counts.of(state)));
    let parked = [
        ("parked", StatusBucket::Parked, counts.parked),
        ("orphaned", StatusBucket::Orphaned, counts.orphaned),
    ];
    for (name, standing, count) in states.into_iter().chain(parked) {
        waiting.insert(name.to_owned(), Waiting { count, oldest: census.oldest(standing) });
    }
    let funnel = SPANS.map(|(name, days)| {
        let since = whole_hours(now, days * HOURS_A_DAY);
        Share { since: Some(since), ..Share::of(name, census.created(since, now)) }
    });
    let codes = census.by_calling_code(month).into_iter().map(|(code, tally)| {
        let code = code.map_or_else(|| "unknown".to_owned(), |code| format!("+{code}"));
        Share::of(code, tally)
    });
    let senders = census.by_sender(month).into_iter();
    Summary {
        waiting,
        links: counts.links,
        funnel: funnel.to_vec(),
        calling_codes: most_first(codes.collect()),
        senders: most_first(senders.map(|(name, tally)| Share::of(name, tally)).collect()),
        on_hold,
        lanes: BTreeMap::new(),
        foreign_answers: BTreeMap::new(),
        dry_run: false,
    }
}

fn most_first(mut shares: Vec<Share>) -> Vec<Share> {
    shares.sort_by_key(|share| std::cmp::Reverse(share.tally.sent));
    shares
}
