//! Failed signatures are limited by network, and a signed request never is.

use std::time::Instant;

use crate::harness::wire::{self, Answer};
use crate::harness::{ACCOUNT, Scene, code_entered, json, key, post, signed, status_callback};
use heardback::domain::rate_limit::BURST;
use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use serde_json::json;

const HEADER: (&str, &str) = ("HEARDBACK_CLIENT_IP_HEADER", "Fly-Client-IP");
const HERE: &str = "203.0.113.7";
/// The same /24.
const NEXT_DOOR: &str = "203.0.113.8";
const ELSEWHERE: &str = "198.51.100.7";
const LIMITED: &str = "heardback_refusals_total{reason=\"limited\"}";

fn from(mut request: Recording, client: &str) -> Recording {
    request.headers.push(("Fly-Client-IP".to_owned(), client.to_owned()));
    request
}

fn forged(request: &Recording) -> Recording {
    request.signed(&SigningKey::new(b"a guess"), crate::harness::BASE)
}

fn send(scene: &Scene, request: &Recording) -> Answer {
    scene.service.exchange(&wire::bytes(request))
}

/// Fails until it is limited. Tells how often it was not.
fn exhaust(scene: &Scene, request: &Recording) -> u64 {
    let mut allowed = 0;
    loop {
        let answer = send(scene, request);
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
fn thousands_of_forgeries_are_limited_and_signed_requests_from_beside_them_are_not() {
    let scene = Scene::new(&[HEADER, ("HEARDBACK_LOG", "debug")]);
    let began = Instant::now();
    let (mut allowed, mut limited) = (0_u64, 0_u64);
    for number in 0..2000 {
        let client = if number % 2 == 0 { HERE } else { NEXT_DOOR };
        // With a header that is wrong, and with none.
        let request = status_callback(7, "sent");
        let request = if number % 3 == 0 { request } else { forged(&request) };
        let answer = send(&scene, &from(request, client));
        assert_eq!(answer.text(), "");
        match answer.status {
            403 => allowed += 1,
            429 => limited += 1,
            other => unreachable!("{other}"),
        }
        assert!(answer.closes());
        if number % 20 == 0 {
            let honest = from(signed(&status_callback(8, "sent")), HERE);
            assert_eq!(send(&scene, &honest).status, 204, "number {number}");
        }
    }
    let regained = began.elapsed().as_secs() + 1;
    let burst = u64::from(BURST);
    println!("{allowed} answered 403, {limited} answered 429, in {:?}", began.elapsed());
    assert!((burst..=burst + regained).contains(&allowed), "{allowed} in {regained} s");
    assert_eq!(scene.service.metric(LIMITED), limited);
    let logs = scene.service.logs();
    let count = |words: &str| logs.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("failed signatures from 203.0.113.0/24"), 1, "said once");
    assert_eq!(count("\"refused: ") as u64, allowed, "the others one by one");
    // Whoever is elsewhere has an allowance of their own.
    assert_eq!(send(&scene, &from(forged(&status_callback(7, "sent")), ELSEWHERE)).status, 403);
    assert!(scene.message(7).is_none() && scene.message(8).is_some());
}

#[test]
fn what_bears_no_signature_is_then_turned_away_with_its_body_unread() {
    let scene = Scene::new(&[HEADER]);
    let unsigned = from(status_callback(7, "sent"), HERE);
    exhaust(&scene, &unsigned);
    let mut line = scene.service.line();
    // Of the body nothing ever comes. A second regains one more, so it may take a few.
    line.send(&wire::head(&unsigned, 60_000));
    let mut status = line.answer().map(|answer| answer.status);
    for _ in 0..5 {
        if status == Some(429) {
            break;
        }
        exhaust(&scene, &unsigned);
        line = scene.service.line();
        line.send(&wire::head(&unsigned, 60_000));
        status = line.answer().map(|answer| answer.status);
    }
    assert_eq!(status, Some(429), "not the 408 of a body that was waited for");
    // What bears one is read and checked, whatever its neighbours did.
    for request in
        [code_entered(1), json("/app/events", &json!({ "MessageSid": crate::harness::sid(2) }))]
    {
        assert_eq!(send(&scene, &from(signed(&request), HERE)).status, 200);
    }
    // An app is told in its own language, and always the same.
    let told = |request: Recording| {
        exhaust(&scene, &unsigned);
        send(&scene, &from(request, HERE)).json()
    };
    let one = told(forged(&code_entered(3)));
    let problem = if one["status"] == 429 { one } else { told(forged(&code_entered(3))) };
    assert_eq!(problem["detail"], "too many failed signatures from your network", "{problem}");
}

#[test]
fn without_the_setting_the_peer_counts_and_no_header_gets_anybody_past() {
    let scene = Scene::new(&[]);
    let mut statuses = Vec::new();
    for number in 0..2 * BURST {
        let client = format!("198.51.{number}.1");
        statuses.push(send(&scene, &from(forged(&status_callback(7, "sent")), &client)).status);
    }
    let first = usize::try_from(BURST).expect("small");
    assert!(statuses.iter().take(first).all(|status| *status == 403), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(scene.send(&status_callback(8, "sent")).status, 204);
}

#[test]
fn guesses_at_the_clicks_path_are_limited_and_whoever_knows_it_is_not() {
    let secret = "correct-horse-battery";
    let scene = Scene::new(&[HEADER, ("HEARDBACK_CLICK_PATH_SECRET", secret)]);
    let click = |secret: &str| {
        let body = json!({ "event_type": "click", "account_sid": ACCOUNT, "sms_sid": crate::harness::sid(1) });
        let target = format!("/twilio/click/{secret}");
        from(post(&target, "application/json", body.to_string().as_bytes()), HERE)
    };
    let allowed = exhaust(&scene, &click("wrong-horse-battery"));
    assert!(allowed >= u64::from(BURST), "{allowed}");
    for _ in 0..100 {
        assert_eq!(send(&scene, &click(secret)).status, 204);
    }
    // Who signs for an account that is not ours holds a key; that is no guess.
    let body = status_callback(7, "sent").body;
    let body =
        String::from_utf8(body).expect("ASCII").replace(ACCOUNT, crate::harness::OTHER_ACCOUNT);
    let other = Recording { body: body.into_bytes(), ..status_callback(7, "sent") };
    let other = from(other.signed(&key(), crate::harness::BASE), ELSEWHERE);
    for _ in 0..2 * BURST {
        assert_eq!(send(&scene, &other).status, 403);
    }
}
