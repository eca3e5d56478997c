//! Accounts that hang, unknown SIDs, unauthenticated floods and clocks that jump.

use crate::faults::{BOGUS_SIDS, FLOOD, HANG};
use crate::history::{Credential, Event, Role, What};
use crate::judge::facts::Facts;
use crate::judge::judge;
use crate::judge::tests::{ACCOUNT, NONE, SID, Tale};

/// A message of another account whose posts do not hang, proven during the act and posted so many seconds later.
fn posted_during(act: &str, sid: &str, hanging: &str, seconds: usize) -> Tale {
    let mut tale = Tale::new();
    tale.tell(What::Started { run: 1 });
    tale.tell(What::Ready { run: 1 });
    tale.tell(What::Act { id: 9, act: act.to_owned() });
    if act == HANG {
        tale.tell(What::Hangs { account: hanging.to_owned() });
    }
    tale.request(Role::Honest, sid, (true, false), Some(201));
    tale.signal("click", Role::Honest, sid, (false, true), Some(204));
    for _ in 0..seconds {
        tale.tell(What::Sample { run: 1, rss_kib: 1, fds: 1 });
    }
    tale.post_of(sid, ACCOUNT, 201, 0);
    for _ in 0..3 {
        tale.tell(What::Sample { run: 1, rss_kib: 1, fds: 1 });
    }
    tale.tell(What::ActEnded { id: 9 }).kept(sid, "reported", None);
    tale
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
    let mut tale = posted_during(HANG, SID, "AC2", 4);
    tale.events.retain(|event| {
        !matches!(event.what, What::Posted { .. } | What::Decided { .. } | What::Told { .. })
    });
    let Some(What::Kept { state, .. }) = tale.events.last_mut().map(|event| &mut event.what) else {
        panic!("kept")
    };
    "confirmed".clone_into(state);
    assert!(tale.broken().contains(&"I11"));
}

#[test]
fn i11_another_fault_or_a_429_of_the_account_explains_a_wait() {
    for fault in ["SIGKILL", "SIGSTOP", "disk full", "clock 2 days ahead"] {
        let mut tale = posted_during(HANG, SID, "AC2", 4);
        let at = tale.events.get(6).expect("proven").at;
        let act = fault.to_owned();
        tale.events.insert(7, Event { at, what: What::Act { id: 77, act } });
        tale.events.insert(8, Event { at, what: What::ActEnded { id: 77 } });
        assert_eq!(tale.broken(), NONE, "{fault}");
    }
    let mut tale = posted_during(BOGUS_SIDS, SID, "AC2", 4);
    let at = tale.events.get(5).expect("registered").at;
    let other = SID.replace("01", "02");
    let (account, credential) = (ACCOUNT.to_owned(), Credential::Right);
    let posted = What::Posted { post: 55, run: 1, account, sid: other.clone(), credential };
    let answer = "429 Retry-After".to_owned();
    let decided = What::Decided { post: 55, answer, status: 429, retry_after: 0 };
    tale.events.insert(6, Event { at, what: posted });
    tale.events.insert(7, Event { at, what: decided });
    tale.events.insert(8, Event { at, what: What::Told { post: 55, whole: true } });
    tale.request(Role::Honest, &other, (true, true), Some(200)).kept(&other, "confirmed", None);
    assert!(!tale.broken().contains(&"I11"));
}

#[test]
fn i1_an_unknown_sid_must_end_refused() {
    let bogus = SID.replace("SMa1", "SMf6");
    for (state, wanted) in [("refused", &NONE[..]), ("pending", &["I1"]), ("confirmed", &["I10"])] {
        let mut tale = Tale::new();
        tale.request(Role::Honest, &bogus, (true, true), Some(204));
        let status = (state == "refused").then_some(404);
        tale.post_of(&bogus, ACCOUNT, 404, 0).kept(&bogus, state, status);
        assert_eq!(tale.broken(), wanted, "{state}");
    }
}

#[test]
fn i5_an_unauthenticated_request_of_a_flood_is_let_in() {
    for (shape, answer, wanted) in [
        ("1 MiB of a&", "403", &NONE[..]),
        ("1 MiB of a&", "no answer", &NONE),
        ("1 MiB of a&", "204", &["I5"]),
        ("one-byte chunks", "303", &["I5"]),
        ("one-byte chunks", "401", &["I5"]),
        ("operator: a target of 60 KB", "200", &NONE),
    ] {
        let (shape, answer) = (shape.to_owned(), answer.to_owned());
        let mut tale = Tale::new();
        tale.tell(What::Unauthenticated { shape, answer: answer.clone(), count: 1 });
        assert_eq!(tale.broken(), wanted, "{answer}");
    }
}

#[test]
fn i12_honest_requests_stay_unanswered_during_a_flood() {
    for (status, act, wanted) in [
        (Some(201), FLOOD, &NONE[..]),
        (None, FLOOD, &["I12"]),
        (Some(503), FLOOD, &["I12"]),
        (None, "SIGSTOP", &NONE),
    ] {
        let mut tale = Tale::new();
        tale.tell(What::Act { id: 99, act: act.to_owned() });
        for _ in 0..30 {
            tale.request(Role::Honest, SID, (true, false), status);
        }
        tale.tell(What::ActEnded { id: 99 }).kept(SID, "pending", None);
        assert_eq!(tale.broken(), wanted, "{status:?}");
    }
}

#[test]
fn i6_a_jump_of_the_clock_explains_a_post_that_is_too_soon() {
    let mut tale = Tale::of_a_pair();
    tale.post_of(SID, ACCOUNT, 503, 30).fault("clock 2 days ahead").post(201);
    assert_eq!(tale.kept(SID, "reported", None).broken(), NONE);
}

/// A message with so many failed posts that waits at the end, which comes so many seconds after the last one.
fn left_over(posts: usize, seconds: usize) -> Vec<&'static str> {
    let mut tale = Tale::of_a_pair();
    for _ in 0..posts {
        tale.post(404);
    }
    tale.kept(SID, "confirmed", None).tell(What::Healed);
    for _ in 0..seconds {
        tale.tell(What::Sample { run: 1, rss_kib: 1, fds: 1 });
    }
    tale.tell(What::Drained { outbox: 1 }).tell(What::Read { messages: 1 });
    let facts = Facts::of(&tale.events);
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
fn i11_a_post_of_its_own_that_hangs_explains_a_wait() {
    let mut tale = posted_during(HANG, SID, "AC2", 4);
    let at = tale.events.get(5).expect("registered").at;
    let other = SID.replace("01", "02");
    let (account, credential) = (ACCOUNT.to_owned(), Credential::Right);
    let posted = What::Posted { post: 55, run: 1, account, sid: other, credential };
    let decided = What::Decided { post: 55, answer: "hangs".to_owned(), status: 0, retry_after: 0 };
    tale.events.insert(6, Event { at, what: posted });
    tale.events.insert(7, Event { at, what: decided });
    assert!(!tale.broken().contains(&"I11"));
}
