//! Signals that must count, and the faults that excuse a loss or a repeat.

use crate::history::{EventKind, Role};
use crate::judge::facts::{Facts, SECOND};
use crate::judge::posting;
use crate::judge::tests::{HistoryBuilder, NONE, PROVES, REGISTERS, SID};

/// A registered message and a signal, which the service logged as deferred or not.
fn a_signal(kind: &str, status: u16, is_deferred: bool) -> HistoryBuilder {
    let mut history = HistoryBuilder::new();
    history.push(EventKind::Started { run: 1 });
    history.push(EventKind::Ready { run: 1 });
    history.request(Role::Honest, SID, REGISTERS, Some(201));
    history.signal(kind, Role::Honest, SID, PROVES, Some(status));
    if is_deferred {
        let answered = history.events.pop().expect("answered");
        let about = match kind {
            "call ringing" => SID.replacen("SM", "CA", 1),
            "reply quoting" => SID.replacen("SMa1", "SMd4", 1),
            _ => SID.to_owned(),
        };
        history.push(EventKind::Deferred { run: 1, about });
        history.push(answered.kind);
    }
    history
}

fn killed(history: &mut HistoryBuilder) -> &mut HistoryBuilder {
    history.push(EventKind::Ended { run: 1, how: "signal: 9 (SIGKILL)".to_owned(), expected: true })
}

#[test]
fn i1_each_signal_that_was_acknowledged_must_have_confirmed_its_message() {
    for (kind, status) in [
        ("stream click", 204),
        ("stream reply", 204),
        ("stream call", 204),
        ("call ringing", 200),
        ("reply quoting", 200),
        ("call completed", 204),
        ("click", 204),
        ("app click", 200),
        ("link pressed", 303),
    ] {
        let mut history = a_signal(kind, status, false);
        assert_eq!(killed(&mut history).stored(SID, "pending", None).broken(), ["I1"], "{kind}");
        let mut history = a_signal(kind, 503, false);
        assert_eq!(killed(&mut history).stored(SID, "pending", None).broken(), NONE, "{kind}");
    }
}

#[test]
fn i1_only_a_call_a_press_or_a_forwarded_message_in_memory_may_be_lost_by_a_kill() {
    for (kind, status, may_be_lost) in [
        ("call ringing", 200, true),
        ("link pressed", 303, true),
        ("reply quoting", 200, true),
        ("call completed", 204, false),
        ("stream call", 204, false),
        ("click", 204, false),
    ] {
        let wanted = if may_be_lost { &NONE[..] } else { &["I1"] };
        let mut history = a_signal(kind, status, true);
        let broken = killed(&mut history).stored(SID, "pending", None).broken();
        assert_eq!(broken, wanted, "{kind}");
        // The process still ran long after the store could write.
        let mut history = a_signal(kind, status, true);
        for _ in 0..9 {
            history.state("pending");
        }
        let broken = killed(&mut history).stored(SID, "pending", None).broken();
        assert_eq!(broken, ["I1"], "{kind}");
        // The process shut down in order, and logged no loss.
        let mut history = a_signal(kind, status, true);
        let how = "exit status: 0".to_owned();
        history.push(EventKind::Ended { run: 1, how, expected: true });
        assert_eq!(history.stored(SID, "pending", None).broken(), ["I1"], "{kind}");
        let mut history = a_signal(kind, status, true);
        for about in ["CAa1", "SMd4", "SMa1"] {
            let about = SID.replacen("SMa1", about, 1);
            history.push(EventKind::EvidenceLost { run: 1, about });
        }
        history.push(EventKind::Ended { run: 1, how: "exit status: 0".to_owned(), expected: true });
        assert_eq!(history.stored(SID, "pending", None).broken(), wanted, "{kind}");
    }
}

