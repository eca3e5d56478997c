//! Metrics in `OpenMetrics` text. Every label has few values, all of our own making: a route's
//! name, never a path; a reason's word, never a message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// What [`Metrics::render`] makes, for the `Content-Type` header.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shut {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Evidence {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamEvent {
    r#type: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unmatched {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Settled {
    settlement: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lane {
    account: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Signer {
    route: &'static str,
    account: String,
    key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

/// Everything that is counted, and the registry that writes it down.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    refusals: Family<Refusal, Counter>,
    shut: Family<Shut, Counter>,
    evidence: Family<Evidence, Counter>,
    unmatched: Family<Unmatched, Counter>,
    events: Family<StreamEvent, Counter>,
    messages: Family<State, Gauge>,
    parked: Gauge,
    outbox: Gauge,
    links: Gauge,
    attempts: Family<Attempt, Counter>,
    attempt_seconds: Histogram,
    mismatches: Counter,
    settled: Family<Settled, Counter>,
    lanes_paused: Family<Lane, Gauge>,
    keys: Family<Signer, Gauge>,
    reloads: Family<Reload, Counter>,
    commits: Counter,
    commit_seconds: Histogram,
    commit_entries: Histogram,
}

/// Seconds. A post's deadline is 10 s.
const ATTEMPT_BUCKETS: [f64; 9] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds. From one sync of a good disk to the 10 s after which the process gives up.
const COMMIT_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Entries. A commit takes at most 128 entries' worth.
const ENTRY_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("heardback"),
            requests: Family::default(),
            refusals: Family::default(),
            shut: Family::default(),
            evidence: Family::default(),
            unmatched: Family::default(),
            events: Family::default(),
            messages: Family::default(),
            parked: Gauge::default(),
            outbox: Gauge::default(),
            links: Gauge::default(),
            attempts: Family::default(),
            attempt_seconds: Histogram::new(ATTEMPT_BUCKETS),
            mismatches: Counter::default(),
            settled: Family::default(),
            lanes_paused: Family::default(),
            keys: Family::default(),
            reloads: Family::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_BUCKETS),
            commit_entries: Histogram::new(ENTRY_BUCKETS),
        };
        metrics.register();
        Arc::new(metrics)
    }

    /// Names and help. The registry adds `_total` and units by itself, and a full stop.
    fn register(&mut self) {
        let to = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        // The registry adds `_info`, too.
        to.register("build", "Which version runs", build);
        let help = "Requests answered, by route and status";
        to.register("http_requests", help, self.requests.clone());
        let help = "Requests turned away before their body was parsed or acted on";
        to.register("refusals", help, self.refusals.clone());
        let help = "Connections cut off, by why";
        to.register("connections_shut", help, self.shut.clone());
        let help = "Evidence taken in, by kind and what came of it";
        to.register("evidence", help, self.evidence.clone());
        let help = "Evidence that confirmed nothing (yet), by why";
        to.register("evidence_unmatched", help, self.unmatched.clone());
        let help = "Events of Event Streams, by what they are about and what came of each";
        to.register("events", help, self.events.clone());
        to.register("messages", "Messages known, by state", self.messages.clone());
        let help = "Evidence that waits for its message to become known";
        to.register("parked", help, self.parked.clone());
        let help = "Confirmations that Twilio has not yet accepted";
        to.register("outbox", help, self.outbox.clone());
        to.register("links", "Click links kept", self.links.clone());
        let help = "Posts of feedback, by what came of them";
        to.register("upstream_attempts", help, self.attempts.clone());
        let help = "How long one post took";
        let seconds = self.attempt_seconds.clone();
        to.register_with_unit("upstream_attempt", help, Unit::Seconds, seconds);
        let help = "Posts that Twilio accepted with an answer that names another message";
        to.register("upstream_mismatch", help, self.mismatches.clone());
        let help = "Ends of attempts written down, by what they came to";
        to.register("upstream_settled", help, self.settled.clone());
        let help = "1 while an account's posts are paused, else 0";
        to.register("lane_paused", help, self.lanes_paused.clone());
        let help = "When a key last made a good signature, in seconds since 1970; none: not since the start";
        let keys = self.keys.clone();
        to.register_with_unit("key_last_matched_timestamp", help, Unit::Seconds, keys);
        let help = "Times that the accounts and secrets were read again, by what came of it";
        to.register("config_reloads", help, self.reloads.clone());
        to.register("store_commits", "Groups made durable", self.commits.clone());
        let help = "How long one group took, sync included";
        let seconds = self.commit_seconds.clone();
        to.register_with_unit("store_commit", help, Unit::Seconds, seconds);
        let help = "How many entries one group changed";
        to.register("store_commit_entries", help, self.commit_entries.clone());
    }

    /// One more request answered. `route` is the route's name, never the path.
    pub fn http_requests(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&Request { route, status }).inc();
    }

    /// One more event of Event Streams. Both words are of our own making.
    pub fn events(&self, about: &'static str, result: &'static str) {
        self.events.get_or_create(&StreamEvent { r#type: about, result }).inc();
    }

    /// One more request refused.
    pub fn refusals(&self, reason: &'static str) {
        self.refusals.get_or_create(&Refusal { reason }).inc();
    }

    /// So many more connections cut off.
    pub fn connections_shut(&self, reason: &'static str, count: u64) {
        self.shut.get_or_create(&Shut { reason }).inc_by(count);
    }

    /// One more piece of evidence.
    pub fn evidence(&self, kind: &'static str, outcome: &'static str) {
        self.evidence.get_or_create(&Evidence { kind, outcome }).inc();
    }

    /// One more piece of evidence that confirmed nothing, or nothing yet.
    pub fn unmatched(&self, reason: &'static str) {
        self.unmatched.get_or_create(&Unmatched { reason }).inc();
    }

    /// How many messages are in each state. A state left out keeps its number.
    pub fn set_states(&self, states: &[(&'static str, u64)]) {
        for &(state, count) in states {
            self.messages.get_or_create(&State { state }).set(level(count));
        }
    }

    /// How much evidence is parked.
    pub fn set_parked(&self, count: u64) {
        self.parked.set(level(count));
    }

    /// How many confirmations wait to be posted.
    pub fn set_outbox(&self, count: u64) {
        self.outbox.set(level(count));
    }

    /// How many click links are kept.
    pub fn set_links(&self, count: u64) {
        self.links.set(level(count));
    }

    /// One more post, what came of it, and how long it took.
    pub fn upstream_attempt(&self, result: &'static str, took: Duration) {
        self.attempts.get_or_create(&Attempt { result }).inc();
        self.attempt_seconds.observe(took.as_secs_f64());
    }

    /// One more accepted post whose answer did not name our message.
    pub fn upstream_mismatch(&self) {
        self.mismatches.inc();
    }

    /// One more attempt's end written down: reported, retry, release or refused.
    pub fn settled(&self, settlement: &'static str) {
        self.settled.get_or_create(&Settled { settlement }).inc();
    }

    /// Whether an account's posts are paused. Bounded: one account for each that is configured.
    pub fn set_lane_paused(&self, account: &str, paused: bool) {
        let lane = Lane { account: account.to_owned() };
        self.lanes_paused.get_or_create(&lane).set(i64::from(paused));
    }

    /// A key made a good signature on that route, at that second of the clock. Bounded: only keys that
    /// are configured, by their names.
    pub fn key_matched(&self, route: &'static str, account: &str, key: &str, second: i64) {
        let signer = Signer { route, account: account.to_owned(), key: key.to_owned() };
        self.keys.get_or_create(&signer).set(second);
    }

    /// That name is another key's now, or nobody's.
    pub fn forget_key(&self, routes: &[&'static str], account: &str, key: &str) {
        for route in routes {
            self.keys.remove(&Signer { route, account: account.to_owned(), key: key.to_owned() });
        }
    }

    /// The settings were read again: `done`, or `refused` and left as they were.
    pub fn config_reload(&self, result: &'static str) {
        self.reloads.get_or_create(&Reload { result }).inc();
    }

    /// One more group made durable: how many entries, and how long with the sync.
    pub fn commit(&self, entries: usize, took: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_entries.observe(u32::try_from(entries).map_or(f64::MAX, f64::from));
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
mod tests {
    use super::*;

    #[test]
    fn everything_shows_under_its_name_and_total_only_once() {
        let metrics = Metrics::new();
        metrics.http_requests("/twilio/message", 200);
        metrics.refusals("bad_signature");
        metrics.connections_shut("overdue", 2);
        metrics.evidence("reply", "confirmed");
        metrics.set_states(&[("pending", 3), ("reported", 2)]);
        metrics.set_states(&[("pending", 1)]);
        metrics.set_parked(4);
        metrics.set_outbox(5);
        metrics.set_links(6);
        metrics.upstream_attempt("done", Duration::from_millis(300));
        metrics.upstream_mismatch();
        metrics.set_lane_paused("AC1", true);
        metrics.key_matched("/app/events", "AC1", "token 1", 1_700_000_000);
        metrics.key_matched("/app/events", "AC1", "token 2", 1_700_000_001);
        metrics.forget_key(&["/", "/app/events"], "AC1", "token 2");
        metrics.config_reload("done");
        metrics.commit(7, Duration::from_millis(3));
        let text = metrics.render();
        for line in [
            concat!("heardback_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "heardback_http_requests_total{route=\"/twilio/message\",status=\"200\"} 1",
            "heardback_refusals_total{reason=\"bad_signature\"} 1",
            "heardback_connections_shut_total{reason=\"overdue\"} 2",
            "heardback_evidence_total{kind=\"reply\",outcome=\"confirmed\"} 1",
            "heardback_messages{state=\"pending\"} 1",
            "heardback_messages{state=\"reported\"} 2",
            "heardback_parked 4",
            "heardback_outbox 5",
            "heardback_links 6",
            "heardback_upstream_attempts_total{result=\"done\"} 1",
            "heardback_upstream_attempt_seconds_bucket{le=\"0.5\"} 1",
            "heardback_upstream_mismatch_total 1",
            "heardback_lane_paused{account=\"AC1\"} 1",
            "heardback_key_last_matched_timestamp_seconds\
             {route=\"/app/events\",account=\"AC1\",key=\"token 1\"} 1700000000",
            "heardback_config_reloads_total{result=\"done\"} 1",
            "heardback_store_commits_total 1",
            "heardback_store_commit_seconds_count 1",
            "heardback_store_commit_entries_sum 7.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("token 2"), "{text}");
        assert!(!text.contains("_total_total") && !text.contains("_seconds_seconds"), "{text}");
    }
}
