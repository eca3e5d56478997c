//! Receivers on one database: unknown outcomes, lost commits, and replaced receivers.

use crate::faults::{DatabaseFault, REPLACED};
use crate::history::{EventKind, Role};
use crate::judge::facts::Facts;
use crate::judge::judge;
use crate::judge::tests::{HistoryBuilder, NONE, PROVES, REGISTERS, SID};

const CUT: DatabaseFault = DatabaseFault::CutCommits;

/// A message whose evidence got a 503, and which was posted.
fn posted_after_a_503(fault: Option<DatabaseFault>) -> HistoryBuilder {
    let mut history = HistoryBuilder::new();
    history.push(EventKind::Started { run: 1 });
    history.push(EventKind::Ready { run: 1 });
    history.request(Role::Honest, SID, REGISTERS, Some(201));
    if let Some(fault) = fault {
        history.fault(fault.name());
    }
    history.request(Role::Honest, SID, PROVES, Some(503));
    history.post(201).stored(SID, "reported", None);
    history
}

#[test]
fn i2_a_503_leaves_the_outcome_open_only_beside_a_fault_of_the_database() {
    assert_eq!(posted_after_a_503(None).broken(), ["I2"]);
    assert_eq!(posted_after_a_503(Some(CUT)).broken(), NONE);
}

#[test]
fn i3_a_fault_of_the_database_excuses_a_repeat() {
    let mut history = HistoryBuilder::with_proven_message();
    history.post(201).fault(CUT.name()).post(201).stored(SID, "reported", None);
    assert_eq!(history.broken(), NONE);
}

#[test]
fn a_loss_is_expected_of_an_asynchronous_standby_alone() {
    let mut history = HistoryBuilder::with_proven_message();
    history.stored(SID, "pending", None);
    assert_eq!(history.broken(), ["I1"]);
    let is_expected = |history: &HistoryBuilder| {
        let findings = judge(&Facts::of(&history.events));
        findings.iter().filter(|it| !it.broken.is_empty()).all(|it| it.is_expected)
    };
    assert!(!is_expected(&history));
    if let Some(EventKind::Plan { may_lose, .. }) =
        history.events.first_mut().map(|event| &mut event.kind)
    {
        *may_lose = true;
    }
    assert!(is_expected(&history));
}

#[test]
fn i13_a_request_is_acknowledged_by_no_receiver_while_one_is_replaced() {
    for (last, broken) in [(200, &NONE[..]), (503, &["I13"])] {
        let mut history = HistoryBuilder::new();
        history.push(EventKind::Started { run: 1 });
        history.push(EventKind::Ready { run: 1 });
        history.fault(REPLACED);
        history.request(Role::Honest, SID, REGISTERS, Some(503));
        history.request(Role::Honest, SID, REGISTERS, Some(last));
        if last == 200 {
            history.stored(SID, "pending", None);
        }
        assert_eq!(history.broken(), broken, "{last}");
    }
}
