//! What comes of a record that is here already. Beside `advanced.rs` only for its length.

use super::*;
use crate::domain::address::{Address, PersonKey};
use crate::domain::message::{Attempt, Basis, Delivery, Proof, Reference, Status};
use crate::domain::signal::{Evidence, Named, Source, TimeSource};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).expect("a time")
}

fn message(state: State) -> Message {
    let mut message = Message { expires_at: at(1000), ..Message::example(state, at(0)) };
    message.receipts.undelivered = state == State::Undelivered;
    message
}

fn proven(state: State, since: i64) -> Message {
    let proof = Proof {
        label: "reply".to_owned(),
        basis: Basis::Direct,
        occurred_at: at(5),
        confirmed_at: at(6),
    };
    let delivery = Delivery {
        attempts: 1,
        due_at: (state == State::Confirmed).then(|| at(30)),
        ..Delivery::default()
    };
    Message { proof: Some(proof), since: at(since), delivery, ..message(state) }
}

fn to(text: &str) -> Message {
    let message = message(State::Pending);
    let address = Address::parse(text).expect("valid");
    let recipient = PersonKey::new(b"key").recipient(message.account, &address);
    Message { recipient: Some(recipient), ..message }
}

fn met(present: &Message, incoming: &Message) -> Met<Message> {
    met_message(present, incoming, at(99))
}

#[track_caller]
fn advanced(present: &Message, incoming: &Message) -> Message {
    match met(present, incoming) {
        Met::Advanced(message) => message,
        known @ (Met::Known | Met::Differs) => panic!("{known:?}"),
    }
}

#[test]
fn what_was_proven_there_is_proven_here_and_stands_as_it_stood_there() {
    let unproven = [State::Untracked, State::Pending, State::Expired, State::Undelivered];
    for (before, after) in unproven.into_iter().flat_map(|before| {
        [State::Confirmed, State::Reported, State::Refused].map(|after| (before, after))
    }) {
        let incoming = proven(after, 6);
        let receipts = message(before).receipts;
        let here = Message { receipts, ..incoming.clone() };
        assert_eq!(advanced(&message(before), &incoming), here, "{before:?} {after:?}");
        let met = met(&here, &message(before));
        assert_eq!(met, Met::Known, "{after:?} {before:?}");
    }
    // An attempt that was under way there is not here.
    let mut under_way = proven(State::Confirmed, 6);
    under_way.delivery.lease = Some(7);
    let here = advanced(&message(State::Pending), &under_way);
    assert_eq!((here.delivery.lease, here.delivery.due_at), (None, Some(at(30))));
}

#[test]
fn what_twilio_was_told_there_it_is_not_told_from_here() {
    let mut here = proven(State::Confirmed, 7);
    here.delivery.lease = Some(3);
    here.proof.as_mut().expect("proven").label = "call".to_owned();
    let reported = Message { reported_at: Some(at(9)), ..proven(State::Reported, 5) };
    let after = advanced(&here, &reported);
    assert_eq!((after.state, after.reported_at), (State::Reported, Some(at(9))));
    assert_eq!((after.delivery.lease, after.delivery.due_at), (None, None));
    assert_eq!(after.proof, here.proof, "what proved it here stays");
    assert_eq!(met(&reported, &here), Met::Known);
    assert_eq!(met(&reported, &Message { since: at(90), ..reported.clone() }), Met::Known);
}

#[test]
fn a_requeued_report_is_not_undone_by_the_report_before_it_and_goes_forward_elsewhere() {
    let reported = Message { reported_at: Some(at(9)), ..proven(State::Reported, 9) };
    for state in [State::Confirmed, State::Refused] {
        let requeued = Message { reported_at: Some(at(9)), ..proven(state, 12) };
        assert_eq!(met(&requeued, &reported), Met::Known, "{state:?}");
        assert_eq!(advanced(&reported, &requeued).state, state);
        let again = Message { reported_at: Some(at(15)), ..proven(State::Reported, 15) };
        assert_eq!(advanced(&requeued, &again).reported_at, Some(at(15)));
        assert_eq!(met(&again, &requeued), Met::Known);
    }
}

#[test]
fn of_refused_and_tried_again_the_later_holds_if_it_is_one_history() {
    let (confirmed, refused) = (proven(State::Confirmed, 6), proven(State::Refused, 8));
    let again = proven(State::Confirmed, 10);
    assert_eq!(advanced(&confirmed, &refused).state, State::Refused);
    assert_eq!(advanced(&refused, &again).state, State::Confirmed);
    assert_eq!(met(&again, &refused), Met::Known, "a requeue is not undone");
    let mut under_way = confirmed.clone();
    under_way.delivery.lease = Some(1);
    assert_eq!(met(&under_way, &refused), Met::Known, "the attempt here decides");
    let mut by_other = confirmed.clone();
    by_other.proof.as_mut().expect("proven").label = "call".to_owned();
    assert_eq!(met(&by_other, &refused), Met::Known);
    let tried = Attempt {
        number: 2,
        ended_at: at(20),
        took_ms: 1,
        status: Some(503),
        code: None,
        message: String::new(),
    };
    let tried = Message { last_attempt: Some(tried), ..confirmed.clone() };
    assert_eq!(advanced(&confirmed, &tried), tried);
    assert_eq!(met(&tried, &confirmed), Met::Known);
}

