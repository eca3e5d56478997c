//! Accounts that hang, unknown SIDs, unauthenticated floods and clocks that jump.

use crate::faults::{BOGUS_SIDS, FLOOD, HANG};
use crate::history::{Credential, Event, EventKind, Role};
use crate::judge::facts::Facts;
use crate::judge::judge;
use crate::judge::tests::{ACCOUNT, BOTH, HistoryBuilder, NONE, PROVES, REGISTERS, SID};

/// A run with one message that is proven during the fault and posted this many seconds later.
fn posted_during(fault: &str, sid: &str, hanging: &str, seconds: usize) -> HistoryBuilder {
    let mut history = HistoryBuilder::new();
    history.push(EventKind::Started { run: 1 });
    history.push(EventKind::Ready { run: 1 });
    history.push(EventKind::FaultBegan { id: 9, name: fault.to_owned() });
    if fault == HANG {
        history.push(EventKind::AccountHangs { account: hanging.to_owned() });
    }
    history.request(Role::Honest, sid, REGISTERS, Some(201));
    history.signal("click", Role::Honest, sid, PROVES, Some(204));
    for _ in 0..seconds {
        history.push(EventKind::Sample { run: 1, rss_kib: 1, fds: 1 });
    }
    history.post_of(sid, ACCOUNT, 201, 0);
    for _ in 0..3 {
        history.push(EventKind::Sample { run: 1, rss_kib: 1, fds: 1 });
    }
    history.push(EventKind::FaultEnded { id: 9 }).stored(sid, "reported", None);
    history
}

#[test]
fn i11_a_message_waits_behind_an_account_that_hangs_or_behind_unknown_sids() {
    for act in [HANG, BOGUS_SIDS] {
        assert_eq!(posted_during(act, SID, "AC2", 0).broken(), NONE, "{act}");
        assert_eq!(posted_during(act, SID, "AC2", 4).broken(), ["I11"], "{act}");
    }
    assert_eq!(posted_during(HANG, SID, ACCOUNT, 4).broken(), NONE, "its own account hangs");
    let bogus = SID.replace("SMa1", "SMf6");
    assert_eq!(posted_during(BOGUS_SIDS, &bogus, "AC2", 4).broken(), NONE, "an unknown SID");
}

#[test]
fn i11_a_message_that_is_never_posted_waits_too() {
    let mut history = posted_during(HANG, SID, "AC2", 4);
    history.events.retain(|event| {
        !matches!(
            event.kind,
            EventKind::Posted { .. } | EventKind::Decided { .. } | EventKind::Replied { .. }
        )
    });
    let Some(EventKind::Stored { state, .. }) =
        history.events.last_mut().map(|event| &mut event.kind)
    else {
        panic!("not stored")
    };
    "confirmed".clone_into(state);
    assert!(history.broken().contains(&"I11"));
}

#[test]
fn i11_another_fault_or_a_429_of_the_account_explains_a_wait() {
    for fault in ["SIGKILL", "SIGSTOP", "disk full", "clock 2 days ahead"] {
        let mut history = posted_during(HANG, SID, "AC2", 4);
        let at = history.events.get(6).expect("proven").at;
        let act = fault.to_owned();
        history.events.insert(7, Event { at, kind: EventKind::FaultBegan { id: 77, name: act } });
        history.events.insert(8, Event { at, kind: EventKind::FaultEnded { id: 77 } });
        assert_eq!(history.broken(), NONE, "{fault}");
    }
    let mut history = posted_during(BOGUS_SIDS, SID, "AC2", 4);
    let at = history.events.get(5).expect("registered").at;
    let other = SID.replace("01", "02");
    let (account, credential) = (ACCOUNT.to_owned(), Credential::Right);
    let posted = EventKind::Posted { post: 55, run: 1, account, sid: other.clone(), credential };
    let answer = "429 Retry-After".to_owned();
    let decided = EventKind::Decided { post: 55, answer, status: 429, retry_after: 0 };
    history.events.insert(6, Event { at, kind: posted });
    history.events.insert(7, Event { at, kind: decided });
    history.events.insert(8, Event { at, kind: EventKind::Replied { post: 55, whole: true } });
    history.request(Role::Honest, &other, BOTH, Some(200)).stored(&other, "confirmed", None);
    assert!(!history.broken().contains(&"I11"));
}

