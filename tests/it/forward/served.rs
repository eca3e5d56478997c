//! What the app receives, and what Twilio gets of its answer.

use heardback::recording::Recording;
use heardback::twilio::signature::{Algorithm, KeyId, SigningKey};

use crate::forward::app::{App, answer, says, twiml};
use crate::forward::{call, content_type, forwards, message, register, service};
use crate::harness::{
    ACCOUNT, BASE, Harness, SENDER, TOKEN, get, http_client, key, status_callback,
};

#[test]
fn the_app_gets_the_same_bytes_and_twilio_gets_its_answer() {
    let app = App::start(says("hello"));
    let harness = service(&app, &[]);
    register(&harness, 1);
    let mut request = message(1);
    // Neither the order nor the escapes of a form are unique.
    request.body.extend_from_slice(b"&Z=1&A=it%27s+%c3%a9&A=%7e&Empty=&Odd");
    request.target.push_str("?tenant=7&Z=it's");
    for (name, value) in [
        ("I-Twilio-Idempotency-Token", "token-1"),
        ("User-Agent", "TwilioProxy/1.1"),
        ("X-Home-Region", "us1"),
        ("X-Twilio-Something", "kept"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Cookie", "session=abc"),
        ("TE", "trailers"),
    ] {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    let given = harness.send(&request);
    assert_eq!((given.status, given.text()), (200, twiml("hello")));
    assert_eq!(content_type(&given), "text/xml");
    let received = app.receives(1).remove(0);
    assert_eq!(received.body.as_bytes(), request.body);
    assert_eq!((received.method(), received.target()), ("POST", "/sms?tenant=7&Z=it%27s"));
    for (name, value) in [
        ("Content-Type", Some("application/x-www-form-urlencoded")),
        ("I-Twilio-Idempotency-Token", Some("token-1")),
        ("User-Agent", Some("TwilioProxy/1.1")),
        ("X-Home-Region", Some("us1")),
        ("X-Twilio-Something", Some("kept")),
        ("Cookie", Some("session=abc")),
        ("X-Forwarded-For", None),
        ("TE", None),
        ("Accept-Encoding", None),
        ("Host", Some(app.addr.to_string().as_str())),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    assert_eq!(received.head.matches("x-twilio-signature").count(), 1, "{}", received.head);
    harness.reaches(1, "reported");
    assert_eq!(forwards(&harness, "message", "answered"), 1);
}

#[test]
fn status_content_type_body_and_cookies_of_the_app_reach_twilio_and_no_other_header() {
    let headers = "Content-Type: text/plain; charset=utf-8\r\nServer: app\r\nX-Powered-By: x\r\n\
                   Set-Cookie: a=1; Path=/sms; Domain=app.example.com; HttpOnly\r\nSet-Cookie: b=2\r\n\
                   WWW-Authenticate: Basic\r\nLocation: https://evil.example/\r\n";
    let app = App::start(answer("201 Created", headers, "thanks"));
    let harness = service(&app, &[]);
    let given = harness.send(&message(1));
    assert_eq!((given.status, given.text().as_str()), (201, "thanks"));
    assert_eq!(content_type(&given), "text/plain; charset=utf-8");
    let head = given.head.to_ascii_lowercase();
    assert!(head.contains("set-cookie: a=1; httponly; path=/\r\n"), "{head}");
    assert!(head.contains("set-cookie: b=2; path=/\r\n"), "{head}");
    for name in ["server", "x-powered-by", "www-authenticate", "location"] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{head}");
    }
    // An answer without a body, and one that says no.
    for (status, code) in [("204 No Content", 204), ("404 Not Found", 404), ("403 X", 403)] {
        app.reply_with(answer(status, "", ""));
        assert_eq!(harness.send(&message(2)).status, code);
    }
    assert_eq!(forwards(&harness, "message", "client_error"), 2);
}

#[test]
fn a_call_gets_the_apps_twiml_and_its_end_the_apps_status() {
    let app = App::start(says("hi"));
    let harness = service(&app, &[]);
    register(&harness, 1);
    let given = harness.send(&call(1, "ringing", &[]));
    assert_eq!((given.status, given.text()), (200, twiml("hi")));
    harness.reaches(1, "reported");
    // A choice of the caller's, which the app's first answer asked for, and the end of the call.
    harness.send(&call(1, "in-progress", &[("Digits", "1")]));
    app.reply_with(answer("204 No Content", "", ""));
    assert_eq!(harness.send(&call(1, "completed", &[("CallDuration", "9")])).status, 204);
    let received = app.receives(3);
    assert!(received.iter().all(|one| one.target() == "/voice"), "{received:?}");
    assert!(received[1].body.contains("Digits=1"));
    assert_eq!(forwards(&harness, "call", "answered"), 3);
}

#[test]
fn a_status_callback_is_stored_and_passed_on_with_its_query() {
    let app = App::start(answer("200 OK", "", "ok"));
    let harness = service(&app, &[]);
    let mut request = status_callback(1, "delivered");
    request.target.push_str("?feedback=1&order=17");
    let given = harness.send(&request);
    assert_eq!((given.status, given.text().as_str()), (200, "ok"));
    assert_eq!(app.receives(1)[0].target(), "/status?feedback=1&order=17");
    assert_eq!(harness.state(1).as_deref(), Some("pending"));
    // Twilio repeats one whose answer it lost: the app may have lost it, too.
    harness.send(&request);
    app.receives(2);
}

#[test]
fn a_get_stays_a_get_and_the_apps_own_query_comes_first() {
    let app = App::start(says("got"));
    let url = app.url("/sms?app=1");
    let harness = service(&app, &[("HEARDBACK_FORWARD_MESSAGE_URL", &url)]);
    register(&harness, 1);
    let body = String::from_utf8(message(1).body).expect("ASCII");
    let query = format!("{body}&At=a%40b:c'd");
    let given = harness.send(&get(&format!("/twilio/message?{query}")));
    assert_eq!((given.status, given.text()), (200, twiml("got")));
    let received = app.receives(1).remove(0);
    assert_eq!((received.method(), received.body.as_str()), ("GET", ""));
    assert_eq!(received.target(), format!("/sms?app=1&{}", query.replace('\'', "%27")));
    assert_eq!(received.header("Content-Length"), None);
    harness.reaches(1, "reported");
}

#[test]
fn the_key_that_signed_signs_again() {
    let second = "0123456789abcdeffedcba9876543210";
    let (id, algorithm) = ("webhooks_sharedkey_1", "HMAC_SHA256");
    let app = App::start(says("x"));
    let tokens = format!("{TOKEN},{second}");
    let shared = format!("{id}:{algorithm}:a shared secret");
    let more = [("TWILIO_AUTH_TOKEN", tokens.as_str()), ("TWILIO_SHARED_KEYS", shared.as_str())];
    let harness = service(&app, &more);
    let shared_key = SigningKey::shared(
        KeyId::parse(id).expect("an id"),
        Algorithm::HmacSha256,
        b"a shared secret",
    );
    let settings = format!("key={id},algorithm={algorithm}");
    let cases: [(SigningKey, Option<&str>); 3] =
        [(key(), None), (SigningKey::new(second.as_bytes()), None), (shared_key, Some(&settings))];
    for (number, (signing_key, settings)) in (0..).zip(&cases) {
        let mut request = message(number);
        let header = "X-Twilio-Webhooks-Signature-Settings";
        request.headers.extend(settings.map(|it| (header.to_owned(), it.to_owned())));
        let bytes = http_client::bytes(&request.signed(signing_key, BASE));
        assert_eq!(harness.service.exchange(&bytes).status, 200);
        let received = app.received().pop().expect("one");
        assert_eq!(received.header(header), *settings);
        let length = if settings.is_some() { 44 } else { 28 };
        let signature = received.header("X-Twilio-Signature").expect("signed");
        assert_eq!(signature.len(), length);
        let body = received.body.as_bytes();
        let expected = Recording { target: "/sms".to_owned(), body: body.to_vec(), ..request };
        let expected = expected.signed(signing_key, &app.url(""));
        assert_eq!(expected.header("X-Twilio-Signature"), Some(signature));
    }
}

#[test]
fn a_webhook_that_heardback_cannot_read_reaches_the_app_all_the_same() {
    let app = App::start(says("I can"));
    let harness = service(&app, &[]);
    let cases = [
        format!("MessageSid=no-sid&AccountSid={ACCOUNT}&From=x&To={SENDER}"),
        format!("AccountSid={ACCOUNT}&Body=%FF%FE"),
        format!("MessageSid=SM{0:032}&AccountSid={ACCOUNT}&SmsStatus=delivered", 1),
    ];
    for (count, body) in (1..).zip(&cases) {
        let request = Recording { body: body.clone().into_bytes(), ..message(1) };
        let given = harness.send(&request);
        assert_eq!((given.status, given.text()), (200, twiml("I can")), "{body}");
        assert_eq!(app.receives(count).pop().expect("one").body, *body);
    }
    assert_eq!(harness.service.metric("heardback_refusals_total{reason=\"malformed\"}"), 3);
}

#[test]
fn webhooks_that_the_app_passes_on_itself_and_kinds_without_url_are_not_forwarded() {
    let app = App::start(says("x"));
    let url = app.url("/sms");
    let more =
        [("HEARDBACK_FORWARD_MESSAGE_URL", url.as_str()), ("HEARDBACK_FORWARD_PRIVATE", "1")];
    let harness = Harness::new(&more);
    let mut passed_on = message(1);
    "/app/twilio/message".clone_into(&mut passed_on.target);
    assert_eq!(harness.send(&passed_on).status, 204);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    assert!(harness.send(&call(1, "ringing", &[])).text().contains("<Reject/>"));
    assert_eq!(app.received().len(), 0);
    assert_eq!(harness.send(&message(2)).text(), twiml("x"));
}
