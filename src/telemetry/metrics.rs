//! Metrics in `OpenMetrics` text. Every label has few values: fixed words, and names from the settings.
//!
//! Events are counted here when they happen; the store's gauges are read at each scrape (`admin/store_gauges.rs`).
//! `docs/operations.md` explains each metric, and a test compares it with the exposed ones.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::forward::{ForwardFailure, ForwardKind};
use crate::domain::route::{SEND, side};
use crate::telemetry::lane_gauges::{LaneFamilies, LaneGauges, level};
use crate::telemetry::totals::{Total, TotalCounters, Totals};

/// One label: its name, and one of few values.
type Label = [(&'static str, &'static str); 1];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    route: &'static str,
    account: Arc<str>,
    key: Arc<str>,
}

/// Before the name of each metric.
const PREFIX: &str = "heardback";
/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics, and the registry that renders them.
pub struct Metrics {
    registry: Registry,
    started: Gauge,
    dry_run: Gauge,
    messages_limit: Gauge,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<Label, Histogram, fn() -> Histogram>,
    refusals: Family<Label, Counter>,
    signature_failures: Family<Label, Counter>,
    connections_shut: Family<Label, Counter>,
    evidence: Family<[(&'static str, &'static str); 2], Counter>,
    deferred: Gauge,
    forwards: Family<[(&'static str, &'static str); 2], Counter>,
    forward_seconds: Family<Label, Histogram, fn() -> Histogram>,
    unmatched: Family<Label, Counter>,
    events: Family<[(&'static str, &'static str); 2], Counter>,
    sends: Family<Label, Counter>,
    attempts: Family<Label, Counter>,
    attempt_seconds: Histogram,
    mismatches: Counter,
    settled: Family<Label, Counter>,
    lanes: LaneFamilies,
    keys: Family<KeyLabels, Gauge>,
    reloads: Family<Label, Counter>,
    swept: Family<Label, Counter>,
    commits: Counter,
    commit_seconds: Histogram,
    sync_seconds: Histogram,
    commit_entries: Histogram,
    totals: TotalCounters,
}

/// Seconds. From one sync of a good disk to Twilio's timeout of 15 s.
const REQUEST_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0];
/// Seconds. The timeout of a post is 10 s.
const ATTEMPT_BUCKETS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds. From one sync of a good disk to the 10 s after which the process ends.
const COMMIT_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Entries. A commit has at most 128 entries' worth.
const ENTRY_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// The results of a reload. Exposed from the start: Prometheus sees no increase in a counter that begins at one.
const RELOADS: [&str; 2] = ["done", "refused"];
/// The results of a send, exposed from the start. `found`: the status callback of a lost one came.
const SENDS: [&str; 10] = [
    "registered",
    "untracked",
    "unregistered",
    "refused",
    "throttled",
    "failed",
    "not_sent",
    "lost",
    "found",
    "busy",
];
/// A commit that takes longer is slow.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// Reasons for which a signed request, or a click, is not usable; the same as in `HeardbackRefusals`.
const UNUSABLE: [&str; 5] =
    ["malformed", "contradiction", "unsupported", "not_a_message", "unknown_link"];
