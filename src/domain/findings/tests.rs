use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::*;

/// Minutes after some moment.
fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + minute * 60).expect("a time")
}

/// A service with nothing wrong, at minute 10,000, started at minute 0.
fn well() -> Situation {
    let start = StartFacts { started_at: at(0), ..StartFacts::default() };
    let twilio =
        SignatureFacts { last_verified: Some(at(9_997)), verified: 5, ..SignatureFacts::default() };
    let store = StoreFacts { free: Some(1 << 30), max_records: 1_000, ..StoreFacts::default() };
    Situation { now: at(10_000), start, twilio, store, ..Situation::default() }
}

/// What is found once `change` is made to a service with nothing wrong.
fn found(change: impl FnOnce(&mut Situation)) -> Vec<(FindingId, Severity)> {
    let mut now = well();
    change(&mut now);
    judge(&now).iter().map(|finding| (finding.id, finding.severity)).collect()
}

#[test]
fn a_service_that_verified_something_lately_has_no_finding() {
    assert_eq!(judge(&well()), Vec::new());
    assert_eq!(worst(&judge(&well())), None);
}

#[test]
fn each_id_has_a_name_of_its_own_and_an_alert_or_none() {
    let names: BTreeSet<_> = FindingId::ALL.map(FindingId::as_str).into_iter().collect();
    assert_eq!(names.len(), FindingId::ALL.len());
    assert_eq!(FindingId::LanePaused.alert().as_deref(), Some("HeardbackLanePaused"));
    assert_eq!(FindingId::SmsPumping.runbook(), "docs/operations.md#heardbacksmspumping");
    assert_eq!(FindingId::DryRun.alert(), None);
    assert_eq!(FindingId::DryRun.runbook(), "docs/operations.md#finding-dry-run");
}
