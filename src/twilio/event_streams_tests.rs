//! Events as Twilio documents them and as others have recorded them, and the parsed results.

use super::*;
use crate::domain::address::RecipientHashKey;
use crate::domain::code::CodeKey;
use crate::domain::message::Status;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const OTHER: &str = "AC1123456789abcdef0123456789abcdef";
const MESSAGE: &str = "SM0123456789abcdef0123456789abcdef";
const CALL: &str = "CA0123456789abcdef0123456789abcdef";
const NOW: &str = "2026-11-23T10:05:00Z";

fn read(body: &str) -> Result<Vec<Event>, Malformed> {
    let (key, code_keys) = (RecipientHashKey::new(b"key"), [CodeKey::new(b"an app's own key")]);
    let context = ParseContext::example(&key, NOW);
    batch(body.as_bytes(), &ParseContext { code_keys: &code_keys, ..context })
}

fn one(kind: &str, data: &str) -> Event {
    let body = format!(
        r#"[{{"specversion":"1.0","type":"com.twilio.{kind}","source":"x","id":"EZ1","datacontenttype":"2025-10-08T07:17:02.363Z","time":"2026-11-23T10:04:00Z","data":{data}}}]"#
    );
    read(&body).expect("read").pop().expect("one")
}

fn signal(kind: &str, data: &str) -> Signal {
    let event = one(kind, data);
    let Incoming::Signal(signal) = event.incoming else { panic!("{event:?}") };
    *signal
}

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

