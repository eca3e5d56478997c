//! Inputs from the field that must not confirm a wrong message. Each test is one kind of input; its rows are instances.

use std::time::Duration;

use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::matching::{AUTOMATIC_FOR, ObserveOutcome, Policy, Reason, Resend};
use heardback::domain::message::{Basis, State, Status};
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{
    Evidence, EvidenceTarget, MessageUpdate, SenderHint, Signal, SignalSource, TimeSource,
};
use jiff::SignedDuration;

use crate::given::{
    DAY, HOUR, MINUTE, SENDER, acted, at, direct, evidence, person, policy, reason, reference,
    registered, reply, service, shared, sid, signal, status, texted, timed,
};
use crate::reference_store::ReferenceStore;

const KEY: &[u8] = b"the app's key";

fn bearing(n: u32, name: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { reference: Some(reference(name)), ..registered(n, seconds) }
}

/// Message `n` to person 1 with a code.
fn coded(n: u32, code: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { code: Some(CodeKey::new(KEY).hmac(sid(n), code)), ..registered(n, seconds) }
}

fn coded_bearing(n: u32, code: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { reference: Some(reference("x")), ..coded(n, code, seconds) }
}

fn book(sightings: &[MessageUpdate]) -> ReferenceStore {
    let mut book = ReferenceStore::default();
    for sighting in sightings {
        book.remember(sighting);
    }
    book
}

fn typed(text: &str, signal: Signal) -> Signal {
    Signal { code: Probe::new(text, &[CodeKey::new(KEY)]), ..signal }
}

fn entered(code: &str, signal: Signal) -> Signal {
    Signal { code: Probe::entered(code, &[CodeKey::new(KEY)]), ..signal }
}

/// An event with only a `To`, by the app's clock.
fn event(seconds: i64) -> Signal {
    timed(acted(person(1), Some(SENDER), seconds), TimeSource::App)
}

fn basis(book: &ReferenceStore, n: u32) -> Option<Basis> {
    let message = book.messages.get(&sid(n)).expect("known");
    message.proof.as_ref().map(|proof| proof.basis)
}

// Codes.

#[test]
fn a_code_selects_its_message_however_it_is_written_and_never_the_newest() {
    for (first, second, text) in [
        ("111111", "222222", "۱۱۱۱۱۱"),
        ("111111", "222222", "my code is 111 111"),
        ("111111", "222222", "1-1-1-1-1-1"),
        ("111111", "222222", "１１１ １１１"),
        ("111111", "222222", "1️⃣1️⃣1️⃣1️⃣1️⃣1️⃣"),
        (
            "111111",
            "222222",
            "Loved “Hello, and thank you very much for signing up with us today. Here \
          is the code that you asked for, which nobody else should see: 111111”",
        ),
        ("k7m2qp", "z9x8cv", "K7m2qp"),
        ("K7M2QP", "Z9X8CV", "it says k7m 2qp"),
        ("G-111111", "G-222222", "g-111111"),
        ("111-111", "222-222", "111111"),
        ("111111", "222222", "你好我收到的验证码是111111请帮我登录"),
        ("111111", "222222", "รหัสของฉันคือ111111ครับขอบคุณ"),
        ("111111", "222222", "mycodeis111111"),
        ("111111", "222222", "①①①①①①"),
        ("ABC-123", "DEF-456", "abc 123"),
        ("WDJB-MJHT", "QRST-VWXZ", "it says wdjb-mjht"),
        ("WDJB-MJHT", "QRST-VWXZ", "wdjb mjht"),
        ("correct horse", "battery staple", "Correct horse"),
        ("123456789012345678", "876543210987654321", "123456789012345678"),
    ] {
        let mut book = book(&[coded(1, first, 0), coded(2, second, 10)]);
        let observed = book.observe(&typed(text, reply(1, 30)));
        assert_eq!(observed, ObserveOutcome::Confirmed(sid(1)), "{text}");
        assert_eq!((basis(&book, 1), basis(&book, 2)), (Some(Basis::Direct), None), "{text}");
    }
}

