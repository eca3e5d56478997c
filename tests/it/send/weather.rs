//! Faults of the way to Twilio: nothing is sent twice, and the app learns whether its message may have gone out.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;

use crate::harness::http_client::{Answer, bytes};
use crate::harness::{LONG, eventually, form, status_callback};
use crate::send::api::Reply;
use crate::send::{Desk, FORM, create};

fn reply(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// An answer with a body.
fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let mut bytes = reply(&format!("HTTP/1.1 {status}\n{headers}Content-Length: {length}\n\n"));
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// Checks that the answer says whether the message was sent.
fn failed(answer: &Answer, status: u16, sent: &str, words: &str) {
    assert_eq!((answer.status, answer.header("Heardback-Sent")), (status, Some(sent)));
    let body = answer.json();
    assert_eq!(body["code"].as_u64(), Some(20_000 + u64::from(status)));
    let message = body["message"].as_str().expect("a text");
    let advice = match sent {
        "no" => "was not sent",
        "yes" => "was sent. Do not send it again",
        _ => "may have been sent",
    };
    assert!(message.starts_with("Heardback: ") && message.contains(advice), "{message}");
    assert!(message.contains(words), "{message}");
}

#[test]
fn twilios_own_errors_come_back_unchanged_and_register_nothing() {
    let desk = Desk::new(&[]);
    for (status, headers, body, result) in [
        (
            "400 Bad Request",
            "",
            r#"{"code": 21211, "message": "Invalid 'To'","status":400}"#,
            "refused",
        ),
        (
            "400 Bad Request",
            "",
            r#"{"code":21610,"message":"unsubscribed","status":400}"#,
            "refused",
        ),
        ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"Twilio API\"\n", "{}", "refused"),
        (
            "429 Too Many Requests",
            "Retry-After: 7\nTwilio-Concurrent-Requests: 91\nX-RateLimit-Remaining: 0\n",
            r#"{"code":20429,"status":429}"#,
            "throttled",
        ),
        ("500 Oops", "", "<html>no JSON</html>", "failed"),
        ("503 Unavailable", "Retry-After: 1\n", "", "failed"),
    ] {
        let headers = format!("Content-Type: application/json;charset=utf-8\n{headers}Server: x\n");
        desk.api.reply_with(Reply::Bytes(answer(status, &headers, body)));
        let before = desk.count(result);
        let got = desk.send_form(FORM);
        assert_eq!(got.status.to_string(), status.split(' ').next().expect("a number"));
        assert_eq!(got.text(), body);
        assert_eq!(got.header("Server"), None);
        for line in headers.lines().filter(|line| !line.starts_with("Server")) {
            let (name, value) = line.split_once(": ").expect("a header");
            assert_eq!(got.header(name), Some(value), "{status}");
        }
        assert_eq!(got.header("Heardback-Registered"), None);
        // A 5xx may come from a proxy of Twilio's, after the message was accepted.
        let sent = (got.status >= 500).then_some("maybe");
        assert_eq!(got.header("Heardback-Sent"), sent, "{status}");
        assert_eq!(desk.count(result), before + 1);
    }
    assert_eq!(desk.api.requests().len(), 6, "none is repeated");
    let list = desk.harness.service.operator("/metrics").text();
    assert!(list.contains("heardback_messages{state=\"pending\"} 0"), "nothing is registered");
}

#[test]
fn an_answer_that_is_lost_is_never_repeated_also_on_a_connection_that_was_used_before() {
    let desk = Desk::new(&[]);
    assert_eq!(desk.send_form(FORM).status, 201);
    assert_eq!(desk.send_form(FORM).status, 201);
    assert_eq!(desk.api.connections(), 1, "the connection is kept");
    desk.api.reply_with(Reply::Close);
    failed(&desk.send_form(FORM), 502, "maybe", "connection");
    assert_eq!((desk.api.requests().len(), desk.api.connections()), (3, 1), "exactly one request");
    failed(&desk.send_form(FORM), 502, "maybe", "connection");
    assert_eq!((desk.api.requests().len(), desk.api.connections()), (4, 2));
    assert_eq!(desk.count("lost"), 2);
    assert!(desk.harness.service.logs().contains("Twilio's answer to a send was lost"));
    desk.api.reply_with(Reply::Created);
    assert_eq!(desk.send_form(FORM).status, 201);
}

