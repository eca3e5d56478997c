//! A snapshot of the running service, and the sources it is taken from. Deliberately absent: addresses of recipients;
//! messages contain keyed hashes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::admin::posting::Posting;
use crate::admin::scrape::ReadDisk;
use crate::domain::findings::{Finding, StartFacts};
use crate::domain::message::Message;
use crate::domain::sid::AccountSid;
use crate::domain::stats::MessageStats;
use crate::store::{Clock, RecordCounts, Store};
use crate::telemetry::forward_failures::ForwardFailures;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::{ForeignAnswers, LaneDetail, Readiness};
use crate::telemetry::signature_tally::{SignatureCounts, SignatureTally};

/// The most messages of the outbox, and of the refused messages, that the page shows.
pub(super) const MAX_SHOWN: usize = 25;
/// The most messages of the outbox from which findings are derived.
pub(super) const MAX_EVALUATED: usize = 100;
const MAX_ACCOUNTS: usize = 100;

/// The service at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) taken_at: Timestamp,
    /// Why the store is unavailable, if it is.
    pub(super) store_error: Option<String>,
    pub(super) is_draining: bool,
    pub(super) counts: RecordCounts,
    /// Messages that could be evicted to make room for new ones.
    pub(super) evictable: u64,
    pub(super) stats: MessageStats,
    /// The messages to be posted next, up to [`MAX_EVALUATED`].
    pub(super) outbox: Vec<Message>,
    /// The messages refused last, up to [`MAX_SHOWN`].
    pub(super) refused: Vec<Message>,
    pub(super) posting: Posting,
    pub(super) lanes: BTreeMap<String, LaneDetail>,
    /// Answers of servers other than Twilio's, by account.
    pub(super) foreign_answers: BTreeMap<String, ForeignAnswers>,
    /// Verified and rejected requests since the start.
    pub(super) signatures: SignatureCounts,
    /// Free bytes on the disk of the store.
    pub(super) free_disk_bytes: Option<u64>,
    pub(super) last_verified: Option<Timestamp>,
    /// Findings, the worst first.
    pub(super) findings: Vec<Finding>,
}

impl Snapshot {
    /// Accounts with messages, a hold or a lane, up to [`MAX_ACCOUNTS`].
    pub(super) fn accounts(&self) -> BTreeSet<AccountSid> {
        let lanes = self.lanes.keys().filter_map(|account| AccountSid::parse(account).ok());
        let on_hold = self.posting.on_hold.keys().copied();
        self.stats.accounts().chain(on_hold).chain(lanes).take(MAX_ACCOUNTS).collect()
    }
}

/// Queries of the present configuration, which a reload may replace.
pub struct ConfigQueries {
    pub has_account: Box<dyn Fn(AccountSid) -> bool + Send + Sync>,
    /// The account and the name of each signing key, as metrics label them.
    pub key_names: Box<dyn Fn() -> BTreeSet<(String, String)> + Send + Sync>,
}

/// The parts of the service that the operator's listener reads.
pub struct Sources {
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
    pub signatures: Arc<SignatureTally>,
    pub forward_failures: Arc<ForwardFailures>,
    pub readiness: Arc<Readiness>,
    pub config: ConfigQueries,
    pub clock: Clock,
    pub disk: ReadDisk,
    /// `HEARDBACK_MAX_MESSAGES`.
    pub max_messages: u64,
    pub start: StartFacts,
}
