//! The responses to invalid requests: the status, a text without hints, and a closed connection. No
//! request is stored and none leads to a post.

use heardback::recording::Recording;
use serde_json::json;

use crate::harness::http_client::{self, Answer};
use crate::harness::{
    ACCOUNT, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, code_entered, form, get, json as json_post,
    post, sid, signed, status_callback,
};
use crate::http::reply;

const FORM: &str = "application/x-www-form-urlencoded";
const CAP: usize = 64 << 10;

/// A request as bytes, and the expected response.
struct Row {
    name: String,
    bytes: Vec<u8>,
    method: String,
    status: u16,
    /// Whether the response has a text, as for an app's developer.
    told: bool,
    /// What the text must name.
    field: Option<&'static str>,
}

impl Row {
    fn new(name: &str, request: &Recording, status: u16) -> Self {
        Self {
            name: format!("{name}: {} {}", request.method, request.target),
            bytes: http_client::bytes(request),
            method: request.method.clone(),
            status,
            told: request.target.starts_with("/app/"),
            field: None,
        }
    }

    fn naming(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// Sends the request, checks the response, and checks that the connection ends.
    fn check(&self, harness: &Harness) -> Answer {
        let name = &self.name;
        let mut line = harness.service.line();
        line.send(&self.bytes);
        let answer = line.answer_to(&self.method);
        let answer = answer.unwrap_or_else(|| unreachable!("no answer: {name}"));
        assert_eq!(answer.status, self.status, "{name}: {}", answer.text());
        assert!(answer.closes(), "{name}: {}", answer.head);
        assert!(line.is_closed_within(LONG), "{name}: the connection stays open");
        assert_ne!(answer.header("Content-Type"), Some("text/plain"), "{name}");
        if self.told && self.method != "HEAD" {
            let problem = answer.json();
            let media = answer.header("Content-Type");
            assert_eq!(media, Some("application/problem+json"), "{name}");
            assert_eq!(problem.get("status"), Some(&json!(self.status)), "{name}");
            assert_eq!(problem.get("field").and_then(|f| f.as_str()), self.field, "{name}");
            assert!(problem.get("detail").is_some_and(serde_json::Value::is_string), "{name}");
        } else {
            assert_eq!(answer.text(), "", "{name}");
        }
        answer
    }
}

/// No refused request had an effect.
fn had_no_effect(harness: &Harness) {
    assert!(harness.message(1).is_none());
    let metrics = harness.service.operator("/metrics").text();
    let known: Vec<_> = metrics.lines().filter(|l| l.starts_with("heardback_messages{")).collect();
    assert!(known.iter().all(|line| line.ends_with(" 0")), "{known:?}");
    for line in ["heardback_parked 0", "heardback_outbox 0"] {
        assert!(metrics.lines().any(|known| known == line), "{line}");
    }
    assert_eq!(harness.twilio.posts(), [""; 0]);
    assert!(!metrics.contains("status=\"401\""));
}

fn with(mut request: Recording, header: &str, value: &str) -> Recording {
    request.headers.push((header.to_owned(), value.to_owned()));
    request
}

fn bare(method: &str, target: &str) -> Recording {
    Recording { method: method.to_owned(), ..get(target) }
}

#[test]
fn an_unknown_route_is_404_and_a_wrong_method_405_before_any_other_check() {
    let harness = Harness::new(&[]);
    let huge = post("/nowhere", FORM, &vec![b'x'; 1 << 20]);
    for request in [
        get("/nowhere"),
        huge,
        get("/twilio"),
        signed(&get("/app")),
        get("/app/"),
        get("/app/nowhere"),
        signed(&get("/app/messages/a/b")),
        signed(&status_callback(1, "sent")).at("///twilio/status"),
        signed(&status_callback(1, "sent")).at("/Twilio/status"),
    ] {
        Row::new("no route", &request, 404).check(&harness);
    }
    for (method, target, allow) in [
        ("POST", "/", "GET, HEAD"),
        ("DELETE", "/twilio/status", "GET, POST"),
        ("HEAD", "/twilio/status", "GET, POST"),
        ("OPTIONS", "/twilio/message", "GET, POST"),
        ("PUT", "/twilio/message", "GET, POST"),
        ("GET", "/app/twilio/message", "POST"),
        ("GET", "/app/twilio/status", "POST"),
        ("GET", "/app/messages", "POST"),
        ("HEAD", "/app/events", "POST"),
        ("OPTIONS", "/app/events", "POST"),
        ("POST", "/app/messages/SM1", "GET"),
        ("DELETE", "/app/messages/SM1", "GET"),
        ("BREW", "/app/events", "POST"),
    ] {
        let answer = Row::new("method", &bare(method, target), 405).check(&harness);
        assert_eq!(answer.header("Allow"), Some(allow), "{method} {target}");
    }
    let mut big = status_callback(1, "sent");
    big.method = "PUT".to_owned();
    big.body = vec![b'x'; 1 << 20];
    Row::new("a large body", &big, 405).check(&harness);
    had_no_effect(&harness);
}

/// The request with another target and its old signature.
trait At {
    fn at(self, target: &str) -> Self;
}

impl At for Recording {
    fn at(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }
}

#[test]
fn a_body_over_the_limit_is_413_by_declared_or_actual_length_with_any_signature() {
    let harness = Harness::new(&[]);
    let padded = |target: &str, length: usize| {
        let mut request = status_callback(1, "sent").at(target);
        request.body.extend(vec![b'&'; length - request.body.len()]);
        signed(&request)
    };
    for target in ["/twilio/status", "/app/twilio/status", "/app/events"] {
        for length in [CAP + 1, 1 << 20, 8 << 20] {
            let request = padded(target, length);
            Row::new("declared", &request, 413).check(&harness);
            let mut counted = Row::new("in chunks", &request, 413);
            counted.bytes = http_client::chunked(&request, 8000);
            counted.check(&harness);
        }
    }
    // This check comes before the signature's.
    Row::new("unsigned", &post("/twilio/status", FORM, &vec![b'&'; CAP + 1]), 413).check(&harness);
    // The response comes even if the declared body never arrives.
    let mut absent = Row::new("declared only", &padded("/twilio/status", CAP + 1), 413);
    absent.bytes.truncate(absent.bytes.len() - CAP - 1);
    absent.check(&harness);
    had_no_effect(&harness);
    assert_eq!(
        harness.send(&padded("/twilio/status", CAP)).status,
        204,
        "a body of exactly the limit is accepted"
    );
}

#[test]
fn an_unverified_request_and_one_of_another_account_get_the_same_403() {
    let harness = Harness::new(&[]);
    let good = status_callback(1, "delivered");
    let of = |account: &str| {
        let body = String::from_utf8(good.body.clone()).expect("UTF-8");
        Recording { body: body.replace(ACCOUNT, account).into_bytes(), ..good.clone() }
    };
    let forger = heardback::twilio::signature::SigningKey::new(b"a guess");
    let json_body = json_post("/app/events", &json!({ "MessageSid": sid(1) }));
    let mut hashless = signed(&json_body);
    hashless.target = "/app/events".to_owned();
    let url = format!("{}/app/events", crate::harness::BASE);
    let content = heardback::twilio::signature::Content::Nothing;
    let url_only = heardback::twilio::signature::sign(&crate::harness::key(), &url, &content);
    for header in &mut hashless.headers {
        if header.0 == "X-Twilio-Signature" {
            header.1.clone_from(&url_only);
        }
    }
    let mut tampered = signed(&json_body);
    tampered.body = json!({ "MessageSid": sid(2) }).to_string().into_bytes();
    let mut altered = signed(&good);
    altered.body.extend_from_slice(b"&x=1");
    let twilios = [
        ("unsigned", good.clone()),
        ("empty signature", with(good.clone(), "X-Twilio-Signature", "")),
        ("no base64", with(good.clone(), "X-Twilio-Signature", "%%%")),
        ("too short", with(good.clone(), "X-Twilio-Signature", "AAAA")),
        ("forged", good.signed(&forger, crate::harness::BASE)),
        ("another URL", good.signed(&crate::harness::key(), "https://other.example.com")),
        ("another path", signed(&good).at("/twilio/message")),
        ("a query added", signed(&good).at("/twilio/status?feedback=1")),
        ("a parameter added", altered),
        ("another account, signed", signed(&of(OTHER_ACCOUNT))),
        ("another account, unsigned", of(OTHER_ACCOUNT)),
        (
            "another account, and malformed besides",
            signed(&Recording {
                body: format!("MessageSid=x&AccountSid={OTHER_ACCOUNT}").into_bytes(),
                ..good.clone()
            }),
        ),
        (
            "another account's reply",
            signed(&form("/twilio/message", &reply("x", &[("AccountSid", OTHER_ACCOUNT)]))),
        ),
        ("json without a signature", post("/twilio/status", "application/json", b"{}")),
        ("GET, unsigned", get("/twilio/status?MessageSid=x")),
        // The response reveals nothing of later checks.
        ("unsigned, encoded", with(good.clone(), "Content-Encoding", "gzip")),
        ("unsigned, text", post("/twilio/status", "text/plain", b"hello")),
        ("unsigned, broken", post("/twilio/status", FORM, b"\xff%ff")),
    ];
    let apps = [
        ("unsigned", code_entered(1)),
        ("forged", code_entered(1).signed(&forger, crate::harness::BASE)),
        ("hash missing", hashless),
        ("hash of another body", tampered),
        (
            "another account",
            signed(&form(
                "/app/messages",
                &[("MessageSid", &sid(1)), ("AccountSid", OTHER_ACCOUNT)],
            )),
        ),
        (
            "another account, and malformed besides",
            signed(&form("/app/messages", &[("MessageSid", "x"), ("AccountSid", OTHER_ACCOUNT)])),
        ),
        ("GET, unsigned", get(&format!("/app/messages/{}", sid(1)))),
        ("GET of no SID, unsigned", get("/app/messages/x")),
        ("broken JSON, unsigned", post("/app/events", "application/json", b"{")),
        ("passed on, unsigned", good.clone().at("/app/twilio/status")),
    ];
    for rows in [&twilios[..], &apps[..]] {
        let answers = rows
            .iter()
            .map(|(name, request)| Row::new(name, request, 403).check(&harness).without_date());
        let mut answers: Vec<_> = answers.collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:#?}");
    }
    had_no_effect(&harness);
    let spelled = Row { told: true, ..Row::new("escaped", &get("/%61pp/messages/x"), 403) };
    spelled.check(&harness);
    for (reason, count) in [("other_account", 5), ("body_hash_mismatch", 1)] {
        let name = format!("heardback_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(harness.service.metric(&name), count, "{reason}");
    }
}

#[test]
fn a_signed_body_of_the_wrong_type_is_415_before_it_is_parsed() {
    let harness = Harness::new(&[]);
    let json_body = |target: &str| signed(&json_post(target, &json!({ "MessageSid": 1 })));
    for request in [
        json_body("/twilio/status"),
        json_body("/twilio/message"),
        json_body("/app/twilio/message"),
        signed(&post("/app/events", "text/plain", b"MessageSid=x")),
        signed(&post("/app/messages", "multipart/form-data; boundary=x", b"--x--")),
        signed(&post("/app/messages", "application/problem+json", b"{}")),
        with(signed(&status_callback(1, "sent")), "Content-Encoding", "gzip"),
        with(signed(&status_callback(1, "sent")), "Content-Encoding", "identity"),
        with(signed(&code_entered(1)), "Content-Encoding", "br"),
    ] {
        Row::new("type", &request, 415).check(&harness);
    }
    had_no_effect(&harness);
}

#[test]
fn a_signed_but_malformed_request_is_400_and_the_app_gets_the_field() {
    let harness = Harness::new(&[]);
    let (one, two) = (sid(1), sid(2));
    let app = |target: &str, fields: &[(&str, &str)]| signed(&form(target, fields));
    let raw = |target: &str, body: &[u8]| signed(&post(target, FORM, body));
    let broken = |body: &[u8]| signed(&post("/app/events", "application/json", body));
    let long = "x".repeat(129);
    let call = format!("CA{:032x}", 1);
    let verify = format!("VE{:032x}", 1);
    let utf8 = format!("MessageSid={one}&Reference=%ff");
    for (request, field) in [
        (app("/app/messages", &[("To", RECIPIENT)]), Some("MessageSid")),
        (app("/app/messages", &[("MessageSid", "SM1")]), Some("MessageSid")),
        (app("/app/messages", &[("MessageSid", &one), ("sid", &two)]), Some("MessageSid")),
        (app("/app/messages", &[("message_sid", &one), ("messageSid", &two)]), Some("MessageSid")),
        (app("/app/messages", &[("MessageSid", &one), ("AccountSid", "AC1")]), Some("AccountSid")),
        (app("/app/messages", &[("MessageSid", &one), ("Reference", &long)]), Some("Reference")),
        (app("/app/messages", &[("MessageSid", &one), ("To", "5551234")]), Some("To")),
        (app("/app/messages", &[("MessageSid", &one), ("CreatedAt", "now")]), Some("CreatedAt")),
        (app("/app/events", &[("Type", "code_entered")]), Some("MessageSid")),
        (app("/app/events", &[("MessageSid", &one), ("OccurredAt", "x")]), Some("OccurredAt")),
        (app("/app/events", &[("MessageSid", &one), ("Type", &long)]), Some("Type")),
        (app("/app/events", &[("MessageSid", &call)]), Some("MessageSid")),
        (app("/app/events", &[("MessageSid", &verify)]), Some("MessageSid")),
        (app("/app/twilio/status", &[("MessageSid", &one)]), Some("AccountSid")),
        (signed(&get("/app/messages/SM1")), Some("MessageSid")),
        (signed(&get(&format!("/app/messages/{verify}"))), Some("MessageSid")),
        (raw("/app/events", utf8.as_bytes()), None),
        (broken(b"{"), None),
        (broken(b"[]"), None),
        (broken(b""), None),
        (broken(b"{\"MessageSid\":\"\xff\"}"), None),
    ] {
        let row = Row::new(&format!("{field:?}"), &request, 400);
        let row = if let Some(field) = field { row.naming(field) } else { row };
        let detail = row.check(&harness).json();
        let detail = detail.get("detail").and_then(|detail| detail.as_str()).unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body).into_owned() + &request.target;
        if body.contains("VE0") {
            assert!(detail.contains("Verify"), "{detail}");
        }
        if body.contains("CA0") {
            assert!(detail.contains("a call's SID"), "{detail}");
        }
    }
    let status = |fields: &[(&str, &str)]| signed(&form("/twilio/status", fields));
    for request in [
        status(&[("MessageSid", &call), ("AccountSid", ACCOUNT), ("MessageStatus", "sent")]),
        status(&[("MessageSid", &one), ("AccountSid", ACCOUNT)]),
        status(&[("MessageSid", &one), ("MessageStatus", "sent")]),
        signed(&form("/twilio/message", &reply(&one, &[("MessageSid", &two), ("AccountSid", "")]))),
        raw("/twilio/message", b"MessageSid=%ff"),
        raw("/twilio/message", b""),
        signed(&get("/twilio/message")),
    ] {
        Row::new("Twilio's", &request, 400).check(&harness);
    }
    had_no_effect(&harness);
    let counted = "heardback_refusals_total{reason=\"not_a_message\"}";
    assert_eq!(harness.service.metric(counted), 4, "each once");
}

#[test]
fn an_unusual_but_unambiguous_request_is_accepted() {
    let harness = Harness::new(&[]);
    let (one, two) = (sid(1), sid(2));
    let body = |text: &str| signed(&post("/app/messages", FORM, text.as_bytes()));
    let json_body =
        |text: &str| signed(&post("/app/messages", "application/json", text.as_bytes()));
    for (request, reference) in [
        (
            body(&format!("MessageSid={one}&sid={one}&message_sid={one}&Reference=100%25+%&x=%zz")),
            "100% %",
        ),
        (body(&format!("MessageSid={two}&Reference=a&Reference=b&&=&unknown=1")), "a"),
        (
            json_body(&format!(
                r#"{{"sid":"{}","Reference":null,"reference":"c","Reference":"d","To":null,"x":[{{}}]}}"#,
                sid(3)
            )),
            "c",
        ),
    ] {
        let answer = harness.service.exchange(&http_client::bytes(&request));
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json().get("reference"), Some(&json!(reference)));
    }
}
