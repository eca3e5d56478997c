//! The app hangs, resets, answers an error, a page or too much: Twilio gets its answer in time, and evidence is not lost.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;

use crate::forward::app::{App, AppReply, answer, says, twiml};
use crate::forward::{call, content_type, forwards, message, register, service};
use crate::harness::{LONG, eventually, status_callback};

/// An answer of the app, and the label of its failure.
fn faults() -> Vec<(AppReply, &'static str)> {
    let bytes = |text: &str| AppReply::Bytes(text.as_bytes().to_vec());
    let large = "x".repeat(300 << 10);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    let cookie = format!("Set-Cookie: a={}\r\n", "x".repeat(20 << 10));
    vec![
        (answer("500 X", "", "trace"), "server_error"),
        (answer("503 X", "Retry-After: 9\r\n", ""), "server_error"),
        (answer("999 X", "", ""), "server_error"),
        (answer("302 X", "Location: https://evil.example/\r\n", ""), "redirect"),
        (answer("307 X", "Location: /other\r\n", ""), "redirect"),
        (answer("304 X", "", ""), "redirect"),
        (answer("200 OK", "Content-Type: text/xml\r\n", &large), "too_large"),
        (bytes(&chunked), "too_large"),
        (answer("200 OK", &cookie, "x"), "too_large"),
        (answer("200 OK", "Content-Type: text/html\r\n", "<!DOCTYPE html><p>log in"), "html"),
        (answer("200 OK", "Content-Type: text/xml\r\nContent-Encoding: gzip\r\n", "x"), "encoded"),
        (bytes(""), "broken"),
        (bytes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), "broken"),
        (bytes("SSH-2.0-OpenSSH\r\n"), "broken"),
        (bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), "broken"),
        (bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "broken"),
    ]
}

#[test]
fn a_person_gets_empty_twiml_if_the_app_fails_and_no_fallback_url_exists() {
    let app = App::start(says("x"));
    let harness = service(&app, &[]);
    for (number, (reply, reason)) in (1..).zip(faults()) {
        let before = (forwards(&harness, "message", reason), forwards(&harness, "call", reason));
        app.reply_with(reply);
        let given = harness.send(&message(number));
        assert_eq!((given.status, given.text().as_str()), (200, "<Response/>"), "{reason}");
        assert_eq!(content_type(&given), "text/xml");
        let given = harness.send(&call(number, "ringing", &[]));
        let reject = "<Response><Reject/></Response>";
        assert_eq!((given.status, given.text().as_str()), (200, reject), "{reason}");
        let after = (forwards(&harness, "message", reason), forwards(&harness, "call", reason));
        assert_eq!(after, (before.0 + 1, before.1 + 1), "{reason}");
    }
    let logs = harness.service.logs();
    assert!(logs.contains("the app did not answer a message webhook: redirect"), "{logs}");
    for private in ["trace", "evil.example", "/sms", "text 1", crate::harness::RECIPIENT] {
        assert!(!logs.contains(private), "{private} is in {logs}");
    }
}

#[test]
fn twilio_gets_502_if_it_has_a_fallback_url_and_for_every_status_callback() {
    let app = App::start(says("x"));
    let harness = service(&app, &[("HEARDBACK_FORWARD_FALLBACK", "true")]);
    for (number, (reply, reason)) in (1..).zip(faults()) {
        app.reply_with(reply);
        let requests = [
            message(number),
            call(number, "ringing", &[]),
            call(number, "completed", &[("CallDuration", "1")]),
            status_callback(number, "sent"),
        ];
        for request in requests {
            // A callback's answer is for no person, so a page in it does not matter.
            let is_callback = request.target == "/twilio/status" || request.body.ends_with(b"=1");
            let expected = if reason == "html" && is_callback && request.target == "/twilio/status"
            {
                200
            } else {
                502
            };
            let given = harness.send(&request);
            assert_eq!(given.status, expected, "{reason} {}", request.target);
        }
    }
    // The facts of the callback are stored although the app failed.
    assert_eq!(harness.state(1).as_deref(), Some("untracked"));
}