#[test]
fn a_text_that_looks_like_a_code_but_matches_none_proves_nothing() {
    for text in [
        "333333",
        "the code is 33 33 33",
        "q1w2e3",
        "۳۳۳۳۳۳",
        "order 4711",
        "at 10:30",
        "我收到的号码好像是333333吧请帮我看一下",
        "333333333333333333",
        "WDJB-MJHX",
        "abc-333",
        "ⅠⅡⅢⅣⅤⅥ",
    ] {
        let mut book = book(&[coded(1, "111111", 0), coded(2, "222222", 10)]);
        let observed = book.observe(&typed(text, reply(1, 30)));
        assert_eq!(reason(&observed), Some(Reason::OtherCode), "{text}");
        // The newest message has no code, and a message with a code is near.
        book.remember(&registered(3, 20));
        assert!(book.confirmed().is_empty(), "{text}");
    }
    let mut book = book(&[registered(1, 0), registered(2, 10)]);
    book.remember(&status(2, "delivered", 12));
    let observed = book.observe(&typed("333333", reply(1, 30)));
    assert_eq!(
        observed,
        ObserveOutcome::Confirmed(sid(2)),
        "without a known code, a number is no code"
    );
}

#[test]
fn an_event_that_names_one_message_and_has_the_code_of_another_is_about_the_other() {
    let seen = [coded_bearing(1, "111111", 0), coded_bearing(2, "222222", 10)];
    let mut one = book(&seen);
    let named = Signal { message_update: Some(seen[1].clone()), ..direct(2, 30) };
    assert_eq!(one.observe(&entered("111111", named.clone())), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(one.confirmed(), [sid(1)].into());
    let mut other = book(&seen);
    let observed = other.observe(&entered("333333", named.clone()));
    assert_eq!(reason(&observed), Some(Reason::OtherCode), "the code belongs to neither");
    let mut own = book(&seen);
    assert_eq!(own.observe(&entered("222222", named)), ObserveOutcome::Confirmed(sid(2)));
    let mut without = book(&[registered(1, 0)]);
    assert_eq!(
        without.observe(&entered("222222", direct(1, 5))),
        ObserveOutcome::Confirmed(sid(1))
    );
}

#[test]
fn a_code_that_the_only_message_does_not_have_waits_for_the_next_one_under_every_policy() {
    for resend in Resend::ALL {
        for event in [shared("x", 30), acted(person(1), Some(SENDER), 30)] {
            let mut book = ReferenceStore::default();
            book.policy = Policy { resend, ..policy() };
            book.remember(&coded_bearing(1, "111111", 0));
            book.remember(&status(1, "undelivered", 5));
            let event = entered("222222", event);
            let observed = book.observe(&event);
            assert_eq!(reason(&observed), Some(Reason::OtherCode), "{resend:?}");
            assert_eq!(book.observe(&event), observed, "a repeat changes nothing");
            let remembered = book.remember(&coded_bearing(2, "222222", 20));
            assert_eq!(remembered.confirmed, [sid(2)], "{resend:?}");
            assert_eq!(book.confirmed(), [sid(2)].into(), "{resend:?}");
        }
    }
}

#[test]
fn an_event_sent_again_confirms_no_second_message() {
    for event in [shared("x", 30), acted(person(1), Some(SENDER), 30)] {
        for posted in [false, true] {
            let mut book = book(&[coded_bearing(1, "111111", 0), bearing(2, "x", 10)]);
            let event = entered("111111", event.clone());
            assert_eq!(book.observe(&event), ObserveOutcome::Confirmed(sid(1)));
            if posted {
                book.claim_all();
            }
            for later in [0, 5, 300] {
                book.now += later;
                assert_eq!(book.observe(&event), ObserveOutcome::AlreadyConfirmed(sid(1)));
            }
            assert_eq!(book.confirmed(), [sid(1)].into());
        }
    }
}

#[test]
fn a_code_before_its_message_confirms_it_at_registration_and_is_never_stored() {
    for act in [
        acted(person(1), Some(SENDER), 5),
        shared("x", 5),
        texted(1, acted(person(1), Some(SENDER), 7)),
    ] {
        let mut book = book(&[]);
        let observed = book.observe(&entered("111111", act));
        assert_eq!(reason(&observed), Some(Reason::NoMessage));
        assert!(!format!("{:?}", book.parked).contains("111111"));
        assert_eq!(book.remember(&coded_bearing(1, "111111", 0)).confirmed, [sid(1)]);
    }
}

#[test]
fn a_code_stops_being_direct_evidence_once_another_message_may_repeat_it() {
    let mut book = book(&[coded_bearing(1, "111111", 0)]);
    let act = entered("111111", shared("x", 30));
    assert_eq!(book.observe(&act), ObserveOutcome::Confirmed(sid(1)));
    book.remember(&coded_bearing(2, "111111", 20));
    assert!(book.confirmed().is_empty(), "either may have been read");
    book.remember(&coded_bearing(3, "222222", 60));
    assert!(book.confirmed().is_empty());
}

#[test]
fn a_code_is_not_direct_evidence_if_a_message_without_a_known_code_may_have_it_too() {
    // Clocks may differ by five minutes.
    let (near, far) = (60, 331);
    let by_number = (event(30), Basis::Inferred, registered(2, near), registered(2, far));
    let by_reference =
        (shared("x", 30), Basis::Shared, bearing(2, "x", near), bearing(2, "x", far));
    for (act, unsure, may_hold, later) in [by_number, by_reference] {
        let act = entered("111111", act);
        for (other, expected) in [(may_hold, unsure), (later, Basis::Direct)] {
            let mut book = book(&[coded_bearing(1, "111111", 0), other]);
            assert_eq!(book.observe(&act), ObserveOutcome::Confirmed(sid(1)));
            assert_eq!(basis(&book, 1), Some(expected), "{act:?}");
        }
    }
}

#[test]
fn a_code_is_no_direct_evidence_against_a_receipt_that_also_denies_a_message_without_a_known_code()
{
    for act in [event(30), shared("x", 30)] {
        let mut book = book(&[coded_bearing(1, "111111", 0), bearing(2, "x", 10)]);
        book.remember(&status(2, "undelivered", 12));
        book.observe(&entered("111111", act));
        assert_eq!(basis(&book, 1), Some(Basis::Direct));
        book.remember(&status(1, "undelivered", 40));
        assert!(book.confirmed().is_empty(), "{:?}", book.confirmed());
    }
}

#[test]
fn a_code_stays_direct_evidence_after_the_lifetime_of_its_message() {
    let mut book = book(&[coded_bearing(1, "111111", 0), coded_bearing(2, "222222", 10)]);
    book.observe(&entered("111111", shared("x", 30)));
    book.now = 30 * DAY;
    book.remember(&bearing(3, "x", 30 * DAY));
    assert_eq!((book.confirmed(), basis(&book, 1)), ([sid(1)].into(), Some(Basis::Direct)));
}

#[test]
fn a_code_of_a_message_before_the_window_does_not_confirm_the_newest() {
    for act in [reply(1, 400), event(400)] {
        let mut book = ReferenceStore::default();
        let window = Duration::from_mins(1);
        book.policy = Policy { reply_window: window, event_window: window, ..policy() };
        book.remember(&coded(1, "111111", 0));
        book.remember(&registered(2, 390));
        book.observe(&entered("111111", act));
        for word in ["undelivered", "sent"] {
            book.remember(&status(1, word, 500));
            book.remember(&status(2, "sent", 501));
            assert!(!book.confirmed().contains(&sid(2)), "{:?}", book.confirmed());
        }
    }
}

#[test]
fn a_code_before_two_messages_with_codes_confirms_neither() {
    let mut book = book(&[]);
    book.observe(&entered("222222", shared("x", 30)));
    book.remember(&coded_bearing(1, "111111", 0));
    book.remember(&coded_bearing(2, "222222", 10));
    assert!(book.confirmed().is_empty(), "{:?}", book.confirmed());
}

// Contradicting receipts.

#[test]
fn a_message_with_any_receipt_of_arrival_is_still_the_newest() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for words in [["sent", "delivered", "undelivered"], ["sent", "read", "failed"]] {
        for order in orders {
            let mut book = book(&[registered(1, 0), registered(2, 10)]);
            for (at, word) in (11..).zip(order.map(|at| words[at])) {
                book.remember(&status(2, word, at));
            }
            assert_eq!(book.state(sid(2)), State::Pending, "{words:?} {order:?}");
            assert_eq!(book.observe(&reply(1, 30)), ObserveOutcome::Confirmed(sid(2)), "{order:?}");
            assert_eq!(book.state(sid(1)), State::Pending, "{words:?} {order:?}");
        }
    }
}

