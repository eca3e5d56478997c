//! Event Streams over real HTTP: batches, duplicates, late events, batches over the limits, and the
//! time that a large batch takes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT, Harness, OTHER_ACCOUNT, SENDER, form, http_client, json as json_post, post, sid,
    signed,
};
use crate::http::reply;
use crate::http::signals::{before, sent};

const PERSON: &str = "+15558675310";

fn event(kind: &str, id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "type": format!("com.twilio.{kind}"), "id": id, "data": data,
        "source": format!("/2010-04-01/Accounts/{ACCOUNT}/x"), "datacontenttype": "application/json",
    })
}

fn status(number: u32, word: &str) -> Value {
    let data = json!({
        "messageSid": sid(number), "accountSid": ACCOUNT, "messageStatus": word,
        "from": SENDER, "to": PERSON,
    });
    event(
        &format!("messaging.message.{}", word.to_lowercase()),
        &format!("EZ{number}{word}"),
        &data,
    )
}

fn inbound(number: u32, id: &str, at: impl std::fmt::Display) -> Value {
    let data = json!({
        "messageSid": sid(0x1000 + number), "accountSid": ACCOUNT, "from": PERSON, "to": SENDER,
        "body": "thanks", "timestamp": at.to_string(),
    });
    event("messaging.inbound-message.received", id, &data)
}

fn send(harness: &Harness, batch: &Value) -> u16 {
    harness.send(&json_post("/twilio/events", batch)).status
}

fn state(harness: &Harness, number: u32) -> String {
    harness.state(number).expect("known")
}

fn is_proven(harness: &Harness, number: u32) -> bool {
    matches!(state(harness, number).as_str(), "confirmed" | "reported")
}

#[test]
fn a_reply_counts_once_whether_it_comes_by_webhook_by_event_or_twice() {
    let harness = Harness::new(&[]);
    sent(&harness, 1, PERSON, SENDER, 60);
    let first = inbound(1, "EZ1", before(&harness, 50));
    assert_eq!(send(&harness, &json!([first, first])), 204);
    assert!(is_proven(&harness, 1));
    // The reply is older than the next message. Its duplicate by webhook would count at the current
    // time.
    sent(&harness, 2, PERSON, SENDER, 40);
    let fields = [("From", PERSON)];
    let replied = sid(0x1001);
    assert_eq!(harness.send(&form("/twilio/message", &reply(&replied, &fields))).status, 200);
    assert_eq!(send(&harness, &json!([first])), 204);
    // The same event with another message in it is the same event.
    let same_id = inbound(2, "EZ1", before(&harness, 0));
    assert_eq!(send(&harness, &json!([same_id])), 204);
    assert_eq!(state(&harness, 2), "pending");
    assert_eq!(send(&harness, &json!([inbound(2, "EZ2", before(&harness, 0))])), 204);
    assert!(is_proven(&harness, 2));
    let metric = |result: &str| {
        let labels = format!("type=\"inbound_message\",result=\"{result}\"");
        harness.service.metric(&format!("heardback_events_total{{{labels}}}"))
    };
    assert_eq!((metric("confirmed"), metric("none")), (2, 3));
}

#[test]
fn a_whatsapp_reply_waits_for_the_webhook_with_the_quoted_message() {
    let harness = Harness::new(&[]);
    let (person, sender) = (format!("whatsapp:{PERSON}"), format!("whatsapp:{SENDER}"));
    sent(&harness, 1, &person, &sender, 60);
    sent(&harness, 2, &person, &sender, 30);
    let mut event = inbound(1, "EZ1", before(&harness, 5));
    event["data"]["from"] = json!(person);
    event["data"]["to"] = json!(sender);
    assert_eq!(send(&harness, &json!([event])), 204);
    assert_eq!(state(&harness, 2), "pending", "the event does not name the quoted message");
    let (replied, quoted) = (sid(0x1001), sid(1));
    let fields =
        [("From", &*person), ("To", &*sender), ("OriginalRepliedMessageSid", quoted.as_str())];
    assert_eq!(harness.send(&form("/twilio/message", &reply(&replied, &fields))).status, 200);
    assert!(is_proven(&harness, 1));
    assert_eq!(send(&harness, &json!([event])), 204, "again, after the webhook");
    assert_eq!(state(&harness, 2), "pending");
    let unknown = "heardback_evidence_unmatched_total{reason=\"quote_unknown\"}";
    assert_eq!(harness.service.metric(unknown), 1 + 1);
}

