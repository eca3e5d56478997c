//! Nothing unsigned goes on, no address but the app's is reached, and no request chooses one.

use heardback::domain::forward::{ForwardFailure, ForwardKind};
use heardback::domain::sid::AccountSid;
use heardback::forward::{AppAnswer, AppRequest, Failed, ForwardConfig, Forwarder};
use heardback::recording::Recording;
use heardback::twilio::app_url::AppUrl;
use heardback::twilio::signature::SigningKey;

use crate::forward::app::{App, answer, says};
use crate::forward::{call, message, service};
use crate::harness::running::{BINARY, settings};
use crate::harness::twilio::Twilio;
use crate::harness::{BASE, OTHER_ACCOUNT, http_client, key, signed, status_callback};

#[test]
fn a_request_without_a_valid_signature_is_not_forwarded() {
    let app = App::start(says("x"));
    let harness = service(&app, &[]);
    let other = SigningKey::new(b"another token");
    for request in [message(1), call(1, "ringing", &[]), status_callback(1, "sent")] {
        let mut changed = signed(&request);
        changed.body.extend_from_slice(b"&Body=other");
        let mut elsewhere = request.clone();
        let text = String::from_utf8(request.body.clone()).expect("ASCII");
        elsewhere.body = text.replace(crate::harness::ACCOUNT, OTHER_ACCOUNT).into_bytes();
        let forgeries = [
            request.clone(),
            request.signed(&other, BASE),
            request.signed(&key(), "https://other.example.com"),
            changed,
            elsewhere.signed(&key(), BASE),
            Recording { method: "PUT".to_owned(), ..signed(&request) },
        ];
        for forgery in forgeries {
            let given = harness.service.exchange(&http_client::bytes(&forgery));
            assert!(matches!(given.status, 403 | 405), "{}", given.status);
        }
    }
    assert_eq!(app.received().len(), 0);
}

/// No delimiter is signed, so the signature of the original form is valid for the changed one, too.
#[test]
fn a_form_of_twilios_with_a_moved_delimiter_is_not_signed_anew_for_the_app() {
    let app = App::start(says("x"));
    let harness = service(&app, &[]);
    for (request, names) in [
        (message(1), &["MessageSid", "AccountSid", "From", "To"][..]),
        (call(1, "ringing", &[]), &["CallSid", "AccountSid"]),
        (status_callback(1, "sent"), &["MessageSid", "AccountSid", "MessageStatus"]),
    ] {
        for name in names {
            let mut moved = signed(&request);
            let text = String::from_utf8(moved.body).expect("ASCII");
            let (start, last) = name.split_at(name.len() - 1);
            moved.body = text.replacen(&format!("{name}="), &format!("{start}={last}"), 1).into();
            let given = harness.service.exchange(&http_client::bytes(&moved));
            assert_eq!(given.status, 400, "{name} of {}", request.target);
        }
    }
    assert_eq!(app.received().len(), 0);
}

#[test]
fn no_part_of_a_request_chooses_the_address() {
    let (app, other) = (App::start(says("app")), App::start(says("other")));
    let harness = service(&app, &[]);
    let host = other.addr.to_string();
    for (name, value) in [
        ("X-Forwarded-Host", host.as_str()),
        ("X-Original-URL", &other.url("/")),
        ("Forwarded", &format!("host={host}")),
        ("X-Twilio-Forward-To", &other.url("/")),
        ("Referer", &other.url("/")),
    ] {
        let mut request = message(1);
        request.headers.push((name.to_owned(), value.to_owned()));
        request
            .body
            .extend_from_slice(format!("&Url={}&Forward={host}", other.url("/")).as_bytes());
        assert_eq!(harness.send(&request).status, 200, "{name}");
    }
    for target in [
        format!("/twilio/message?@{host}/"),
        format!("/twilio/message?url=http://{host}/"),
        format!("/twilio/message?%0d%0aHost:{host}"),
        "/twilio/message?/../../admin".to_owned(),
    ] {
        let given = harness.send(&Recording { target, ..message(1) });
        assert_eq!(given.status, 200);
    }
    assert_eq!(other.received().len(), 0);
    let received = app.receives(9);
    assert!(
        received.iter().all(|one| one.target().split('?').next() == Some("/sms")),
        "{received:?}"
    );
}

#[test]
fn a_redirect_of_the_app_leads_nowhere() {
    let (app, other) = (App::start(says("app")), App::start(says("other")));
    let harness = service(&app, &[]);
    for status in ["301 X", "302 X", "303 X", "307 X", "308 X"] {
        let location = format!("Location: {}\r\n", other.url("/"));
        app.reply_with(answer(status, &location, ""));
        assert_eq!(harness.send(&message(1)).text(), "<Response/>");
    }
    assert_eq!((other.received().len(), app.received().len()), (0, 5));
}

