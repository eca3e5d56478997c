//! Metrics in `OpenMetrics` text. Every label has few values, all of our own making (`labels.rs`).
//!
//! What happens is counted here as it happens; what there is, is looked at when somebody scrapes (`stock.rs`).
//! `docs/operations.md` says what each is for, and a test holds it against what is served.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::labels::{
    EvidenceLabels, KindLabels, LaneLabels, LaneStands, OutcomeLabels, ReasonLabels, RequestLabels,
    RouteLabels, SettledLabels, SignerLabels, StreamEvent,
};
use crate::telemetry::store_gauges::{SharedStoreGauges, StoreGauges};
use crate::telemetry::totals::{Side, Total, TotalCounters, Totals};

/// What [`Metrics::render`] makes, for the `Content-Type` header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted, and the registry that writes it down.
pub struct Metrics {
    registry: Registry,
    started: Gauge,
    dry_run: Gauge,
    most_messages: Gauge,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    refusals: Family<ReasonLabels, Counter>,
    forgeries: Family<ReasonLabels, Counter>,
    shut: Family<ReasonLabels, Counter>,
    evidence: Family<EvidenceLabels, Counter>,
    deferred: Gauge,
    unmatched: Family<ReasonLabels, Counter>,
    events: Family<StreamEvent, Counter>,
    stock: SharedStoreGauges,
    attempts: Family<OutcomeLabels, Counter>,
    attempt_seconds: Histogram,
    mismatches: Counter,
    settled: Family<SettledLabels, Counter>,
    lanes_paused: Family<LaneLabels, Gauge>,
    lanes: Family<LaneStands, Gauge>,
    lane_limits: Family<LaneLabels, Gauge>,
    in_flight: Family<LaneLabels, Gauge>,
    keys: Family<SignerLabels, Gauge>,
    reloads: Family<OutcomeLabels, Counter>,
    swept: Family<KindLabels, Counter>,
    commits: Counter,
    commit_seconds: Histogram,
    sync_seconds: Histogram,
    commit_entries: Histogram,
    tally: TotalCounters,
}

/// Seconds. From one sync of a good disk to the 15 s after which Twilio gives up.
const REQUEST_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0];
/// Seconds. A post's deadline is 10 s.
const ATTEMPT_BUCKETS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds. From one sync of a good disk to the 10 s after which the process gives up.
const COMMIT_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// What becomes of reading the settings again. Told from the start: a counter that begins at one has not risen.
const RELOADS: [&str; 2] = ["done", "refused"];
/// How a lane can stand.
const LANE_STATES: [&str; 3] = ["open", "held", "paused"];
/// A commit that takes longer is slow.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// Reasons for which a signed request, or a click, is not usable; the same as in `HeardbackRefusals`.
const UNUSABLE: [&str; 5] =
    ["malformed", "contradiction", "unsupported", "not_a_message", "unknown_link"];
