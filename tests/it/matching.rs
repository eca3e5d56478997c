//! docs/design.md, "Matching", rule by rule.

use heardback::domain::matching::{MAX_PARKED, ObserveOutcome, Reason};
use heardback::domain::message::{Basis, State, Status};
use heardback::domain::signal::{EvidenceTarget, MessageUpdate, SenderHint, Signal};

use crate::given::{
    DAY, HOUR, MINUTE, SENDER, acted, address, at, direct, person, reference, registered, reply,
    service, shared, sid, signal, status,
};
use crate::reference_store::ReferenceStore;

const OTHER_SENDER: &str = "+15550008888";

fn bearing(n: u32, name: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { reference: Some(reference(name)), ..registered(n, seconds) }
}

fn from(n: u32, sender: &str, seconds: i64) -> MessageUpdate {
    MessageUpdate { from: Some(sender.to_owned()), ..registered(n, seconds) }
}

/// Sent through Messaging Service `via`, with an unknown sender.
fn through(n: u32, via: u32, seconds: i64) -> MessageUpdate {
    MessageUpdate { from: None, service: Some(service(via)), ..registered(n, seconds) }
}

fn book(sightings: &[MessageUpdate]) -> ReferenceStore {
    let mut book = ReferenceStore::default();
    for sighting in sightings {
        book.remember(sighting);
    }
    book
}

fn basis(book: &ReferenceStore, n: u32) -> Option<Basis> {
    book.messages[&sid(n)].proof.as_ref().map(|proof| proof.basis)
}

fn parked_because(observed: &ObserveOutcome) -> Option<Reason> {
    match observed {
        ObserveOutcome::Parked { reason, .. } => Some(*reason),
        ObserveOutcome::Confirmed(_)
        | ObserveOutcome::AlreadyConfirmed(_)
        | ObserveOutcome::NotConfirmed(_) => None,
    }
}

// Direct evidence.

#[test]
fn direct_evidence_confirms_a_pending_message_once() {
    let mut book = book(&[registered(1, 0)]);
    assert_eq!(book.observe(&direct(1, 1)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Direct));
    assert_eq!(book.observe(&direct(1, 2)), ObserveOutcome::AlreadyConfirmed(sid(1)));
}