#[test]
fn twilio_is_answered_within_the_timeout_and_the_evidence_counts_if_the_app_hangs() {
    let app = App::start(AppReply::Hold);
    let harness = service(&app, &[("HEARDBACK_FORWARD_TIMEOUT", "500ms")]);
    register(&harness, 1);
    let began = Instant::now();
    let given = harness.send(&message(1));
    assert_eq!((given.status, given.text().as_str()), (200, "<Response/>"));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
    harness.reaches(1, "reported");
    assert_eq!(forwards(&harness, "message", "timeout"), 1);
    // An app that sends a byte now and then gets no more time.
    app.reply_with(AppReply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n".to_vec()));
    let given = harness.send(&message(2));
    assert_eq!(given.status, 200);
    app.reply_with(says("back"));
    assert_eq!(harness.send(&message(3)).text(), twiml("back"));
}

#[test]
fn an_app_may_use_more_time_than_a_connection_without_a_request() {
    let app = App::start(AppReply::Hold);
    let harness = service(&app, &[("HEARDBACK_FORWARD_TIMEOUT", "13s")]);
    let began = Instant::now();
    let given = harness.send(&message(1));
    assert_eq!((given.status, given.text().as_str()), (200, "<Response/>"));
    assert!(began.elapsed() >= Duration::from_secs(13));
}

#[test]
fn an_app_that_is_not_there_is_counted_and_shown() {
    let app = App::start(says("x"));
    let url = app.url("/sms");
    drop(app);
    let app = App::start(says("x"));
    let harness = service(&app, &[("HEARDBACK_FORWARD_MESSAGE_URL", &url)]);
    register(&harness, 1);
    assert_eq!(harness.send(&message(1)).text(), "<Response/>");
    assert_eq!(forwards(&harness, "message", "connect"), 1);
    harness.reaches(1, "reported");
    let has_finding = || {
        let ready = harness.service.operator("/readyz").json();
        let findings = ready["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().any(|finding| finding["id"] == "app_failing")
    };
    eventually("the finding", LONG, has_finding);
    let page = crate::page::get(harness.service.ops, "/", &[]).text();
    assert!(page.contains("data-finding=\"app_failing\""), "{page}");
    assert!(page.contains("connect"), "{page}");
}

#[test]
fn an_app_without_a_valid_certificate_gets_nothing() {
    let app = App::start(says("x"));
    let url = app.url("/sms").replace("http://", "https://");
    let harness = service(&app, &[("HEARDBACK_FORWARD_MESSAGE_URL", &url)]);
    register(&harness, 1);
    assert_eq!(harness.send(&message(1)).text(), "<Response/>");
    assert_eq!(forwards(&harness, "message", "connect"), 1);
    harness.reaches(1, "reported");
    assert!(!app.received().iter().any(|one| one.body.contains("MessageSid")));
}

#[test]
fn a_drain_waits_for_the_app() {
    let app = App::start(AppReply::Hold);
    let mut harness = service(&app, &[]);
    register(&harness, 1);
    let mut line = harness.service.line();
    line.send(&crate::harness::http_client::bytes(&crate::harness::signed(&message(1))));
    app.receives(1);
    harness.service.signal(Signal::TERM);
    harness.service.says("draining");
    app.reply_with(says("at last"));
    assert_eq!(line.answer().expect("an answer").text(), twiml("at last"));
    assert!(harness.service.ends_within(LONG).success(), "{}", harness.service.logs());
}

#[test]
fn a_webhook_whose_client_has_gone_is_finished() {
    let app = App::start(AppReply::Hold);
    let harness = service(&app, &[]);
    register(&harness, 1);
    let mut stream = TcpStream::connect(harness.service.public).expect("connected");
    // The end of the connection is a reset, at which actix drops the request.
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("set");
    let request = crate::harness::http_client::bytes(&crate::harness::signed(&message(1)));
    stream.write_all(&request).expect("sent");
    app.receives(1);
    drop(stream);
    harness.reaches(1, "reported");
    app.reply_with(says("after the end of the connection"));
    eventually("it is counted", LONG, || forwards(&harness, "message", "answered") == 1);
}