#[test]
fn a_failure_receipt_before_the_post_undoes_a_confirmation_by_shared_evidence() {
    for word in ["undelivered", "failed", "canceled"] {
        for act in [reply(1, 30), event(30), shared("x", 30)] {
            let mut book = book(&[bearing(1, "x", 0), bearing(2, "x", 10)]);
            book.remember(&status(2, "sent", 12));
            book.remember(&status(1, "delivered", 13));
            book.observe(&act);
            let remembered = book.remember(&status(2, word, 40));
            assert_eq!(book.state(sid(2)), State::Undelivered, "{word}");
            assert_eq!(book.confirmed(), [sid(1)].into(), "judged again: {remembered:?}");
            // A contradicting receipt makes the message count as arrived again, and the evidence
            // confirms it again.
            book.remember(&status(2, "delivered", 41));
            assert_eq!(book.confirmed(), [sid(2)].into(), "{word}");
        }
        let mut posted = book(&[registered(1, 0)]);
        posted.observe(&reply(1, 30));
        posted.claim_all();
        posted.remember(&status(1, word, 40));
        assert_eq!(posted.state(sid(1)), State::Confirmed, "a posted confirmation is not undone");
    }
}

#[test]
fn evidence_about_a_confirmed_message_has_its_full_time_again_once_the_confirmation_is_undone() {
    let mut book = book(&[bearing(1, "x", 0)]);
    book.observe(&reply(1, 30));
    assert_eq!(book.observe(&shared("x", 31)), ObserveOutcome::AlreadyConfirmed(sid(1)));
    book.remember(&status(1, "undelivered", 40));
    assert!(book.confirmed().is_empty());
    book.now = HOUR;
    book.remember(&bearing(2, "x", 10));
    assert_eq!(book.confirmed(), [sid(2)].into());
}

