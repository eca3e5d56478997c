//! The findings of the page, `/readyz` and `doctor` have the names, severities and texts of `ops/alerts.yml`.

use std::collections::BTreeSet;

use heardback::domain::findings::{FindingId, OUTSIDE};

use crate::ops::read;
use crate::ops::rules::{alerts, word};

#[test]
fn each_alert_has_its_finding_with_the_same_severity_runbook_and_advice() {
    let outside: BTreeSet<_> = OUTSIDE.iter().map(|(alert, _)| *alert).collect();
    let mut left: BTreeSet<_> = FindingId::ALL.into_iter().filter(|id| id.has_alert()).collect();
    for alert in alerts() {
        let name = word(&alert, "alert");
        let id = FindingId::ALL.into_iter().find(|id| id.alert().as_deref() == Some(name));
        let Some(id) = id else {
            assert!(outside.contains(name), "{name} has no finding");
            continue;
        };
        assert!(!outside.contains(name), "{name} has a finding");
        assert!(left.remove(&id), "{name} occurs twice");
        assert_eq!(word(&alert["labels"], "severity"), id.severity().as_str(), "{name}");
        assert_eq!(word(&alert["annotations"], "runbook"), id.runbook(), "{name}");
        let description = word(&alert["annotations"], "description");
        assert!(
            description.ends_with(id.advice()),
            "{name}: {description}\nis not\n{}",
            id.advice()
        );
    }
    assert!(left.is_empty(), "findings without an alert: {left:?}");
    // A process cannot report its own absence.
    assert_eq!(outside.into_iter().collect::<Vec<_>>(), ["HeardbackDown"]);
}

#[test]
fn each_finding_links_to_a_place_in_the_documentation() {
    let page = read("docs/operations.md");
    for id in FindingId::ALL {
        let runbook = id.runbook();
        let (file, anchor) = runbook.split_once('#').expect("an anchor");
        assert_eq!(file, "docs/operations.md");
        assert!(page.contains(&format!("<a id=\"{anchor}\"></a>")), "{id:?} has no runbook");
        let severity = id.severity().as_str();
        if !id.has_alert() {
            let row = format!("<a id=\"{anchor}\"></a>`{}` | {severity} |", id.as_str());
            assert!(page.contains(&row), "{row} is missing");
        }
    }
}
