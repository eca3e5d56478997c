//! Several messages under one reference, and codes, over real HTTP: which message is confirmed,
//! what the response says of the others, and that no code is stored or logged.

use heardback::domain::code::CodeKey;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Harness, LONG, RECIPIENT, SENDER, TOKEN, form, json as json_post, sid};
use crate::http::reply;

/// Registers message `number` of login 7, with the HMAC of its code if it has one.
fn register(harness: &Harness, number: u32, code: Option<&str>) {
    let hmac = code.map(|code| {
        let sid = sid(number).parse().expect("valid");
        CodeKey::new(TOKEN.as_bytes()).hmac(sid, code).to_base64()
    });
    let message = json!({
        "MessageSid": sid(number), "To": RECIPIENT, "From": SENDER, "Reference": "login 7",
        "CodeHmac": hmac,
    });
    let answer = harness.send(&json_post("/app/messages", &message));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn entered(harness: &Harness, code: Option<&str>) -> Value {
    let now = jiff::Timestamp::now().to_string();
    let event = json!({
        "Reference": "login 7", "Type": "code_entered", "Code": code, "OccurredAt": now, "SentAt": now,
    });
    harness.send(&json_post("/app/events", &event)).json()
}

fn of<'a>(json: &'a Value, field: &str) -> &'a str {
    json.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn an_event_with_the_code_confirms_its_message_and_the_other_names_it() {
    let harness = Harness::new(&[]);
    register(&harness, 1, Some("111111"));
    register(&harness, 2, Some("222222"));
    let answer = entered(&harness, Some("111111"));
    assert_eq!((of(&answer, "result"), of(&answer, "message_sid")), ("confirmed", &*sid(1)));
    let (one, two) = (harness.message(1).expect("known"), harness.message(2).expect("known"));
    assert_eq!(of(&one, "evidence_basis"), "direct");
    assert_eq!((of(&two, "state"), of(&two, "converted_by")), ("pending", &*sid(1)));
}

#[test]
fn each_resend_policy_is_a_setting() {
    for (policy, result, confirmed) in [
        ("newest", "confirmed", &[2][..]),
        ("all", "confirmed", &[1, 2]),
        ("only-deliverable", "parked", &[]),
        ("code", "parked", &[]),
    ] {
        let harness = Harness::new(&[("HEARDBACK_RESEND", policy)]);
        register(&harness, 1, None);
        register(&harness, 2, None);
        assert_eq!(of(&entered(&harness, None), "result"), result, "{policy}");
        for number in [1, 2] {
            let state = harness.state(number).expect("known");
            assert_eq!(state != "pending", confirmed.contains(&number), "{policy}: {number}");
        }
    }
}

#[test]
fn a_reply_with_the_code_is_direct_and_one_with_another_code_is_no_evidence() {
    let harness = Harness::new(&[]);
    register(&harness, 1, Some("111111"));
    let other = sid(101);
    harness.send(&form("/twilio/message", &reply(&other, &[("Body", "999999")])));
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    let inbound = sid(102);
    let elsewhere = [("Body", "my code: 111111."), ("To", "+15017129999")];
    harness.send(&form("/twilio/message", &reply(&inbound, &elsewhere)));
    let message = harness.message(1).expect("known");
    assert_eq!((of(&message, "evidence"), of(&message, "evidence_basis")), ("reply", "direct"));
}

#[test]
fn a_malformed_code_hmac_is_refused_by_its_field_and_so_is_a_contradicting_one() {
    let harness = Harness::new(&[]);
    let first = CodeKey::new(b"x").hmac(sid(1).parse().expect("valid"), "111111").to_base64();
    let second = CodeKey::new(b"x").hmac(sid(1).parse().expect("valid"), "222222").to_base64();
    for (hmac, status) in [("111111", 400), (&*first, 201), (&*first, 200), (&*second, 409)] {
        let message = json!({ "MessageSid": sid(1), "CodeHmac": hmac });
        let answer = harness.send(&json_post("/app/messages", &message));
        assert_eq!(answer.status, status, "{}", answer.text());
        let named = answer.text().contains("CodeHmac");
        assert_eq!(named, status >= 400, "{}", answer.text());
        assert!(!answer.text().contains(hmac), "the value is not repeated");
    }
}

#[test]
fn no_entered_code_is_in_the_store_or_the_log() {
    let mut harness = Harness::new(&[("HEARDBACK_LOG", "trace")]);
    register(&harness, 1, Some("7391820465"));
    register(&harness, 2, Some("8402931576"));
    // One event that settles, one that has to wait.
    entered(&harness, Some("7391820465"));
    let event = json!({ "Reference": "unknown yet", "Code": "8402931576" });
    harness.send(&json_post("/app/events", &event));
    let body = reply("SM00000000000000000000000000000099", &[("Body", "8402931576")]);
    harness.send(&form("/twilio/message", &body));
    harness.service.signal(Signal::TERM);
    harness.service.ends_within(LONG);
    let mut kept = vec![harness.service.logs().into_bytes()];
    for entry in std::fs::read_dir(harness.store()).expect("readable") {
        let path = entry.expect("readable").path();
        kept.extend(path.is_file().then(|| std::fs::read(path).expect("readable")));
    }
    for code in [&b"7391820465"[..], b"8402931576"] {
        for bytes in &kept {
            assert!(!bytes.windows(code.len()).any(|window| window == code), "a code was kept");
        }
    }
}
