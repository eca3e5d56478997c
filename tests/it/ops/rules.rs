//! `ops/alerts.yml`: valid rules, each with a test in `ops/alerts_test.yml` or `ops/alerts_days_test.yml`, and a runbook.

use std::collections::BTreeSet;

use heardback::domain::findings::FindingId;
use serde_json::Value;

use crate::ops::{dashboard, named, promtool, read, root};

const TESTS: [&str; 2] = ["alerts_test.yml", "alerts_days_test.yml"];

/// The text of all tests.
fn tests() -> [String; 2] {
    TESTS.map(|file| read(&format!("ops/{file}")))
}

pub(super) fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("ops/alerts.yml")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// The Prometheus expressions of each alert and of each test of one.
pub(super) fn expressions() -> Vec<String> {
    let parsed = tests().map(|text| serde_saphyr::from_str::<Value>(&text).expect("YAML"));
    let trials = parsed.iter().flat_map(|tests| tests["tests"].as_array().expect("tests"));
    let series = trials.filter_map(|trial| trial["input_series"].as_array()).flatten();
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
    for file in TESTS {
        promtool(&["test", "rules", file], &folder, None);
    }
}

#[test]
fn each_alert_has_a_test_a_summary_a_severity_and_a_runbook() {
    let (tried, page) = (tests().concat(), read("docs/operations.md"));
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

/// The metrics that are figures of the whole store, by `docs/operations.md`.
fn store_gauges() -> BTreeSet<String> {
    let page = read("docs/operations.md");
    let list = page.split("These figures are:").nth(1).expect("the list");
    named(list.split("Take the highest").next().expect("its end"))
}

/// The innermost aggregation around each place of a metric: its word, and its labels.
fn aggregations(expression: &str, metric: &str) -> Vec<(String, String)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_whole = |at: usize| !expression[at + metric.len()..].starts_with(is_word);
    let places = expression.match_indices(metric).map(|(at, _)| at).filter(|at| is_whole(*at));
    let around = |at: usize| {
        let mut depth = 0;
        for (open, c) in expression[..at].char_indices().rev() {
            depth += match c {
                ')' => 1,
                '(' => -1,
                _ => 0,
            };
            if depth >= 0 || c != '(' {
                continue;
            }
            depth = 0;
            let before = expression[..open].trim_end();
            let (head, labels) =
                match before.strip_suffix(')').and_then(|head| head.rsplit_once('(')) {
                    Some((head, labels)) => (head.trim_end().strip_suffix("by"), labels),
                    None => (Some(before), ""),
                };
            let word = head.unwrap_or_default().trim_end().rsplit(|c| !is_word(c)).next();
            if let Some(word @ ("sum" | "max" | "min" | "avg" | "count")) = word {
                return (word.to_owned(), labels.to_owned());
            }
        }
        (String::new(), String::new())
    };
    places.map(around).collect()
}

/// Receivers that share a database expose the same figures.
#[test]
fn no_rule_and_no_panel_counts_a_store_once_for_each_receiver() {
    let gauges = store_gauges();
    assert_eq!(gauges.len(), 9, "{gauges:?}");
    let alerts = alerts();
    let alerts = alerts.iter().map(|alert| word(alert, "expr").to_owned());
    let mut places = 0;
    for expression in alerts.chain(dashboard::expressions()) {
        for gauge in &gauges {
            for (word, labels) in aggregations(&expression, gauge) {
                places += 1;
                let is_of_one_receiver = word == "sum" && labels.contains("instance");
                assert!(word == "max" || is_of_one_receiver, "{word:?} of {gauge}: {expression}");
            }
        }
    }
    assert!(places > 20, "{places}");
}
