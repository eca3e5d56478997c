//! Several messages under one reference, codes and calls: which message is confirmed by an act
//! about one of several.

use std::collections::BTreeSet;

use heardback::domain::address::RecipientHashKey;
use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::matching::{ObserveOutcome, Policy, Reason, Resend};
use heardback::domain::message::{Basis, State, Status};
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{
    EvidenceTarget, MessageUpdate, SenderHint, Signal, SignalSource, TimeSource,
};

use crate::given::{
    DAY, HOUR, SENDER, account, acted, address, direct, person, policy, reference, registered,
    reply, shared, sid, signal, status, timed,
};
use crate::reference_store::ReferenceStore;

const KEY: &[u8] = b"the app's key";

fn bearing(n: u32, seconds: i64) -> MessageUpdate {
    MessageUpdate { reference: Some(reference("x")), ..registered(n, seconds) }
}

fn coded(n: u32, code: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { code: Some(CodeKey::new(KEY).hmac(sid(n), code)), ..bearing(n, seconds) }
}

fn book(resend: Resend, sightings: &[MessageUpdate]) -> ReferenceStore {
    let mut book = ReferenceStore::default();
    book.policy = Policy { resend, ..policy() };
    for sighting in sightings {
        book.remember(sighting);
    }
    book
}

fn typed(text: &str, signal: Signal) -> Signal {
    Signal { code: Probe::new(text, &[CodeKey::new(KEY)]), ..signal }
}

fn basis(book: &ReferenceStore, n: u32) -> Option<Basis> {
    book.messages[&sid(n)].proof.as_ref().map(|proof| proof.basis)
}

fn superseded_by(book: &ReferenceStore, n: u32) -> Option<MessageSid> {
    book.messages[&sid(n)].superseded_by
}

fn parked_because(observed: &ObserveOutcome) -> Option<Reason> {
    match observed {
        ObserveOutcome::Parked { reason, .. } => Some(*reason),
        ObserveOutcome::Confirmed(_)
        | ObserveOutcome::AlreadyConfirmed(_)
        | ObserveOutcome::NotConfirmed(_) => None,
    }
}

// Policies.

#[test]
fn newest_confirms_the_newest_and_marks_the_others() {
    let mut book = book(Resend::Newest, &[bearing(1, 0), bearing(2, 10)]);
    assert_eq!(book.observe(&shared("x", 20)), ObserveOutcome::Confirmed(sid(2)));
    assert_eq!((basis(&book, 2), superseded_by(&book, 2)), (Some(Basis::Shared), None));
    assert_eq!(book.state(sid(1)), State::Pending);
    assert_eq!(superseded_by(&book, 1), Some(sid(2)));
}

/// Message 1 is created at 0 and arrives at `first`; message 2 is created at 60, and its receipt comes at `second`. The
/// act is at 70. Returns the confirmed messages, for the receipt of message 2 before the act and after it.
fn after_receipts(first: Option<i64>, second: Option<i64>, act: &Signal) -> BTreeSet<MessageSid> {
    let receipt = |n, at: Option<i64>| at.map(|at| status_bearing(n, "delivered", at));
    let before = [Some(bearing(1, 0)), receipt(1, first), Some(bearing(2, 60))];
    let before: Vec<_> = before.into_iter().flatten().collect();
    let last = receipt(2, second);
    let mut early = book(Resend::Newest, &[before.as_slice(), last.as_slice()].concat());
    early.observe(act);
    let mut late = book(Resend::Newest, &before);
    late.observe(act);
    if let Some(receipt) = last {
        late.remember(&receipt);
    }
    assert_eq!(early.confirmed(), late.confirmed(), "in either order");
    late.confirmed()
}

/// A reply and a call at 70.
fn answers() -> [Signal; 2] {
    let hint = SenderHint { address: Some(SENDER.to_owned()), service: None };
    let (recipient, whatsapp) = (person(1), person(99).person);
    let called = EvidenceTarget::Caller { recipient, whatsapp, sender: hint };
    let mut called = signal(called, 70);
    called.evidence.as_mut().expect("evidence").source = SignalSource::Call;
    [reply(1, 70), called]
}

