//! The responses to valid requests: status, content type, body, and a connection that may be kept.

use serde_json::{Value, json};

use crate::harness::http_client::{self, Answer};
use crate::harness::{
    ACCOUNT, Harness, RECIPIENT, SENDER, code_entered, form, get, json as json_post, sid, signed,
    status_callback,
};
use crate::http::reply;

const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";

fn kind(answer: &Answer) -> (u16, Option<&str>, String) {
    (answer.status, answer.header("Content-Type"), answer.text())
}

fn at<'a>(json: &'a Value, field: &str) -> &'a Value {
    json.get(field).unwrap_or_else(|| unreachable!("no {field} in {json}"))
}

#[test]
fn each_of_twilios_routes_answers_in_the_form_that_twilio_expects() {
    let harness = Harness::new(&[]);
    let twiml = (200, Some("text/xml"), "<Response/>".to_owned());
    let nothing = (204, None, String::new());
    let ours = [sid(101), sid(102), sid(103)];
    // From another person than the recipient of the message below: a reply in the same millisecond
    // would prove it.
    let other = [("From", "+15558675399")];
    let fields = ours.each_ref().map(|sid| reply(sid, &other));
    let query = serde_urlencoded::to_string(&fields[1]).expect("encodes");
    let status = |path: &str| {
        let mut request = status_callback(1, "delivered");
        path.clone_into(&mut request.target);
        request
    };
    let status_query = String::from_utf8(status("/").body).expect("UTF-8");
    for (request, expected) in [
        (form("/twilio/message", &fields[0]), &twiml),
        (get(&format!("/twilio/message?{query}")), &twiml),
        (form("/app/twilio/message", &fields[2]), &nothing),
        (status("/twilio/status"), &nothing),
        (status("/twilio/status?feedback=1&reference=login%207&x=%"), &nothing),
        (get(&format!("/twilio/status?{status_query}&feedback=1")), &nothing),
        (status("/app/twilio/status"), &nothing),
    ] {
        let answer = harness.send(&request);
        assert_eq!(kind(&answer), *expected, "{} {}", request.method, request.target);
        assert!(!answer.closes(), "{}", request.target);
    }
    let message = harness.message(1).expect("known");
    assert_eq!(
        (at(&message, "state"), at(&message, "reference")),
        (&json!("pending"), &json!("login 7"))
    );
}

#[test]
fn the_index_page_closes_the_connection_and_is_no_plain_text() {
    let harness = Harness::new(&[]);
    for method in ["GET", "HEAD"] {
        let mut line = harness.service.line();
        line.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        let answer = line.answer_to(method).expect("an answer");
        assert_eq!(answer.status, 200);
        assert!(answer.closes() && line.is_closed_within(crate::harness::LONG), "{method}");
        assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.text().is_empty(), method == "HEAD");
    }
}

#[test]
fn a_message_is_new_then_known_then_contradicted() {
    let harness = Harness::new(&[]);
    let sid = sid(1);
    let send = |body: &Value| harness.send(&json_post("/app/messages", body));
    let created = send(&json!({ "MessageSid": sid, "To": RECIPIENT, "CreatedAt": null }));
    assert_eq!((created.status, created.header("Content-Type")), (201, Some("application/json")));
    let again = send(&json!({ "message_sid": sid, "reference": "r1", "from": SENDER }));
    assert_eq!((again.status, at(&again.json(), "reference")), (200, &json!("r1")));
    let third = form("/app/messages", &[("messageSid", &sid), ("messagingServiceSid", SERVICE)]);
    assert_eq!(harness.send(&third).status, 200);
    let conflict = send(&json!({ "MessageSid": sid, "Reference": "r2" }));
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(at(&conflict.json(), "field"), "Reference");
    assert_eq!(at(&harness.message(1).expect("known"), "reference"), "r1");
}

