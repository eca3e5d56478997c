//! Messages that are sent through.

use super::*;
use crate::judge::sending::{SendCounts, counts};
use crate::sending::SEND;

fn created(history: &mut HistoryBuilder) {
    let (account, sid) = (ACCOUNT.to_owned(), SID.to_owned());
    history.push(EventKind::Created { run: 1, account, sid });
}

fn broken(history: &HistoryBuilder) -> usize {
    let facts = Facts::of(&history.events);
    let findings = judge(&facts);
    findings.iter().find(|finding| finding.id == "I14").expect("judged").broken.len()
}

#[test]
fn a_message_may_be_created_once_and_only_for_a_send() {
    let mut history = HistoryBuilder::new();
    history.signal(SEND, Role::Honest, SID, REGISTERS, Some(201));
    assert_eq!(broken(&history), 1, "acknowledged, and never created");
    created(&mut history);
    assert_eq!(broken(&history), 0);
    created(&mut history);
    assert_eq!(broken(&history), 1, "twice");
    let mut history = HistoryBuilder::new();
    created(&mut history);
    assert_eq!(broken(&history), 1, "without a send");
}

#[test]
fn a_send_without_an_answer_is_counted_and_breaks_nothing() {
    let mut history = HistoryBuilder::new();
    history.signal(SEND, Role::Honest, SID, REGISTERS, None);
    created(&mut history);
    assert_eq!(broken(&history), 0);
    let expected = SendCounts { sent: 1, created: 1, unacknowledged: 1, stored: 0 };
    assert_eq!(counts(&Facts::of(&history.events)), expected);
}