#[test]
fn i1_an_unknown_sid_must_end_refused() {
    let bogus = SID.replace("SMa1", "SMf6");
    for (state, wanted) in [("refused", &NONE[..]), ("pending", &["I1"]), ("confirmed", &["I10"])] {
        let mut history = HistoryBuilder::new();
        history.request(Role::Honest, &bogus, BOTH, Some(204));
        let status = (state == "refused").then_some(404);
        history.post_of(&bogus, ACCOUNT, 404, 0).stored(&bogus, state, status);
        assert_eq!(history.broken(), wanted, "{state}");
    }
}

#[test]
fn i5_an_unauthenticated_request_of_a_flood_is_accepted() {
    for (shape, answer, wanted) in [
        ("1 MiB of a&", "403", &NONE[..]),
        ("1 MiB of a&", "no answer", &NONE),
        ("1 MiB of a&", "204", &["I5"]),
        ("one-byte chunks", "303", &["I5"]),
        ("one-byte chunks", "401", &["I5"]),
        ("operator: a target of 60 KB", "200", &NONE),
    ] {
        let (shape, answer) = (shape.to_owned(), answer.to_owned());
        let mut history = HistoryBuilder::new();
        history.push(EventKind::Unauthenticated { shape, answer: answer.clone(), count: 1 });
        assert_eq!(history.broken(), wanted, "{answer}");
    }
}

#[test]
fn i12_honest_requests_are_not_answered_during_a_flood() {
    for (status, act, wanted) in [
        (Some(201), FLOOD, &NONE[..]),
        (None, FLOOD, &["I12"]),
        (Some(503), FLOOD, &["I12"]),
        (None, "SIGSTOP", &NONE),
    ] {
        let mut history = HistoryBuilder::new();
        history.push(EventKind::FaultBegan { id: 99, name: act.to_owned() });
        for _ in 0..30 {
            history.request(Role::Honest, SID, REGISTERS, status);
        }
        history.push(EventKind::FaultEnded { id: 99 }).stored(SID, "pending", None);
        assert_eq!(history.broken(), wanted, "{status:?}");
    }
}

#[test]
fn i6_a_jump_of_the_clock_explains_a_post_that_is_too_soon() {
    let mut history = HistoryBuilder::with_proven_message();
    history.post_of(SID, ACCOUNT, 503, 30).fault("clock 2 days ahead").post(201);
    assert_eq!(history.stored(SID, "reported", None).broken(), NONE);
}

/// A message with this many failed posts that is still confirmed at the end, this many seconds later.
fn left_over(posts: usize, seconds: usize) -> Vec<&'static str> {
    let mut history = HistoryBuilder::with_proven_message();
    for _ in 0..posts {
        history.post(404);
    }
    history.stored(SID, "confirmed", None).push(EventKind::Healed);
    for _ in 0..seconds {
        history.push(EventKind::Sample { run: 1, rss_kib: 1, fds: 1 });
    }
    history.push(EventKind::Drained { outbox: 1 }).push(EventKind::StoreRead { messages: 1 });
    let facts = Facts::of(&history.events);
    judge(&facts).iter().filter(|it| !it.broken.is_empty()).map(|it| it.id).collect()
}

#[test]
fn i10_only_a_message_within_its_range_of_waits_may_be_left_over() {
    assert_eq!(left_over(2, 50), ["I10"]);
    assert_eq!(left_over(9, 200), NONE);
    assert_eq!(left_over(9, 600), ["I10"]);
    assert_eq!(left_over(20, 1000), ["I10"], "no wait is longer than a quarter of an hour");
}

#[test]
fn i11_a_hanging_post_of_the_account_explains_a_wait() {
    let mut history = posted_during(HANG, SID, "AC2", 4);
    let at = history.events.get(5).expect("registered").at;
    let other = SID.replace("01", "02");
    let (account, credential) = (ACCOUNT.to_owned(), Credential::Right);
    let posted = EventKind::Posted { post: 55, run: 1, account, sid: other, credential };
    let decided =
        EventKind::Decided { post: 55, answer: "hangs".to_owned(), status: 0, retry_after: 0 };
    history.events.insert(6, Event { at, kind: posted });
    history.events.insert(7, Event { at, kind: decided });
    assert!(!history.broken().contains(&"I11"));
}