#[test]
fn twilios_response_to_create_message_is_accepted_unchanged() {
    let harness = Harness::new(&[]);
    let secret = "your code is 123456";
    let answer = json!({
        "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": secret,
        "date_created": "Mon, 23 Nov 2026 09:59:58 +0000", "date_sent": null, "direction": "outbound-api",
        "error_code": null, "error_message": null, "from": null, "messaging_service_sid": SERVICE,
        "num_media": "0", "num_segments": "1", "price": null, "price_unit": null, "sid": sid(1),
        "status": "accepted", "subresource_uris": { "media": "/2010-04-01/x" }, "to": RECIPIENT,
        "uri": "/2010-04-01/y",
    });
    let remembered = harness.send(&json_post("/app/messages", &answer));
    assert_eq!(remembered.status, 201, "{}", remembered.text());
    assert_eq!(at(&remembered.json(), "created_at"), "2026-11-23T09:59:58.999Z");
    assert!(!remembered.text().contains(secret) && !remembered.text().contains(RECIPIENT));
}

#[test]
fn a_message_is_shown_with_every_documented_field_from_pending_to_reported() {
    let harness = Harness::new(&[]);
    let unknown = harness.send(&get(&format!("/app/messages/{}", sid(1))));
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("Content-Type"), Some("application/problem+json"));
    let problem = unknown.json();
    assert_eq!((at(&problem, "status"), at(&problem, "title")), (&json!(404), &json!("Not Found")));
    assert!(at(&problem, "detail").is_string() && at(&problem, "type").is_string());

    harness.send(&form("/app/messages", &[("MessageSid", &sid(1)), ("Reference", "r")]));
    let pending = harness.message(1).expect("known");
    for field in [
        "message_sid",
        "account_sid",
        "state",
        "reference",
        "status",
        "evidence",
        "remembered_at",
        "confirmed_at",
        "reported_at",
        "expires_at",
        "attempts",
        "next_attempt_at",
        "refusal",
    ] {
        at(&pending, field);
    }
    assert_eq!((at(&pending, "state"), at(&pending, "attempts")), (&json!("pending"), &json!(0)));
    assert_eq!(harness.confirm(1).status, 200);
    harness.reaches(1, "reported");
    let reported = harness.message(1).expect("known");
    assert_eq!(at(&reported, "evidence"), "code_entered");
    assert_eq!(at(&reported, "attempts"), 1);
    assert!(at(&reported, "confirmed_at").is_string() && at(&reported, "reported_at").is_string());
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{}/Feedback.json", sid(1));
    assert_eq!(harness.twilio.posts(), [format!("POST {path} HTTP/1.1 Outcome=confirmed")]);
}

#[test]
fn a_message_that_twilio_refuses_shows_the_reason() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(crate::harness::twilio::TwilioReply::Status(400));
    harness.confirm(1);
    harness.reaches(1, "refused");
    let refusal = at(&harness.message(1).expect("known"), "refusal").clone();
    assert_eq!(at(&refusal, "status"), 400);
    assert!(refusal.get("code").is_some() && at(&refusal, "message").is_string(), "{refusal}");
}

#[test]
fn the_response_to_an_event_has_its_outcome() {
    let harness = Harness::new(&[]);
    let outcome = |request| {
        let answer: Answer = harness.send(&request);
        let json = answer.json();
        for field in ["result", "message_sid", "parked_until", "reason"] {
            at(&json, field);
        }
        (answer.status, at(&json, "result").as_str().map(str::to_owned), json)
    };
    let (status, result, json) = outcome(code_entered(1));
    assert_eq!((status, result.as_deref()), (200, Some("confirmed")));
    assert_eq!(at(&json, "message_sid"), &json!(sid(1)));
    let (status, result, _) = outcome(code_entered(1));
    assert_eq!((status, result.as_deref()), (200, Some("already")));
    let by_reference = json_post("/app/events", &json!({ "reference": "login-1" }));
    let (status, result, json) = outcome(by_reference.clone());
    assert_eq!((status, result.as_deref()), (202, Some("parked")));
    assert!(at(&json, "parked_until").is_string() && at(&json, "reason").is_string(), "{json}");
    // Parked evidence settles as soon as its message is known.
    harness.send(&form("/app/messages", &[("MessageSid", &sid(2)), ("Reference", "login-1")]));
    harness.reaches(2, "reported");
    let (status, result, json) = outcome(json_post(
        "/app/events",
        &json!({ "To": "+15550000000", "OccurredAt": "2020-01-01T00:00:00Z" }),
    ));
    assert!(matches!((status, result.as_deref()), (200, Some("none")) | (202, Some("parked"))));
    assert!(at(&json, "reason").is_string(), "{json}");
}

