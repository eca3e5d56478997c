//! Requests that are not passed on: the answer has Twilio's form, and the API hears nothing.

use heardback::recording::Recording;

use crate::harness::http_client::{Answer, bytes, chunked, head};
use crate::harness::{ACCOUNT, Harness, OTHER_ACCOUNT, TOKEN, form, get};
use crate::send::api::{Reply, basic};
use crate::send::{Desk, FORM, create, create_as, path};

/// Checks that the answer is an error in Twilio's form, with this status and code. Returns its message.
fn refused(answer: &Answer, status: u16, code: u64) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let body = answer.json();
    assert_eq!((body["status"].as_u64(), body["code"].as_u64()), (Some(status.into()), Some(code)));
    let more = body["more_info"].as_str().expect("a text");
    assert_eq!(more, format!("https://www.twilio.com/docs/errors/{code}"));
    body["message"].as_str().expect("a text").to_owned()
}

#[test]
fn a_request_without_a_right_credential_for_the_account_is_refused_and_nothing_is_sent() {
    let desk = Desk::new(&[]);
    let unknown = "ACffffffffffffffffffffffffffffffff";
    let upper = ACCOUNT.replace("abcdef", "ABCDEF");
    let right = basic(ACCOUNT, TOKEN);
    let mut requests: Vec<(String, Recording)> = [
        ("a wrong token", ACCOUNT, basic(ACCOUNT, "f00dbabe98765432100123456789caff")),
        ("an empty token", ACCOUNT, basic(ACCOUNT, "")),
        ("a longer token", ACCOUNT, basic(ACCOUNT, &format!("{TOKEN}0"))),
        ("a token in upper case", ACCOUNT, basic(ACCOUNT, &TOKEN.to_uppercase())),
        ("another user", ACCOUNT, basic(OTHER_ACCOUNT, TOKEN)),
        ("no user", ACCOUNT, basic("", TOKEN)),
        (
            "an API key that is not named",
            ACCOUNT,
            basic("SK0123456789abcdef0123456789abcdef", TOKEN),
        ),
        ("another account's path", OTHER_ACCOUNT, right.clone()),
        ("an unknown account", unknown, basic(unknown, TOKEN)),
        ("the account in another case", &upper, right.clone()),
        ("no account", "x", right.clone()),
        ("an escaped account", "AC0123456789abcdef0123456789abcde%66%2F", right.clone()),
        ("a bearer token", ACCOUNT, format!("Bearer {TOKEN}")),
        ("a bare token", ACCOUNT, TOKEN.to_owned()),
        ("no base64", ACCOUNT, "Basic !".to_owned()),
        ("no colon", ACCOUNT, "Basic QUM=".to_owned()),
        ("digest", ACCOUNT, "Digest username=\"x\"".to_owned()),
    ]
    .map(|(what, account, authorization)| {
        (what.to_owned(), create_as(account, &authorization, FORM))
    })
    .into();
    let mut none = form(&path(ACCOUNT), &[]);
    none.body = FORM.into();
    requests.push(("no credential".to_owned(), none));
    let mut twice = create(FORM);
    twice.headers.push(("Authorization".to_owned(), right));
    requests.push(("two credentials".to_owned(), twice));
    let mut signed = form(&path(ACCOUNT), &[("To", "x")]);
    signed.headers.push(("X-Twilio-Signature".to_owned(), "x".to_owned()));
    requests.push(("a signature".to_owned(), crate::harness::signed(&signed)));
    let mut expected: Option<Vec<String>> = None;
    for (what, request) in requests {
        let answer = desk.send(&request);
        assert_eq!(refused(&answer, 401, 20003), "Authenticate", "{what}");
        assert!(answer.header("WWW-Authenticate").is_some_and(|it| it.starts_with("Basic ")));
        assert!(answer.closes(), "{what}");
        // The order of headers varies.
        let text = answer.without_date();
        let mut text: Vec<_> = text.lines().map(str::to_owned).collect();
        text.sort();
        assert_eq!(*expected.get_or_insert(text.clone()), text, "{what}: every answer is the same");
    }
    assert!(desk.api.requests().is_empty());
    let refusals = desk.harness.service.metric("heardback_refusals_total{reason=\"credentials\"}");
    assert_eq!(refusals, 20);
}