#[test]
fn a_confirmation_that_is_not_posted_yet_survives_the_lifetime_of_its_message() {
    for act in [reply(1, 30), shared("x", 31), direct(1, 32)] {
        let mut book = book(&[bearing(1, "x", 0)]);
        book.observe(&act);
        book.now = 30 * DAY;
        book.remember(&bearing(2, "x", 30 * DAY));
        assert_eq!(book.confirmed(), [sid(1)].into(), "{act:?}");
    }
}

#[test]
fn another_accounts_callback_undoes_no_confirmation() {
    let mut book = book(&[registered(1, 0)]);
    book.observe(&reply(1, 30));
    let account = AccountSid::parse("AC1123456789abcdef0123456789abcdef").expect("valid");
    book.remember(&MessageUpdate { account, ..status(1, "undelivered", 40) });
    assert_eq!((book.confirmed(), book.state(sid(1))), ([sid(1)].into(), State::Confirmed));
}

#[test]
fn no_evidence_confirms_an_unsent_message_and_direct_evidence_overrules_undelivered() {
    for (word, is_overruled) in [("failed", false), ("canceled", false), ("undelivered", true)] {
        for receipt_first in [true, false] {
            let mut book = book(&[registered(1, 0)]);
            if receipt_first {
                book.remember(&status(1, word, 1));
            }
            book.observe(&direct(1, 5));
            if !receipt_first {
                book.remember(&status(1, word, 6));
            }
            assert_eq!(!book.confirmed().is_empty(), is_overruled, "{word} {receipt_first}");
            book.remember(&status(1, "delivered", 9));
            assert_eq!(book.confirmed(), [sid(1)].into(), "{word}: contradicted");
        }
    }
}

// Shared references.

#[test]
fn a_reference_confirms_no_old_or_undelivered_message_while_its_own_may_still_come() {
    for before in [
        &[bearing(1, "user", -DAY), status(1, "undelivered", -DAY + 5)][..],
        &[bearing(1, "user", -DAY)],
        &[bearing(1, "user", -HOUR), status(1, "delivered", -HOUR + 5)],
    ] {
        let mut early = book(before);
        let act = timed(shared("user", 30), TimeSource::App);
        assert!(matches!(early.observe(&act), ObserveOutcome::Parked { .. }));
        assert!(early.confirmed().is_empty());
        early.now = 45;
        assert_eq!(early.remember(&bearing(2, "user", 5)).confirmed, [sid(2)]);
        assert_eq!(early.confirmed(), [sid(2)].into());
    }
}