fn by_to(seconds: i64) -> Signal {
    acted(person(1), None, seconds)
}

/// Message 2, if it is expected.
fn second_if(is_expected: bool) -> BTreeSet<MessageSid> {
    is_expected.then(|| sid(2)).into_iter().collect()
}

#[test]
fn an_act_before_the_newest_message_arrived_proves_nothing_if_an_older_one_had_arrived() {
    for (first, second, is_newest, why) in [
        (Some(3), Some(65), true, "it had arrived"),
        (Some(3), Some(85), true, "receipts come late by some seconds"),
        (Some(3), Some(86), false, "16 s after the act"),
        (Some(70), Some(500), false, "message 1 arrived at the time of the act"),
        (Some(85), Some(86), false, "the receipt of message 1 may be late, too"),
        (Some(3), None, false, "no receipt of message 2"),
    ] {
        let [replied, called] = answers();
        for act in [shared("x", 70), by_to(70), replied, called] {
            let confirmed = after_receipts(first, second, &act);
            assert_eq!(confirmed, second_if(is_newest), "{why}: {act:?}");
        }
    }
}

#[test]
fn without_a_receipt_of_an_older_message_a_reference_means_the_newest_and_a_person_neither() {
    for (first, second) in [(None, None), (None, Some(86)), (Some(86), Some(87))] {
        assert_eq!(after_receipts(first, second, &shared("x", 70)), second_if(true));
        let [replied, called] = answers();
        for act in [by_to(70), replied, called] {
            assert_eq!(after_receipts(first, second, &act), second_if(false), "{act:?}");
        }
    }
    let mut alone = book(Resend::Newest, &[bearing(2, 60), status(2, "delivered", 500)]);
    alone.observe(&by_to(70));
    assert_eq!(alone.confirmed(), second_if(true), "there is only one message");
}

#[test]
fn a_receipt_that_denies_the_newest_message_leaves_the_older_one() {
    let seen = [bearing(1, 0), status(1, "delivered", 3), bearing(2, 60)];
    for act in [shared("x", 70), by_to(70)] {
        let mut book = book(Resend::Newest, &seen);
        assert_eq!(parked_because(&book.observe(&act)), Some(Reason::OlderPending));
        book.remember(&status(2, "undelivered", 90));
        assert_eq!(book.confirmed(), [sid(1)].into());
    }
}

#[test]
fn a_message_without_a_receipt_between_two_others_changes_nothing() {
    for second in [None, Some(200)] {
        let mut book = book(Resend::Newest, &[bearing(1, 0), bearing(2, 40), bearing(3, 60)]);
        book.remember(&status(1, "delivered", 3));
        book.observe(&shared("x", 70));
        for (n, at) in [(2, second), (3, Some(120))] {
            at.map(|at| book.remember(&status(n, "delivered", at)));
        }
        assert_eq!(book.confirmed(), BTreeSet::new());
    }
}

#[test]
fn a_code_that_several_messages_repeat_needs_a_receipt_of_the_newest() {
    let seen = [coded(1, "111111", 0), status(1, "delivered", 3), coded(2, "111111", 60)];
    for act in [shared("x", 70), by_to(70)] {
        for (receipt, is_newest) in [(None, false), (Some(75), true), (Some(90), false)] {
            let mut book = book(Resend::Newest, &seen);
            book.observe(&typed("111111", act.clone()));
            receipt.map(|at| book.remember(&status(2, "delivered", at)));
            assert_eq!(book.confirmed(), second_if(is_newest), "{receipt:?}: {act:?}");
        }
        let mut denied = book(Resend::Newest, &seen);
        denied.observe(&typed("111111", act));
        denied.remember(&status(2, "undelivered", 90));
        assert_eq!(denied.confirmed(), [sid(1)].into());
    }
}