#[test]
fn a_status_event_is_an_update_with_its_own_time() {
    let data = |more: &str| {
        format!(
            r#"{{"messageSid":"{MESSAGE}","accountSid":"{ACCOUNT}","from":"+15017122661","to":"+15558675310","errorCode":30003{more}}}"#
        )
    };
    for (kind, more, status, seen_at) in [
        (
            "delivered",
            r#","messageStatus":"DELIVERED","timestamp":"2026-11-23T10:01:00.123Z""#,
            Status::Delivered,
            "2026-11-23T10:01:00.123Z",
        ),
        ("sent", "", Status::Sent, "2026-11-23T10:04:00Z"),
        ("read", r#","timestamp":"2027-01-01T00:00:00Z""#, Status::Read, NOW),
        ("undelivered", r#","timestamp":"2026-11-01T00:00:00Z""#, Status::Undelivered, NOW),
        // The zero value of a type is no moment: the envelope's counts.
        (
            "queued",
            r#","timestamp":"1970-01-01T00:00:00Z""#,
            Status::Queued,
            "2026-11-23T10:04:00Z",
        ),
    ] {
        let event = one(&format!("messaging.message.{kind}"), &data(more));
        let Incoming::Status(update) = event.incoming else { panic!("{event:?}") };
        assert_eq!((update.status, update.seen_at), (Some(status), moment(seen_at)), "{kind}");
        assert_eq!(update.error_code, Some(30003));
        assert!(update.recipient.is_some() && !update.tracked && !update.strict);
    }
}

#[test]
fn an_inbound_message_is_a_reply_in_every_spelling_and_wrapping() {
    let camel = format!(
        r#"{{"messageSid":"{MESSAGE}","timestamp":"2026-11-23T06:05:00.000Z","accountSid":"{ACCOUNT}","from":"+15558675310","to":"+15017122661","numMedia":0,"body":"my code is 123456","recipients":[]}}"#
    );
    let snake = camel.replace("messageSid", "message_sid").replace("accountSid", "account_sid");
    let pascal = camel
        .replace("messageSid", "MessageSid")
        .replace("accountSid", "AccountSid")
        .replace("\"from\"", "\"From\"")
        .replace("\"to\"", "\"To\"")
        .replace("timestamp", "Timestamp")
        .replace("\"body\"", "\"Body\"");
    let wrapped = format!("{:?}", camel.clone());
    let signals: Vec<Signal> = [&camel, &snake, &pascal, &wrapped]
        .map(|data| signal("messaging.inbound-message.received", data))
        .to_vec();
    for signal in &signals {
        let evidence = signal.evidence.as_ref().expect("evidence");
        assert_eq!(evidence.occurred_at, moment("2026-11-23T06:05:00Z"), "four hours late");
        assert!(matches!(evidence.target, EvidenceTarget::Person { .. }) && signal.code.is_some());
        assert_eq!(signal.dedup_ids.len(), 2, "the event and the message");
        assert_eq!(signal.evidence, signals[0].evidence);
    }
    let stop = camel.replace("my code is 123456", "Stop");
    let stopped = signal("messaging.inbound-message.received", &stop);
    assert_eq!(stopped.evidence, Err(Reason::OptOut));
    assert_eq!(stopped.dedup_ids.len(), 2);
}

#[test]
fn a_whatsapp_reply_without_a_quote_proves_nothing_and_is_not_counted() {
    let data = |from: &str, more: &str| {
        format!(
            r#"{{"messageSid":"{MESSAGE}","from":"{from}","to":"whatsapp:+15017122661","body":"yes"{more}}}"#
        )
    };
    let kind = "messaging.inbound-message.received";
    for from in ["whatsapp:+15558675310", "WhatsApp:+15558675310"] {
        let unquoted = signal(kind, &data(from, ""));
        assert_eq!(
            (unquoted.evidence, unquoted.dedup_ids),
            (Err(Reason::QuoteUnknown), Vec::new())
        );
    }
    let quote = format!(r#","originalRepliedMessageSid":"{MESSAGE}""#);
    let quoted = signal(kind, &data("whatsapp:+15558675310", &quote));
    assert_eq!(quoted.evidence.map(|it| it.target), Ok(EvidenceTarget::Message(message())));
    assert_eq!(quoted.dedup_ids.len(), 2);
    let text = signal(kind, &data("+15558675310", ""));
    assert!(text.evidence.is_ok(), "a text message can quote nothing");
}

#[test]
fn a_reply_without_a_time_proves_nothing_and_is_not_counted() {
    let body = format!(
        r#"{{"type":"com.twilio.messaging.inbound-message.received","id":"EZ1","time":"soon","data":{{"messageSid":"{MESSAGE}","from":"+15558675310","to":"+15017122661"}}}}"#
    );
    let event = read(&body).expect("one alone").pop().expect("one");
    let Incoming::Signal(signal) = event.incoming else { panic!("{event:?}") };
    assert_eq!((signal.evidence, signal.dedup_ids), (Err(Reason::TimeUnknown), Vec::new()));
}

#[test]
fn a_click_goes_by_the_crawler_rule() {
    let data = |agent: &str| {
        format!(
            r#"{{"message_sid":"{MESSAGE}","account_sid":"{ACCOUNT}","to":"+15558675310","from":"+15017122661","link":"https://example.com","click_time":"2026-11-23T10:02:00.000Z","user_agent":"{agent}"}}"#
        )
    };
    let kind = "daptbt.link-shortening.link-clicked";
    let clicked = signal(kind, &data("Mozilla/5.0 (iPhone) Safari/604.1"));
    let evidence = clicked.evidence.expect("evidence");
    assert_eq!(evidence.target, EvidenceTarget::Message(message()));
    assert_eq!(evidence.occurred_at, moment("2026-11-23T10:02:00Z"));
    assert_eq!(clicked.dedup_ids, [DedupId::Event("EZ1".to_owned())]);
    // The user agent of Twilio's own example.
    let previewed = signal(
        kind,
        &data(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/56.0.2924.87 Safari/537.36 Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)",
        ),
    );
    assert_eq!(previewed.evidence, Err(Reason::Crawler));
    assert_eq!(one("daptbt.link-shortening.link-shortened", &data("")).incoming, Incoming::Ignored);
}

fn message() -> crate::domain::sid::MessageSid {
    crate::domain::sid::MessageSid::parse(MESSAGE).expect("valid")
}

#[test]
fn a_call_is_found_in_the_parameters_of_its_request() {
    let data = |more: &str| {
        format!(
            r#"{{"sid":"{CALL}","timestamp":"2026-11-23T10:03:00.000Z","eventSid":"VW1","request":{{"method":"POST","url":"https://x","parameters":{{"CallSid":"{CALL}","AccountSid":"{ACCOUNT}","From":"+15558675310","To":"+15017122661","Direction":"inbound"{more}}}}},"response":{{"responseCode":200}}}}"#
        )
    };
    for (kind, more, start) in [
        ("initiated", r#","CallStatus":"initiated""#, Ok("2026-11-23T10:03:00Z")),
        ("ringing", "", Ok("2026-11-23T10:03:00Z")),
        ("answered", r#","CallStatus":"in-progress""#, Err(Reason::TimeUnknown)),
        (
            "completed",
            r#","CallStatus":"completed","CallDuration":"60""#,
            Ok("2026-11-23T10:02:00Z"),
        ),
        ("completed", r#","CallDuration":60"#, Ok("2026-11-23T10:02:00Z")),
        ("completed", r#","CallStatus":"no-answer","CallDuration":"0""#, Err(Reason::TimeUnknown)),
        ("completed", "", Err(Reason::TimeUnknown)),
    ] {
        let signal = signal(&format!("voice.status-callback.call.{kind}"), &data(more));
        let began = signal.evidence.map(|evidence| evidence.occurred_at);
        assert_eq!(began, start.map(moment), "{kind} {more}");
        assert_eq!(signal.dedup_ids.len(), 2 * usize::from(began.is_ok()), "{kind} {more}");
    }
    let outbound = data("").replace("inbound", "outbound-api");
    let outbound = signal("voice.status-callback.call.ringing", &outbound);
    assert_eq!(outbound.evidence, Err(Reason::Outbound));
    // As the Call Event resource spells them, and by the name of before 2024; and flat.
    let snake = data("")
        .replace("CallSid", "call_sid")
        .replace("AccountSid", "account_sid")
        .replace("From", "from")
        .replace("To", "to")
        .replace("Direction", "direction");
    let flat = format!(
        r#"{{"sid":"{CALL}","accountSid":"{ACCOUNT}","from":"+15558675310","to":"+15017122661","direction":"inbound"}}"#
    );
    for data in [snake, flat] {
        let kind = "voice.webhook.status-callback.call.initiated";
        assert!(signal(kind, &data).evidence.is_ok(), "{data}");
    }
}

#[test]
fn the_sinks_test_and_unknown_events_are_accepted_and_ignored() {
    // The test's id is the account's SID, each time: it must not make an event a duplicate.
    let test = format!(
        r#"[{{"specversion":"1.0","type":"com.twilio.eventstreams.test-event","source":"Sink","id":"{ACCOUNT}","dataschema":"x","datacontenttype":"application/json","time":"2026-11-23T10:02:54.377Z","data":{{"test_id":"cae2f9e2-c277-4612-8ad3-93c1a7a3ef88"}}}}]"#
    );
    assert_eq!(read(&test), Ok(vec![Event { kind: EventKind::Test, incoming: Incoming::Ignored }]));
    let wrapped = test.replace(
        r#"{"test_id":"cae2f9e2-c277-4612-8ad3-93c1a7a3ef88"}"#,
        r#""{\"test_id\":\"c\"}""#,
    );
    assert_eq!(read(&wrapped), read(&test));
    for kind in ["error-logs.error.logged", "messaging.message", "messaging.message.", "voice.x"] {
        let event = one(kind, "{}");
        assert_eq!(
            event,
            Event { kind: EventKind::Unknown, incoming: Incoming::Ignored },
            "{kind}"
        );
    }
    assert_eq!(read("[]"), Ok(Vec::new()));
}

#[test]
fn a_malformed_event_does_not_reject_its_batch() {
    let good = format!(
        r#"{{"type":"com.twilio.messaging.message.sent","id":"EZ2","data":{{"messageSid":"{MESSAGE}"}}}}"#
    );
    for bad in [
        "1",
        "null",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"com.twilio.messaging.message.sent"}"#,
        r#"{"type":"com.twilio.messaging.message.sent","data":"{"}"#,
        r#"{"type":"com.twilio.messaging.message.sent","data":[]}"#,
        r#"{"type":"com.twilio.messaging.message.sent","data":{"messageSid":"SM1"}}"#,
        r#"{"type":"com.twilio.messaging.inbound-message.received","data":{"from":"+15558675310"}}"#,
        r#"{"type":"com.twilio.voice.status-callback.call.ringing","data":{"sid":"SM1"}}"#,
        r#"{"type":"com.twilio.daptbt.link-shortening.link-clicked","data":{}}"#,
    ] {
        let events = read(&format!("[{bad},{good}]")).expect("a batch");
        let understood =
            events.iter().filter(|event| matches!(event.incoming, Incoming::Status(_)));
        assert_eq!((events.len(), understood.count()), (2, 1), "{bad}");
        let flawed = matches!(events[0].incoming, Incoming::Malformed(_) | Incoming::Ignored);
        assert!(flawed, "{bad}: {:?}", events[0]);
    }
    for none in ["", "1", "null", "\"[]\"", "[{]", "[] []", "{"] {
        assert!(matches!(read(none), Err(Malformed::Json(_))), "{none}");
    }
}

#[test]
fn events_of_another_account_are_not_accepted() {
    let with = |data: &str, source: &str| {
        format!(
            r#"{{"type":"com.twilio.messaging.message.sent","source":"{source}","data":{{"messageSid":"{MESSAGE}"{data}}}}}"#
        )
    };
    let by_data = with(&format!(r#","accountSid":"{OTHER}""#), "x");
    let by_source = with("", &format!("/2010-04-01/Accounts/{OTHER}/Messages/{MESSAGE}.json"));
    let unknown = format!(r#"{{"type":"com.twilio.x.y","data":{{"account_sid":"{OTHER}"}}}}"#);
    let ours = with("", &format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{MESSAGE}.json"));
    for other in [&by_data, &by_source, &unknown] {
        assert_eq!(read(&format!("[{other},{other}]")), Err(Malformed::OtherAccount));
        let mixed = read(&format!("[{other},{ours}]")).expect("a batch");
        assert_eq!(mixed[0].incoming, Incoming::OtherAccount);
        assert!(matches!(mixed[1].incoming, Incoming::Status(_)));
    }
}

#[test]
fn the_first_of_repeated_members_counts_and_a_long_id_is_no_id() {
    let data = format!(
        r#"{{"message_sid":"{MESSAGE}","click_time":"2026-11-23T10:02:00Z","click_time":"2026-11-23T10:03:00Z"}}"#
    );
    let clicked = signal("daptbt.link-shortening.link-clicked", &data);
    let evidence = clicked.evidence.expect("evidence");
    assert_eq!(evidence.occurred_at, moment("2026-11-23T10:02:00Z"));
    let long = format!(
        r#"[{{"type":"com.twilio.daptbt.link-shortening.link-clicked","id":"{}","data":{data}}}]"#,
        "x".repeat(MAX_ID + 1)
    );
    let event = read(&long).expect("read").pop().expect("one");
    let Incoming::Signal(signal) = event.incoming else { panic!("{event:?}") };
    assert_eq!(signal.dedup_ids, []);
}

#[test]
fn a_status_event_registers_its_message_by_callback_url_or_tag() {
    let own = "https://hooks.example.com/twilio/status";
    let read_with = |more: &str, reference_tag| {
        let key = RecipientHashKey::new(b"key");
        let context = ParseContext { reference_tag, ..ParseContext::example(&key, NOW) };
        let body = format!(
            r#"{{"type":"com.twilio.messaging.message.delivered","id":"EZ1","data":{{"messageSid":"{MESSAGE}","accountSid":"{ACCOUNT}"{more}}}}}"#
        );
        let event = batch(body.as_bytes(), &context).expect("read").pop().expect("one");
        match event.incoming {
            Incoming::Status(update) => {
                let reference = update.reference.map(|known| known.as_str().to_owned());
                Some((update.tracked, reference))
            }
            Incoming::WithoutReference(update, error) => {
                assert!(!update.tracked && update.reference.is_none() && update.status.is_some());
                assert!(!error.to_string().contains("1555"), "{error}");
                None
            }
            Incoming::Signal(_)
            | Incoming::Ignored
            | Incoming::OtherAccount
            | Incoming::Malformed(_) => panic!("{more}"),
        }
    };
    let login = |name: &str| Some((true, Some(name.to_owned())));
    let url = |query: &str| format!(r#","statusCallBackUrl":"{own}{query}""#);
    let late_schema =
        format!(r#","statusCallbackUrl":"{own}/?reference=login%209&feedback=True#rc=3""#);
    // In the URL of another service, `feedback` has another meaning.
    let other = r#","statusCallBackUrl":"https://shop.example/rate?feedback=1&reference=a""#;
    let tags = |tags: &str| format!(r#","tags":{tags}"#);
    for (more, tag, expected) in [
        (url("?feedback=1&reference=login-9"), None, login("login-9")),
        (late_schema, None, login("login 9")),
        (url("?feedback=1"), None, Some((true, None))),
        (url("?feedback=0&reference=login-9"), None, Some((false, Some("login-9".to_owned())))),
        (url("#?feedback=1"), None, Some((false, None))),
        (url("?feedback=1&reference=undefined"), None, None),
        (other.to_owned(), None, Some((false, None))),
        (r#","statusCallBackUrl":null"#.to_owned(), None, Some((false, None))),
        (tags(r#"{"login":"login-9","team":"x"}"#), Some("login"), login("login-9")),
        (tags(r#""{\"login\":\"login-9\"}""#), Some("login"), login("login-9")),
        (tags(r#"{"login":"login-9"}"#), None, Some((false, None))),
        (tags(r#"{"team":"x"}"#), Some("login"), Some((false, None))),
        (tags(r#"{"login":"null"}"#), Some("login"), None),
        (tags(r#"{"login":"+15551234567"}"#), Some("login"), None),
        (tags(r#"["login"]"#), Some("login"), Some((false, None))),
    ] {
        assert_eq!(read_with(&more, tag), expected, "{more}");
    }
}