#[test]
fn what_nobody_asked_feedback_for_here_is_waited_for_as_there() {
    let here = Message { expires_at: at(10), ..message(State::Untracked) };
    for state in [State::Pending, State::Expired, State::Undelivered] {
        assert_eq!(advanced(&here, &message(state)), message(state));
        assert_eq!(met(&message(state), &here), Met::Known);
    }
    let mut failed = Message { status: Some(Status::Failed), ..here };
    failed.receipts.add(Status::Failed);
    assert_eq!(advanced(&failed, &message(State::Pending)).state, State::Undelivered);
    assert_eq!(advanced(&message(State::Pending), &failed).state, State::Undelivered);
}

#[test]
fn what_lives_longer_here_does_not_expire_as_there() {
    let (here, there) = (message(State::Pending), message(State::Expired));
    assert_eq!(advanced(&here, &there).state, State::Expired);
    let longer = Message { expires_at: at(2000), ..here };
    assert_eq!(met(&longer, &there), Met::Known);
}

#[test]
fn what_was_unknown_is_filled_in_and_what_was_known_stays() {
    let here = message(State::Pending);
    let there = Message {
        reference: Reference::parse("a"),
        from: Some("+15550009999".to_owned()),
        status: Some(Status::Sent),
        created_at: at(-5),
        ..to("+15551230000")
    };
    assert_eq!(advanced(&here, &there), there);
    assert_eq!(met(&there, &here), Met::Known);
    let other = Message { reference: Reference::parse("b"), ..there.clone() };
    assert_eq!(met(&there, &other), Met::Known);
    // A late receipt of what is proven.
    let done = proven(State::Reported, 6);
    let receipt = Message { status: Some(Status::Delivered), ..message(State::Pending) };
    let both = advanced(&done, &receipt);
    assert_eq!(both, Message { status: Some(Status::Delivered), ..done });
}

#[test]
fn another_account_or_recipient_changes_nothing() {
    let here = to("+15551230000");
    let elsewhere = Message {
        account: "AC1123456789abcdef0123456789abcdef".parse().expect("valid"),
        ..proven(State::Confirmed, 6)
    };
    let somebody = Message { recipient: to("+15551230001").recipient, ..elsewhere.clone() };
    assert_eq!(met(&here, &elsewhere), Met::Differs);
    assert_eq!(met(&here, &Message { account: here.account, ..somebody }), Met::Differs);
}

#[test]
fn a_link_that_is_in_a_message_there_is_in_it_here() {
    let link = Link {
        account: message(State::Pending).account,
        target: crate::domain::link::LinkTarget::parse("https://example.com/").expect("valid"),
        message: None,
        reference: Reference::parse("a"),
        created_at: at(0),
    };
    let bound = Link { message: Some(message(State::Pending).sid), ..link.clone() };
    let other = "SM1123456789abcdef0123456789abcdef".parse().ok();
    assert_eq!(met_link(&link, &bound), Met::Advanced(bound.clone()));
    assert_eq!(met_link(&bound, &link), Met::Known);
    assert_eq!(met_link(&bound, &Link { message: other, ..link.clone() }), Met::Differs);
    let named = Link { reference: Reference::parse("b"), ..bound };
    assert_eq!(met_link(&link, &named), Met::Differs);
}

#[test]
fn evidence_that_either_store_would_look_at_again_is_looked_at_again() {
    let message = message(State::Pending);
    let parked = |reason| Parked {
        evidence: Evidence {
            account: message.account,
            named: Named::Message(message.sid),
            label: "reply".to_owned(),
            occurred_at: at(1),
            time_source: TimeSource::Exact,
            source: Source::Reply,
        },
        parked_at: at(2),
        until: at(9),
        reason,
        orphaned: false,
        code: None,
        trace: None,
    };
    let met = |present, incoming| match met_parked(&parked(present), &parked(incoming)) {
        Met::Advanced(parked) => parked.reason,
        Met::Known => present,
        Met::Differs => panic!("differs"),
    };
    for (one, other, kept) in [
        (Reason::Known, Reason::NoMessage, Reason::NoMessage),
        (Reason::Known, Reason::NewerMayCome, Reason::NewerMayCome),
        (Reason::NoMessage, Reason::NewerMayCome, Reason::NewerMayCome),
        (Reason::TimeUnknown, Reason::NewerMayCome, Reason::NewerMayCome),
    ] {
        assert_eq!(met(one, other), kept, "{one:?} {other:?}");
        assert_eq!(met(other, one), kept, "{other:?} {one:?}");
    }
}
