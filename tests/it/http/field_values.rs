//! Field values as real apps send them: words for a missing value, zero timestamps, the JSON of
//! Twilio's helper libraries, hand-written callback URLs.

use serde_json::{Value, json};

use crate::harness::http_client::Answer;
use crate::harness::{ACCOUNT, Harness, RECIPIENT, SENDER, form, json as json_post, sid};

fn field(answer: &Answer) -> String {
    let field = answer.json().get("field").and_then(Value::as_str).map(str::to_owned);
    field.unwrap_or_default()
}

#[test]
fn a_reference_that_stands_for_a_missing_value_is_refused_by_its_field_on_every_route() {
    let harness = Harness::new(&[]);
    for reference in [
        "undefined",
        "null",
        "None",
        "NaN",
        "[object Object]",
        "login-undefined",
        "${id}",
        "0",
        "login-",
        "$userId",
    ] {
        let sid = sid(1);
        for request in [
            json_post("/app/messages", &json!({ "MessageSid": sid, "Reference": reference })),
            form("/app/messages", &[("MessageSid", &sid), ("Reference", reference)]),
            form("/app/events", &[("Reference", reference), ("Type", "code_entered")]),
            form(
                "/app/messages",
                &[("Link", "https://app.example.com/"), ("Reference", reference)],
            ),
        ] {
            let answer = harness.send(&request);
            assert_eq!((answer.status, field(&answer).as_str()), (400, "Reference"), "{reference}");
        }
    }
    assert!(harness.message(1).is_none());
    let callback = form(
        "/twilio/status?feedback=1&reference=undefined",
        &[("MessageSid", &sid(2)), ("AccountSid", ACCOUNT), ("MessageStatus", "sent")],
    );
    assert_eq!(harness.send(&callback).status, 400);
}

#[test]
fn a_word_for_a_missing_value_is_refused_in_every_other_field() {
    let harness = Harness::new(&[]);
    for (name, word) in
        [("From", "undefined"), ("From", "None"), ("To", "null"), ("Code", "nil"), ("Link", "NaN")]
    {
        let answer = harness.send(&form("/app/messages", &[("MessageSid", &sid(1)), (name, word)]));
        assert_eq!((answer.status, field(&answer).as_str()), (400, name), "{word}");
    }
    assert!(harness.message(1).is_none());
}

#[test]
fn a_zero_time_is_refused_by_its_field() {
    let harness = Harness::new(&[]);
    for zero in [
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "1899-12-30T00:00:00Z",
        "0000-00-00 00:00:00",
        "9999-12-30T23:59:59Z",
    ] {
        for (target, name) in [
            ("/app/messages", "CreatedAt"),
            ("/app/messages", "DateCreated"),
            ("/app/events", "OccurredAt"),
        ] {
            let answer = harness.send(&form(target, &[("MessageSid", &sid(1)), (name, zero)]));
            assert_eq!((answer.status, field(&answer).as_str()), (400, name), "{zero}");
        }
    }
    assert!(harness.message(1).is_none());
}

#[test]
fn a_reference_that_contains_a_persons_address_is_refused_and_not_repeated() {
    let harness = Harness::new(&[]);
    for reference in ["user:+15551234567", "jane@example.com"] {
        let fields = [("MessageSid", &*sid(1)), ("Reference", reference)];
        let answer = harness.send(&form("/app/messages", &fields));
        assert_eq!((answer.status, field(&answer).as_str()), (400, "Reference"), "{reference}");
        assert!(!answer.text().contains("1555") && !answer.text().contains("jane"));
    }
    assert!(harness.message(1).is_none());
}

#[test]
fn twilios_response_is_accepted_in_the_spelling_of_each_helper_library() {
    let harness = Harness::new(&[]);
    let second = "2026-11-23T09:59:58.999Z";
    let shapes = [
        json!({ "dateCreated": "2026-11-23T09:59:58.000Z", "from": SENDER, "to": RECIPIENT }),
        json!({ "date_created": "2026-11-23T09:59:58+00:00", "from_": SENDER, "to": RECIPIENT }),
        json!({ "date_created": "2026-11-23 09:59:58+00:00", "to": RECIPIENT }),
        json!({ "dateCreated": { "date": "2026-11-23 09:59:58.000000", "timezone_type": 3, "timezone": "UTC" } }),
        json!({ "dateCreated": { "date": "2026-11-23 10:59:58.000000", "timezone_type": 1, "timezone": "+01:00" } }),
        json!({ "date_created": "2026-11-23 09:59:58 UTC" }),
        json!({ "DateCreated": "2026-11-23T09:59:58Z", "To": RECIPIENT, "From": {} }),
        json!({ "dateCreated": "2026-11-23T09:59:58Z[UTC]", "from": { "endpoint": SENDER }, "to": RECIPIENT }),
        json!({ "dateCreated": 1_795_427_998, "to": RECIPIENT }),
        json!({ "date_created": "Mon, 23 Nov 2026 09:59:58 +0000", "to": RECIPIENT }),
    ];
    for (number, mut shape) in (1..).zip(shapes) {
        let name = if number % 2 == 0 { "Sid" } else { "sid" };
        shape.as_object_mut().expect("an object").insert(name.to_owned(), json!(sid(number)));
        let answer = harness.send(&json_post("/app/messages", &shape));
        assert_eq!(answer.status, 201, "{shape}: {}", answer.text());
        let message = harness.message(number).expect("registered");
        assert_eq!(message.get("created_at"), Some(&json!(second)), "{shape}");
    }
}

#[test]
fn feedback_in_a_callback_url_is_parsed_like_a_setting_and_an_unreadable_word_is_logged() {
    let harness = Harness::new(&[]);
    for (number, query) in (1..).zip([
        "feedback=1",
        "feedback=True",
        "feedback=YES",
        "feedback=on",
        "Feedback=true",
        "provideFeedback=true",
        "ProvideFeedback=true",
        "provide_feedback=TRUE",
        "provide-feedback=1",
    ]) {
        assert_eq!(harness.send(&status(number, query)).status, 204);
        assert_eq!(harness.state(number).as_deref(), Some("pending"), "{query}");
    }
    for (number, query) in
        (20..).zip(["feedback=0", "feedback=False", "feedback=off", "other=1", ""])
    {
        assert_eq!(harness.send(&status(number, query)).status, 204);
        assert_eq!(harness.state(number).as_deref(), Some("untracked"), "{query}");
    }
    assert!(!harness.service.logs().contains("is not tracked"));
    for (number, query) in
        (10..).zip(["reference=login-9", "Reference=login-9", "REFERENCE=login-9"])
    {
        assert_eq!(harness.send(&status(number, &format!("feedback=1&{query}"))).status, 204);
        let message = harness.message(number).expect("registered");
        assert_eq!(message.get("reference"), Some(&json!("login-9")), "{query}");
    }
    for (number, query) in (30..).zip(["feedback=maybe", "feedback=", "feedback"]) {
        assert_eq!(harness.send(&status(number, query)).status, 204);
        assert_eq!(harness.state(number).as_deref(), Some("untracked"), "{query}");
        harness.service.says(&format!("{} is not tracked", sid(number)));
    }
    harness.service.says("feedback=\\\"maybe\\\"");
}

fn status(number: u32, query: &str) -> heardback::recording::Recording {
    let target = format!("/twilio/status?{query}");
    let sid = sid(number);
    let fields = [("MessageSid", sid.as_str()), ("AccountSid", ACCOUNT), ("MessageStatus", "sent")];
    form(&target, &fields)
}