#[test]
fn an_old_message_under_a_reference_is_confirmed_if_no_newer_one_was_registered() {
    let mut one = book(&[bearing(1, "x", -HOUR)]);
    assert_eq!(reason(&one.observe(&shared("x", 0))), Some(Reason::NewerMayCome));
    one.now = 5 * MINUTE;
    one.sweep();
    assert!(one.confirmed().is_empty());
    one.now = 10 * MINUTE;
    one.sweep();
    assert_eq!(one.confirmed(), [sid(1)].into());
    assert_eq!(basis(&one, 1), Some(Basis::Shared));
    let mut denied = book(&[bearing(1, "x", -HOUR), status(1, "undelivered", -HOUR)]);
    denied.observe(&shared("x", 0));
    denied.now = 10 * MINUTE;
    denied.sweep();
    assert!(denied.confirmed().is_empty());
}

#[test]
fn shared_evidence_moves_from_a_lone_message_to_a_newer_one_that_is_registered_later() {
    for act in [shared("x", 30), event(30), reply(1, 30)] {
        let mut book = book(&[bearing(1, "x", 0)]);
        book.remember(&status(1, "delivered", 3));
        assert_eq!(book.observe(&act), ObserveOutcome::Confirmed(sid(1)));
        let remembered = book.remember(&MessageUpdate { seen_at: at(40), ..bearing(2, "x", 20) });
        book.remember(&status(2, "delivered", 41));
        assert_eq!(book.confirmed(), [sid(2)].into(), "{remembered:?}");
    }
}

#[test]
fn evidence_by_a_reference_is_not_about_a_message_first_seen_long_after_it() {
    let mut book = book(&[bearing(1, "user", -DAY), status(1, "undelivered", -DAY)]);
    book.observe(&shared("user", 0));
    book.now = DAY;
    let next = MessageUpdate { created_at: None, seen_at: at(DAY), ..bearing(2, "user", DAY) };
    assert!(book.remember(&next).confirmed.is_empty());
}

// Time.

#[test]
fn a_small_step_back_of_the_clock_does_not_end_the_wait_for_a_newer_message() {
    let mut book = book(&[bearing(1, "x", 0)]);
    book.now = 3 * DAY;
    let observed = book.observe(&shared("x", 3 * DAY));
    assert_eq!(reason(&observed), Some(Reason::NewerMayCome));
    for back in [1, 5 * MINUTE] {
        book.now = 3 * DAY - back;
        book.remember(&status(1, "sent", 10));
        assert!(book.confirmed().is_empty(), "{back}");
    }
}

#[test]
fn evidence_without_a_time_proves_nothing_that_depends_on_it() {
    let unknown = |signal| timed(signal, TimeSource::Unknown);
    for act in [unknown(reply(1, 700)), unknown(texted(2, acted(person(1), None, 700)))] {
        for seen in [&[registered(1, 0), registered(2, 690)][..], &[registered(1, 600)]] {
            let mut book = book(seen);
            assert_eq!(book.observe(&act), ObserveOutcome::NotConfirmed(Reason::TimeUnknown));
            assert!(book.confirmed().is_empty());
            // Twilio may still send the same reply, with its time.
            let timed = Signal { dedup_ids: act.dedup_ids.clone(), ..reply(1, 620) };
            assert_ne!(book.observe(&timed), ObserveOutcome::NotConfirmed(Reason::Duplicate));
        }
    }
    for act in [unknown(shared("x", 700)), unknown(acted(person(1), None, 700))] {
        let mut several = book(&[bearing(1, "x", 0), bearing(2, "x", 690)]);
        assert_eq!(reason(&several.observe(&act)), Some(Reason::TimeUnknown));
        assert!(several.confirmed().is_empty());
        let mut only = book(&[bearing(1, "x", 600)]);
        assert_eq!(
            only.observe(&act),
            ObserveOutcome::Confirmed(sid(1)),
            "the only one, and recent"
        );
        only.remember(&bearing(2, "x", 650));
        assert!(only.confirmed().is_empty(), "another message exists");
    }
    let mut named = book(&[coded(1, "111111", 0), coded(2, "222222", 690)]);
    let with_code = entered("111111", unknown(reply(1, 700)));
    assert_eq!(
        named.observe(&with_code),
        ObserveOutcome::Confirmed(sid(1)),
        "a code needs no time"
    );
}

