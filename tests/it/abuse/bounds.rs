//! The work for one request before its signature is verified: limits on parameters, target length,
//! body pieces and the keys that are tried. Valid requests up to each limit are accepted.

use heardback::recording::Recording;
use heardback::twilio::form::MAX_PAIRS;
use heardback::twilio::signature::SigningKey;
use serde_json::json;

use crate::harness::http_client::{self, Answer};
use crate::harness::running::{Running, command};
use crate::harness::twilio::Twilio;
use crate::harness::{
    ACCOUNT, BASE, Harness, LONG, RECIPIENT, SENDER, eventually, form, get, json as json_post,
    post, sid, signed, status_callback,
};

/// `MAX_TARGET` in `inbound/middleware.rs`.
const MAX_TARGET: usize = 32 << 10;
const FORM: &str = "application/x-www-form-urlencoded";

fn forged(request: &Recording) -> Recording {
    request.signed(&SigningKey::new(b"a guess"), BASE)
}

fn send(harness: &Harness, request: &Recording) -> Answer {
    harness.service.exchange(&http_client::bytes(request))
}

/// A status callback with this many parameters.
fn with_parameters(count: usize) -> Recording {
    let mut request = status_callback(1, "sent");
    let known = request.body.split(|byte| *byte == b'&').count();
    request.body.extend((known..count).flat_map(|number| format!("&x{number}=1").into_bytes()));
    request
}

#[test]
fn a_form_or_a_query_of_more_than_512_parameters_is_413_with_any_signature() {
    let harness = Harness::new(&[]);
    assert_eq!(send(&harness, &signed(&with_parameters(MAX_PAIRS))).status, 204);
    let too_many = with_parameters(MAX_PAIRS + 1);
    let query = |count: usize| get(&format!("/twilio/status?{}", "a&".repeat(count)));
    let app = post("/app/events", FORM, "a&".repeat(30_000).as_bytes());
    for request in [too_many, query(600), query(8_000), app.clone()] {
        for request in [signed(&request), forged(&request), request] {
            let answer = send(&harness, &request);
            assert_eq!((answer.status, answer.closes()), (413, true), "{:.40}", request.target);
        }
    }
    let problem = send(&harness, &forged(&app)).json();
    assert_eq!(problem["detail"], "a form and a query may have 512 parameters each", "{problem}");
    let refused = "heardback_refusals_total{reason=\"too_many_parameters\"}";
    assert_eq!(harness.service.metric(refused), 13);
}

#[test]
fn a_form_on_a_route_of_large_json_bodies_has_the_limit_of_other_forms() {
    let harness = Harness::new(&[]);
    for body in ["a&".repeat(1 << 19), "a=".to_owned() + &"b".repeat((1 << 20) - 2)] {
        for media in [FORM, "text/plain"] {
            let request = post("/twilio/events", media, body.as_bytes());
            assert_eq!(send(&harness, &forged(&request)).status, 413, "{media} {body:.4}");
        }
    }
    // A signed form that is small enough is verified, and then refused for its type.
    assert_eq!(send(&harness, &signed(&form("/twilio/events", &[("type", "x")]))).status, 415);
    let batch = format!("[{}]", " ".repeat(900_000));
    let batch = post("/twilio/events", "application/json", batch.as_bytes());
    assert_eq!(send(&harness, &signed(&batch)).status, 204, "a large batch is accepted");
}

