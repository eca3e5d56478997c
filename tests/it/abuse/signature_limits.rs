//! Failed signatures are limited by network; requests with a valid signature are never limited.

use std::time::Instant;

use crate::harness::http_client::{self, Answer};
use crate::harness::{ACCOUNT, Harness, code_entered, json, key, post, signed, status_callback};
use heardback::domain::rate_limit::BURST;
use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use serde_json::json;

const HEADER: (&str, &str) = ("HEARDBACK_CLIENT_IP_HEADER", "Fly-Client-IP");
const HERE: &str = "203.0.113.7";
/// The same /24.
const SAME_NETWORK: &str = "203.0.113.8";
const ELSEWHERE: &str = "198.51.100.7";
const LIMITED: &str = "heardback_refusals_total{reason=\"limited\"}";

fn from(mut request: Recording, client: &str) -> Recording {
    request.headers.push(("Fly-Client-IP".to_owned(), client.to_owned()));
    request
}

fn forged(request: &Recording) -> Recording {
    request.signed(&SigningKey::new(b"a guess"), crate::harness::BASE)
}

fn send(harness: &Harness, request: &Recording) -> Answer {
    harness.service.exchange(&http_client::bytes(request))
}

/// Sends forged requests until one is limited. Returns the count of the others.
fn exhaust(harness: &Harness, request: &Recording) -> u64 {
    let mut allowed = 0;
    loop {
        let answer = send(harness, request);
        match answer.status {
            403 => allowed += 1,
            status => {
                assert_eq!(status, 429);
                assert!(answer.closes());
                return allowed;
            }
        }
        assert!(allowed < 10_000, "never limited");
    }
}

#[test]
fn thousands_of_forged_requests_are_limited_and_signed_requests_from_the_same_network_are_not() {
    let harness = Harness::new(&[HEADER, ("HEARDBACK_LOG", "debug")]);
    let began = Instant::now();
    let (mut allowed, mut limited) = (0_u64, 0_u64);
    for number in 0..2000 {
        let client = if number % 2 == 0 { HERE } else { SAME_NETWORK };
        // With a wrong signature header, and without one.
        let request = status_callback(7, "sent");
        let request = if number % 3 == 0 { request } else { forged(&request) };
        let answer = send(&harness, &from(request, client));
        assert_eq!(answer.text(), "");
        match answer.status {
            403 => allowed += 1,
            429 => limited += 1,
            other => unreachable!("{other}"),
        }
        assert!(answer.closes());
        if number % 20 == 0 {
            let honest = from(signed(&status_callback(8, "sent")), HERE);
            assert_eq!(send(&harness, &honest).status, 204, "number {number}");
        }
    }
    let regained = began.elapsed().as_secs() + 1;
    let burst = u64::from(BURST);
    println!("{allowed} answered 403, {limited} answered 429, in {:?}", began.elapsed());
    assert!((burst..=burst + regained).contains(&allowed), "{allowed} in {regained} s");
    assert_eq!(harness.service.metric(LIMITED), limited);
    let logs = harness.service.logs();
    let count = |words: &str| logs.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("failed signatures from 203.0.113.0/24"), 1, "logged once");
    assert_eq!(count("\"rejected: ") as u64, allowed, "the others are logged one by one");
    // Another network has its own allowance.
    assert_eq!(send(&harness, &from(forged(&status_callback(7, "sent")), ELSEWHERE)).status, 403);
    assert!(harness.message(7).is_none() && harness.message(8).is_some());
}

#[test]
fn over_the_limit_a_request_without_a_signature_is_refused_with_its_body_unread() {
    let harness = Harness::new(&[HEADER]);
    let unsigned = from(status_callback(7, "sent"), HERE);
    exhaust(&harness, &unsigned);
    let mut line = harness.service.line();
    // No byte of the body arrives. One request per second is allowed again, so a few may pass.
    line.send(&http_client::head(&unsigned, 60_000));
    let mut status = line.answer().map(|answer| answer.status);
    for _ in 0..5 {
        if status == Some(429) {
            break;
        }
        exhaust(&harness, &unsigned);
        line = harness.service.line();
        line.send(&http_client::head(&unsigned, 60_000));
        status = line.answer().map(|answer| answer.status);
    }
    assert_eq!(status, Some(429), "not the 408 of a body timeout");
    // A request with a valid signature is read and verified, whatever others from its network sent.
    for request in
        [code_entered(1), json("/app/events", &json!({ "MessageSid": crate::harness::sid(2) }))]
    {
        assert_eq!(send(&harness, &from(signed(&request), HERE)).status, 200);
    }
    // An app gets problem JSON, with the same text each time.
    let told = |request: Recording| {
        exhaust(&harness, &unsigned);
        send(&harness, &from(request, HERE)).json()
    };
    let one = told(forged(&code_entered(3)));
    let problem = if one["status"] == 429 { one } else { told(forged(&code_entered(3))) };
    assert_eq!(problem["detail"], "too many failed signatures from your network", "{problem}");
}

#[test]
fn without_the_setting_the_peer_address_counts_and_no_header_evades_the_limit() {
    let harness = Harness::new(&[]);
    let mut statuses = Vec::new();
    for number in 0..2 * BURST {
        let client = format!("198.51.{number}.1");
        statuses.push(send(&harness, &from(forged(&status_callback(7, "sent")), &client)).status);
    }
    let first = usize::try_from(BURST).expect("small");
    assert!(statuses.iter().take(first).all(|status| *status == 403), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(harness.send(&status_callback(8, "sent")).status, 204);
}

#[test]
fn guesses_at_the_click_path_are_limited_and_requests_with_the_secret_are_not() {
    let secret = "correct-horse-battery";
    let harness = Harness::new(&[HEADER, ("HEARDBACK_CLICK_PATH_SECRET", secret)]);
    let click = |secret: &str| {
        let body = json!({ "event_type": "click", "account_sid": ACCOUNT, "sms_sid": crate::harness::sid(1) });
        let target = format!("/twilio/click/{secret}");
        from(post(&target, "application/json", body.to_string().as_bytes()), HERE)
    };
    let allowed = exhaust(&harness, &click("wrong-horse-battery"));
    assert!(allowed >= u64::from(BURST), "{allowed}");
    for _ in 0..100 {
        assert_eq!(send(&harness, &click(secret)).status, 204);
    }
    // A request signed for an account that is not configured holds a key, so it is no guess.
    let body = status_callback(7, "sent").body;
    let body =
        String::from_utf8(body).expect("ASCII").replace(ACCOUNT, crate::harness::OTHER_ACCOUNT);
    let other = Recording { body: body.into_bytes(), ..status_callback(7, "sent") };
    let other = from(other.signed(&key(), crate::harness::BASE), ELSEWHERE);
    for _ in 0..2 * BURST {
        assert_eq!(send(&harness, &other).status, 403);
    }
}