#[test]
fn failures_are_limited_by_network_and_a_right_credential_still_sends() {
    let desk = Desk::new(&[]);
    let wrong = bytes(&create_as(ACCOUNT, &basic(ACCOUNT, "guess"), FORM));
    let answers: Vec<Answer> = (0..70).map(|_| desk.harness.service.exchange(&wrong)).collect();
    assert!(answers[..60].iter().all(|answer| answer.status == 401));
    refused(answers.last().expect("some"), 429, 20429);
    assert_eq!(desk.send_form(FORM).status, 201);
    assert_eq!(desk.api.requests().len(), 1);
}

#[test]
fn a_body_that_is_too_large_or_no_form_is_refused_and_nothing_is_sent() {
    let desk = Desk::new(&[]);
    let over = format!("Body={}", "x".repeat(64 << 10));
    refused(&desk.send_form(&over), 413, 20413);
    let whole = chunked(&create(&over), 4096);
    refused(&desk.harness.service.exchange(&whole), 413, 20413);
    let mut line = desk.harness.service.line();
    line.send(&head(&create(""), 1 << 40));
    refused(&line.answer().expect("an answer"), 413, 20413);
    refused(&desk.send_form(&"a&".repeat(600)), 413, 20413);
    for (media, more) in [
        (Some("application/json"), None),
        (Some("multipart/form-data; boundary=x"), None),
        (Some("text/plain"), None),
        (Some(""), None),
        (None, None),
        (Some("application/x-www-form-urlencoded"), Some(("Content-Encoding", "gzip"))),
        (Some("application/x-www-form-urlencoded"), Some(("Content-Encoding", "identity"))),
    ] {
        let mut request = create(FORM);
        request.headers.retain(|(name, _)| name != "Content-Type");
        let media = media.map(|media| ("Content-Type", media));
        for (name, value) in media.into_iter().chain(more) {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        let message = refused(&desk.send(&request), 415, 20415);
        assert!(message.contains("application/x-www-form-urlencoded"), "{message}");
    }
    for body in [
        "To=%",
        "To=%4",
        "To=%zz&Body=x",
        "To=%FF",
        "To=%00%C0%80",
        "Heardback.Cod=471108",
        "Heardback.Code=471108&Heardback.Code=471109",
        "Heardback.Reference=a&Heardback.Reference=b",
        "Heardback.Reference=%2B15551234567",
        "Heardback.Reference=null",
        "Heardback.Feedback=perhaps",
    ] {
        let message = refused(&desk.send_form(body), 400, 20400);
        assert!(!message.contains("4711") && !message.contains("1555"), "{message}");
    }
    let mut query = create(FORM);
    query.target.push_str("?To=%2B15551234567");
    refused(&desk.send(&query), 400, 20400);
    assert!(desk.api.requests().is_empty());
    let charset = "Application/X-WWW-Form-URLEncoded; charset=utf-8";
    let mut request = create(FORM);
    request.headers[0].1 = charset.to_owned();
    assert_eq!(desk.send(&request).status, 201);
    assert_eq!(desk.api.requests()[0].header("Content-Type"), Some(charset));
}

#[test]
fn no_other_path_or_method_of_twilios_api_is_forwarded() {
    let desk = Desk::new(&[]);
    let authorization = basic(ACCOUNT, TOKEN);
    let account = format!("/2010-04-01/Accounts/{ACCOUNT}");
    for target in [
        format!("{account}.json"),
        format!("{account}/Messages"),
        format!("{account}/Messages.xml"),
        format!("{account}/Messages.json/"),
        format!("{account}/messages.json"),
        format!("{account}/Calls.json"),
        format!("{account}/Messages/SM0123456789abcdef0123456789abcdef.json"),
        format!("{account}/Messages/SM0123456789abcdef0123456789abcdef/Feedback.json"),
        format!("{account}/../{OTHER_ACCOUNT}/Messages.json"),
        format!("/2010-04-01/Accounts/{ACCOUNT}%2F../Messages.json/x"),
        "/2010-04-01/Accounts.json".to_owned(),
        format!("/{account}/Messages.json"),
        format!("http://api.twilio.com{account}/Messages.xml"),
    ] {
        let mut request = create(FORM);
        request.target.clone_from(&target);
        let answer = desk.send(&request);
        refused(&answer, 404, 20404);
        assert!(answer.text().contains("use api.twilio.com for the rest"), "{target}");
    }
    let unknown = desk.send(&form("/nowhere", &[])).without_date();
    assert_eq!(desk.send(&form("/v1/Services", &[])).without_date(), unknown);
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let mut request = get(&path(ACCOUNT));
        request.method = method.to_owned();
        request.headers.push(("Authorization".to_owned(), authorization.clone()));
        let mut line = desk.harness.service.line();
        line.send(&bytes(&request));
        let answer = line.answer_to(method).expect("an answer");
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")), "{method}");
        if method != "HEAD" {
            refused(&answer, 405, 20004);
        }
    }
    assert!(desk.api.requests().is_empty());
}