/// Verdicts on posts that failed for a time; the same as in `HeardbackUpstreamFailing`.
const TRANSIENT: [&str; 3] = ["retry", "throttle", "pause"];

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            started: Gauge::default(),
            dry_run: Gauge::default(),
            messages_limit: Gauge::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            refusals: Family::default(),
            signature_failures: Family::default(),
            connections_shut: Family::default(),
            evidence: Family::default(),
            deferred: Gauge::default(),
            forwards: Family::default(),
            forward_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            unmatched: Family::default(),
            events: Family::default(),
            sends: Family::default(),
            attempts: Family::default(),
            attempt_seconds: Histogram::new(ATTEMPT_BUCKETS),
            mismatches: Counter::default(),
            settled: Family::default(),
            lanes: LaneFamilies::default(),
            keys: Family::default(),
            reloads: Family::default(),
            swept: Family::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_BUCKETS),
            sync_seconds: Histogram::new(COMMIT_BUCKETS),
            commit_entries: Histogram::new(ENTRY_BUCKETS),
            totals: TotalCounters::default(),
        };
        metrics.register_inbound();
        metrics.register_outbound();
        metrics.register_process_and_store();
        for result in SENDS {
            metrics.sends.get_or_create(&[("result", result)]).inc_by(0);
        }
        for result in RELOADS {
            metrics.reloads.get_or_create(&[("result", result)]).inc_by(0);
        }
        Arc::new(metrics)
    }

    /// The registry adds `_total`, `_info`, the unit and a full stop.
    fn register_inbound(&mut self) {
        let to = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        to.register("build", "Which version runs", build);
        let help = "Requests answered, by route and status";
        to.register("http_requests", help, self.requests.clone());
        let help = "Duration of a request from its head to its answer, by route";
        let seconds = self.request_seconds.clone();
        to.register_with_unit("http_request", help, Unit::Seconds, seconds);
        let help = "Requests rejected, by reason";
        to.register("refusals", help, self.refusals.clone());
        let help = "Requests rejected because their signature matches no key, by cause";
        to.register("signature_failures", help, self.signature_failures.clone());
        let help = "Connections closed by the service, by reason";
        to.register("connections_shut", help, self.connections_shut.clone());
        let help = "Evidence received, by kind and outcome";
        to.register("evidence", help, self.evidence.clone());
        let help = "Evidence of answered calls, clicks and forwarded messages that is in memory until the store can write it";
        to.register("evidence_deferred", help, self.deferred.clone());
        let help = "Webhooks passed on to the app, by kind and result";
        to.register("forwards", help, self.forwards.clone());
        let help = "Duration of a webhook at the app, with the wait for its turn, by kind";
        let seconds = self.forward_seconds.clone();
        to.register_with_unit("forward", help, Unit::Seconds, seconds);
        let help = "Evidence that confirmed nothing (yet), by reason";
        to.register("evidence_unmatched", help, self.unmatched.clone());
        let help = "Messages that apps sent through this service, by result";
        to.register("sends", help, self.sends.clone());
        let help = "Events of Event Streams, by type and result";
        to.register("events", help, self.events.clone());
        let help = "When a key last made a valid signature, in seconds since 1970; absent: not since the start";
        let keys = self.keys.clone();
        to.register_with_unit("key_last_matched_timestamp", help, Unit::Seconds, keys);
    }

    fn register_outbound(&mut self) {
        let to = &mut self.registry;
        let help = "Posts of feedback, by result";
        to.register("upstream_attempts", help, self.attempts.clone());
        let help = "Duration of one post";
        let seconds = self.attempt_seconds.clone();
        to.register_with_unit("upstream_attempt", help, Unit::Seconds, seconds);
        let help = "2xx and 4xx answers that are not Twilio's about the posted message: retried";
        to.register("upstream_mismatch", help, self.mismatches.clone());
        let help = "Attempts settled, by result";
        to.register("upstream_settled", help, self.settled.clone());
        self.lanes.register(to);
    }

    fn register_process_and_store(&mut self) {
        let to = &mut self.registry;
        let help = "When the process started, in seconds since 1970";
        to.register_with_unit("start_timestamp", help, Unit::Seconds, self.started.clone());
        let help =
            "1 in a dry run: confirmations are recorded, and posted only after it; otherwise 0";
        to.register("dry_run", help, self.dry_run.clone());
        let help =
            "The most messages that are kept; beyond that new ones evict finished ones, or get 503";
        to.register("messages_limit", help, self.messages_limit.clone());
        let help = "Reloads of the accounts and secrets, by result";
        to.register("config_reloads", help, self.reloads.clone());
        let help =
            "Records that expired or were removed, by kind; evicted: to make room in a full store";
        to.register("swept", help, self.swept.clone());
        to.register("store_commits", "Groups made durable", self.commits.clone());
        let help = "Duration of one group, sync included";
        let seconds = self.commit_seconds.clone();
        to.register_with_unit("store_commit", help, Unit::Seconds, seconds);
        let help = "Entries that one group changed";
        to.register("store_commit_entries", help, self.commit_entries.clone());
        let help = "Duration of the write and the sync of one group";
        let seconds = self.sync_seconds.clone();
        to.register_with_unit("store_sync", help, Unit::Seconds, seconds);
    }

    /// Sets the constants of this process.
    pub fn started(&self, second: i64, dry_run: bool, messages_limit: u64) {
        self.started.set(second);
        self.dry_run.set(i64::from(dry_run));
        self.messages_limit.set(level(messages_limit));
    }

    /// Counts an answered request. `route` is the route's name, never the path.
    pub fn http_requests(&self, route: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
        self.request_seconds.get_or_create(&[("route", route)]).observe(took.as_secs_f64());
        // A 5xx of a send is Twilio's own, or one that the app got instead of it; `send` counts both. A 502 is a forwarded
        // webhook that the app failed; its evidence is not affected, and `forward` counts it.
        let is_ours = status >= 500 && status != 502 && route != SEND;
        self.totals.add(Total::ServerErrors, u64::from(is_ours));
    }

    pub fn events(&self, about: &'static str, result: &'static str) {
        self.events.get_or_create(&[("type", about), ("result", result)]).inc();
        self.totals.add(Total::MalformedEvents, u64::from(result == "malformed"));
    }

    pub fn refusals(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
        self.totals.add(Total::Unusable, u64::from(UNUSABLE.contains(&reason)));
    }

    /// Counts a request that was rejected because of its signature.
    pub fn signature_failures(&self, reason: &'static str, route: &str) {
        self.signature_failures.get_or_create(&[("reason", reason)]).inc();
        let is_signed = !matches!(reason, "signature_missing" | "signature_malformed");
        let counts = is_signed && side(route).is_some();
        self.totals.add(Total::SignatureFailures, u64::from(counts));
    }

    pub fn connections_shut(&self, reason: &'static str, count: u64) {
        self.connections_shut.get_or_create(&[("reason", reason)]).inc_by(count);
    }

    pub fn evidence(&self, kind: &'static str, outcome: &'static str) {
        self.evidence.get_or_create(&[("kind", kind), ("outcome", outcome)]).inc();
        self.totals.add(Total::LostEvidence, u64::from(outcome == "lost"));
    }

    /// Counts a webhook that was passed on to the app.
    pub fn forward(&self, kind: ForwardKind, failure: Option<ForwardFailure>, took: Duration) {
        let result = failure.map_or("answered", ForwardFailure::as_str);
        self.forwards.get_or_create(&[("kind", kind.as_str()), ("result", result)]).inc();
        self.forward_seconds.get_or_create(&[("kind", kind.as_str())]).observe(took.as_secs_f64());
    }

    /// Sets the number of signals in memory that the store has not written yet.
    pub fn set_evidence_deferred(&self, count: usize) {
        self.deferred.set(level(count as u64));
    }

    /// The number of signals in memory that the store has not written yet.
    pub fn evidence_deferred(&self) -> u64 {
        self.deferred.get().try_into().unwrap_or_default()
    }

    /// Counts a piece of evidence that confirmed nothing, or nothing yet.
    pub fn unmatched(&self, reason: &'static str) {
        self.unmatched.get_or_create(&[("reason", reason)]).inc();
    }

    pub fn send(&self, result: &'static str) {
        self.sends.get_or_create(&[("result", result)]).inc();
        self.totals.add(Total::LostSends, u64::from(result == "lost"));
        self.totals.add(Total::UnregisteredSends, u64::from(result == "unregistered"));
    }

    pub fn upstream_attempt(&self, result: &'static str, took: Duration) {
        self.attempts.get_or_create(&[("result", result)]).inc();
        self.attempt_seconds.observe(took.as_secs_f64());
        self.totals.add(Total::Attempts, 1);
        self.totals.add(Total::Failures, u64::from(TRANSIENT.contains(&result)));
    }

    /// Counts an answer to a post that was not Twilio's.
    pub fn upstream_mismatch(&self) {
        self.mismatches.inc();
        self.totals.add(Total::ForeignAnswers, 1);
    }

    /// Counts a settled attempt: reported, retry, release or refused.
    pub fn settled(&self, settlement: &'static str) {
        self.settled.get_or_create(&[("settlement", settlement)]).inc();
        self.totals.add(Total::RefusedByTwilio, u64::from(settlement == "refused"));
    }

    /// The gauges of an account's posts. The labels are bounded by the configured accounts.
    pub fn lane(&self, account: &str) -> LaneGauges {
        self.lanes.of(account)
    }

    /// Records the time of a key's valid signature on a route. The labels are bounded by the configured keys.
    pub fn key_matched(
        &self,
        route: &'static str,
        account: &Arc<str>,
        key: &Arc<str>,
        second: i64,
    ) {
        let signer = KeyLabels { route, account: Arc::clone(account), key: Arc::clone(key) };
        self.keys.get_or_create(&signer).set(second);
    }

    /// When a key last matched on one of these routes, in seconds since 1970.
    pub fn key_last_matched(
        &self,
        routes: &[&'static str],
        account: &str,
        key: &str,
    ) -> Option<i64> {
        let signer = |route| KeyLabels { route, account: account.into(), key: key.into() };
        let matched = |route: &&'static str| Some(self.keys.get(&signer(route))?.get());
        routes.iter().filter_map(matched).max()
    }

    /// Removes the times of a key name that is gone or names another key now.
    pub fn forget_key(&self, routes: &[&'static str], account: &str, key: &str) {
        for route in routes {
            let (account, key) = (account.into(), key.into());
            self.keys.remove(&KeyLabels { route, account, key });
        }
    }

    /// Counts a reload: `done`, or `refused` and without effect.
    pub fn config_reload(&self, result: &'static str) {
        self.reloads.get_or_create(&[("result", result)]).inc();
        self.totals.add(Total::ReloadsRefused, u64::from(result == "refused"));
    }

    /// Counts finished records that were evicted to make room.
    pub fn evicted(&self, count: u64) {
        self.totals.add(Total::Evicted, count);
    }

    /// Counts the records of a step of the sweep, by kind.
    pub fn swept(&self, by_kind: &[(&'static str, usize)]) {
        for (kind, count) in by_kind {
            self.swept.get_or_create(&[("kind", *kind)]).inc_by(*count as u64);
        }
    }

    /// Counts a durable group. `synced`: the part of its duration for the write and the sync.
    pub fn commit(&self, entries: usize, took: Duration, synced: Duration) {
        self.commits.inc();
        self.sync_seconds.observe(synced.as_secs_f64());
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_entries.observe(u32::try_from(entries).map_or(f64::MAX, f64::from));
        self.totals.add(Total::Commits, 1);
        self.totals.add(Total::SlowCommits, u64::from(took > SLOW_COMMIT));
    }

    /// The totals since the start, for the findings.
    pub fn totals(&self) -> Totals {
        self.totals.totals()
    }

    /// All of it as `OpenMetrics` text ([`CONTENT_TYPE`]).
    pub fn render(&self) -> String {
        rendered(&[&self.registry])
    }

    /// All of it, and the metrics of a collector.
    pub fn render_with(&self, more: Box<dyn Collector>) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(more);
        rendered(&[&self.registry, &registry])
    }
}

fn rendered(registries: &[&Registry]) -> String {
    let mut text = String::new();
    let encoded = registries.iter().try_for_each(|registry| encode_registry(&mut text, registry));
    // Only an encoder can fail. Half a page would mislead.
    if encoded.and_then(|()| encode_eof(&mut text)).is_ok() { text } else { "# EOF\n".to_owned() }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_5xx_of_a_send_or_of_the_app_is_no_error_of_this_service() {
        let metrics = Metrics::new();
        for (route, status) in [(SEND, 503), ("/twilio/status", 502), ("/twilio/status", 503)] {
            metrics.http_requests(route, status, Duration::from_millis(3));
        }
        assert_eq!(metrics.totals().of(Total::ServerErrors), 1);
    }

    #[test]
    fn each_metric_is_exposed_under_its_name_with_one_suffix() {
        let metrics = Metrics::new();
        metrics.started(1_700_000_000, true, 1_000);
        metrics.http_requests("/twilio/message", 200, Duration::from_millis(3));
        metrics.refusals("signature_mismatch");
        metrics.signature_failures("signature_mismatch", "/twilio/status");
        metrics.connections_shut("overdue", 2);
        metrics.evidence("reply", "confirmed");
        metrics.upstream_attempt("done", Duration::from_millis(300));
        metrics.upstream_mismatch();
        metrics.lane("AC1").set("paused", 4, 1);
        for (key, second) in [("token 1", 1_700_000_000), ("token 2", 1_700_000_001)] {
            metrics.key_matched("/app/events", &"AC1".into(), &key.into(), second);
        }
        metrics.forget_key(&["/", "/app/events"], "AC1", "token 2");
        metrics.config_reload("done");
        metrics.commit(7, Duration::from_millis(3), Duration::from_millis(2));
        let text = metrics.render();
        for line in [
            concat!("heardback_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "heardback_start_timestamp_seconds 1700000000",
            "heardback_dry_run 1",
            "heardback_messages_limit 1000",
            "heardback_http_requests_total{route=\"/twilio/message\",status=\"200\"} 1",
            "heardback_http_request_seconds_bucket{le=\"0.005\",route=\"/twilio/message\"} 1",
            "heardback_refusals_total{reason=\"signature_mismatch\"} 1",
            "heardback_signature_failures_total{reason=\"signature_mismatch\"} 1",
            "heardback_connections_shut_total{reason=\"overdue\"} 2",
            "heardback_evidence_total{kind=\"reply\",outcome=\"confirmed\"} 1",
            "heardback_upstream_attempts_total{result=\"done\"} 1",
            "heardback_upstream_attempt_seconds_bucket{le=\"0.5\"} 1",
            "heardback_upstream_mismatch_total 1",
            "heardback_lane_paused{account=\"AC1\"} 1",
            "heardback_lane_state{account=\"AC1\",state=\"paused\"} 1",
            "heardback_lane_state{account=\"AC1\",state=\"open\"} 0",
            "heardback_lane_limit{account=\"AC1\"} 4",
            "heardback_lane_in_flight{account=\"AC1\"} 1",
            "heardback_key_last_matched_timestamp_seconds\
             {route=\"/app/events\",account=\"AC1\",key=\"token 1\"} 1700000000",
            "heardback_config_reloads_total{result=\"done\"} 1",
            "heardback_config_reloads_total{result=\"refused\"} 0",
            "heardback_store_commits_total 1",
            "heardback_store_commit_seconds_count 1",
            "heardback_store_commit_entries_sum 7.0",
            "heardback_store_sync_seconds_bucket{le=\"0.0025\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("token 2"), "{text}");
        assert!(!text.contains("_total_total") && !text.contains("_seconds_seconds"), "{text}");
    }
}
