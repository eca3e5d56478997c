//! `ops/alerts.yml`: valid, each alert tried in `ops/alerts_test.yml`, and each leads to what to do.

use std::collections::BTreeSet;

use heardback::domain::findings::FindingId;
use serde_json::Value;

use crate::ops::{promtool, read, root};

pub(super) fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("ops/alerts.yml")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// What each alert, and each trial of one, asks Prometheus.
pub(super) fn expressions() -> Vec<String> {
    let tried: Value = serde_saphyr::from_str(&read("ops/alerts_test.yml")).expect("YAML");
    let trials = tried["tests"].as_array().expect("tests");
    let series = trials.iter().filter_map(|trial| trial["input_series"].as_array()).flatten();
    let series = series.map(|series| word(series, "series").to_owned());
    alerts().iter().map(|alert| word(alert, "expr").to_owned()).chain(series).collect()
}

pub(super) fn word<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("no {name} in {of}"))
}

/// How long a text is at least, without what its templates put in.
fn shown(text: &str) -> usize {
    text.split("{{").map(|part| part.rsplit("}}").next().map_or(0, str::len)).sum()
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should_and_not_before() {
    let folder = root().join("ops");
    promtool(&["check", "rules", "alerts.yml"], &folder, None);
    promtool(&["test", "rules", "alerts_test.yml"], &folder, None);
}

#[test]
fn each_alert_is_tried_and_says_what_happened_how_bad_it_is_and_where_to_read_on() {
    let (tried, page) = (read("ops/alerts_test.yml"), read("docs/operations.md"));
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = word(&alert, "alert");
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        assert!(name.starts_with("Heardback"), "{name}");
        assert!(!word(&alert, "for").is_empty() && !word(&alert, "expr").is_empty());
        let severity = word(&alert["labels"], "severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        let (summary, description) =
            (word(&alert["annotations"], "summary"), word(&alert["annotations"], "description"));
        assert!(!summary.ends_with('.') && shown(summary) < 120, "{name}: {summary}");
        assert!(
            description.ends_with(['.', '?', ')']) && description.len() > 80,
            "{name}: {description}"
        );
        let anchor = name.to_lowercase();
        assert_eq!(word(&alert["annotations"], "runbook"), format!("docs/operations.md#{anchor}"));
        assert!(
            page.contains(&format!("<a id=\"{anchor}\"></a>`{name}`")),
            "{name} has no runbook"
        );
        assert!(page.contains(&format!("`{name}` | {severity} |")), "{name}: not {severity} there");
        let is_tried = [format!("alertname=\"{name}\""), format!("alertname: {name}\n")];
        assert!(is_tried.iter().any(|trial| tried.contains(trial)), "{name} is not tried");
    }
    let anchors = page.matches("<a id=\"heardback").count();
    assert_eq!(anchors, names.len(), "a runbook for an alert that is not there");
    let anchors = page.matches("<a id=\"finding-").count();
    let findings = FindingId::ALL.iter().filter(|id| !id.has_alert()).count();
    assert_eq!(anchors, findings, "a runbook for a finding that is not there");
}