#[test]
fn half_answers_and_strange_ones_say_what_is_known() {
    let desk = Desk::new(&[("HEARDBACK_SEND_TIMEOUT", "1s")]);
    let long = "x".repeat(300 << 10);
    let cases: Vec<(&str, Reply, u16, &str, &str)> = vec![
        ("no head", Reply::BytesAndClose(reply("HTTP/1.1 201")), 502, "maybe", ""),
        ("no HTTP", Reply::BytesAndClose(reply("SSH-2.0-x\n\n")), 502, "maybe", ""),
        (
            "half a body",
            Reply::BytesAndClose(reply("HTTP/1.1 201 Created\nContent-Length: 900\n\n{\"sid\":")),
            502,
            "yes",
            "201, and then",
        ),
        (
            "a broken chunk",
            Reply::BytesAndClose(reply(
                "HTTP/1.1 201 Created\nTransfer-Encoding: chunked\n\nzz\n{}\n",
            )),
            502,
            "yes",
            "201, and then",
        ),
        (
            "half a refusal",
            Reply::BytesAndClose(reply("HTTP/1.1 400 No\nContent-Length: 900\n\n{\"code\":")),
            502,
            "no",
            "400, and then",
        ),
        (
            "too long",
            Reply::Bytes(answer("201 Created", "", &long)),
            502,
            "yes",
            "over 262144 bytes",
        ),
        ("no answer", Reply::Hold, 504, "maybe", "within 1s"),
        (
            "no end",
            Reply::BytesAndHold(reply("HTTP/1.1 201 Created\nContent-Length: 9\n\n{")),
            504,
            "yes",
            "within 1s",
        ),
        (
            "a redirect",
            Reply::Bytes(answer("302 Found", "Location: https://login.example.com/?t=1\n", "")),
            502,
            "maybe",
            "redirected to login.example.com",
        ),
        ("300", Reply::Bytes(answer("300 Many", "", "{}")), 502, "maybe", "300"),
        ("304", Reply::Bytes(reply("HTTP/1.1 304 Same\n\n")), 502, "maybe", "304"),
        ("999", Reply::Bytes(answer("999 What", "", "{}")), 502, "maybe", "999"),
    ];
    let count = cases.len();
    for (what, reply, status, sent, words) in cases {
        desk.api.reply_with(reply);
        let got = desk.send_form(FORM);
        assert_eq!(got.status, status, "{what}: {}", got.text());
        failed(&got, status, sent, words);
    }
    assert_eq!(desk.api.requests().len(), count, "none is repeated");
    assert_eq!(desk.count("lost"), count as u64 - 1);
    assert_eq!(desk.count("not_sent"), 1);
}

#[test]
fn an_api_that_cannot_be_reached_gets_nothing_and_the_answer_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let url = format!("http://{free}");
    let desk = Desk::new(&[("HEARDBACK_UPSTREAM_URL", &url)]);
    failed(&desk.send_form(FORM), 502, "no", "cannot connect");
    assert_eq!(desk.count("not_sent"), 1);
}

#[test]
fn a_2xx_that_names_no_message_is_handed_back_and_not_registered() {
    let desk = Desk::new(&[]);
    let other = r#"{"sid":"SM00000000000000000000000000000009","account_sid":"AC1123456789abcdef0123456789abcdef"}"#;
    for body in ["", "OK", "{}", r#"{"sid":"SM1"}"#, "[1]", "<html></html>", other] {
        desk.api.reply_with(Reply::Bytes(answer("200 OK", "", body)));
        let got = desk.send_form(FORM);
        assert_eq!((got.status, got.text().as_str()), (200, body));
        assert_eq!(got.header("Heardback-Registered"), Some("false"), "{body}");
    }
    assert_eq!(desk.count("unregistered"), 7);
    assert_eq!(desk.harness.state(9), None);
    assert!(desk.harness.service.logs().contains("a message was sent, but not registered"));
}

