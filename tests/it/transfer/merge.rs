//! The merge of an exported message with the existing one.

use heardback::domain::matching::{imported, merge};
use heardback::domain::message::{Basis, Delivery, Message, Proof, Reference, State, Status};

use crate::given::{account, at, policy, sid};

fn message(state: State, since: i64) -> Message {
    let is_proven = matches!(state, State::Confirmed | State::Reported | State::Refused);
    let proof = Proof {
        label: "reply".to_owned(),
        basis: Basis::Direct,
        occurred_at: at(1),
        confirmed_at: at(1),
    };
    Message {
        since: at(since),
        expires_at: at(1_000),
        proof: is_proven.then_some(proof),
        reported_at: (state == State::Reported).then_some(at(since)),
        state,
        created_at_known: true,
        ..Message::new(sid(1), account(), at(0))
    }
}

fn merged_here(present: &Message, incoming: &Message) -> Message {
    merge(present, incoming, &policy(), at(500)).0
}

#[test]
fn a_state_is_imported_only_if_it_is_further_along() {
    let all =
        [(State::Pending, 0), (State::Confirmed, 1), (State::Refused, 2), (State::Reported, 3)];
    for (here, mine) in all {
        for (there, theirs) in all {
            let merged = merged_here(&message(here, 1), &message(there, 1));
            let expected = if theirs > mine { there } else { here };
            assert_eq!(merged.state, expected, "{here:?} {there:?}");
            assert_eq!(merged.proof.is_some(), mine.max(theirs) > 0);
            assert_eq!(merged.delivery.due_at.is_some(), mine == 0 && theirs == 1);
        }
    }
}

#[test]
fn an_older_export_does_not_undo_a_requeue_and_a_later_report_ends_it() {
    let requeued = Message { reported_at: Some(at(10)), ..message(State::Confirmed, 20) };
    let before = message(State::Reported, 10);
    assert_eq!(merged_here(&requeued, &before).state, State::Confirmed);
    let after = message(State::Reported, 30);
    assert_eq!(merged_here(&requeued, &after).state, State::Reported);
}

#[test]
fn an_attempt_under_way_is_replaced_by_a_report_only() {
    let delivery = Delivery { attempts: 1, lease: Some(7), ..Delivery::default() };
    let under_way = Message { delivery, ..message(State::Confirmed, 1) };
    let refused = message(State::Refused, 2);
    assert_eq!(merged_here(&under_way, &refused), under_way);
    let reported = merged_here(&under_way, &message(State::Reported, 2));
    assert_eq!((reported.state, reported.delivery.lease), (State::Reported, None));
}

#[test]
fn an_import_keeps_the_time_of_the_first_receipt_of_arrival() {
    let delivered = |arrived_at| {
        let mut message = message(State::Pending, 1);
        message.status = Some(Status::Delivered);
        message.receipts.add(Status::Delivered);
        Message { went_out_at: Some(at(2)), arrived_at, ..message }
    };
    let (first, later) = (delivered(Some(at(90))), delivered(Some(at(95))));
    for (here, there) in [(&first, &later), (&later, &first), (&message(State::Pending, 1), &first)]
    {
        assert_eq!(merged_here(here, there).arrived_at, Some(at(90)));
    }
}

#[test]
fn a_registration_completes_a_status_callback_and_overwrites_no_field() {
    let mut here = message(State::Untracked, 5);
    here.from = Some("+15550001111".to_owned());
    here.status = Some(Status::Delivered);
    here.receipts.add(Status::Delivered);
    (here.created_at, here.created_at_known) = (at(5), false);
    here.remembered_at = at(5);
    let mut there = message(State::Pending, 1);
    there.from = Some("+15550002222".to_owned());
    there.reference = Reference::parse("login-1");
    there.status = Some(Status::Queued);
    there.remembered_at = at(1);
    let merged = merged_here(&here, &there);
    assert_eq!((merged.state, merged.expires_at), (State::Pending, there.expires_at));
    assert_eq!((&merged.from, &merged.reference), (&here.from, &there.reference));
    assert_eq!((merged.status, merged.receipts.arrived), (Some(Status::Delivered), true));
    assert_eq!((merged.created_at, merged.created_at_known), (at(0), true));
    assert_eq!(merged.remembered_at, at(1));
    assert_eq!(merged_here(&merged, &there), merged, "a second import adds nothing");
}

#[test]
fn a_message_of_another_account_adds_nothing() {
    let here = message(State::Pending, 1);
    let account = "AC99999999999999999999999999999999".parse().expect("valid");
    let there = Message { account, ..message(State::Reported, 2) };
    assert_eq!(merged_here(&here, &there), here);
}

#[test]
fn an_added_message_has_no_lease_and_is_due_only_if_it_is_confirmed() {
    for state in State::ALL {
        let delivery = Delivery { due_at: Some(at(3)), lease: Some(1), ..Delivery::default() };
        let there = Message { delivery, ..message(state, 1) };
        let added = imported(&there, at(9));
        let due = (state == State::Confirmed).then_some(at(3));
        assert_eq!((added.delivery.lease, added.delivery.due_at), (None, due), "{state:?}");
    }
}