#[test]
fn i1_the_end_of_a_process_by_its_own_excuses_evidence_in_memory_only_on_a_full_disk() {
    for (fault, how, wanted) in [
        (Some("disk full"), "exit status: 1", &NONE[..]),
        (Some("disk full"), "exit status: 0", &["I1"]),
        (Some("one account hangs"), "exit status: 1", &["I1"]),
        (None, "exit status: 1", &["I1"]),
    ] {
        let mut history = a_signal("link pressed", 303, true);
        if let Some(name) = fault {
            history.push(EventKind::FaultBegan { id: 9, name: name.to_owned() });
        }
        history.push(EventKind::Ended { run: 1, how: how.to_owned(), expected: true });
        if fault.is_some() {
            history.push(EventKind::FaultEnded { id: 9 });
        }
        let broken = history.stored(SID, "pending", None).broken();
        assert_eq!(broken, wanted, "{fault:?}, {how}");
    }
}

#[test]
fn i1_a_repeated_press_in_memory_is_lost_with_the_first_and_one_of_the_next_process_is_not() {
    let press = |history: &mut HistoryBuilder| {
        history.signal("link pressed", Role::Honest, SID, PROVES, Some(303));
    };
    let mut history = a_signal("link pressed", 303, true);
    press(&mut history);
    assert_eq!(killed(&mut history).stored(SID, "pending", None).broken(), NONE);
    let mut history = a_signal("link pressed", 303, true);
    killed(&mut history);
    history.push(EventKind::Started { run: 2 });
    history.push(EventKind::Ready { run: 2 });
    press(&mut history);
    assert_eq!(history.stored(SID, "pending", None).broken(), ["I1"]);
}

#[test]
fn i1_another_proof_that_is_not_in_memory_only_must_count() {
    let mut history = a_signal("link pressed", 303, true);
    history.signal("click", Role::Honest, SID, PROVES, Some(204));
    assert_eq!(killed(&mut history).stored(SID, "pending", None).broken(), ["I1"]);
}

#[test]
fn i1_a_wrong_clock_excuses_only_what_is_judged_by_its_time() {
    for (kind, wanted) in [("call ringing", &NONE[..]), ("click", &["I1"])] {
        let mut history = HistoryBuilder::with_proven_message();
        history.events.truncate(5);
        history.push(EventKind::FaultBegan { id: 9, name: "clock 2 days ahead".to_owned() });
        history.signal(kind, Role::Honest, SID, PROVES, Some(200));
        history.push(EventKind::FaultEnded { id: 9 });
        assert_eq!(history.stored(SID, "pending", None).broken(), wanted, "{kind}");
        // The clock was right again.
        let mut history = HistoryBuilder::with_proven_message();
        history.events.truncate(3);
        history.fault("clock 2 days ahead").state("none").state("none");
        history.request(Role::Honest, SID, REGISTERS, Some(201));
        history.signal(kind, Role::Honest, SID, PROVES, Some(200));
        assert_eq!(history.stored(SID, "pending", None).broken(), ["I1"], "{kind}");
    }
}

/// A proven message, a post, a kill this many half seconds after Twilio's reply, and a second post.
fn repeated_after(half_seconds: usize, slowest_start: u64) -> Vec<&'static str> {
    let mut history = HistoryBuilder::new();
    history.push(EventKind::Started { run: 1 });
    history.push(EventKind::Ready { run: 1 });
    if let Some(ready) = history.events.last_mut() {
        ready.at += slowest_start * SECOND;
    }
    history.request(Role::Honest, SID, REGISTERS, Some(201));
    history.request(Role::Honest, SID, PROVES, Some(200)).post(201);
    for _ in 0..half_seconds / 2 {
        history.state("reported");
    }
    history.fault("SIGKILL").post(201).stored(SID, "reported", None).broken()
}

#[test]
fn i3_however_slow_the_machine_is_the_excuse_for_a_repeat_ends_after_five_seconds() {
    assert_eq!(repeated_after(4, 0), ["I3"]);
    assert_eq!(repeated_after(6, 3), NONE);
    assert_eq!(repeated_after(8, 4), NONE, "I8 wants a start within five seconds");
    assert_eq!(repeated_after(12, 30), ["I3", "I8"]);
}

#[test]
fn each_repeat_is_counted_by_the_fault_that_explains_it() {
    let mut history = HistoryBuilder::with_proven_message();
    history.post(201).fault("SIGKILL").post(201).fault("SIGKILL").fault("SIGSTOP");
    history.stored(SID, "reported", None);
    let counts = posting::excused_repeats(&Facts::of(&history.events));
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("SIGKILL".to_owned(), 1)]);
}