#[test]
fn the_status_callback_of_a_lost_send_registers_the_message_and_is_counted() {
    let desk = Desk::new(&[]);
    desk.api.reply_with(Reply::Close);
    let got = desk.send_form(&format!("{FORM}&Heardback.Reference=login-7"));
    failed(&got, 502, "maybe", "");
    let sent = desk.api.requests()[0].body.clone();
    let mut request = status_callback(5, "sent");
    request.target = callback_of(&sent);
    assert_eq!(desk.harness.send(&request).status, 204);
    let message = desk.harness.message(5).expect("registered");
    assert_eq!((&message["state"], &message["reference"]), (&"pending".into(), &"login-7".into()));
    assert_eq!((desk.count("lost"), desk.count("found")), (1, 1));
    assert!(desk.harness.service.logs().contains("is the message of a send whose answer was lost"));
    let again = form("/app/events", &[("Reference", "login-7"), ("Type", "code_entered")]);
    assert_eq!(desk.harness.send(&again).status, 200);
    desk.harness.reaches(5, "reported");
}

#[test]
fn a_status_callback_that_comes_before_its_send_loses_the_answer_is_counted_all_the_same() {
    let desk = Desk::new(&[]);
    desk.api.reply_with(Reply::Hold);
    let form = format!("{FORM}&Heardback.Reference=login-7");
    std::thread::scope(|threads| {
        let send = threads.spawn(|| desk.send_form(&form));
        desk.api.waits_for(1);
        let mut request = status_callback(5, "sent");
        request.target = callback_of(&desk.api.requests()[0].body);
        assert_eq!(desk.harness.send(&request).status, 204);
        assert_eq!((desk.count("lost"), desk.count("found")), (0, 0));
        desk.api.reply_with(Reply::Close);
        failed(&send.join().expect("answered"), 502, "maybe", "");
    });
    assert_eq!((desk.count("lost"), desk.count("found")), (1, 1));
}

/// Sends a form on a connection whose end is a reset, at which actix drops the request.
fn hung_up(desk: &Desk) -> TcpStream {
    let mut stream = TcpStream::connect(desk.harness.service.public).expect("connected");
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("set");
    stream.write_all(&bytes(&create(FORM))).expect("sent");
    stream
}

#[test]
fn an_app_that_hangs_up_loses_no_registration() {
    let desk = Desk::new(&[]);
    desk.api.reply_with(Reply::Hold);
    let gone = hung_up(&desk);
    desk.api.waits_for(1);
    drop(gone);
    desk.api.reply_with(Reply::Created);
    desk.harness.reaches(1, "pending");
    assert_eq!(desk.api.requests().len(), 1);
}

#[test]
fn a_stop_finishes_the_sends_under_way_and_answers_them() {
    let mut desk = Desk::new(&[]);
    desk.api.reply_with(Reply::Hold);
    let mut line = desk.harness.service.line();
    line.send(&bytes(&create(FORM)));
    let mut gone = desk.harness.service.line();
    gone.send(&bytes(&create(FORM)));
    desk.api.waits_for(2);
    drop(gone);
    desk.harness.service.signal(Signal::TERM);
    desk.harness.service.says("draining");
    desk.api.reply_with(Reply::Created);
    let got = line.answer().expect("an answer");
    assert_eq!((got.status, got.header("Heardback-Registered")), (201, Some("true")));
    assert!(desk.harness.service.ends_within(LONG).success());
    let logs = desk.harness.service.logs();
    assert!(logs.contains("drained; everything acknowledged is stored"), "{logs}");
    let store = format!("sled:{}", desk.harness.store().display());
    let listed = std::process::Command::new(crate::harness::running::BINARY)
        .args(["list", "--store", &store])
        .output()
        .expect("run");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&crate::harness::sid(1)), "{listed}");
    assert!(listed.contains(&crate::harness::sid(2)), "{listed}");
}

