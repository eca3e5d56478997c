//! Calls and clicks over real HTTP, request after request: what each proves, that it counts once,
//! and which request is accepted without a signature.

use heardback::recording::Recording;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::http_client;
use crate::harness::{
    ACCOUNT, Harness, OTHER_ACCOUNT, RECIPIENT, SENDER, form, get, json as json_post, post, sid,
    status_callback,
};
use crate::http::reply;

const PERSON: &str = "+15558675310";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Safari/604.1";
const SECRET: &str = "tVf3Zk0c-9_mQ.r~J8bX2a";

pub(super) fn call_sid(number: u32) -> String {
    format!("CA{number:032x}")
}

/// Registers a message that was created this many seconds ago.
pub(super) fn sent(harness: &Harness, number: u32, to: &str, from: &str, ago: i64) {
    let message = json!({
        "MessageSid": sid(number), "To": to, "From": from, "CreatedAt": before(harness, ago),
    });
    let answer = harness.send(&json_post("/app/messages", &message));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// This many seconds ago, by the service's own clock.
pub(super) fn before(harness: &Harness, seconds: i64) -> Timestamp {
    let answer = harness.send(&json_post("/app/messages", &json!({ "MessageSid": sid(0xc10c) })));
    let heard = answer.json();
    let heard = heard.get("remembered_at").and_then(Value::as_str).expect("a time");
    // The first response has the time of its first sight; the difference is far below a second.
    heard.parse::<Timestamp>().expect("a time") - SignedDuration::from_secs(seconds)
}

fn call<'a>(sid: &'a str, from: &'a str, more: &[(&'a str, &'a str)]) -> Recording {
    let mut fields = vec![
        ("CallSid", sid),
        ("AccountSid", ACCOUNT),
        ("From", from),
        ("To", SENDER),
        ("Direction", "inbound"),
    ];
    fields.extend(more);
    form("/twilio/call", &fields)
}

fn ended<'a>(sid: &'a str, from: &'a str, seconds: &'a str) -> Recording {
    let more = [("CallStatus", "completed"), ("CallDuration", seconds), ("CallbackSource", "x")];
    call(sid, from, &more)
}

fn click(target: &str, number: u32, kind: &str, agent: &str) -> Recording {
    let body = json!({
        "event_type": kind, "sms_sid": sid(number), "account_sid": ACCOUNT, "user_agent": agent,
        "to": RECIPIENT, "from": SENDER, "link": "https://app.example.com",
        "click_time": "2026-11-23T10:03:21.345Z", "messaging_service_sid": null,
    });
    json_post(target, &body)
}

fn state(harness: &Harness, number: u32) -> String {
    harness.state(number).expect("known")
}

fn is_proven(harness: &Harness, number: u32) -> bool {
    matches!(state(harness, number).as_str(), "confirmed" | "reported")
}

#[test]
fn a_call_is_rejected_or_forwarded_and_its_end_needs_no_instructions() {
    const REJECT: &str = "<Response><Reject/></Response>";
    const REDIRECT: &str =
        "<Response><Redirect>https://app.example.com/voice?a=1&amp;b=2</Redirect></Response>";
    let target = "https://app.example.com/voice?a=1&b=2";
    for (settings, twiml) in
        [(&[][..], REJECT), (&[("HEARDBACK_CALL_REDIRECT_URL", target)][..], REDIRECT)]
    {
        let harness = Harness::new(settings);
        let ringing = call(&call_sid(1), PERSON, &[("CallStatus", "ringing")]);
        let query = String::from_utf8(ringing.body.clone()).expect("UTF-8");
        let outbound = call(&call_sid(2), PERSON, &[("CallStatus", "ringing")]);
        let outbound_body =
            String::from_utf8(outbound.body).expect("UTF-8").replace("inbound", "outbound-dial");
        let outbound =
            post("/twilio/call", "application/x-www-form-urlencoded", outbound_body.as_bytes());
        let mut passed_on = ringing.clone();
        "/app/twilio/call".clone_into(&mut passed_on.target);
        for (request, expected) in [
            (&ringing, Some(twiml)),
            // Twice, as for the fallback URL: it needs instructions again.
            (&ringing, Some(twiml)),
            (&get(&format!("/twilio/call?{query}")), Some(twiml)),
            (&call(&call_sid(3), "anonymous", &[("CallStatus", "ringing")]), Some(twiml)),
            (&call(&call_sid(4), PERSON, &[("CallStatus", "in-progress")]), Some(twiml)),
            (&outbound, Some(twiml)),
            (&ended(&call_sid(5), PERSON, "42"), None),
            (&call(&call_sid(6), PERSON, &[("CallStatus", "busy")]), None),
            (&passed_on, None),
        ] {
            let answer = harness.send(request);
            let body = expected.unwrap_or_default();
            assert_eq!(answer.status, if expected.is_some() { 200 } else { 204 });
            assert_eq!(answer.text(), body, "{}", request.target);
            assert_eq!(answer.header("Content-Type"), expected.map(|_| "text/xml"));
            assert!(!answer.closes());
        }
    }
}

