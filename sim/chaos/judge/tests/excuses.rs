//! Signals that must count, and the faults that excuse a loss or a repeat.

use crate::history::{Role, What};
use crate::judge::facts::{Facts, SECOND};
use crate::judge::posting;
use crate::judge::tests::{NONE, SID, Tale};

/// A registered message, and a signal for which the service said that it is in memory, or did not.
fn a_signal(kind: &str, status: u16, is_deferred: bool) -> Tale {
    let mut tale = Tale::new();
    tale.tell(What::Started { run: 1 });
    tale.tell(What::Ready { run: 1 });
    tale.request(Role::Honest, SID, (true, false), Some(201));
    tale.signal(kind, Role::Honest, SID, (false, true), Some(status));
    if is_deferred {
        let answered = tale.events.pop().expect("answered");
        let about =
            if kind == "call ringing" { SID.replacen("SM", "CA", 1) } else { SID.to_owned() };
        tale.tell(What::Deferred { run: 1, about });
        tale.tell(answered.what);
    }
    tale
}

fn killed(tale: &mut Tale) -> &mut Tale {
    tale.tell(What::Ended { run: 1, how: "signal: 9 (SIGKILL)".to_owned(), asked: true })
}

#[test]
fn i1_each_signal_that_was_acknowledged_must_have_confirmed_its_message() {
    for (kind, status) in [
        ("stream click", 204),
        ("stream reply", 204),
        ("stream call", 204),
        ("call ringing", 200),
        ("call completed", 204),
        ("click", 204),
        ("app click", 200),
        ("link pressed", 303),
    ] {
        let mut tale = a_signal(kind, status, false);
        assert_eq!(killed(&mut tale).kept(SID, "pending", None).broken(), ["I1"], "{kind}");
        let mut tale = a_signal(kind, 503, false);
        assert_eq!(killed(&mut tale).kept(SID, "pending", None).broken(), NONE, "{kind}");
    }
}

#[test]
fn i1_only_a_ringing_call_or_a_pressed_link_in_memory_may_be_lost_by_a_kill() {
    for (kind, status, may_be_lost) in [
        ("call ringing", 200, true),
        ("link pressed", 303, true),
        ("call completed", 204, false),
        ("stream call", 204, false),
        ("click", 204, false),
    ] {
        let wanted = if may_be_lost { &NONE[..] } else { &["I1"] };
        let mut tale = a_signal(kind, status, true);
        let broken = killed(&mut tale).kept(SID, "pending", None).broken();
        assert_eq!(broken, wanted, "{kind}");
        // It was still running long after the store could write.
        let mut tale = a_signal(kind, status, true);
        for _ in 0..9 {
            tale.look("pending");
        }
        let broken = killed(&mut tale).kept(SID, "pending", None).broken();
        assert_eq!(broken, ["I1"], "{kind}");
        // The process ended in peace, and logged no loss.
        let mut tale = a_signal(kind, status, true);
        let how = "exit status: 0".to_owned();
        tale.tell(What::Ended { run: 1, how, asked: true });
        assert_eq!(tale.kept(SID, "pending", None).broken(), ["I1"], "{kind}");
        let mut tale = a_signal(kind, status, true);
        let about = SID.replacen("SM", "CA", 1);
        tale.tell(What::EvidenceLost { run: 1, about: about.clone() });
        tale.tell(What::EvidenceLost { run: 1, about: SID.to_owned() });
        tale.tell(What::Ended { run: 1, how: "exit status: 0".to_owned(), asked: true });
        assert_eq!(tale.kept(SID, "pending", None).broken(), wanted, "{kind}");
    }
}

#[test]
fn i1_a_repeated_press_in_memory_is_lost_with_the_first_and_one_of_the_next_process_is_not() {
    let press = |tale: &mut Tale| {
        tale.signal("link pressed", Role::Honest, SID, (false, true), Some(303));
    };
    let mut tale = a_signal("link pressed", 303, true);
    press(&mut tale);
    assert_eq!(killed(&mut tale).kept(SID, "pending", None).broken(), NONE);
    let mut tale = a_signal("link pressed", 303, true);
    killed(&mut tale);
    tale.tell(What::Started { run: 2 });
    tale.tell(What::Ready { run: 2 });
    press(&mut tale);
    assert_eq!(tale.kept(SID, "pending", None).broken(), ["I1"]);
}

#[test]
fn i1_another_proof_that_is_not_in_memory_only_must_count() {
    let mut tale = a_signal("link pressed", 303, true);
    tale.signal("click", Role::Honest, SID, (false, true), Some(204));
    assert_eq!(killed(&mut tale).kept(SID, "pending", None).broken(), ["I1"]);
}

#[test]
fn i1_a_wrong_clock_excuses_only_what_is_judged_by_its_time() {
    for (kind, wanted) in [("call ringing", &NONE[..]), ("click", &["I1"])] {
        let mut tale = Tale::of_a_pair();
        tale.events.truncate(5);
        tale.tell(What::Act { id: 9, act: "clock 2 days ahead".to_owned() });
        tale.signal(kind, Role::Honest, SID, (false, true), Some(200));
        tale.tell(What::ActEnded { id: 9 });
        assert_eq!(tale.kept(SID, "pending", None).broken(), wanted, "{kind}");
        // The clock was right again.
        let mut tale = Tale::of_a_pair();
        tale.events.truncate(3);
        tale.fault("clock 2 days ahead").look("none").look("none");
        tale.request(Role::Honest, SID, (true, false), Some(201));
        tale.signal(kind, Role::Honest, SID, (false, true), Some(200));
        assert_eq!(tale.kept(SID, "pending", None).broken(), ["I1"], "{kind}");
    }
}

/// A pair, posted; a kill so many half seconds after Twilio's answer, and posted again.
fn repeated_after(half_seconds: usize, slowest_start: u64) -> Vec<&'static str> {
    let mut tale = Tale::new();
    tale.tell(What::Started { run: 1 });
    tale.tell(What::Ready { run: 1 });
    if let Some(ready) = tale.events.last_mut() {
        ready.at += slowest_start * SECOND;
    }
    tale.request(Role::Honest, SID, (true, false), Some(201));
    tale.request(Role::Honest, SID, (false, true), Some(200)).post(201);
    for _ in 0..half_seconds / 2 {
        tale.look("reported");
    }
    tale.fault("SIGKILL").post(201).kept(SID, "reported", None).broken()
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
    let mut tale = Tale::of_a_pair();
    tale.post(201).fault("SIGKILL").post(201).fault("SIGKILL").fault("SIGSTOP");
    tale.kept(SID, "reported", None);
    let counts = posting::excused_repeats(&Facts::of(&tale.events));
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("SIGKILL".to_owned(), 1)]);
}