#[test]
fn a_stop_waits_for_a_send_whose_app_hung_up() {
    let mut desk = Desk::new(&[]);
    desk.api.reply_with(Reply::Hold);
    let gone = hung_up(&desk);
    desk.api.waits_for(1);
    drop(gone);
    desk.harness.service.signal(Signal::TERM);
    // No connection is left that the listener could wait for.
    assert!(desk.harness.service.still_runs_after(Duration::from_secs(3)));
    desk.api.reply_with(Reply::Created);
    assert!(desk.harness.service.ends_within(LONG).success());
    desk.restart();
    assert_eq!(desk.harness.state(1).as_deref(), Some("pending"));
}

#[test]
fn a_burst_beyond_the_limit_gets_503_sends_nothing_and_starves_no_webhook() {
    let desk = Desk::new(&[("HEARDBACK_SEND_CONCURRENCY", "2")]);
    desk.api.reply_with(Reply::Hold);
    let mut lines: Vec<_> = (0..2)
        .map(|_| {
            let mut line = desk.harness.service.line();
            line.send(&bytes(&create(FORM)));
            line
        })
        .collect();
    desk.api.waits_for(2);
    for _ in 0..20 {
        let got = desk.send_form(FORM);
        assert_eq!((got.status, got.json()["code"].as_u64()), (503, Some(20503)));
        assert!(got.header("Retry-After").is_some());
        assert!(got.text().contains("was not sent"));
    }
    let began = Instant::now();
    assert_eq!(desk.harness.send(&status_callback(9, "sent")).status, 204);
    assert!(began.elapsed() < Duration::from_secs(2), "webhooks are answered");
    assert_eq!((desk.api.requests().len(), desk.count("busy")), (2, 20));
    desk.api.reply_with(Reply::Created);
    for line in &mut lines {
        assert_eq!(line.answer().expect("an answer").status, 201);
    }
    eventually("a slot is free", LONG, || desk.send_form(FORM).status == 201);
}

/// A kill between Twilio's answer and the app's: the message went out, and the service never stored it.
#[test]
fn after_a_kill_between_twilios_answer_and_the_apps_the_status_callback_registers_the_message() {
    let mut desk = Desk::new(&[]);
    // The answer is under way: the service has its beginning, and the message exists at Twilio.
    let half = reply("HTTP/1.1 201 Created\nContent-Length: 900\n\n{\"sid\":");
    desk.api.reply_with(Reply::BytesAndHold(half));
    let mut line = desk.harness.service.line();
    line.send(&bytes(&create(&format!("{FORM}&Heardback.Reference=login-7"))));
    desk.api.waits_for(1);
    desk.harness.service.signal(Signal::KILL);
    assert!(line.answer().is_none(), "the app hears nothing");
    desk.harness.service.ends_within(LONG);
    let sent = desk.api.requests()[0].body.clone();
    let callback = callback_of(&sent);
    desk.restart();
    assert_eq!(desk.harness.state(1), None, "not stored");
    let mut request = status_callback(1, "sent");
    request.target = callback;
    assert_eq!(desk.harness.send(&request).status, 204);
    let message = desk.harness.message(1).expect("registered");
    assert_eq!((&message["state"], &message["reference"]), (&"pending".into(), &"login-7".into()));
    assert_eq!(desk.api.requests().len(), 1, "the restart sends nothing again");
}

/// The path and query of the status callback URL in a form.
fn callback_of(form: &str) -> String {
    let pairs = heardback::twilio::form::pairs(form.as_bytes());
    let url = String::from_utf8(pairs.last().expect("added").1.decoded().into()).expect("UTF-8");
    let path = url.split("example.com").nth(1).expect("a path");
    path.split('#').next().expect("a path").to_owned()
}