#[test]
fn a_code_sent_during_a_call_is_not_confirmed_by_the_call() {
    let harness = Harness::new(&[]);
    sent(&harness, 1, PERSON, SENDER, 30);
    sent(&harness, 2, RECIPIENT, SENDER, 90);
    // Both calls have lasted a minute. In one the code was requested; the other was made because of
    // it.
    assert_eq!(harness.send(&ended(&call_sid(1), PERSON, "60")).status, 204);
    assert_eq!(harness.send(&ended(&call_sid(2), RECIPIENT, "60")).status, 204);
    assert_eq!(state(&harness, 1), "pending");
    harness.reaches(2, "reported");
}

#[test]
fn a_call_counts_once_by_any_path_and_one_that_proves_nothing_does_not_use_it_up() {
    let harness = Harness::new(&[]);
    sent(&harness, 1, PERSON, SENDER, 5);
    let under_way = call(&call_sid(1), PERSON, &[("CallStatus", "in-progress")]);
    assert_eq!(harness.send(&under_way).status, 200);
    assert_eq!(state(&harness, 1), "pending");
    assert_eq!(harness.send(&call(&call_sid(1), PERSON, &[("CallStatus", "ringing")])).status, 200);
    assert!(is_proven(&harness, 1));
    // The call's end is reported when the next code is already sent. A second call does prove that
    // code.
    sent(&harness, 2, PERSON, SENDER, 3);
    assert_eq!(harness.send(&ended(&call_sid(1), PERSON, "0")).status, 204);
    let event = json!([{
        "type": "com.twilio.voice.status-callback.call.completed", "id": "VW1",
        "data": { "sid": call_sid(1), "timestamp": before(&harness, 0), "request": { "parameters": {
            "CallSid": call_sid(1), "AccountSid": ACCOUNT, "From": PERSON, "To": SENDER,
            "Direction": "inbound", "CallStatus": "completed", "CallDuration": "0",
        } } },
    }]);
    assert_eq!(harness.send(&json_post("/twilio/events", &event)).status, 204);
    assert_eq!(state(&harness, 2), "pending");
    let duplicates = "heardback_evidence_unmatched_total{reason=\"duplicate\"}";
    assert_eq!(harness.service.metric(duplicates), 2);
    assert_eq!(harness.send(&ended(&call_sid(2), PERSON, "0")).status, 204);
    assert!(is_proven(&harness, 2));
}

#[test]
fn a_call_answers_a_whatsapp_text_too_and_every_notation_is_one_person() {
    let harness = Harness::new(&[]);
    for (number, to, from, caller) in [
        (1, "whatsapp:+15558675311", "whatsapp:+15017122661", "+15558675311"),
        (2, "whatsapp:+5215512345678", "+1 (501) 712-2661", "+525512345678"),
        (3, "rcs:+5511987654321", SENDER, "+551187654321"),
    ] {
        sent(&harness, number, to, from, 5);
        let ringing = [("CallStatus", "ringing")];
        assert_eq!(harness.send(&call(&call_sid(number), caller, &ringing)).status, 200);
        assert!(is_proven(&harness, number), "{to} called as {caller}");
    }
}