#[test]
fn direct_evidence_overrules_a_receipt_that_says_undelivered() {
    let mut book = book(&[registered(1, 0), status(1, "undelivered", 1)]);
    assert_eq!(book.state(sid(1)), State::Undelivered);
    assert_eq!(book.observe(&direct(1, 2)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn direct_evidence_confirms_an_expired_message() {
    let mut book = book(&[registered(1, 0)]);
    book.now = 8 * DAY;
    book.remember(&status(1, "delivered", 8 * DAY));
    assert_eq!(book.state(sid(1)), State::Expired);
    assert_eq!(book.observe(&direct(1, 8 * DAY)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn direct_evidence_needs_no_window_and_no_order_of_time() {
    let mut book = book(&[registered(1, 100), registered(2, 200)]);
    assert_eq!(book.observe(&direct(1, 5 * HOUR)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(book.observe(&direct(2, -50)), ObserveOutcome::Confirmed(sid(2)), "clocks differ");
}

#[test]
fn an_event_with_a_message_sid_registers_and_confirms_in_one_step() {
    let mut book = ReferenceStore::default();
    let event = Signal { message_update: Some(registered(1, 0)), ..direct(1, 1) };
    assert_eq!(book.observe(&event), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(book.observe(&event), ObserveOutcome::AlreadyConfirmed(sid(1)));
}

#[test]
fn direct_evidence_for_an_untracked_message_waits_for_its_registration() {
    let mut book = book(&[status(1, "sent", 0)]);
    assert_eq!(parked_because(&book.observe(&direct(1, 1))), Some(Reason::Untracked));
    assert_eq!(book.remember(&registered(1, 0)).confirmed, [sid(1)]);
}

// Inferred evidence.

#[test]
fn a_reply_confirms_only_the_newest_message() {
    let mut book = book(&[registered(1, 0), registered(2, 10), status(2, "delivered", 12)]);
    assert_eq!(book.observe(&reply(1, 20)), ObserveOutcome::Confirmed(sid(2)));
    assert_eq!(basis(&book, 2), Some(Basis::Inferred));
    assert_eq!(book.state(sid(1)), State::Pending);
}

#[test]
fn a_reply_never_confirms_an_older_message_instead() {
    let mut book = book(&[registered(1, 0), registered(2, 10), status(2, "delivered", 12)]);
    book.observe(&reply(1, 20));
    assert_eq!(book.observe(&reply(2, 30)), ObserveOutcome::AlreadyConfirmed(sid(2)));
    assert_eq!(book.state(sid(1)), State::Pending);
}

#[test]
fn an_expired_message_shields_the_older_ones() {
    let mut book = ReferenceStore::default();
    book.policy.pending_ttl = std::time::Duration::from_mins(1);
    book.remember(&registered(2, 10));
    book.now = 65;
    book.remember(&registered(1, 0));
    book.now = 80;
    assert_eq!(parked_because(&book.observe(&reply(1, 80))), Some(Reason::NotPending));
    assert_eq!(book.state(sid(1)), State::Pending);
}

#[test]
fn an_undelivered_message_is_skipped() {
    let mut book = book(&[registered(1, 0), registered(2, 10), status(2, "undelivered", 11)]);
    assert_eq!(book.observe(&reply(1, 20)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn an_untracked_message_shields_the_older_ones_and_the_reply_waits() {
    let mut book = book(&[registered(1, 0), status(2, "sent", 10)]);
    assert_eq!(parked_because(&book.observe(&reply(1, 20))), Some(Reason::Untracked));
    assert!(book.remember(&registered(2, 10)).confirmed.is_empty(), "1 is pending beside it");
    assert_eq!(book.remember(&status(2, "delivered", 30)).confirmed, [sid(2)]);
    assert_eq!(book.state(sid(1)), State::Pending);
}

#[test]
fn an_untracked_message_that_did_not_arrive_shields_nothing() {
    let mut book = book(&[registered(1, 0), status(2, "failed", 10)]);
    assert_eq!(book.observe(&reply(1, 20)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn an_undelivered_message_that_was_proven_shields_again() {
    let mut book = book(&[registered(1, 0), registered(2, 10), status(2, "undelivered", 11)]);
    book.observe(&direct(2, 12));
    assert_eq!(book.observe(&reply(1, 20)), ObserveOutcome::AlreadyConfirmed(sid(2)));
}

#[test]
fn a_message_older_than_the_reply_window_is_not_confirmed_by_a_reply() {
    let mut book = book(&[registered(1, 0)]);
    assert_eq!(parked_because(&book.observe(&reply(1, HOUR + 1))), Some(Reason::NoMessage));
    assert_eq!(
        book.observe(&reply(2, HOUR)),
        ObserveOutcome::Confirmed(sid(1)),
        "exactly an hour still counts"
    );
}

#[test]
fn a_message_created_after_the_persons_act_is_not_its_subject() {
    let mut book = book(&[registered(1, 0), registered(2, 30)]);
    assert_eq!(book.observe(&reply(1, 29)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(book.state(sid(2)), State::Pending);
}

#[test]
fn a_first_seen_time_is_an_upper_bound_so_earlier_evidence_proves_nothing() {
    let late = MessageUpdate { created_at: None, ..registered(1, 50) };
    let mut book = book(&[late]);
    assert_eq!(parked_because(&book.observe(&reply(1, 49))), Some(Reason::TimeUnknown));
    assert_eq!(book.observe(&reply(2, 55)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn nothing_is_proven_past_a_message_that_may_have_existed_at_the_time_of_the_act() {
    let unsaid = MessageUpdate { created_at: None, ..registered(2, 100) };
    let mut book = book(&[registered(1, 0), unsaid]);
    assert_eq!(parked_because(&book.observe(&reply(1, 60))), Some(Reason::TimeUnknown));
    assert_eq!(book.state(sid(1)), State::Pending);
    let said = MessageUpdate { created_at: Some(at(90)), ..registered(2, 110) };
    assert_eq!(book.remember(&said).confirmed, [sid(1)], "the parked reply is about the first");
}

#[test]
fn an_alphanumeric_sender_cannot_be_replied_to_so_it_does_not_shield_its_service() {
    let by_number = MessageUpdate { service: Some(service(1)), ..registered(1, 0) };
    let by_name = MessageUpdate {
        from: Some("BRAND".to_owned()),
        service: Some(service(1)),
        ..registered(2, 10)
    };
    let mut book = book(&[by_number, by_name]);
    let mut answered = reply(1, 20);
    let evidence = answered.evidence.as_mut().expect("evidence");
    if let EvidenceTarget::Person { sender, .. } = &mut evidence.target {
        sender.service = Some(service(1));
    }
    assert_eq!(book.observe(&answered), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(book.state(sid(2)), State::Pending);
}

#[test]
fn the_earliest_seen_time_is_the_bound_in_any_order() {
    let mut book = book(&[status(1, "sent", 50), status(1, "queued", 40)]);
    book.remember(&MessageUpdate { created_at: None, ..registered(1, 60) });
    assert_eq!(book.observe(&reply(1, 45)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn a_creation_time_that_arrives_later_makes_earlier_evidence_count() {
    let mut book = book(&[MessageUpdate { created_at: None, ..registered(1, 50) }]);
    book.observe(&reply(1, 49));
    let told = MessageUpdate { created_at: Some(at(0)), ..registered(1, 60) };
    assert_eq!(book.remember(&told).confirmed, [sid(1)]);
}

#[test]
fn no_message_is_seen_before_it_exists_whatever_its_clock_says() {
    let ahead = MessageUpdate { created_at: Some(at(500)), ..registered(1, 0) };
    let mut book = book(&[ahead]);
    assert_eq!(book.observe(&reply(1, 5)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn another_persons_message_is_not_confirmed() {
    let mut book = book(&[registered(1, 0)]);
    let stranger = acted(person(2), Some(SENDER), 5);
    assert_eq!(parked_because(&book.observe(&stranger)), Some(Reason::NoMessage));
}

#[test]
fn a_whatsapp_message_and_an_sms_go_to_different_persons() {
    let whatsapp = address("whatsapp:+15550000001");
    let mut book = book(&[registered(1, 0)]);
    let observed = book.observe(&acted(whatsapp, Some(SENDER), 5));
    assert_eq!(parked_because(&observed), Some(Reason::NoMessage));
    book.remember(&MessageUpdate { recipient: Some(whatsapp), ..registered(2, 6) });
    assert_eq!(book.observe(&reply(1, 9)), ObserveOutcome::Confirmed(sid(1)), "no shield either");
    let observed = book.observe(&acted(whatsapp, Some(SENDER), 9));
    assert_eq!(observed, ObserveOutcome::Confirmed(sid(2)));
}

// Senders.

#[test]
fn a_reply_to_one_sender_proves_nothing_about_another() {
    let mut book = book(&[from(1, SENDER, 0), from(2, OTHER_SENDER, 10)]);
    assert_eq!(book.observe(&reply(1, 20)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(book.state(sid(2)), State::Pending);
}

#[test]
fn a_service_is_learned_from_a_status_callback_that_names_both() {
    let elsewhere = MessageUpdate {
        recipient: Some(person(7)),
        service: Some(service(1)),
        ..status(9, "sent", 0)
    };
    let mut book = book(&[elsewhere, through(1, 1, 5)]);
    assert_eq!(book.observe(&reply(1, 10)), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn an_unknown_sender_does_not_match_and_the_reply_waits_until_it_is_known() {
    let mut book = book(&[through(1, 1, 0)]);
    assert_eq!(parked_because(&book.observe(&reply(1, 5))), Some(Reason::SenderUnknown));
    let both = MessageUpdate { service: Some(service(1)), ..status(1, "sent", 6) };
    assert_eq!(book.remember(&both).confirmed, [sid(1)]);
}

#[test]
fn a_message_of_unknown_sender_shields_the_older_ones() {
    let mut book = book(&[from(1, SENDER, 0), through(2, 1, 10)]);
    assert_eq!(parked_because(&book.observe(&reply(1, 20))), Some(Reason::SenderUnknown));
    assert_eq!(book.state(sid(1)), State::Pending);
}

#[test]
fn a_reply_that_names_its_service_needs_no_learned_sender() {
    let mut book = book(&[through(1, 1, 0), through(2, 2, 5)]);
    let sender = SenderHint { address: Some(SENDER.to_owned()), service: Some(service(1)) };
    let replied = signal(EvidenceTarget::Person { recipient: person(1), sender }, 10);
    assert_eq!(book.observe(&replied), ObserveOutcome::Confirmed(sid(1)));
}

#[test]
fn an_event_with_just_to_matches_when_all_messages_came_from_one_sender() {
    let mut book = book(&[from(1, SENDER, 0), from(2, SENDER, 10)]);
    book.remember(&MessageUpdate { from: None, ..status(2, "delivered", 12) });
    assert_eq!(book.observe(&acted(person(1), None, 20)), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn one_sender_counts_as_one_though_the_service_of_one_message_only_is_known() {
    let both = MessageUpdate { service: Some(service(1)), ..from(2, SENDER, 10) };
    let mut book = book(&[from(1, SENDER, 0), both]);
    book.remember(&MessageUpdate { from: None, ..status(2, "delivered", 12) });
    assert_eq!(book.observe(&acted(person(1), None, 20)), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn one_service_is_one_sender_whichever_of_its_numbers_sent() {
    let mut book = book(&[through(1, 1, 0), through(2, 1, 10)]);
    book.remember(&MessageUpdate { from: None, ..status(2, "delivered", 12) });
    assert_eq!(book.observe(&acted(person(1), None, 20)), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn an_event_with_just_to_is_sender_unknown_if_several_senders_wrote() {
    let mut book = book(&[from(1, SENDER, 0), from(2, OTHER_SENDER, 10)]);
    let observed = book.observe(&acted(person(1), None, 20));
    assert_eq!(parked_because(&observed), Some(Reason::SenderUnknown));
    assert!(book.confirmed().is_empty());
}

#[test]
fn several_messages_of_unknown_senders_are_not_one_sender() {
    let unknown = |n, seconds| MessageUpdate { from: None, ..registered(n, seconds) };
    let mut book = book(&[unknown(1, 0), unknown(2, 10)]);
    let observed = book.observe(&acted(person(1), None, 20));
    assert_eq!(parked_because(&observed), Some(Reason::SenderUnknown));
}

// Parking.

#[test]
fn evidence_before_its_message_settles_as_soon_as_the_message_is_known() {
    for (evidence, message) in [
        (direct(1, 5), registered(1, 0)),
        (shared("login-1", 5), bearing(1, "login-1", 0)),
        (reply(1, 5), registered(1, 0)),
    ] {
        let mut book = ReferenceStore::default();
        assert_eq!(parked_because(&book.observe(&evidence)), Some(Reason::NoMessage));
        assert_eq!(book.remember(&message).confirmed, [sid(1)]);
        assert!(book.parked.is_empty());
        assert_eq!(book.state(sid(1)), State::Confirmed);
    }
}

#[test]
fn evidence_that_names_a_message_waits_for_the_pending_lifetime_and_by_person_ten_minutes() {
    let mut book = ReferenceStore::default();
    let until = |observed| {
        let ObserveOutcome::Parked { until, .. } = observed else { panic!("{observed:?}") };
        until
    };
    assert_eq!(until(book.observe(&direct(1, 0))), at(7 * DAY));
    assert_eq!(until(book.observe(&shared("x", 0))), at(7 * DAY));
    assert_eq!(until(book.observe(&reply(1, 0))), at(10 * MINUTE));
}

#[test]
fn evidence_past_its_time_settles_nothing_even_without_a_sweep() {
    let mut book = ReferenceStore::default();
    book.observe(&reply(1, 5));
    book.now = 10 * MINUTE;
    assert!(book.remember(&registered(1, 0)).confirmed.is_empty());
    book.observe(&direct(2, 5));
    book.now += 7 * DAY;
    assert!(book.remember(&registered(2, 0)).confirmed.is_empty());
}

#[test]
fn parked_inferred_evidence_confirms_one_message_and_is_removed() {
    let mut book = ReferenceStore::default();
    book.observe(&reply(1, 50));
    assert_eq!(book.remember(&registered(1, 0)).confirmed, [sid(1)]);
    assert!(book.remember(&registered(2, 10)).confirmed.is_empty());
}

#[test]
fn at_most_sixteen_pieces_are_parked_for_one_person_and_the_rest_is_refused_with_a_reason() {
    let mut book = ReferenceStore::default();
    for n in 0..20_u32 {
        let observed = book.observe(&reply(n, i64::from(n)));
        let expected = if (n as usize) < MAX_PARKED { "parked" } else { "none" };
        assert_eq!(observed.as_str(), expected);
    }
    assert_eq!(book.parked.len(), MAX_PARKED);
}

#[test]
fn the_same_evidence_is_parked_once() {
    let mut book = ReferenceStore::default();
    for _ in 0..3 {
        book.observe(&direct(1, 5));
        book.observe(&shared("x", 5));
        book.observe(&acted(person(1), None, 5));
    }
    assert_eq!(book.parked.len(), 3);
}

// Once for each inbound message.

#[test]
fn an_inbound_message_counts_once_by_any_path() {
    let mut book = book(&[registered(1, 0)]);
    book.observe(&reply(1, 5));
    book.remember(&registered(2, 10));
    assert_eq!(book.observe(&reply(1, 20)), ObserveOutcome::NotConfirmed(Reason::Duplicate));
    let quoted = Signal { dedup_ids: reply(1, 0).dedup_ids, ..direct(2, 20) };
    assert_eq!(book.observe(&quoted), ObserveOutcome::NotConfirmed(Reason::Duplicate));
    assert_eq!(book.state(sid(2)), State::Pending);
}

#[test]
fn an_opt_out_is_no_evidence_and_counts_its_sid_as_seen() {
    let mut book = book(&[registered(1, 0)]);
    let stop = Signal { evidence: Err(Reason::OptOut), ..reply(1, 5) };
    assert_eq!(book.observe(&stop), ObserveOutcome::NotConfirmed(Reason::OptOut));
    assert_eq!(book.observe(&reply(1, 6)), ObserveOutcome::NotConfirmed(Reason::Duplicate));
}

// References.

#[test]
fn a_reference_of_one_message_confirms_it_as_shared_evidence_unless_it_was_not_delivered() {
    let mut book = book(&[bearing(1, "x", 0)]);
    assert_eq!(book.observe(&shared("x", 20)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Shared));
    let mut book = self::book(&[bearing(1, "x", 0), status(1, "undelivered", 1)]);
    assert_eq!(parked_because(&book.observe(&shared("x", 20))), Some(Reason::NoMessage));
}

#[test]
fn of_several_messages_with_a_reference_the_newest_is_confirmed_however_old() {
    let mut book = book(&[bearing(1, "x", 0), bearing(2, "x", 10), bearing(3, "y", 20)]);
    book.now = 3 * DAY;
    assert_eq!(parked_because(&book.observe(&shared("x", 3 * DAY))), Some(Reason::NewerMayCome));
    book.now += 10 * MINUTE;
    book.sweep();
    assert_eq!(book.confirmed(), [sid(2)].into());
    assert_eq!(basis(&book, 2), Some(Basis::Shared));
    assert_eq!(book.observe(&shared("x", 3 * DAY + 1)), ObserveOutcome::AlreadyConfirmed(sid(2)));
}

#[test]
fn of_several_messages_with_a_reference_the_undelivered_are_skipped() {
    let mut book = book(&[bearing(1, "x", 0), bearing(2, "x", 10), status(2, "undelivered", 11)]);
    assert_eq!(book.observe(&shared("x", 20)), ObserveOutcome::Confirmed(sid(1)));
    assert_eq!(basis(&book, 1), Some(Basis::Shared));
}

#[test]
fn of_several_messages_with_a_reference_none_younger_than_the_act_is_confirmed() {
    let mut book = book(&[bearing(1, "x", 0), bearing(2, "x", 10), bearing(3, "x", 30)]);
    assert_eq!(book.observe(&shared("x", 20)), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn a_younger_message_is_not_confirmed_instead_of_an_older_undelivered_one() {
    let mut book = book(&[bearing(1, "x", 0), status(1, "undelivered", 1), bearing(2, "x", 30)]);
    assert!(parked_because(&book.observe(&shared("x", 20))).is_some());
    assert!(book.confirmed().is_empty());
}

#[test]
fn a_reference_that_only_a_much_younger_message_has_waits() {
    let mut book = book(&[bearing(1, "x", 330)]);
    assert_eq!(parked_because(&book.observe(&shared("x", 20))), Some(Reason::NoMessage));
}

#[test]
fn a_reference_settles_though_clocks_differ_or_twilio_truncates_to_the_second() {
    let mut book = book(&[]);
    assert_eq!(parked_because(&book.observe(&shared("x", 20))), Some(Reason::NoMessage));
    assert_eq!(book.remember(&bearing(1, "x", 21)).confirmed, [sid(1)]);
    assert_eq!(basis(&book, 1), Some(Basis::Shared));
}

// Facts about a message.

#[test]
fn read_counts_only_if_the_settings_say_so() {
    let mut off = book(&[registered(1, 0)]);
    assert!(off.remember(&status(1, "read", 5)).confirmed.is_empty());
    let mut on = ReferenceStore::default();
    on.policy.read_confirms = true;
    on.remember(&registered(1, 0));
    assert_eq!(on.remember(&status(1, "read", 5)).confirmed, [sid(1)]);
    assert_eq!(on.messages[&sid(1)].proof.as_ref().expect("proven").label, "read");
    on.remember(&status(2, "read", 5));
    assert_eq!(on.remember(&registered(2, 0)).confirmed, [sid(2)], "read before registered");
}

#[test]
fn a_late_status_never_moves_a_message_back() {
    let mut book = book(&[registered(1, 0), status(1, "delivered", 5), status(1, "sent", 6)]);
    assert_eq!(book.messages[&sid(1)].status, Some(Status::Delivered));
    book.observe(&direct(1, 9));
    book.remember(&status(1, "queued", 10));
    assert_eq!(book.state(sid(1)), State::Confirmed);
    assert_eq!(book.messages[&sid(1)].status, Some(Status::Delivered));
}

#[test]
fn the_app_gets_an_error_for_a_contradiction_and_a_callback_does_not() {
    let mut book = book(&[bearing(1, "x", 0)]);
    let service = |n| Some(service(n));
    book.remember(&MessageUpdate { service: service(1), ..registered(1, 0) });
    for (field, wrong) in [
        ("To", MessageUpdate { recipient: Some(person(2)), ..registered(1, 0) }),
        ("From", from(1, OTHER_SENDER, 0)),
        ("MessagingServiceSid", MessageUpdate { service: service(2), ..registered(1, 0) }),
        ("Reference", bearing(1, "y", 0)),
    ] {
        let known = book.messages[&sid(1)].clone();
        let error = book.try_remember(&wrong).expect_err("refused");
        assert_eq!((error.field, error.sid), (field, sid(1)));
        let callback = MessageUpdate { strict: false, tracked: false, ..wrong };
        book.remember(&callback);
        assert_eq!(book.messages[&sid(1)], known, "{field}");
    }
}

#[test]
fn a_registration_fills_the_fields_that_a_callback_left_unknown() {
    let bare = MessageUpdate { recipient: None, from: None, ..status(1, "sent", 5) };
    let mut book = book(&[bare]);
    let full = MessageUpdate { service: Some(service(1)), ..bearing(1, "x", 0) };
    let remembered = book.remember(&full);
    assert!(!remembered.new, "the callback made it known");
    let message = remembered.message;
    assert_eq!(message.recipient, Some(person(1)));
    assert_eq!(message.from.as_deref(), Some(SENDER));
    assert_eq!(message.service, Some(service(1)));
    assert_eq!(message.reference, Some(reference("x")));
    assert_eq!((message.created_at, message.created_at_known), (at(0), true));
    assert_eq!((message.state, message.status), (State::Pending, Some(Status::Sent)));
    assert_eq!(message.expires_at, at(7 * DAY));
}

#[test]
fn a_feedback_setting_in_a_callbacks_url_makes_an_untracked_message_pending() {
    let mut book = book(&[status(1, "queued", 0)]);
    assert_eq!(book.state(sid(1)), State::Untracked);
    let asked = MessageUpdate { tracked: true, ..status(1, "sent", 5) };
    assert!(!book.remember(&asked).new);
    assert_eq!(book.state(sid(1)), State::Pending);
    assert_eq!(book.remember(&asked).message.state, State::Pending);
}

#[test]
fn a_registration_after_a_receipt_that_says_undelivered_is_undelivered() {
    let mut book = book(&[status(1, "failed", 0)]);
    assert!(!book.remember(&registered(1, 0)).new);
    assert_eq!(book.state(sid(1)), State::Undelivered);
}

// Cases in which order and duplicates matter, by design.

#[test]
fn exception_a_message_registered_after_the_post_is_too_late_to_shield() {
    let second = [registered(2, 10), status(2, "delivered", 12)];
    for posted in [false, true] {
        let mut late = book(&[registered(1, 0)]);
        late.observe(&reply(1, 20));
        if posted {
            late.claim_all();
        }
        for sighting in &second {
            late.remember(sighting);
        }
        let expected = if posted { sid(1) } else { sid(2) };
        assert_eq!(late.confirmed(), [expected].into(), "{posted}");
    }
}

#[test]
fn exception_a_receipt_undelivered_after_the_post_is_too_late_to_skip_its_message() {
    let mut book = book(&[registered(1, 0), direct_receipt(2, 10)]);
    book.observe(&reply(1, 20));
    book.claim_all();
    book.remember(&status(2, "undelivered", 30));
    assert_eq!(book.confirmed(), [sid(2)].into(), "before the reply it would have been message 1");
}

/// A message that is registered with its receipt.
fn direct_receipt(n: u32, seconds: i64) -> MessageUpdate {
    MessageUpdate { status: Some(Status::Delivered), ..registered(n, seconds) }
}

#[test]
fn exception_a_receipt_contradicted_after_the_post_is_too_late_to_shield() {
    for posted in [false, true] {
        let mut book = book(&[registered(1, 0), registered(2, 10), status(2, "undelivered", 11)]);
        book.observe(&reply(1, 20));
        if posted {
            book.claim_all();
        }
        book.observe(&direct(2, 15));
        let both = [sid(1), sid(2)].into();
        assert_eq!(book.confirmed(), if posted { both } else { [sid(2)].into() }, "{posted}");
    }
}

#[test]
fn exception_a_registration_after_the_parking_time_is_too_late() {
    let mut book = ReferenceStore::default();
    book.observe(&reply(1, 5));
    book.now = 11 * MINUTE;
    book.remember(&registered(1, 0));
    assert!(book.confirmed().is_empty());
}

#[test]
fn exception_an_event_with_just_to_has_no_id_so_its_repeat_after_the_post_may_prove_another() {
    let event = acted(person(1), Some(SENDER), 20);
    let mut book = book(&[registered(1, 0)]);
    book.observe(&event);
    book.claim_all();
    book.remember(&registered(2, 10));
    assert_eq!(book.observe(&event), ObserveOutcome::Confirmed(sid(2)));
}

#[test]
fn exception_a_service_learned_from_another_persons_message_settles_at_the_next_update() {
    let mut book = book(&[through(1, 1, 0)]);
    book.observe(&reply(1, 5));
    let elsewhere = MessageUpdate {
        recipient: Some(person(7)),
        service: Some(service(1)),
        ..status(9, "sent", 6)
    };
    assert!(book.remember(&elsewhere).confirmed.is_empty());
    let next = MessageUpdate { from: None, ..status(1, "delivered", 7) };
    assert_eq!(book.remember(&next).confirmed, [sid(1)]);
}