#[test]
fn a_scheduled_message_counts_from_its_send_time() {
    let scheduled = [
        registered(1, -2 * HOUR),
        status(1, "scheduled", -2 * HOUR),
        registered(2, -10 * MINUTE),
        status(1, "sent", 0),
    ];
    for rotated in 0..scheduled.len() {
        let mut facts = scheduled.clone();
        facts.rotate_left(rotated);
        let mut book = book(&facts);
        book.observe(&reply(1, 30));
        assert_eq!(book.state(sid(2)), State::Pending, "{rotated}");
    }
    let mut waiting = book(&scheduled[..3]);
    assert_eq!(
        waiting.observe(&reply(1, -5)),
        ObserveOutcome::Confirmed(sid(2)),
        "it is not sent yet"
    );
}

#[test]
fn the_only_message_within_the_allowed_skew_is_confirmed_though_the_apps_clock_is_behind() {
    let by_callback = MessageUpdate { tracked: true, ..status(1, "sent", 90) };
    for seen in [by_callback, registered(1, 90)] {
        let mut one = book(std::slice::from_ref(&seen));
        assert_eq!(one.observe(&event(0)), ObserveOutcome::Confirmed(sid(1)));
        let mut several = book(&[seen, registered(2, 100)]);
        assert!(!matches!(several.observe(&event(0)), ObserveOutcome::Confirmed(_)));
        assert!(several.confirmed().is_empty());
    }
    let mut far = book(&[registered(1, 400)]);
    assert!(!matches!(far.observe(&event(0)), ObserveOutcome::Confirmed(_)));
}