#[test]
fn one_event_that_the_store_refuses_does_not_affect_the_others() {
    let harness = Harness::new(&[("HEARDBACK_MAX_MESSAGES", "2")]);
    sent(&harness, 1, PERSON, SENDER, 60);
    // More new messages than one group has, and last an event that a full store accepts.
    let mut batch: Vec<Value> = (100..700).map(|number| status(number, "SENT")).collect();
    batch.push(status(1, "DELIVERED"));
    assert_eq!(send(&harness, &json!(batch)), 503);
    let message = harness.message(1).expect("known");
    assert_eq!(message["status"], "delivered", "{message}");
}

#[test]
fn an_event_that_is_four_hours_late_counts_at_its_own_time() {
    let harness = Harness::new(&[]);
    sent(&harness, 1, PERSON, SENDER, 4 * 3600 + 60);
    sent(&harness, 2, PERSON, SENDER, 60);
    assert_eq!(send(&harness, &json!([inbound(1, "EZ1", before(&harness, 4 * 3600))])), 204);
    assert_eq!(state(&harness, 2), "pending", "the reply is about the earlier message");
    assert!(is_proven(&harness, 1));
}

#[test]
fn a_late_status_shows_that_its_message_existed_when_the_reply_was_written() {
    let harness = Harness::new(&[]);
    // Registered just now, without a creation time.
    let message = json!({ "MessageSid": sid(1), "To": PERSON, "From": SENDER });
    assert_eq!(harness.send(&json_post("/app/messages", &message)).status, 201);
    assert_eq!(send(&harness, &json!([inbound(1, "EZ1", before(&harness, 120))])), 204);
    assert_eq!(state(&harness, 1), "pending", "it may be younger than the reply");
    let mut late = status(1, "SENT");
    late["data"]["timestamp"] = json!(before(&harness, 240).to_string());
    assert_eq!(send(&harness, &json!([late])), 204);
    assert!(is_proven(&harness, 1));
}

#[test]
fn a_batch_may_have_a_mebibyte_and_is_refused_like_other_requests() {
    let harness = Harness::new(&[]);
    let padded = |length: usize| {
        let mut body = json!([status(1, "SENT")]).to_string().into_bytes();
        body.extend(vec![b' '; length - body.len()]);
        signed(&post("/twilio/events", "application/json", &body))
    };
    let others = json!([{ "type": "com.twilio.messaging.message.sent",
        "data": { "messageSid": sid(3), "accountSid": OTHER_ACCOUNT } }]);
    for (request, expected) in [
        (padded(1 << 20), 204),
        (padded((1 << 20) + 1), 413),
        (post("/twilio/events", "application/json", b"[]"), 403),
        (signed(&json_post("/twilio/events", &others)), 403),
        (signed(&form("/twilio/events", &[("type", "x")])), 415),
        (signed(&post("/twilio/events", "application/json", b"[{]")), 400),
        (signed(&post("/twilio/events", "application/json", b"7")), 400),
        (signed(&post("/twilio/events", "application/json", b"[]")), 204),
        (signed(&json_post("/twilio/events", &status(4, "SENT"))), 204),
        (crate::harness::get("/twilio/events"), 405),
    ] {
        let answer = harness.service.exchange(&http_client::bytes(&request));
        assert_eq!(answer.status, expected, "{} bytes", request.body.len());
        assert_eq!(answer.closes(), expected != 204, "{expected}");
        assert_eq!(answer.text(), "");
    }
    assert!(harness.message(3).is_none() && harness.message(4).is_some());
}

#[test]
fn a_batch_that_the_store_refuses_in_part_is_503_and_is_sent_again() {
    let harness = Harness::new(&[("HEARDBACK_MAX_MESSAGES", "3")]);
    let batch: Vec<Value> = (1..=5).map(|number| status(number, "SENT")).collect();
    let answer = harness.send(&json_post("/twilio/events", &json!(batch)));
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("5")));
    let known = "heardback_messages{state=\"untracked\"}";
    assert_eq!(harness.service.metric(known), 3, "the events that had room are stored");
    assert_eq!(send(&harness, &json!(batch)), 503, "and the batch is sent again");
    assert_eq!(harness.service.metric(known), 3);
}

#[test]
fn a_thousand_events_are_synced_in_groups_and_not_one_by_one() {
    let harness = Harness::new(&[]);
    let batch: Vec<Value> = (1..=1000).map(|number| status(number, "SENT")).collect();
    let body = json!(batch);
    let began = Instant::now();
    assert_eq!(send(&harness, &body), 204);
    // Twilio waits for 5 s. The printed duration is for the reader; the number of syncs is the
    // assertion.
    println!("1000 events, {} bytes: {:?}", body.to_string().len(), began.elapsed());
    assert_eq!(harness.service.metric("heardback_messages{state=\"untracked\"}"), 1000);
    let commits = harness.service.metric("heardback_store_commits_total");
    println!("{commits} commits");
    assert!(commits < 200, "{commits}");
}