/// Neither the host, nor a header, nor a field chooses the address of the API.
#[test]
fn nobody_can_use_it_as_a_relay_to_another_address() {
    let desk = Desk::new(&[]);
    let trap = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("set");
    let address = trap.local_addr().expect("bound").to_string();
    for (name, value) in [
        ("Host", address.clone()),
        ("X-Forwarded-Host", address.clone()),
        ("Forwarded", format!("host={address}")),
        ("X-Original-URL", format!("http://{address}/")),
        ("Proxy", format!("http://{address}")),
    ] {
        let mut request = create(FORM);
        request.headers.push((name.to_owned(), value));
        let status = desk.send(&request).status;
        // Two `Host` headers are no valid request.
        assert!(status == 201 || (name == "Host" && status == 400), "{name}: {status}");
    }
    let mut absolute = create(FORM);
    absolute.target = format!("http://{address}{}", path(ACCOUNT));
    assert!([201, 404].contains(&desk.send(&absolute).status));
    let fields = format!("Url=http%3A%2F%2F{address}&{FORM}&StatusCallback=http%3A%2F%2F{address}");
    assert_eq!(desk.send_form(&fields).status, 201);
    let location =
        format!("HTTP/1.1 307 X\r\nLocation: http://{address}/\r\nContent-Length: 0\r\n\r\n");
    desk.api.reply_with(Reply::Bytes(location.into_bytes()));
    refused(&desk.send_form(FORM), 502, 20502);
    for request in desk.api.requests() {
        assert_eq!(request.header("Host"), Some(desk.api.addr.to_string().as_str()));
    }
    let heard = trap.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock), "the trap is never called");
}

#[test]
fn headers_of_the_caller_that_are_not_twilios_business_stay_here() {
    let desk = Desk::new(&[]);
    let mut request = create(FORM);
    for (name, value) in [
        ("User-Agent", "twilio-python/9.13.0"),
        ("Accept", "application/json"),
        ("Cookie", "session=1"),
        ("X-Forwarded-For", "198.51.100.7"),
        ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("Accept-Encoding", "gzip"),
    ] {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    assert_eq!(desk.send(&request).status, 201);
    let sent = &desk.api.requests()[0];
    assert_eq!(sent.header("User-Agent"), Some("twilio-python/9.13.0"));
    assert_eq!(sent.header("Accept"), Some("application/json"));
    for name in ["Cookie", "X-Forwarded-For", "Traceparent", "Accept-Encoding"] {
        assert_eq!(sent.header(name), None, "{name}");
    }
}

#[test]
fn while_it_is_off_the_path_is_like_any_unknown_one() {
    let harness = Harness::new(&[]);
    let unknown = harness.service.exchange(&bytes(&form("/nowhere", &[])));
    assert_eq!(unknown.status, 404);
    for request in [create(FORM), create_as(ACCOUNT, "Basic x", ""), get(&path(ACCOUNT))] {
        let answer = harness.service.exchange(&bytes(&request));
        assert_eq!(answer.without_date(), unknown.without_date());
    }
    let labels = harness.service.operator("/metrics").text();
    assert!(!labels.contains("Messages.json"), "{labels}");
}

#[test]
fn the_route_is_on_the_public_listener_only() {
    let desk = Desk::new(&[]);
    let mut line = crate::harness::http_client::Line::open(desk.harness.service.ops);
    line.send(&bytes(&create(FORM)));
    assert_eq!(line.answer().expect("an answer").status, 404);
    assert!(desk.api.requests().is_empty());
}