#[test]
fn by_reference_a_message_within_the_skew_blocks_unless_the_clocks_are_compared() {
    let seen = [bearing(1, "x", 0), bearing(2, "x", 60)];
    let mut skewed = book(&seen);
    let observed = skewed.observe(&timed(shared("x", 30), TimeSource::App));
    assert_eq!(reason(&observed), Some(Reason::TimeUnknown));
    let mut exact = book(&seen);
    assert_eq!(exact.observe(&shared("x", 30)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn events_by_person_have_a_shorter_window_than_replies() {
    let mut book = book(&[registered(1, 0)]);
    assert!(!matches!(book.observe(&event(16 * MINUTE)), ObserveOutcome::Confirmed(_)));
    assert_eq!(book.observe(&reply(1, 16 * MINUTE)), ObserveOutcome::Confirmed(sid(1)));
}

// Accounts.

#[test]
fn senders_learned_for_one_account_do_not_apply_to_another() {
    let other: AccountSid = "AC9123456789abcdef0123456789abcdef".parse().expect("valid");
    let through =
        |n, via| MessageUpdate { from: None, service: Some(service(via)), ..registered(n, 0) };
    let teaches = |account, by_twilio| MessageUpdate {
        account,
        by_twilio,
        recipient: Some(person(7)),
        service: Some(service(2)),
        ..status(9, "sent", 1)
    };
    let own = registered(1, 0).account;
    for (lesson, is_learned) in
        [(teaches(other, true), false), (teaches(own, false), false), (teaches(own, true), true)]
    {
        let mut book = book(&[through(1, 2), lesson]);
        let observed = book.observe(&reply(1, 30));
        assert_eq!(observed == ObserveOutcome::Confirmed(sid(1)), is_learned, "{observed:?}");
    }
}

// Automatic replies, and messages that are still pending.

#[test]
fn a_text_within_five_seconds_proves_nothing_and_marks_its_sender_as_automatic_for_a_week() {
    let week = i64::try_from(AUTOMATIC_FOR.as_secs()).expect("small");
    for (after, is_automatic) in [(0, true), (4, true), (5, false), (60, false)] {
        let mut book = book(&[registered(1, 0)]);
        let observed = book.observe(&reply(1, after));
        assert_eq!(reason(&observed) == Some(Reason::Automatic), is_automatic, "{after}");
    }
    // Twilio truncates a creation time to the second, and the parser reads it as the end of that
    // second. The limit allows for that.
    for (after, is_automatic) in [(5, false), (4, true)] {
        let rounded_up = at(0) + SignedDuration::from_millis(999);
        let mut book =
            book(&[MessageUpdate { created_at: Some(rounded_up), ..registered(1, after) }]);
        let observed = book.observe(&reply(1, after));
        assert_eq!(reason(&observed) == Some(Reason::Automatic), is_automatic, "{after}, cut");
    }
    let mut book = book(&[registered(1, 0)]);
    book.observe(&reply(1, 2));
    assert_eq!(book.observe(&reply(2, 60)), ObserveOutcome::NotConfirmed(Reason::Automatic));
    book.now = week;
    book.remember(&registered(2, week - 30));
    assert_eq!(book.observe(&reply(3, week)), ObserveOutcome::NotConfirmed(Reason::Automatic));
    book.remember(&status(2, "delivered", week));
    assert_eq!(book.observe(&reply(4, week + 2)), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn an_automatic_sender_that_quotes_or_has_the_code_still_counts_as_do_a_call_and_an_event() {
    let mut quoted = book(&[registered(1, 0)]);
    let quote =
        Evidence { source: SignalSource::Reply, ..evidence(EvidenceTarget::Message(sid(1)), 2) };
    let quote = Signal { evidence: Ok(quote), ..direct(1, 2) };
    assert_eq!(quoted.observe(&quote), ObserveOutcome::Confirmed(sid(1)));
    let mut with_code = book(&[coded(1, "111111", 0)]);
    assert_eq!(with_code.observe(&typed("111111", reply(1, 2))), ObserveOutcome::Confirmed(sid(1)));
    let mut told = book(&[registered(1, 0)]);
    assert_eq!(told.observe(&event(2)), ObserveOutcome::Confirmed(sid(1)));
    let sender = SenderHint { address: Some(SENDER.to_owned()), service: None };
    let whatsapp = person(99).person;
    let call = EvidenceTarget::Caller { recipient: person(1), whatsapp, sender };
    let mut called = book(&[registered(1, 0)]);
    assert_eq!(called.observe(&signal(call, 2)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn a_text_beside_a_message_that_is_scheduled_for_later_is_not_automatic() {
    let scheduled = MessageUpdate { status: Some(Status::Scheduled), ..registered(2, 58) };
    let mut book = book(&[registered(1, 0), scheduled]);
    assert_eq!(book.observe(&reply(1, MINUTE)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn a_receipt_after_an_automatic_text_does_not_make_the_text_evidence_for_an_older_message() {
    let mut book = book(&[registered(1, -MINUTE), registered(2, 0)]);
    book.observe(&reply(1, 2));
    book.remember(&status(2, "undelivered", 20));
    assert!(book.confirmed().is_empty());
}

#[test]
fn a_text_in_the_second_of_a_messages_creation_is_no_evidence_for_an_older_message() {
    for milliseconds in [0, 1, 500, 998, 999] {
        let truncated = at(0) + SignedDuration::from_millis(999);
        let newest = MessageUpdate { created_at: Some(truncated), ..registered(2, 1) };
        let mut book = book(&[registered(1, -MINUTE), status(1, "delivered", -50), newest]);
        let mut text = reply(1, 0);
        if let Ok(evidence) = &mut text.evidence {
            evidence.occurred_at = at(0) + SignedDuration::from_millis(milliseconds);
        }
        assert_eq!(reason(&book.observe(&text)), Some(Reason::Automatic), "{milliseconds} ms");
    }
}

#[test]
fn beside_an_older_pending_message_the_newest_needs_a_receipt() {
    let mut book = book(&[registered(1, 0), registered(2, 10)]);
    assert_eq!(reason(&book.observe(&reply(1, 30))), Some(Reason::OlderPending));
    assert_eq!(book.remember(&status(2, "delivered", 35)).confirmed, [sid(2)]);
    let mut settled = self::book(&[registered(1, 0), registered(2, 10)]);
    settled.observe(&reply(1, 30));
    settled.observe(&direct(1, 31));
    assert_eq!(
        settled.confirmed(),
        [sid(1), sid(2)].into(),
        "no pending message is beside it any more"
    );
}
