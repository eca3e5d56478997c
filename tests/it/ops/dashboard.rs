//! `ops/grafana.json`: well-formed, each panel in its own place, each expression valid in
//! Prometheus.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::ops::{promtool, read};

/// Grafana's substitutions for its variables.
const WORDS: [(&str, &str); 7] = [
    ("$__range", "1h"),
    ("$__rate_interval", "5m"),
    ("$window", "2h"),
    ("$job", ".*"),
    ("$instance", ".*"),
    ("$calling_code", ".*"),
    ("$sender", ".*"),
];

fn dashboard() -> Value {
    serde_json::from_str(&read("ops/grafana.json")).expect("JSON")
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().expect("panels")
}

/// The Prometheus queries of each panel and each variable.
pub(super) fn expressions() -> Vec<String> {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let variables = variables.filter_map(|variable| variable["definition"].as_str());
    let targets = targets(&dashboard).into_iter();
    targets.chain(variables).map(str::to_owned).collect()
}

fn targets(dashboard: &Value) -> Vec<&str> {
    let all = panels(dashboard).iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    all.map(|target| target["expr"].as_str().expect("one")).collect()
}

fn place(panel: &Value) -> [u64; 4] {
    ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"))
}

#[test]
fn no_two_panels_share_a_place_or_an_id_and_each_has_a_description() {
    let dashboard = dashboard();
    assert_eq!(
        (&dashboard["uid"], &dashboard["title"]),
        (&json!("heardback"), &json!("Heardback"))
    );
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36));
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title}");
        let [left, top, width, height] = place(panel);
        assert!(left + width <= 24 && width > 0 && height > 0, "{title}");
        for cell in (left..left + width).flat_map(|x| (top..top + height).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} overlaps another panel at {cell:?}");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(!panel["targets"].as_array().expect("targets").is_empty(), "{title}");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let datasource = variables.iter().find(|known| known["name"] == "datasource").expect("there");
    assert_eq!(
        (&datasource["type"], &datasource["query"]),
        (&json!("datasource"), &json!("prometheus"))
    );
    let largest = panels(&dashboard).iter().max_by_key(|panel| place(panel)[2] * place(panel)[3]);
    assert_eq!(
        largest.expect("one")["title"],
        "Conversion by calling code",
        "what people come for"
    );
}

#[test]
fn prometheus_accepts_each_expression_and_each_metric_in_it_exists() {
    let dashboard = dashboard();
    let expressions = targets(&dashboard);
    assert!(expressions.len() > 40, "{}", expressions.len());
    let rules = expressions.iter().enumerate().map(|(number, expression)| {
        let words = WORDS.iter();
        let plain =
            words.fold((*expression).to_owned(), |text, (word, value)| text.replace(word, value));
        assert!(!plain.contains('$'), "{plain}");
        json!({ "record": format!("panel:{number}"), "expr": plain })
    });
    let rules = json!({ "groups": [{ "name": "panels", "rules": rules.collect::<Vec<_>>() }] });
    let folder = tempfile::tempdir().expect("a folder");
    // JSON is YAML.
    fs::write(folder.path().join("panels.yml"), rules.to_string()).expect("written");
    promtool(&["check", "rules", "panels.yml"], folder.path(), None);
}

/// A recipient without a known country has the label `unknown`, which is no calling code.
#[test]
fn no_series_is_labelled_plus_unknown() {
    let dashboard = dashboard();
    let mut lines = 0;
    for panel in panels(&dashboard) {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let legends = targets.filter_map(|target| target["legendFormat"].as_str());
        for legend in legends.filter(|legend| legend.starts_with("+{{calling_code}}")) {
            let name = legend.replace("{{calling_code}}", "unknown");
            let overrides = panel["fieldConfig"]["overrides"].as_array().expect("overrides");
            let found = overrides.iter().find(|known| known["matcher"]["options"] == *name);
            let found = found.unwrap_or_else(|| panic!("{} shows {name}", panel["title"]));
            assert_eq!(found["matcher"]["id"], "byName");
            assert_eq!(found["properties"][0]["id"], "displayName");
            let shown = found["properties"][0]["value"].as_str().expect("a name");
            assert!(shown.starts_with("unknown country"), "{shown}");
            lines += 1;
        }
    }
    assert_eq!(lines, 6, "panels by calling code");
}
