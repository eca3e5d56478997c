//! The metrics of a real service after requests of every kind.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use heardback::domain::forward::ForwardKind;
use heardback::telemetry::metrics::Metrics;

use serde_json::json;

use crate::harness::{
    Harness, code_entered, form, http_client, json as json_post, sid, signed, status_callback,
};
use crate::ops::{dashboard, labels, named, promtool, read, rules};

/// Registers and confirms messages, sends duplicates, forged requests and malformed ones.
fn after_traffic() -> (Harness, String) {
    let harness = Harness::new(&[]);
    for (number, to, from) in [
        (1, "+15551234567", "+15017122661"),
        (2, "+4915112345678", "ACME"),
        (3, "+447700900123", "12345"),
    ] {
        let message = json!({ "MessageSid": sid(number), "To": to, "From": from });
        assert_eq!(harness.send(&json_post("/app/messages", &message)).status, 201);
    }
    harness.confirm(1);
    harness.reaches(1, "reported");
    harness.confirm(1);
    harness.send(&status_callback(9, "sent"));
    harness.send(&form("/app/events", &[("Reference", "nobody"), ("Type", "code_entered")]));
    let event = json!([{ "type": "com.twilio.messaging.message.sent", "data": {} }]);
    assert_eq!(harness.send(&json_post("/twilio/events", &event)).status, 204);
    harness.service.exchange(&http_client::bytes(&code_entered(2)));
    let mut forged = signed(&code_entered(2));
    forged.body.extend_from_slice(b"&More=1");
    harness.service.exchange(&http_client::bytes(&forged));
    let text = harness.service.operator("/metrics").text();
    (harness, text)
}

/// The metrics of a scrape in the spelling of an expression, each with its type.
fn exposed(text: &str) -> BTreeMap<String, String> {
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut exposed = BTreeMap::new();
    for (name, kind) in families {
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "gauge" => &[""],
            other => panic!("{name} is a {other}"),
        };
        exposed.extend(suffixes.iter().map(|end| (format!("{name}{end}"), kind.to_owned())));
    }
    exposed
}

/// The same metrics in Prometheus' older text format, which `promtool check metrics` reads.
fn classic(text: &str) -> String {
    let kinds: BTreeMap<_, _> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let full = |name: &str| match kinds.get(name) {
        Some(&"counter") => format!("{name}_total"),
        Some(&"info") => format!("{name}_info"),
        Some(_) | None => name.to_owned(),
    };
    let mut classic = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), _, _) => {}
            (Some("#"), Some(what), Some(name), Some(rest)) => {
                let rest = if rest == "info" { "gauge" } else { rest };
                let _ = writeln!(classic, "# {what} {} {rest}", full(name));
            }
            _ => {
                let _ = writeln!(classic, "{line}");
            }
        }
    }
    classic
}

#[test]
fn the_metrics_are_valid_and_each_has_a_help_text() {
    let (_scene, text) = after_traffic();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    // The import of `promtool` reads OpenMetrics and requires a timestamp for each sample.
    let timed = |line: &str| {
        let time = if line.starts_with('#') { "" } else { " 1700000000" };
        format!("{line}{time}\n")
    };
    write("scrape", &text.lines().map(timed).collect::<String>());
    let import = ["tsdb", "create-blocks-from", "openmetrics", "scrape", "blocks"];
    promtool(&import, folder.path(), None);
    let classic = write("classic", &classic(&text));
    promtool(&["check", "metrics"], folder.path(), Some(&classic));

    let families = |start: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(start)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let (help, kinds) = (families("# HELP "), families("# TYPE "));
    assert_eq!(help.keys().collect::<Vec<_>>(), kinds.keys().collect::<Vec<_>>());
    for (name, help) in help {
        assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
        assert!(name.starts_with("heardback_"), "{name}");
    }
}

#[test]
fn conversion_ages_lanes_and_the_disk_are_exposed_by_a_real_service() {
    let (harness, text) = after_traffic();
    for start in [
        "heardback_conversion_messages_total{calling_code=\"1\",sender=\"*2661\"} 1",
        "heardback_conversion_confirmed_total{calling_code=\"1\",sender=\"*2661\"} 1",
        "heardback_conversion_messages_total{calling_code=\"49\",sender=\"ACME\"} 1",
        "heardback_conversion_confirmed_total{calling_code=\"49\",sender=\"ACME\"} 0",
        "heardback_conversion_messages_total{calling_code=\"44\",sender=\"12345\"} 1",
        "heardback_time_to_confirm_seconds_count{calling_code=\"1\"} 1",
        "heardback_oldest_seconds{what=\"outbox\"} 0.0",
        "heardback_oldest_seconds{what=\"parked\"} ",
        "heardback_store_up 1",
        "heardback_dry_run 0",
        "heardback_messages_limit 1000000",
        "heardback_signature_failures_total{reason=\"signature_missing\"} 1",
        "heardback_signature_failures_total{reason=\"signature_mismatch\"} 1",
        "heardback_http_request_seconds_count{route=\"/app/messages\"} 3",
        "heardback_events_total{type=",
        "heardback_config_reloads_total{result=\"refused\"} 0",
        "heardback_store_sync_seconds_count ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start} is not in\n{text}");
    }
    for least in ["heardback_store_bytes", "heardback_store_free_bytes"] {
        assert!(harness.service.metric(least) > 4096, "{least}");
    }
    let lane = format!("{{account=\"{}\",state=\"open\"}}", crate::harness::ACCOUNT);
    assert_eq!(harness.service.metric(&format!("heardback_lane_state{lane}")), 1);
    assert!(harness.service.metric("heardback_start_timestamp_seconds") > 1_700_000_000);
}

#[test]
fn every_watched_metric_is_exposed_and_every_exposed_one_is_documented() {
    let (_scene, text) = after_traffic();
    let mut exposed: BTreeSet<_> = exposed(&text).into_keys().collect();
    // Only unauthenticated clients cause these.
    exposed.insert("heardback_connections_shut_total".to_owned());
    let postgres = labels::of_a_database();
    exposed.extend(self::exposed(&postgres).into_keys());
    // A service without an app's URL exposes none of these.
    let forwards = Metrics::new();
    forwards.forward(ForwardKind::Call, None, Duration::from_millis(1));
    let forwards = forwards.render();
    exposed.extend(self::exposed(&forwards).into_keys());
    for expression in rules::expressions().into_iter().chain(dashboard::expressions()) {
        for metric in named(&expression) {
            assert!(exposed.contains(&metric), "{metric} is not exposed: {expression}");
        }
    }
    let page = read("docs/operations.md");
    let explained = named(&page);
    for metric in &exposed {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
        let is_explained = |name: &str| explained.contains(name);
        assert!(
            is_explained(metric) || family.is_some_and(is_explained),
            "{metric} is undocumented"
        );
    }
    let families: BTreeSet<_> = text
        .lines()
        .chain(postgres.lines())
        .chain(forwards.lines())
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let advised = named(&read("ops/alerts.yml"));
    for metric in explained.iter().chain(&advised) {
        let known = exposed.contains(metric) || families.contains(metric.as_str());
        assert!(known, "{metric} is documented but not exposed");
    }
}