#[test]
fn a_target_over_32_kib_is_414_on_every_route_and_the_longest_callback_is_accepted() {
    let harness = Harness::new(&[]);
    let text = "%E3%81%82".repeat(1600);
    let fields = format!("MessageSid={}&SmsStatus=received&AccountSid={ACCOUNT}", sid(1));
    let people = "From=%2B15551234567&To=%2B15017122661";
    let reply = get(&format!("/twilio/message?{fields}&{people}&Body={text}"));
    assert!(reply.target.len() > 14_000 && reply.target.len() < MAX_TARGET);
    assert_eq!(send(&harness, &signed(&reply)).status, 200);
    for route in ["/twilio/message", "/app/messages/x", "/nowhere", "/c/token", "/livez", "/"] {
        for filling in ["a", "a&", "%27", "'", "/"] {
            let long = filling.repeat(MAX_TARGET / filling.len() + 1);
            for request in [get(&format!("{route}?{long}")), get(&format!("{route}/{long}"))] {
                let answer = send(&harness, &forged(&request));
                assert_eq!((answer.status, answer.closes()), (414, true), "{route} {filling}");
            }
        }
    }
    // The authority of an absolute-form target counts towards the limit too.
    let mut line = harness.service.line();
    line.send(
        format!("GET http://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(MAX_TARGET)).as_bytes(),
    );
    assert_eq!(line.answer().expect("an answer").status, 414);
}

#[test]
fn a_body_in_too_many_pieces_is_cut_off_and_one_in_small_pieces_is_accepted() {
    let harness = Harness::new(&[]);
    let honest = http_client::chunked(&signed(&status_callback(1, "sent")), 1);
    assert_eq!(harness.service.exchange(&honest).status, 204);
    let tiny = " ".repeat(200_000);
    for target in ["/twilio/events", "/nowhere", "/app/messages/x"] {
        let request = forged(&post(target, "application/json", tiny.as_bytes()));
        let mut line = harness.service.line();
        line.send(&http_client::chunked(&request, 1));
        assert!(line.answer().is_none_or(|answer| answer.status >= 400), "{target}");
        assert!(line.is_closed_within(LONG), "{target}");
    }
    let cut_off = || harness.service.metric("heardback_refusals_total{reason=\"fragmented\"}");
    eventually("the rejection is counted", LONG, || cut_off() == 1);
    // The same length in pieces of the size of a network packet.
    let batch = format!("[{}]", " ".repeat(200_000));
    let batch = signed(&post("/twilio/events", "application/json", batch.as_bytes()));
    assert_eq!(harness.service.exchange(&http_client::chunked(&batch, 512)).status, 204);
}

#[test]
fn a_list_of_settings_in_many_lines_is_read_and_a_longer_one_selects_no_key() {
    let harness = Harness::new(&[]);
    let with = |count: usize, line: &str| {
        let mut request = signed(&status_callback(1, "sent"));
        let name = "X-Twilio-Webhooks-Signature-Settings";
        request.headers.extend((0..count).map(|_| (name.to_owned(), line.to_owned())));
        send(&harness, &request).status
    };
    assert_eq!(with(80, "v=1"), 204);
    assert_eq!(with(80, &format!("v={}", "1".repeat(1000))), 403);
    assert_eq!(with(2, &format!("v={}", "1".repeat(50_000))), 403);
}

/// A service with many accounts, each with a token and an app key of its own.
struct Many {
    service: Running,
    _twilio: Twilio,
    _folder: tempfile::TempDir,
}

const ACCOUNTS: u32 = 500;

fn account(number: u32) -> String {
    format!("AC{number:032x}")
}

fn token(number: u32) -> SigningKey {
    SigningKey::new(format!("{number:032x}").as_bytes())
}

fn app_key(number: u32) -> SigningKey {
    SigningKey::new(app_secret(number).as_bytes())
}

fn app_secret(number: u32) -> String {
    format!("the app key of account {number}")
}

impl Many {
    fn start() -> Self {
        let (twilio, folder) = (Twilio::start(), tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("accounts.toml");
        let accounts = (1..=ACCOUNTS).map(|number| {
            let (sid, app_key) = (account(number), app_secret(number));
            format!("[[account]]\nsid = \"{sid}\"\nauth_tokens = [\"{number:032x}\"]\napp_keys = [\"{app_key}\"]\n")
        });
        std::fs::write(&file, accounts.collect::<String>()).expect("written");
        let file = file.display().to_string();
        let more = [("HEARDBACK_ACCOUNTS_FILE", file.as_str())];
        let mut command = command(&folder.path().join("store"), &twilio, &more);
        command.env_remove("TWILIO_ACCOUNT_SID").env_remove("TWILIO_AUTH_TOKEN");
        Self { service: Running::start(command), _twilio: twilio, _folder: folder }
    }

    fn send(&self, request: &Recording, key: &SigningKey) -> u16 {
        self.service.exchange(&http_client::bytes(&request.signed(key, BASE))).status
    }
}

#[test]
fn each_of_500_accounts_that_names_itself_is_accepted_and_the_first_accounts_without_a_name() {
    let many = Many::start();
    many.service.says("a request that names no account is tried with 64 of them");
    for (number, message) in [1, 2, ACCOUNTS / 2, ACCOUNTS].into_iter().zip(1..) {
        let (own, sid) = (account(number), sid(message));
        let status = [
            ("MessageSid", sid.as_str()),
            ("MessageStatus", "sent"),
            ("AccountSid", &own),
            ("To", RECIPIENT),
            ("From", SENDER),
        ];
        assert_eq!(many.send(&form("/twilio/status", &status), &token(number)), 204, "{number}");
        let click = json!({ "event_type": "click", "sms_sid": sid, "account_sid": own });
        assert_eq!(many.send(&json_post("/twilio/click", &click), &token(number)), 204);
        let batch = json!([{
            "specversion": "1.0", "type": "com.twilio.messaging.message.sent", "id": "EZ1",
            "source": format!("/2010-04-01/Accounts/{own}/Messages/{sid}.json"),
            "data": { "accountSid": own, "messageSid": sid, "messageStatus": "SENT" },
        }]);
        assert_eq!(
            many.send(&json_post("/twilio/events", &batch), &token(number)),
            204,
            "{number}"
        );
        let event = json!({ "MessageSid": sid, "AccountSid": own });
        assert_eq!(many.send(&json_post("/app/events", &event), &app_key(number)), 200, "{number}");
        let named = format!("/app/messages/{sid}?AccountSid={own}");
        assert_eq!(many.send(&get(&named), &app_key(number)), 200, "{number}");
        let (named, unnamed) = (form("/app/events", &[("MessageSid", &sid)]), get("/nowhere"));
        let expected = if number <= 2 { 200 } else { 403 };
        assert_eq!(many.send(&named, &app_key(number)), expected, "{number} without a name");
        assert_eq!(many.send(&unnamed, &app_key(number)), 404);
        let queried = form(&format!("/app/events?AccountSid={own}"), &[("MessageSid", &sid)]);
        assert_eq!(many.send(&queried, &app_key(number)), 200, "{number} in the query");
        // The account's name only selects keys; it grants no access.
        for other in [1, ACCOUNTS].into_iter().filter(|other| *other != number) {
            assert_eq!(many.send(&form("/twilio/status", &status), &token(other)), 403);
            let click = many.send(&json_post("/twilio/click", &click), &token(other));
            assert_eq!(click, 403, "{number} by {other}");
        }
    }
}

#[test]
fn over_its_limit_a_network_is_refused_without_verification_if_no_signature_could_be_valid() {
    let harness = Harness::new(&[]);
    let unknown = ("AccountSid", "AC9999999999abcdef0123456789abcdef");
    let sid = sid(1);
    let named = form("/twilio/status", &[("MessageSid", &sid), unknown]);
    // A signature with a configured key is no failure, so the request does not count towards the limit.
    for _ in 0..100 {
        assert_eq!(harness.send(&named).status, 403);
    }
    while send(&harness, &forged(&status_callback(7, "sent"))).status != 429 {}
    let limited = |request: &Recording| {
        (0..5).any(|_| {
            while send(&harness, &forged(&status_callback(7, "sent"))).status != 429 {}
            harness.send(request).status == 429
        })
    };
    assert!(limited(&named), "it names an account that is not configured");
    assert!(limited(&form("/twilio/status", &[("MessageSid", &sid)])), "it names no account");
    assert!(limited(&get("/twilio/message?AccountSid=AC9999999999abcdef0123456789abcdef")));
    // An empty or malformed signature header counts as no signature.
    let mut no_signature = status_callback(7, "sent");
    no_signature.headers.push(("X-Twilio-Signature".to_owned(), "nonsense".to_owned()));
    let mut line = harness.service.line();
    let head = http_client::head(&no_signature, 60_000);
    let unread = (0..5).any(|_| {
        while send(&harness, &forged(&status_callback(7, "sent"))).status != 429 {}
        line = harness.service.line();
        line.send(&head);
        line.answer().is_some_and(|answer| answer.status == 429)
    });
    assert!(unread, "the service does not wait for its body");
    assert_eq!(
        harness.send(&status_callback(1, "sent")).status,
        204,
        "signed requests are not limited"
    );
    assert_eq!(harness.confirm(2).status, 200, "not even without an account");
}