#[test]
fn a_reply_in_another_notation_is_from_the_registered_person() {
    let harness = Harness::new(&[]);
    for (number, registered, answering, from, to) in [
        (1, "whatsapp:+525512345678", "whatsapp:+5215512345678", "whatsapp:+14155238886", None),
        (2, "+541123456789", "+5491123456789", "+1 501-712-2661", Some(SENDER)),
        (3, "whatsapp:+5511987654321", "whatsapp:+551187654321", "whatsapp:+14155238886", None),
        (4, "+1 (555) 867-53.12", "rcs:+15558675312", "rcs:acme_login_agent", None),
        (5, "+15558675313", "+15558675313", "12345", None),
    ] {
        sent(&harness, number, registered, from, 5);
        let inbound = sid(0x1000 + number);
        let fields = [
            ("MessageSid", inbound.as_str()),
            ("AccountSid", ACCOUNT),
            ("From", answering),
            ("To", to.unwrap_or(from)),
            ("Body", "yes"),
        ];
        assert_eq!(harness.send(&form("/twilio/message", &fields)).status, 200);
        assert!(is_proven(&harness, number), "{registered} answered as {answering}");
    }
    // A landline in Brazil, and the mobile with the same digits after a nine.
    sent(&harness, 6, "+5511923456789", SENDER, 5);
    let inbound = sid(0x2000);
    let fields = [
        ("MessageSid", inbound.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", "+551123456789"),
        ("To", SENDER),
        ("Body", "yes"),
    ];
    assert_eq!(harness.send(&form("/twilio/message", &fields)).status, 200);
    assert_eq!(state(&harness, 6), "pending");
}

#[test]
fn a_click_proves_its_message_and_neither_a_preview_nor_a_crawler_does() {
    let harness = Harness::new(&[]);
    sent(&harness, 1, PERSON, SENDER, 5);
    let send =
        |kind: &str, agent: &str| harness.send(&click("/twilio/click", 1, kind, agent)).status;
    for (kind, agent) in [
        ("preview", SAFARI),
        ("click", "WhatsApp/2.23.20.0 A"),
        ("click", "facebookexternalhit/1.1 Facebot Twitterbot/1.0"),
        ("something-else", SAFARI),
    ] {
        assert_eq!(send(kind, agent), 204);
        assert_eq!(state(&harness, 1), "pending", "{kind} by {agent}");
    }
    assert_eq!(send("click", SAFARI), 204);
    let message = harness.message(1).expect("known");
    assert_eq!(message.get("evidence"), Some(&json!("click")));
    assert_eq!(message.get("evidence_basis"), Some(&json!("direct")));
    assert_eq!((send("preview", SAFARI), send("click", SAFARI)), (204, 204));
    for (reason, count) in [("preview", 2), ("crawler", 2)] {
        let name = format!("heardback_evidence_unmatched_total{{reason=\"{reason}\"}}");
        assert_eq!(harness.service.metric(&name), count, "{reason}");
    }
    let lenient = Harness::new(&[("HEARDBACK_IGNORE_CRAWLERS", "false")]);
    sent(&lenient, 1, PERSON, SENDER, 5);
    lenient.send(&click("/twilio/click", 1, "preview", SAFARI));
    assert_eq!(state(&lenient, 1), "pending");
    lenient.send(&click("/twilio/click", 1, "click", "WhatsApp/2.23.20.0 A"));
    assert!(is_proven(&lenient, 1));
}

#[test]
fn without_a_secret_no_unsigned_click_is_accepted_and_with_one_only_the_secret_path_is() {
    let target = format!("/twilio/click/{SECRET}");
    let unsigned = |harness: &Harness, request: &Recording| {
        let answer = harness.service.exchange(&http_client::bytes(request));
        assert!(answer.status == 204 || (answer.closes() && answer.body.is_empty()));
        answer
    };
    let closed = Harness::new(&[]);
    for request in [click(&target, 1, "click", SAFARI), get(&target)] {
        assert_eq!(unsigned(&closed, &request).status, 404);
        assert_eq!(closed.send(&request).status, 404, "signed or not");
    }
    let open = Harness::new(&[("HEARDBACK_CLICK_PATH_SECRET", SECRET), ("HEARDBACK_LOG", "trace")]);
    sent(&open, 1, PERSON, SENDER, 5);
    let forged = unsigned(&open, &click("/twilio/click", 1, "click", SAFARI));
    assert_eq!(forged.status, 403);
    for wrong in [&SECRET[1..], "x", &SECRET.to_lowercase(), &format!("{SECRET}%20")] {
        let request = click(&format!("/twilio/click/{wrong}"), 1, "click", SAFARI);
        let answer = unsigned(&open, &request);
        assert_eq!(answer.without_date(), forged.without_date(), "{wrong}");
        // A signature does not replace it either.
        assert_eq!(open.send(&request).status, 403);
    }
    let other = json!({ "event_type": "click", "sms_sid": sid(1), "account_sid": OTHER_ACCOUNT });
    let large = vec![b' '; (64 << 10) + 1];
    for (request, status) in [
        (get(&target), 405),
        (post(&target, "application/json", &large), 413),
        (json_post(&target, &other), 403),
        (form(&target, &[("event_type", "click")]), 415),
        (json_post(&target, &json!({ "event_type": "click", "account_sid": ACCOUNT })), 400),
        (json_post(&target, &json!({ "event_type": "click", "sms_sid": sid(1) })), 400),
        (post(&target, "application/json", b"{"), 400),
        (click(&target, 1, "preview", SAFARI), 204),
    ] {
        assert_eq!(unsigned(&open, &request).status, status, "{}", request.method);
    }
    assert_eq!(state(&open, 1), "pending");
    assert_eq!(unsigned(&open, &click(&target, 1, "click", SAFARI)).status, 204);
    assert!(is_proven(&open, 1));
    let metrics = open.service.operator("/metrics").text();
    assert!(metrics.contains("route=\"/twilio/click/{secret}\""));
    assert!(!metrics.contains(SECRET) && !open.service.logs().contains(SECRET));
}

/// A webhook's form has no time. Only the app knows how late it forwards a form.
#[test]
fn a_form_forwarded_late_counts_at_its_given_time_and_without_one_proves_nothing() {
    let now = jiff::Timestamp::now();
    let ago = |seconds| (now - jiff::SignedDuration::from_secs(seconds)).to_string();
    let harness = Harness::new(&[("HEARDBACK_DRY_RUN", "true")]);
    for (number, seconds) in [(1, 600), (2, 30)] {
        let (sid, created) = (sid(number), ago(seconds));
        let fields =
            [("MessageSid", &*sid), ("To", RECIPIENT), ("From", SENDER), ("CreatedAt", &created)];
        assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
    }
    let states = || [1, 2].map(|number| harness.state(number).expect("known"));
    let inbound_sid = sid(101);
    let inbound = reply(&inbound_sid, &[("Body", "thanks")]);
    assert_eq!(harness.send(&form("/app/twilio/message", &inbound)).status, 204);
    assert_eq!(states(), ["pending", "pending"]);
    let at = ago(300).replace(':', "%3A");
    let target = format!("/app/twilio/message?OccurredAt={at}");
    assert_eq!(harness.send(&form(&target, &inbound)).status, 204);
    assert_eq!(states(), ["confirmed", "pending"], "2 did not exist when the person wrote");
}

/// Local time with the offset of UTC is hours ahead in half of the world.
#[test]
fn a_time_far_in_the_future_is_no_time_on_every_road() {
    let now = jiff::Timestamp::now();
    let at = |seconds| (now + jiff::SignedDuration::from_secs(seconds)).to_string();
    let harness = Harness::new(&[("HEARDBACK_DRY_RUN", "true")]);
    for (number, seconds) in [(1, -600), (2, -30)] {
        let (sid, created) = (sid(number), at(seconds));
        let fields = [
            ("MessageSid", &*sid),
            ("To", RECIPIENT),
            ("From", SENDER),
            ("CreatedAt", &created),
            ("Reference", "login 7"),
        ];
        assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
    }
    assert_eq!(harness.send(&status_callback(2, "delivered")).status, 204);
    let (later, inbound, ringing) = (at(7200), sid(101), call_sid(1));
    let time = ("OccurredAt", &*later);
    for request in [
        form("/app/twilio/message", &[reply(&inbound, &[("Body", "thanks")]), vec![time]].concat()),
        form("/app/events", &[("To", RECIPIENT), ("From", SENDER), time]),
        form("/app/events", &[("Reference", "login 7"), time]),
        Recording {
            target: "/app/twilio/call".to_owned(),
            ..call(&ringing, RECIPIENT, &[("CallStatus", "ringing"), time])
        },
    ] {
        assert!(harness.send(&request).status < 300);
        let states = [1, 2].map(|number| state(&harness, number));
        assert_eq!(states, ["pending", "pending"], "{}", request.target);
    }
}