#[test]
fn of_messages_with_one_code_the_older_one_counts_whatever_its_age() {
    let seen = [coded(1, "111111", 0), status(1, "delivered", 3), coded(2, "111111", 400)];
    for act in [shared("x", 410), by_to(410)] {
        for late in [None, Some(460)] {
            let mut book = book(Resend::Newest, &seen);
            book.observe(&typed("111111", act.clone()));
            late.map(|at| book.remember(&status(2, "delivered", at)));
            assert_eq!(book.confirmed(), BTreeSet::new(), "{act:?}");
        }
    }
}

#[test]
fn a_code_that_was_read_before_its_message_arrived_was_read_in_one_without_a_known_code() {
    let seen = [bearing(1, 0), status(1, "delivered", 3), coded(2, "111111", 60)];
    for act in [shared("x", 70), by_to(70)] {
        for (second, is_newest) in [(None, true), (Some(85), true), (Some(86), false)] {
            let mut book = book(Resend::Newest, &seen);
            second.map(|at| book.remember(&status(2, "delivered", at)));
            book.observe(&typed("111111", act.clone()));
            assert_eq!(book.confirmed(), second_if(is_newest), "{second:?}: {act:?}");
        }
    }
}

#[test]
fn a_repeated_code_without_a_time_proves_nothing() {
    let seen = [coded(1, "111111", 0), coded(2, "111111", 60), status(2, "delivered", 65)];
    for act in [shared("x", 70), by_to(70)] {
        for (source, is_newest) in [(TimeSource::Unknown, false), (TimeSource::Exact, true)] {
            let mut book = book(Resend::Newest, &seen);
            book.observe(&typed("111111", timed(act.clone(), source)));
            assert_eq!(book.confirmed(), second_if(is_newest), "{source:?}: {act:?}");
        }
    }
}

