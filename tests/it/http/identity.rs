//! Recipients over real HTTP: every notation of an address, and forms at the route for the other
//! direction.

use std::fs;
use std::path::Path;

use heardback::recording::Recording;
use serde_json::json;

use crate::backup::binary::run;
use crate::harness::{ACCOUNT, Harness, RECIPIENT, SENDER, form, json as json_post, sid};
use crate::http::reply;
use crate::http::signals::before;

const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";
/// A WhatsApp user id.
const USER_ID: &str = "US.13491208655302741918";

/// A registration of a message that was created a minute ago: a reply within seconds would count as automatic.
fn register(harness: &Harness, number: u32, to: &str, from: &str) -> Recording {
    let created = before(harness, 60);
    let message =
        json!({ "MessageSid": sid(number), "To": to, "From": from, "CreatedAt": created });
    json_post("/app/messages", &message)
}

fn status(number: u32, to: &str, from: &str, more: &[(&str, &str)]) -> Recording {
    let own = sid(number);
    let mut fields =
        vec![("MessageSid", &*own), ("AccountSid", ACCOUNT), ("MessageStatus", "sent")];
    fields.extend([("To", to), ("From", from)]);
    fields.extend_from_slice(more);
    form("/twilio/status", &fields)
}

fn replied(harness: &Harness, number: u32, from: &str, to: &str) {
    let inbound = sid(0x1000 + number);
    let answer =
        harness.send(&form("/twilio/message", &reply(&inbound, &[("From", from), ("To", to)])));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn is_proven(harness: &Harness, number: u32) -> bool {
    matches!(harness.state(number).as_deref(), Some("confirmed" | "reported"))
}

#[test]
fn a_registration_names_its_sender_in_any_notation_and_a_reply_finds_it() {
    for from in [
        SERVICE,
        "15017122661",
        "1 (501) 712-2661",
        "tel:+15017122661",
        "\u{2068}+15017122661\u{2069}",
    ] {
        let harness = Harness::new(&[]);
        assert_eq!(harness.send(&register(&harness, 1, RECIPIENT, from)).status, 201, "{from}");
        let sent = status(1, RECIPIENT, SENDER, &[("MessagingServiceSid", SERVICE)]);
        assert_eq!(harness.send(&sent).status, 204);
        replied(&harness, 1, RECIPIENT, SENDER);
        assert!(is_proven(&harness, 1), "{from}");
    }
}

#[test]
fn an_unreadable_sender_is_refused_by_its_field() {
    let harness = Harness::new(&[]);
    for from in [
        "5017122661",
        "0015017122661",
        "PN0123456789abcdef0123456789abcdef",
        "SM0123456789abcdef0123456789abcdef",
        "sip:shop@example.com",
        "+1501712266O",
        "%2B15017122661",
    ] {
        let answer = harness.send(&register(&harness, 1, RECIPIENT, from));
        assert_eq!(answer.status, 400, "{from}");
        assert_eq!(answer.json()["field"], "From", "{from}: {}", answer.text());
    }
    assert_eq!(harness.state(1), None);
}

#[test]
fn a_reply_finds_its_message_whatever_the_notation_of_its_recipient() {
    let harness = Harness::new(&[]);
    let whatsapp = format!("whatsapp:{SENDER}");
    let user_id = format!("whatsapp:{USER_ID}");
    for (number, to, from, sender) in [
        (1, "tel:+15558675310", "+15558675310", SENDER),
        (2, "+44 (0)7911 123456", "+447911123456", SENDER),
        (3, "\u{2068}+15558675311\u{2069}", "+15558675311", SENDER),
        (4, "\u{200f}\u{202b}+1555\u{200b}8675312\u{202c}\u{feff}", "+15558675312", SENDER),
        (5, "+١٥٥٥٨٦٧٥٣١٣", "+15558675313", SENDER),
        (6, "whatsapp:+22961234567", "whatsapp:+2290161234567", &*whatsapp),
        (7, "whatsapp:+2250707123456", "whatsapp:+22507123456", &*whatsapp),
        (8, "whatsapp:+84321234567", "whatsapp:+841621234567", &*whatsapp),
        (9, &*user_id, &*user_id, &*whatsapp),
    ] {
        let answer = harness.send(&register(&harness, number, to, sender));
        assert_eq!(answer.status, 201, "{to}: {}", answer.text());
        replied(&harness, number, from, sender);
        assert!(is_proven(&harness, number), "{to}");
    }
}

#[test]
fn an_unreadable_recipient_is_refused_with_the_offending_character() {
    let harness = Harness::new(&[]);
    for (to, says) in [
        ("+1555867531O", "O (U+004F)"),
        ("tel:+15558675310;ext=12", "; (U+003B)"),
        ("\u{2068}+1555☎8675310\u{2069}", "U+260E"),
        ("+1555\u{7}8675310", "U+0007"),
        ("0044 7911 123456", "prefix"),
        ("mailto:a@example.com", "mailto:"),
    ] {
        let answer = harness.send(&register(&harness, 1, to, SENDER));
        let problem = answer.json();
        assert_eq!((answer.status, &problem["field"]), (400, &json!("To")), "{to}");
        assert!(answer.text().contains(says), "{to}: {}", answer.text());
    }
}

fn events(harness: &Harness, number: u32, to: &str) -> (u16, serde_json::Value) {
    let event = json!({ "MessageSid": sid(number), "To": to, "Type": "code_entered" });
    let answer = harness.send(&json_post("/app/events", &event));
    (answer.status, answer.json())
}

#[test]
fn a_reply_is_about_the_newest_message_to_any_address_of_its_person() {
    let harness = Harness::new(&[]);
    let sender = format!("whatsapp:{SENDER}");
    let (number, user_id) = ("whatsapp:+15558675310", format!("whatsapp:{USER_ID}"));
    let tied = [("ExternalUserId", USER_ID)];
    // The newer message went to the id, and the reply comes from the number. An id without a known
    // number shields.
    assert_eq!(harness.send(&register(&harness, 1, number, &sender)).status, 201);
    let newer = [&tied[..], &[("MessageStatus", "delivered")]].concat();
    assert_eq!(harness.send(&status(2, &user_id, &sender, &newer)).status, 204);
    let inbound = |number: u32, more: &[(&str, &str)]| {
        let own = sid(0x2000 + number);
        let all = [&[("To", sender.as_str())], more].concat();
        assert_eq!(harness.send(&form("/twilio/message", &reply(&own, &all))).status, 200);
    };
    inbound(1, &[("From", number)]);
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    inbound(2, &[&tied[..], &[("From", number)]].concat());
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    assert_eq!(harness.state(2).as_deref(), Some("untracked"));
    // The message went to the number, and the reply comes from the id.
    let other = "whatsapp:+15558675311";
    assert_eq!(harness.send(&register(&harness, 3, other, &sender)).status, 201);
    inbound(3, &[("From", "whatsapp:BR.1502576394655843"), ("WaId", "15558675311")]);
    assert!(is_proven(&harness, 3));
}

#[test]
fn two_addresses_of_one_person_are_no_contradiction_and_two_numbers_are() {
    let harness = Harness::new(&[]);
    let sender = format!("whatsapp:{SENDER}");
    let user_id = format!("whatsapp:{USER_ID}");
    for number in [1, 2] {
        assert_eq!(harness.send(&status(number, &user_id, &sender, &[])).status, 204);
    }
    assert_eq!(harness.send(&register(&harness, 1, "whatsapp:+15558675310", &sender)).status, 200);
    assert_eq!(events(&harness, 1, "whatsapp:+15558675310").0, 200);
    let (code, answer) = events(&harness, 2, "whatsapp:+15558675310");
    assert_eq!((code, &answer["result"]), (200, &json!("confirmed")));
    assert!(is_proven(&harness, 1) && is_proven(&harness, 2));
    assert_eq!(harness.send(&register(&harness, 1, "whatsapp:+15558675311", &sender)).status, 409);
}

#[test]
fn the_command_forgets_a_person_by_an_id_and_by_a_number() {
    for name in ["whatsapp:US.13491208655302741918", "+15558675310"] {
        let harness = Harness::new(&[]);
        let sender = format!("whatsapp:{SENDER}");
        let user_id = format!("whatsapp:{USER_ID}");
        let tied = [("ExternalUserId", USER_ID)];
        assert_eq!(harness.send(&status(1, "whatsapp:+15558675310", &sender, &tied)).status, 204);
        assert_eq!(harness.send(&register(&harness, 2, &user_id, &sender)).status, 201);
        assert_eq!(harness.send(&register(&harness, 3, "+15558675310", SENDER)).status, 201);
        assert_eq!(harness.send(&register(&harness, 4, "+15558675311", SENDER)).status, 201);
        let (code, told, talk) = run(&["forget", name], &harness.store());
        assert_eq!((code, told.contains("erased 3 messages")), (Some(0), true), "{told}{talk}");
        assert_eq!([1, 2, 3].map(|number| harness.state(number)), [None, None, None], "{name}");
        assert!(harness.state(4).is_some());
    }
}

fn holds(folder: &Path, digits: &str) -> bool {
    let files =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    files.filter(|path| path.is_file()).any(|path| {
        let bytes = fs::read(path).expect("readable");
        bytes.windows(digits.len()).any(|window| window == digits.as_bytes())
    })
}

#[test]
fn a_form_at_the_route_of_the_other_direction_is_refused_and_nothing_of_it_is_stored() {
    const DIGITS: &str = "5559731264";
    let harness = Harness::new(&[]);
    let person = format!("+1{DIGITS}");
    let mut number = 0;
    let mut send = |target: &str, more: &[(&str, &str)], route: &str| {
        number += 1;
        let own = sid(number);
        let mut fields = vec![("MessageSid", &*own), ("AccountSid", ACCOUNT)];
        fields.extend_from_slice(more);
        let answer = harness.send(&form(target, &fields));
        assert_eq!(answer.status, 400, "{target} {more:?}");
        assert!(!answer.text().contains(DIGITS), "{}", answer.text());
        harness.service.says(route);
        assert_eq!(harness.state(number), None, "{target} {more:?}");
    };
    let outbound = [("From", SENDER), ("To", person.as_str())];
    for target in ["/twilio/message", "/app/twilio/message"] {
        for word in ["queued", "sent", "DELIVERED", "undelivered", "read", "a-new-word"] {
            send(target, &[&outbound[..], &[("MessageStatus", word)]].concat(), "/twilio/status");
        }
        send(target, &[&outbound[..], &[("SmsStatus", "sent")]].concat(), "/twilio/status");
        send(
            target,
            &[&outbound[..], &[("RawDlrDoneDate", "2611231002")]].concat(),
            "/twilio/status",
        );
    }
    let inbound = [("From", person.as_str()), ("To", SENDER)];
    for target in ["/twilio/status", "/app/twilio/status", "/app/messages", "/app/events"] {
        let more = [&inbound[..], &[("SmsStatus", "received")]].concat();
        send(target, &more, "/twilio/message");
    }
    // Apps pass on some of the fields, often without the status.
    for target in ["/app/messages", "/app/events"] {
        let own = sid(99);
        let more = [&inbound[..], &[("Body", "hi"), ("SmsMessageSid", &own)]].concat();
        send(target, &more, "/twilio/message");
    }
    send("/app/events", &[&inbound[..], &[("Body", "hi")]].concat(), "/app/twilio/message");
    // A status callback is no evidence of a person's act.
    send(
        "/app/events",
        &[&outbound[..], &[("MessageStatus", "delivered")]].concat(),
        "/app/twilio/status",
    );
    assert!(!harness.service.logs().contains(DIGITS), "{}", harness.service.logs());
    let (code, told, talk) = run(&["export"], &harness.store());
    assert_eq!(code, Some(0), "{talk}");
    assert!(!told.contains(DIGITS), "{told}");
    assert!(!holds(&harness.store(), DIGITS));
}