/// Results of posts that failed in a way that may pass; the same as in `HeardbackUpstreamFailing`.
const PASSING: [&str; 3] = ["retry", "throttle", "pause"];
/// Entries. A commit takes at most 128 entries' worth.
const ENTRY_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("heardback"),
            started: Gauge::default(),
            dry_run: Gauge::default(),
            most_messages: Gauge::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            refusals: Family::default(),
            forgeries: Family::default(),
            shut: Family::default(),
            evidence: Family::default(),
            deferred: Gauge::default(),
            unmatched: Family::default(),
            events: Family::default(),
            stock: SharedStoreGauges::default(),
            attempts: Family::default(),
            attempt_seconds: Histogram::new(ATTEMPT_BUCKETS),
            mismatches: Counter::default(),
            settled: Family::default(),
            lanes_paused: Family::default(),
            lanes: Family::default(),
            lane_limits: Family::default(),
            in_flight: Family::default(),
            keys: Family::default(),
            reloads: Family::default(),
            swept: Family::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_BUCKETS),
            sync_seconds: Histogram::new(COMMIT_BUCKETS),
            commit_entries: Histogram::new(ENTRY_BUCKETS),
            tally: TotalCounters::default(),
        };
        metrics.register_inbound();
        metrics.register_outbound();
        metrics.register_inside();
        for result in RELOADS {
            metrics.reloads.get_or_create(&OutcomeLabels { result }).inc_by(0);
        }
        Arc::new(metrics)
    }

    /// Names and help. The registry adds `_total` and units by itself, and a full stop.
    fn register_inbound(&mut self) {
        let to = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        // The registry adds `_info`, too.
        to.register("build", "Which version runs", build);
        let help = "Requests answered, by route and status";
        to.register("http_requests", help, self.requests.clone());
        let help = "How long a request took from its head to its answer, by route";
        let seconds = self.request_seconds.clone();
        to.register_with_unit("http_request", help, Unit::Seconds, seconds);
        let help = "Requests turned away before their body was parsed or acted on";
        to.register("refusals", help, self.refusals.clone());
        let help = "Of these, those whose signature was none of ours, by what was wrong with it";
        to.register("signature_failures", help, self.forgeries.clone());
        let help = "Connections cut off, by why";
        to.register("connections_shut", help, self.shut.clone());
        let help = "Evidence taken in, by kind and what came of it";
        to.register("evidence", help, self.evidence.clone());
        let help =
            "Evidence of answered calls and clicks that is in memory until the store can write it";
        to.register("evidence_deferred", help, self.deferred.clone());
        let help = "Evidence that confirmed nothing (yet), by why";
        to.register("evidence_unmatched", help, self.unmatched.clone());
        let help = "Events of Event Streams, by what they are about and what came of each";
        to.register("events", help, self.events.clone());
        let help = "When a key last made a good signature, in seconds since 1970; none: not since the start";
        let keys = self.keys.clone();
        to.register_with_unit("key_last_matched_timestamp", help, Unit::Seconds, keys);
    }

    fn register_outbound(&mut self) {
        let to = &mut self.registry;
        let help = "Posts of feedback, by what came of them";
        to.register("upstream_attempts", help, self.attempts.clone());
        let help = "How long one post took";
        let seconds = self.attempt_seconds.clone();
        to.register_with_unit("upstream_attempt", help, Unit::Seconds, seconds);
        let help = "2xx and 4xx answers that are not Twilio's about the posted message: retried";
        to.register("upstream_mismatch", help, self.mismatches.clone());
        let help = "Attempts settled, by result";
        to.register("upstream_settled", help, self.settled.clone());
        let help = "1 while an account's posts are paused, else 0";
        to.register("lane_paused", help, self.lanes_paused.clone());
        let help = "1 for the state in which an account's posts are, 0 for the others";
        to.register("lane_state", help, self.lanes.clone());
        let help = "How many posts an account may have under way at most";
        to.register("lane_limit", help, self.lane_limits.clone());
        let help = "How many posts an account has under way";
        to.register("lane_in_flight", help, self.in_flight.clone());
    }

    fn register_inside(&mut self) {
        let to = &mut self.registry;
        let help = "When the process started, in seconds since 1970";
        to.register_with_unit("start_timestamp", help, Unit::Seconds, self.started.clone());
        let help = "1 in a dry run: confirmations are recorded, and posted only after it; else 0";
        to.register("dry_run", help, self.dry_run.clone());
        let help = "How many messages are kept at most; beyond that new ones evict finished ones, or get 503";
        to.register("messages_limit", help, self.most_messages.clone());
        let help = "Times that the accounts and secrets were read again, by what came of it";
        to.register("config_reloads", help, self.reloads.clone());
        let help =
            "Records that expired or were removed, by kind; evicted: to make room in a full store";
        to.register("swept", help, self.swept.clone());
        to.register("store_commits", "Groups made durable", self.commits.clone());
        let help = "How long one group took, sync included";
        let seconds = self.commit_seconds.clone();
        to.register_with_unit("store_commit", help, Unit::Seconds, seconds);
        let help = "How many entries one group changed";
        to.register("store_commit_entries", help, self.commit_entries.clone());
        let help = "How long one group took to be written and synced, its judgement left out";
        let seconds = self.sync_seconds.clone();
        to.register_with_unit("store_sync", help, Unit::Seconds, seconds);
        to.register_collector(Box::new(self.stock.clone()));
    }

    /// What stands still while the process runs.
    pub fn started(&self, second: i64, dry_run: bool, most_messages: u64) {
        self.started.set(second);
        self.dry_run.set(i64::from(dry_run));
        self.most_messages.set(level(most_messages));
    }

    /// One more request answered, and how long that took. `route` is the route's name, never the path.
    pub fn http_requests(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
        self.request_seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
        self.tally.add(Total::ServerErrors, u64::from(status >= 500));
    }

    /// One more event of Event Streams. Both words are of our own making.
    pub fn events(&self, about: &'static str, result: &'static str) {
        self.events.get_or_create(&StreamEvent { r#type: about, result }).inc();
        self.tally.add(Total::MalformedEvents, u64::from(result == "malformed"));
    }

    /// One more request refused.
    pub fn refusals(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
        self.tally.add(Total::Unusable, u64::from(UNUSABLE.contains(&reason)));
    }

    /// One more request refused for its signature, on that route.
    pub fn signature_failures(&self, reason: &'static str, route: &str) {
        self.forgeries.get_or_create(&ReasonLabels { reason }).inc();
        let is_signed = !matches!(reason, "signature_missing" | "signature_malformed");
        let counts = is_signed && Side::of(route).is_some();
        self.tally.add(Total::SignatureFailures, u64::from(counts));
    }

    /// So many more connections cut off.
    pub fn connections_shut(&self, reason: &'static str, count: u64) {
        self.shut.get_or_create(&ReasonLabels { reason }).inc_by(count);
    }

    /// One more piece of evidence.
    pub fn evidence(&self, kind: &'static str, outcome: &'static str) {
        self.evidence.get_or_create(&EvidenceLabels { kind, outcome }).inc();
        self.tally.add(Total::LostEvidence, u64::from(outcome == "lost"));
    }

    /// Sets the number of signals in memory that the store has not written yet.
    pub fn set_evidence_deferred(&self, count: usize) {
        self.deferred.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How much evidence is in memory until the store can write it.
    #[must_use]
    pub fn evidence_deferred(&self) -> u64 {
        self.deferred.get().try_into().unwrap_or_default()
    }

    /// One more piece of evidence that confirmed nothing, or nothing yet.
    pub fn unmatched(&self, reason: &'static str) {
        self.unmatched.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// What there is, as of now.
    pub fn set_stock(&self, stock: StoreGauges) {
        self.stock.put(stock);
    }

    /// One more post, what came of it, and how long it took.
    pub fn upstream_attempt(&self, result: &'static str, took: Duration) {
        self.attempts.get_or_create(&OutcomeLabels { result }).inc();
        self.attempt_seconds.observe(took.as_secs_f64());
        self.tally.add(Total::Attempts, 1);
        self.tally.add(Total::Failures, u64::from(PASSING.contains(&result)));
    }

    /// One more answer to a post that was not Twilio's.
    pub fn upstream_mismatch(&self) {
        self.mismatches.inc();
        self.tally.add(Total::Unnamed, 1);
    }

    /// One more attempt's end written down: reported, retry, release or refused.
    pub fn settled(&self, settlement: &'static str) {
        self.settled.get_or_create(&SettledLabels { settlement }).inc();
        self.tally.add(Total::RefusedByTwilio, u64::from(settlement == "refused"));
    }

    /// How an account's posts are, how many it may have under way, and how many it has. Bounded: one
    /// account for each that is configured.
    pub fn set_lane(&self, account: &str, stands: &str, limit: usize, in_flight: usize) {
        let lane = LaneLabels { account: account.to_owned() };
        self.lanes_paused.get_or_create(&lane).set(i64::from(stands == "paused"));
        for state in LANE_STATES {
            let known = LaneStands { account: account.to_owned(), state };
            self.lanes.get_or_create(&known).set(i64::from(stands == state));
        }
        self.lane_limits.get_or_create(&lane).set(i64::try_from(limit).unwrap_or(i64::MAX));
        self.in_flight.get_or_create(&lane).set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }

    /// A key made a good signature on that route, at that second of the clock. Bounded: only keys that
    /// are configured, by their names.
    pub fn key_matched(&self, route: &'static str, account: &str, key: &str, second: i64) {
        let signer = SignerLabels { route, account: account.to_owned(), key: key.to_owned() };
        self.keys.get_or_create(&signer).set(second);
    }

    /// When a key last matched on one of these routes, in seconds since 1970; `None` if never.
    #[must_use]
    pub fn key_last_matched(
        &self,
        routes: &[&'static str],
        account: &str,
        key: &str,
    ) -> Option<i64> {
        let signer =
            |route| SignerLabels { route, account: account.to_owned(), key: key.to_owned() };
        let matched = |route: &&'static str| Some(self.keys.get(&signer(route))?.get());
        routes.iter().filter_map(matched).max()
    }

    /// That name is another key's now, or nobody's.
    pub fn forget_key(&self, routes: &[&'static str], account: &str, key: &str) {
        for route in routes {
            self.keys.remove(&SignerLabels {
                route,
                account: account.to_owned(),
                key: key.to_owned(),
            });
        }
    }

    /// The settings were read again: `done`, or `refused` and left as they were.
    pub fn config_reload(&self, result: &'static str) {
        self.reloads.get_or_create(&OutcomeLabels { result }).inc();
        self.tally.add(Total::ReloadsRefused, u64::from(result == "refused"));
    }

    /// This many more finished records evicted to make room.
    pub fn forgotten_early(&self, count: u64) {
        self.tally.add(Total::ForgottenEarly, count);
    }

    /// One more step of the sweep, with the number of records of each kind.
    pub fn swept(&self, by_kind: &[(&'static str, usize)]) {
        for (kind, count) in by_kind {
            self.swept.get_or_create(&KindLabels { kind }).inc_by(*count as u64);
        }
    }

    /// One more group made durable: how many entries, how long all of it took, and how long the disk.
    pub fn commit(&self, entries: usize, took: Duration, synced: Duration) {
        self.commits.inc();
        self.sync_seconds.observe(synced.as_secs_f64());
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_entries.observe(u32::try_from(entries).map_or(f64::MAX, f64::from));
        self.tally.add(Total::Commits, 1);
        self.tally.add(Total::SlowCommits, u64::from(took > SLOW_COMMIT));
    }

    /// The totals since the start, from which findings are judged.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.tally.totals()
    }

    /// All of it as `OpenMetrics` text ([`CONTENT_TYPE`]).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only if an encoder does, and then half a page misleads.
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(fmt::Error) => "# EOF\n".to_owned(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A gauge counts in `i64`; what it cannot hold is no count of ours.
fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