#[test]
fn a_reply_confirms_and_a_repeat_or_an_opt_out_does_not() {
    let harness = Harness::new(&[]);
    let sent = (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1)).to_string();
    let register = |number: u32| {
        let sid = sid(number);
        let fields =
            [("MessageSid", &*sid), ("To", RECIPIENT), ("From", SENDER), ("CreatedAt", &sent)];
        assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
    };
    register(1);
    let stop = form("/twilio/message", &reply(&sid(101), &[("Body", "STOP")]));
    assert_eq!(harness.send(&stop).text(), "<Response/>");
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    let thanks = form("/twilio/message", &reply(&sid(102), &[]));
    harness.send(&thanks);
    harness.reaches(1, "reported");
    register(2);
    assert_eq!(harness.send(&thanks).status, 200);
    assert_eq!(harness.state(2).as_deref(), Some("pending"), "a replayed reply proves nothing new");
}

#[test]
fn an_authenticated_client_keeps_its_connection() {
    let harness = Harness::new(&[]);
    let mut line = harness.service.line();
    let mut requests = vec![status_callback(1, "sent"), code_entered(1)];
    requests.push(form("/twilio/message", &reply(&sid(101), &[])));
    requests.push(get(&format!("/app/messages/{}", sid(1))));
    for request in &requests {
        line.send(&http_client::bytes(&signed(request)));
        let answer = line.answer().unwrap_or_else(|| unreachable!("closed: {}", request.target));
        assert!((200..300).contains(&answer.status) && !answer.closes(), "{answer:?}");
    }
    // Several requests at once on one connection are answered in order.
    let all: Vec<u8> =
        requests.iter().flat_map(|request| http_client::bytes(&signed(request))).collect();
    line.send(&all);
    let statuses: Vec<_> =
        requests.iter().filter_map(|_| line.answer()).map(|a| a.status).collect();
    assert_eq!(statuses, [204, 200, 200, 200]);
}

#[test]
fn a_body_in_chunks_or_after_a_100_continue_is_accepted() {
    let harness = Harness::new(&[]);
    let mut line = harness.service.line();
    line.send(&http_client::chunked(&signed(&status_callback(1, "sent")), 7));
    assert_eq!(line.answer().expect("an answer").status, 204);
    let mut request = signed(&status_callback(2, "sent"));
    request.headers.push(("Expect".to_owned(), "100-continue".to_owned()));
    line.send(&http_client::head(&request, request.body.len()));
    assert_eq!(line.answer().expect("an answer").status, 100);
    line.send(&request.body);
    assert_eq!(line.answer().expect("an answer").status, 204);
    // A client that closes its sending half after a complete request is answered as well.
    line.send(&http_client::bytes(&signed(&status_callback(3, "sent"))));
    line.end();
    assert_eq!(line.answer().expect("an answer").status, 204);
}

#[test]
fn a_doubled_slash_reaches_the_route_and_another_near_miss_is_logged_with_the_nearest_route() {
    let harness = Harness::new(&[]);
    let sid = sid(1);
    let fields = [("MessageSid", sid.as_str()), ("AccountSid", ACCOUNT), ("MessageStatus", "sent")];
    for path in ["/twilio/status/", "//twilio/status", "//twilio/status/"] {
        assert_eq!(harness.send(&form(path, &fields)).status, 204, "{path}");
    }
    for path in ["/app/messages/", "//app/messages"] {
        let answer = harness.send(&form(path, &[("MessageSid", &sid)]));
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
    }
    let unsigned = crate::harness::post("/twilio/statuses", "text/plain", b"");
    assert_eq!(harness.service.exchange(&http_client::bytes(&unsigned)).status, 404);
    for path in ["/Twilio/Status", "/hooks/twilio/status"] {
        assert_eq!(harness.send(&form(path, &fields)).status, 404, "{path}");
    }
    harness.service.says("the nearest is /twilio/status");
    let lines = harness.service.logs();
    assert_eq!(lines.matches("the nearest is /twilio/status").count(), 1, "{lines}");
}