/// Asks an app without private networks. The settings would refuse these URLs, so the client alone decides.
async fn ask_in_public(url: &str) -> Result<AppAnswer, Failed> {
    let account = AccountSid::parse(crate::harness::ACCOUNT).expect("an account");
    let kind = ForwardKind::Message;
    let target = ((account, kind), AppUrl::parse(url).expect("a URL"));
    let forwarder = Forwarder::new(ForwardConfig::default(), vec![target]).expect("a client");
    let request = AppRequest {
        account,
        kind,
        key: key(),
        is_get: false,
        query: String::new(),
        headers: Vec::new(),
        body: b"a=1".to_vec(),
        person: None,
    };
    forwarder.forward(request).await
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_refused_when_it_is_used() {
    let app = App::start(says("x"));
    let port = app.addr.port();
    for url in [
        format!("https://localhost:{port}/sms"),
        format!("https://127.0.0.1:{port}/sms"),
        format!("https://[::ffff:127.0.0.1]:{port}/sms"),
        format!("http://127.0.0.1:{port}/sms"),
        "https://10.0.0.1/sms".to_owned(),
    ] {
        let failed = ask_in_public(&url).await.expect_err("refused");
        assert_eq!(failed.failure, ForwardFailure::Address, "{url}: {failed:?}");
    }
    assert_eq!(app.received().len(), 0);
}

#[test]
fn heardback_does_not_forward_its_own_request_again() {
    let app = App::start(says("x"));
    let harness = service(&app, &[]);
    let mut own = message(1);
    own.headers.push(("Via".to_owned(), "1.1 proxy, 1.1 heardback".to_owned()));
    assert_eq!(harness.send(&own).text(), "<Response/>");
    assert_eq!(app.received().len(), 0);
    own.headers.push(("Via".to_owned(), "1.1 other".to_owned()));
    own.headers.retain(|(_, value)| value != "1.1 proxy, 1.1 heardback");
    harness.send(&own);
    assert_eq!(app.receives(1)[0].header("Via"), Some("1.1 heardback"));
}

#[test]
fn a_url_that_is_unsafe_stops_the_start() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    for (url, private, word) in [
        ("http://app.example.com/sms", "false", "plain http"),
        ("http://1.1.1.1/sms", "true", "plain http to a public address"),
        ("http://127.0.0.1:3000/sms", "false", "plain http"),
        ("https://127.0.0.1/sms", "false", "private network"),
        ("https://localhost/sms", "false", "private network"),
        ("https://10.1.2.3/sms", "false", "private network"),
        ("https://[::ffff:192.168.0.1]/sms", "false", "private network"),
        ("https://169.254.169.254/latest", "true", "link-local"),
        ("https://0x7f.0.0.1/", "true", "IPv4"),
        ("https://hooks.example.com/twilio/message", "false", "own URL"),
        ("https://me:hush-hush@app.example.com:x/sms", "false", "port"),
        ("ftp://app.example.com/sms?hush-hush", "false", "https://"),
        ("app.example.com/sms", "false", "https://"),
    ] {
        let mut check = std::process::Command::new(BINARY);
        check
            .arg("check")
            .env_clear()
            .envs(settings(&folder.path().join("store"), &twilio))
            .env("HEARDBACK_FORWARD_MESSAGE_URL", url)
            .env("HEARDBACK_FORWARD_PRIVATE", private);
        let output = check.output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{url}: {said}");
        assert!(
            said.contains(word) && said.contains("HEARDBACK_FORWARD_MESSAGE_URL"),
            "{url}: {said}"
        );
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn no_level_of_the_log_shows_a_text_a_number_or_the_secrets_of_a_url() {
    let app = App::start(says("secret-answer"));
    let url = app.url("/sms?token=hush-query").replace("http://", "http://user:hush-password@");
    let gone = { App::start(says("x")).url("/voice?token=hush-query") };
    let harness = service(
        &app,
        &[
            ("HEARDBACK_LOG", "trace"),
            ("HEARDBACK_FORWARD_MESSAGE_URL", url.as_str()),
            ("HEARDBACK_FORWARD_CALL_URL", gone.as_str()),
        ],
    );
    let mut request = message(1);
    request.body.extend_from_slice(b"&Body=hush-text");
    request.headers.push(("Cookie".to_owned(), "session=hush-cookie".to_owned()));
    assert_eq!(harness.send(&request).status, 200);
    let received = app.receives(1).remove(0);
    assert_eq!(received.header("Authorization"), Some("Basic dXNlcjpodXNoLXBhc3N3b3Jk"));
    for reply in
        [answer("500 X", "", "hush-body"), answer("403 X", "X: hush-header\r\n", "hush-body")]
    {
        app.reply_with(reply);
        harness.send(&request);
    }
    harness.send(&call(1, "ringing", &[]));
    harness.service.says("the app did not answer a call webhook: connect");
    let (logs, metrics) = (harness.service.logs(), harness.service.operator("/metrics").text());
    let page = harness.service.operator("/").text() + &harness.service.operator("/readyz").text();
    let number = crate::harness::RECIPIENT.trim_start_matches('+');
    for hidden in ["hush", "secret-answer", "dXNlcjpodXNo", number] {
        for (place, text) in [("logs", &logs), ("metrics", &metrics), ("page", &page)] {
            let line = text.lines().find(|line| line.contains(hidden));
            assert_eq!(line, None, "{hidden} is in the {place}");
        }
    }
}
