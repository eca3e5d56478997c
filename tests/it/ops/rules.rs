//! `ops/alerts.yml`: valid rules, each with a test in `ops/alerts_test.yml` and a runbook.

use std::collections::BTreeSet;

use heardback::domain::findings::FindingId;
use serde_json::Value;

use crate::ops::{promtool, read, root};

pub(super) fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("ops/alerts.yml")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// The Prometheus expressions of each alert and of each test of one.
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

/// The minimal length of a text without the values of its template.
fn shown(text: &str) -> usize {
    text.split("{{").map(|part| part.rsplit("}}").next().map_or(0, str::len)).sum()
}

#[test]
fn prometheus_accepts_the_alerts_and_they_fire_at_their_conditions_and_not_before() {
    let folder = root().join("ops");
    promtool(&["check", "rules", "alerts.yml"], &folder, None);
    promtool(&["test", "rules", "alerts_test.yml"], &folder, None);
}

#[test]
fn each_alert_has_a_test_a_summary_a_severity_and_a_runbook() {
    let (tried, page) = (read("ops/alerts_test.yml"), read("docs/operations.md"));
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = word(&alert, "alert");
        assert!(names.insert(name.to_owned()), "{name} occurs twice");
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
        assert!(
            page.contains(&format!("`{name}` | {severity} |")),
            "{name} has another severity in the page"
        );
        let is_tried = [format!("alertname=\"{name}\""), format!("alertname: {name}\n")];
        assert!(is_tried.iter().any(|trial| tried.contains(trial)), "{name} has no test");
    }
    let anchors = page.matches("<a id=\"heardback").count();
    assert_eq!(anchors, names.len(), "a runbook without an alert");
    let anchors = page.matches("<a id=\"finding-").count();
    let findings = FindingId::ALL.iter().filter(|id| !id.has_alert()).count();
    assert_eq!(anchors, findings, "a runbook without a finding");
}