#[test]
fn an_event_that_names_one_message_with_a_code_of_several_others_proves_nothing() {
    let seen = [coded(1, "111111", 0), coded(2, "111111", 60), coded(3, "222222", -5)];
    let mut book = book(Resend::Newest, &seen);
    let observed = book.observe(&typed("111111", direct(3, 70)));
    assert_eq!(observed, ObserveOutcome::NotConfirmed(Reason::Ambiguous));
    assert_eq!(book.observe(&typed("111111", direct(2, 70))), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn an_older_message_counts_also_if_it_is_proven_or_sent_without_a_request_for_feedback() {
    let [replied, called] = answers();
    for act in [shared("x", 70), by_to(70), replied, called] {
        let receipt = status(1, "delivered", 3);
        for (first, second, confirmed, why) in [
            (true, Some(120), vec![1], "it arrived after the act"),
            (false, Some(120), vec![1], "the proof says that message 1 had arrived"),
            (true, None, vec![1, 2], "no receipt, and message 1 has had its act"),
            (true, Some(75), vec![1, 2], "it had arrived"),
            (false, None, vec![1, 2], "no receipts at all"),
        ] {
            let mut proven = book(Resend::Newest, &[bearing(1, 0), bearing(2, 60)]);
            first.then(|| proven.remember(&receipt));
            proven.observe(&act);
            proven.observe(&direct(1, 50));
            second.map(|at| proven.remember(&status(2, "delivered", at)));
            let confirmed = confirmed.into_iter().map(sid).collect();
            assert_eq!(proven.confirmed(), confirmed, "{why}: {act:?}");
        }
        for late in [None, Some(120)] {
            let untracked = MessageUpdate { tracked: false, strict: false, ..bearing(1, 0) };
            let mut book = book(Resend::Newest, &[untracked, receipt.clone(), bearing(2, 60)]);
            book.observe(&act);
            late.map(|at| book.remember(&status(2, "delivered", at)));
            assert_eq!(book.confirmed(), BTreeSet::new(), "{act:?}");
        }
    }
}

#[test]
fn all_excludes_a_message_that_arrived_after_the_act_beside_one_that_had_arrived() {
    for (first, second, confirmed) in [
        (3, Some(65), vec![1, 2]),
        (3, Some(86), vec![1]),
        (3, None, vec![1, 2]),
        (90, Some(86), vec![1, 2]),
    ] {
        let seen = [bearing(1, 0), status(1, "delivered", first), bearing(2, 60)];
        let mut book = book(Resend::All, &seen);
        second.map(|at| book.remember(&status(2, "delivered", at)));
        book.observe(&shared("x", 70));
        assert_eq!(book.confirmed(), confirmed.into_iter().map(sid).collect());
    }
    let hour_old = [bearing(1, -HOUR), status(1, "delivered", 3 - HOUR), bearing(2, 60)];
    let mut former = book(Resend::All, &hour_old);
    former.remember(&status(2, "delivered", 86));
    former.observe(&shared("x", 70));
    assert!(former.confirmed().contains(&sid(2)), "an old message excludes none");
    let seen = [bearing(1, 0), status(1, "delivered", 3), bearing(2, 60)];
    let mut proven = book(Resend::All, &seen);
    proven.observe(&direct(1, 50));
    proven.remember(&status(2, "delivered", 86));
    proven.observe(&shared("x", 70));
    assert_eq!(proven.confirmed(), [sid(1)].into());
}

#[test]
fn a_newest_message_of_unknown_age_proves_nothing_beside_one_that_had_arrived() {
    let unsaid = MessageUpdate { created_at: None, ..bearing(2, 75) };
    let seen = [bearing(1, 0), status(1, "delivered", 3), unsaid, status(2, "delivered", 120)];
    for act in [shared("x", 70), by_to(70)] {
        let mut book = book(Resend::Newest, &seen);
        assert_eq!(parked_because(&book.observe(&act)), Some(Reason::TimeUnknown));
    }
}

#[test]
fn a_later_receipt_does_not_date_an_arrival_of_an_unknown_time() {
    let seen = [bearing(1, 0), status(1, "delivered", 3), bearing(2, 60)];
    let mut book = book(Resend::Newest, &seen);
    book.remember(&status(2, "delivered", 65));
    book.messages.get_mut(&sid(2)).expect("known").arrived_at = None;
    book.remember(&status(2, "read", 500));
    assert_eq!(book.observe(&shared("x", 70)), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn a_message_beside_the_newest_counts_for_five_minutes() {
    let [replied, called] = answers();
    for (created, is_newest) in [(-231, true), (-230, false)] {
        let seen = [bearing(1, created), status(1, "delivered", created + 3), bearing(2, 60)];
        let by_reference = [(None, shared("x", 70), false), (Some(120), shared("x", 70), false)];
        // Evidence about a person leaves an unproven message of any age possible.
        let others = [by_to(70), replied.clone(), called.clone()];
        let others = others.into_iter().map(|act| (Some(120), act, true));
        for (receipt, act, is_proven) in by_reference.into_iter().chain(others) {
            let mut book = book(Resend::Newest, &seen);
            is_proven.then(|| book.observe(&direct(1, created + 10)));
            book.observe(&act);
            receipt.map(|at| book.remember(&status(2, "delivered", at)));
            assert_eq!(book.confirmed().contains(&sid(2)), is_newest, "{created}: {act:?}");
        }
    }
}

#[test]
fn only_deliverable_waits_while_two_may_have_arrived_and_settles_by_a_receipt() {
    let mut book = book(Resend::OnlyDeliverable, &[bearing(1, 0), bearing(2, 10)]);
    assert_eq!(parked_because(&book.observe(&shared("x", 20))), Some(Reason::Ambiguous));
    assert!(book.confirmed().is_empty());
    let receipt = book.remember(&status_bearing(2, "undelivered", 30));
    assert_eq!(receipt.confirmed, [sid(1)]);
    assert_eq!(superseded_by(&book, 2), Some(sid(1)));
}

fn status_bearing(n: u32, word: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { reference: None, ..status(n, word, seconds) }
}

#[test]
fn only_deliverable_confirms_the_only_one_that_may_have_arrived() {
    let seen = [bearing(1, 0), status(1, "failed", 1), bearing(2, 10)];
    let mut book = book(Resend::OnlyDeliverable, &seen);
    assert_eq!(book.observe(&shared("x", 20)), ObserveOutcome::Confirmed(sid(2)));
    assert_eq!(book.state(sid(1)), State::Undelivered);
}

#[test]
fn all_confirms_every_pending_one_but_no_undelivered_and_no_younger_one() {
    let seen =
        [bearing(1, 0), bearing(2, 5), status(2, "undelivered", 6), bearing(3, 10), bearing(4, 60)];
    let mut book = book(Resend::All, &seen);
    assert_eq!(book.observe(&shared("x", 20)), ObserveOutcome::Confirmed(sid(3)));
    assert_eq!(book.confirmed(), [sid(1), sid(3)].into());
    assert_eq!(superseded_by(&book, 2), Some(sid(3)));
    assert_eq!(book.observe(&shared("x", 21)), ObserveOutcome::AlreadyConfirmed(sid(3)));
}

#[test]
fn code_confirms_nothing_without_a_code_and_the_right_one_with_it() {
    let seen = [coded(1, "111111", 0), coded(2, "222222", 10)];
    let mut one = book(Resend::Code, &seen);
    assert_eq!(parked_because(&one.observe(&shared("x", 20))), Some(Reason::Ambiguous));
    let wrong = typed("333333", shared("x", 20));
    assert_eq!(parked_because(&one.observe(&wrong)), Some(Reason::OtherCode));
    assert!(one.confirmed().is_empty());
    assert_eq!(one.observe(&typed("111111", shared("x", 20))), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(superseded_by(&one, 2), Some(sid(1)));
}

#[test]
fn a_code_of_one_message_only_is_direct_under_every_policy() {
    for resend in Resend::ALL {
        let mut book = book(resend, &[coded(1, "111111", 0), coded(2, "222222", 10)]);
        let entered = typed("111111", shared("x", 20));
        assert_eq!(book.observe(&entered), ObserveOutcome::Confirmed(sid(1)), "{resend:?}");
        assert_eq!(basis(&book, 1), Some(Basis::Direct), "{resend:?}");
    }
}

#[test]
fn a_repeated_code_leaves_the_choice_to_the_policy() {
    let seen = [coded(1, "111111", 0), coded(2, "111111", 10), coded(3, "222222", 15)];
    for (resend, expected) in [
        (Resend::Newest, Ok(ObserveOutcome::Confirmed(sid(2)))),
        (Resend::All, Ok(ObserveOutcome::Confirmed(sid(2)))),
        (Resend::Code, Err(Reason::Ambiguous)),
    ] {
        let mut book = book(resend, &seen);
        let observed = book.observe(&typed("111111", shared("x", 20)));
        assert_eq!(parked_because(&observed).map_or(Ok(observed), Err), expected, "{resend:?}");
        assert_eq!(basis(&book, 3), None, "{resend:?}: its code is another");
        assert_ne!(basis(&book, 2), Some(Basis::Direct), "{resend:?}");
    }
}

#[test]
fn a_repeated_code_is_about_the_message_that_no_receipt_denies() {
    let denied = status(2, "undelivered", 20);
    let mut book = book(Resend::Newest, &[coded(1, "111111", 0), coded(2, "111111", 10), denied]);
    book.observe(&typed("111111", shared("x", 30)));
    assert_eq!(book.confirmed(), [sid(1)].into());
    assert_eq!(basis(&book, 1), Some(Basis::Shared));
}

#[test]
fn a_repeated_code_is_never_direct_for_the_remaining_messages() {
    // The app's own retry: the first event confirms one of them, whose code is then erased.
    let seen = [coded(1, "111111", 0), coded(2, "111111", 10)];
    let mut retried = book(Resend::Newest, &seen);
    let entered = typed("111111", shared("x", 20));
    assert_eq!(retried.observe(&entered), ObserveOutcome::Confirmed(sid(2)));
    assert_eq!(retried.observe(&entered), ObserveOutcome::AlreadyConfirmed(sid(2)));
    assert_eq!(retried.confirmed(), [sid(2)].into());
    // One message was confirmed by other evidence before the other was sent.
    let mut later = book(Resend::Newest, &[coded(1, "111111", 0)]);
    assert_eq!(later.observe(&direct(1, 5)), ObserveOutcome::Confirmed(sid(1)));
    later.remember(&coded(2, "111111", 10));
    later.observe(&typed("111111", shared("x", 20)));
    assert_ne!(basis(&later, 2), Some(Basis::Direct));
}

#[test]
fn direct_evidence_supersedes_the_others_and_never_blocks_them() {
    let mut book = book(Resend::Newest, &[bearing(1, 0), bearing(2, 10)]);
    assert_eq!(book.observe(&direct(1, 20)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(superseded_by(&book, 2), Some(sid(1)));
    assert_eq!(book.observe(&direct(2, 30)), ObserveOutcome::Confirmed(sid(2)));
    assert_eq!(superseded_by(&book, 2), None, "the message was confirmed itself");
}

#[test]
fn a_fallback_from_whatsapp_to_sms_is_two_messages_under_one_reference() {
    let whatsapp = MessageUpdate {
        recipient: Some(address("whatsapp:+15550000001")),
        from: Some(format!("whatsapp:{SENDER}")),
        ..bearing(1, 0)
    };
    let late_receipt = MessageUpdate { recipient: None, from: None, ..status(1, "read", 40) };
    for (resend, expected) in [
        (Resend::Newest, Err(Reason::OlderPending)),
        (Resend::All, Ok(ObserveOutcome::Confirmed(sid(2)))),
        (Resend::Code, Err(Reason::Ambiguous)),
    ] {
        let mut book = book(resend, &[whatsapp.clone(), bearing(2, 10), late_receipt.clone()]);
        let observed = book.observe(&shared("x", 50));
        assert_eq!(parked_because(&observed).map_or(Ok(observed), Err), expected, "{resend:?}");
    }
    // A reply comes on one channel, and is about the message on that channel.
    let mut book = book(Resend::Newest, &[whatsapp, bearing(2, 10)]);
    let on_whatsapp =
        acted(address("whatsapp:+15550000001"), Some(&format!("whatsapp:{SENDER}")), 20);
    assert_eq!(book.observe(&on_whatsapp), ObserveOutcome::Confirmed(sid(1)));
}

// Codes in replies.

#[test]
fn a_reply_with_the_code_is_direct_whatever_the_window_the_sender_or_the_receipt() {
    let seen = [coded(1, "111111", 0), status(1, "undelivered", 1), coded(2, "222222", 10)];
    let mut book = book(Resend::Newest, &seen);
    book.now = DAY;
    let elsewhere = acted(person(1), Some("+15550007777"), DAY);
    let spelled = typed("the code is 111111.", elsewhere);
    assert_eq!(book.observe(&spelled), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Direct));
}

#[test]
fn a_code_of_another_person_or_account_does_not_match() {
    let mut book = book(Resend::Newest, &[coded(1, "111111", 0)]);
    book.now = HOUR * 2;
    let stranger = typed("111111", acted(person(2), Some(SENDER), 2 * HOUR));
    assert_eq!(parked_because(&book.observe(&stranger)), Some(Reason::NoMessage));
    assert!(book.confirmed().is_empty());
}

#[test]
fn a_reply_with_a_code_other_than_the_newest_messages_proves_nothing_about_that_message() {
    let mut book = book(Resend::Newest, &[coded(1, "111111", 0)]);
    let other = typed("999999", reply(1, 20));
    assert_eq!(parked_because(&book.observe(&other)), Some(Reason::OtherCode));
    let thanks = typed("thanks a lot", reply(2, 21));
    assert_eq!(book.observe(&thanks), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Inferred));
}

#[test]
fn a_codes_hmac_counts_to_the_end_of_the_pending_lifetime_whatever_the_state_of_its_message() {
    let mut book = book(Resend::Newest, &[coded(1, "111111", 0), coded(2, "222222", 5)]);
    book.observe(&direct(1, 20));
    assert!(book.messages[&sid(1)].code.is_some());
    book.now = 8 * DAY;
    for n in 1..3 {
        book.remember(&status(n, "delivered", 8 * DAY));
    }
    // The sweep erases the HMAC: tests/it/clock.
    let late = typed("222222", acted(person(1), Some(SENDER), 8 * DAY));
    assert!(parked_because(&book.observe(&late)).is_some());
    assert_eq!(book.state(sid(2)), State::Expired);
}

#[test]
fn a_code_of_another_settled_login_does_not_affect_this_one() {
    let other = MessageUpdate { reference: Some(reference("y")), ..coded(1, "111111", 0) };
    let mut book = book(Resend::Newest, &[other, coded(2, "222222", 10)]);
    book.observe(&direct(1, 20));
    assert_eq!(book.observe(&typed("222222", reply(1, 30))), ObserveOutcome::Confirmed(sid(2)));
    assert_eq!(basis(&book, 2), Some(Basis::Direct));
}

/// The same code in two messages, for example when a person requests it again.
#[test]
fn a_code_in_two_messages_never_confirms_one_after_the_other() {
    let unnamed = |n, at| MessageUpdate { reference: None, ..coded(n, "111111", at) };
    for first in [typed("111111", reply(1, 20)), direct(2, 20)] {
        let mut book = book(Resend::Newest, &[unnamed(1, 0), unnamed(2, 10)]);
        assert_eq!(book.observe(&first), ObserveOutcome::Confirmed(sid(2)));
        for n in 2..4 {
            let again = typed("111111", reply(n, 20 + i64::from(n)));
            assert_eq!(book.observe(&again), ObserveOutcome::AlreadyConfirmed(sid(2)));
        }
        assert_eq!(book.confirmed(), [sid(2)].into());
    }
}

#[test]
fn the_same_event_sent_twice_confirms_no_second_message_with_that_code() {
    for resend in Resend::ALL {
        let mut book = book(resend, &[coded(1, "111111", 0), coded(2, "111111", 10)]);
        book.observe(&typed("111111", shared("x", 20)));
        let once = book.confirmed();
        book.observe(&typed("111111", shared("x", 21)));
        assert_eq!(book.confirmed(), once, "{resend:?}");
    }
}

#[test]
fn a_code_entered_after_another_message_was_confirmed_still_counts_for_its_own() {
    let seen = [coded(1, "111111", 0), coded(2, "222222", 10)];
    let mut book = book(Resend::Newest, &seen);
    assert_eq!(book.observe(&direct(1, 20)), ObserveOutcome::Confirmed(sid(1)));
    let second = typed("222222", reply(1, 30));
    assert_eq!(book.observe(&second), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn a_number_that_was_parked_is_compared_with_the_code_of_the_next_message_that_has_one() {
    let mut book = book(Resend::Newest, &[]);
    let early = typed("999999", reply(1, 6));
    assert_eq!(parked_because(&book.observe(&early)), Some(Reason::NoMessage));
    assert_eq!(book.remember(&coded(1, "111111", 0)).confirmed, [sid(1)]);
    assert_eq!(basis(&book, 1), Some(Basis::Inferred), "the number may be no code");
}

#[test]
fn a_short_number_is_a_code_only_of_a_recent_message() {
    let short = |n, at| MessageUpdate { reference: None, ..coded(n, "1530", at) };
    let mut book = book(Resend::Newest, &[short(1, 0)]);
    book.now = DAY;
    let elsewhere = || acted(person(1), Some("+15550007777"), DAY);
    let late = typed("see you at 1530", elsewhere());
    assert_eq!(parked_because(&book.observe(&late)), Some(Reason::NoMessage));
    let mut book = self::book(Resend::Newest, &[short(2, DAY - 60)]);
    assert_eq!(
        book.observe(&typed("it says 1530", elsewhere())),
        ObserveOutcome::Confirmed(sid(2))
    );
}

#[test]
fn a_message_sent_after_the_act_is_not_marked_as_passed_over() {
    let mut book = book(Resend::Newest, &[bearing(1, 0), bearing(2, 100)]);
    assert_eq!(book.observe(&direct(1, 50)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(superseded_by(&book, 2), None);
}

#[test]
fn parked_evidence_of_another_account_does_not_affect_ours() {
    let other = AccountSid::parse("AC9123456789abcdef0123456789abcdef").expect("valid");
    let mut foreign = direct(1, 1);
    foreign.evidence.as_mut().expect("evidence").account = other;
    let mut book = book(Resend::Newest, &[]);
    assert_eq!(parked_because(&book.observe(&foreign)), Some(Reason::NoMessage));
    assert_eq!(parked_because(&book.observe(&direct(1, 2))), Some(Reason::NoMessage));
    assert_eq!(book.parked.len(), 2);
    assert_eq!(book.remember(&registered(1, 0)).confirmed, [sid(1)]);
}

// Calls.

fn called(n: u32, from: &str, to: &str, seconds: i64) -> Signal {
    let number = heardback::domain::address::Address::parse(from).expect("valid");
    let key = RecipientHashKey::new(b"test");
    let whatsapp = address(&format!("whatsapp:{from}")).person;
    let sender = SenderHint { address: Some(to.to_owned()), service: None };
    let recipient = key.recipient(account(), &number);
    let once = reply(7000 + n, 0).dedup_ids;
    let named = EvidenceTarget::Caller { recipient, whatsapp, sender };
    Signal { source: SignalSource::Call, dedup_ids: once, ..signal(named, seconds) }
}

#[test]
fn a_call_is_about_the_newest_message_to_that_number_on_any_channel() {
    let whatsapp = MessageUpdate {
        recipient: Some(address("whatsapp:+15550000001")),
        from: Some(format!("whatsapp:{SENDER}")),
        ..registered(2, 10)
    };
    let seen = [registered(1, 0), MessageUpdate { status: Some(Status::Delivered), ..whatsapp }];
    let mut book = book(Resend::Newest, &seen);
    assert_eq!(
        book.observe(&called(1, "+15550000001", SENDER, 20)),
        ObserveOutcome::Confirmed(sid(2))
    );
    assert_eq!(basis(&book, 2), Some(Basis::Inferred));
    assert_eq!(
        book.observe(&called(2, "+15550000001", SENDER, 21)),
        ObserveOutcome::AlreadyConfirmed(sid(2))
    );
}

#[test]
fn a_call_to_another_number_or_before_the_message_proves_nothing() {
    let mut book = book(Resend::Newest, &[registered(1, 10)]);
    let elsewhere = called(1, "+15550000001", "+15550007777", 20);
    assert_eq!(parked_because(&book.observe(&elsewhere)), Some(Reason::NoMessage));
    let before = called(2, "+15550000001", SENDER, 5);
    assert_eq!(parked_because(&book.observe(&before)), Some(Reason::NoMessage));
    assert!(book.confirmed().is_empty());
}

fn on_whatsapp(n: u32, from: Option<&str>, seconds: i64) -> MessageUpdate {
    MessageUpdate {
        recipient: Some(address("whatsapp:+15550000001")),
        number: Some(person(1).person),
        from: from.map(str::to_owned),
        ..registered(n, seconds)
    }
}

#[test]
fn a_call_before_its_whatsapp_message_is_known_waits_for_it() {
    let mut book = book(Resend::Newest, &[]);
    let early = called(1, "+15550000001", SENDER, 20);
    assert_eq!(parked_because(&book.observe(&early)), Some(Reason::NoMessage));
    let sender = format!("whatsapp:{SENDER}");
    assert_eq!(book.remember(&on_whatsapp(1, Some(&sender), 10)).confirmed, [sid(1)]);
}

#[test]
fn a_parked_call_does_not_confirm_an_older_message_on_the_other_channel() {
    let mut book = book(Resend::Newest, &[on_whatsapp(2, None, 15)]);
    let call = called(1, "+15550000001", SENDER, 20);
    assert_eq!(parked_because(&book.observe(&call)), Some(Reason::SenderUnknown));
    assert!(book.remember(&registered(1, 5)).confirmed.is_empty());
    assert!(book.confirmed().is_empty());
}
