//! Which signatures are valid: over the configured public URL and the request line as it was sent,
//! with the keys of the route. Nothing else in a request matters.

use heardback::recording::Recording;
use heardback::twilio::signature::{Algorithm, KeyId, SigningKey};
use serde_json::json;

use crate::harness::{
    BASE, Harness, TOKEN, code_entered, get, http_client, json as json_post, key, sid,
    status_callback,
};

const APP_KEY: &str = "an app's own secret";
const NEXT: &str = "fedcba9876543210fedcba9876543210";

fn status(harness: &Harness, request: &Recording) -> u16 {
    harness.service.exchange(&http_client::bytes(request)).status
}

fn signed_by(request: &Recording, key: &str) -> Recording {
    request.signed(&SigningKey::new(key.as_bytes()), BASE)
}

#[test]
fn host_and_forwarding_headers_play_no_part() {
    let harness = Harness::new(&[]);
    let mut good = status_callback(1, "sent").signed(&key(), BASE);
    let mut wrong = status_callback(1, "sent").signed(&key(), "https://evil.example.com");
    for (name, value) in [
        ("X-Forwarded-Host", "evil.example.com"),
        ("X-Forwarded-Proto", "https"),
        ("X-Original-URL", "/app/events"),
        ("Forwarded", "host=evil.example.com;proto=https"),
    ] {
        good.headers.push((name.to_owned(), value.to_owned()));
        wrong.headers.push((name.to_owned(), value.to_owned()));
    }
    let with_host = |request: &Recording| {
        let bytes = http_client::bytes(request);
        String::from_utf8(bytes).expect("UTF-8").replace("Host: x", "Host: evil.example.com")
    };
    assert_eq!(harness.service.exchange(with_host(&good).as_bytes()).status, 204);
    assert_eq!(harness.service.exchange(with_host(&wrong).as_bytes()).status, 403);
}

#[test]
fn the_request_line_is_verified_as_it_was_sent_without_decoding() {
    let harness = Harness::new(&[]);
    let at = |target: &str, signed: &str| {
        let mut request = status_callback(1, "sent");
        signed.clone_into(&mut request.target);
        let mut request = request.signed(&key(), BASE);
        target.clone_into(&mut request.target);
        status(&harness, &request)
    };
    assert_eq!(at("/%74wilio/status", "/%74wilio/status"), 204);
    assert_eq!(at("/%74wilio/status", "/twilio/status"), 403);
    assert_eq!(at("/twilio/status?a=%41&b='", "/twilio/status?a=%41&b='"), 204);
    assert_eq!(at("/twilio/status?a=A", "/twilio/status?a=%41"), 403);
    assert_eq!(at("/twilio/status?", "/twilio/status?"), 204);
    // A proxy may send the absolute form; its path and query count.
    assert_eq!(at("http://other.example.com/twilio/status", "/twilio/status"), 204);
    assert_eq!(at("http://other.example.com/twilio/status?x=1", "/twilio/status"), 403);
    // A path with a doubled slash reaches the route, and its signature covers the path as sent.
    assert_eq!(at("//twilio/status/", "//twilio/status/"), 204);
    assert_eq!(at("//twilio/status", "/twilio/status"), 403);
    for (target, signed) in [
        ("/twilio//status", "/twilio//status"),
        ("/x/../twilio/status", "/x/../twilio/status"),
        ("/twilio%2Fstatus", "/twilio%2Fstatus"),
    ] {
        assert_eq!(at(target, signed), 404, "{target}");
    }
}

#[test]
fn each_public_url_is_valid_with_its_prefix_and_with_or_without_the_port() {
    let several =
        "https://a.example.com, https://b.example.com/heardback/,https://c.example.com:8443";
    let harness = Harness::new(&[("HEARDBACK_PUBLIC_URL", several)]);
    let request = status_callback(1, "sent");
    for (base, expected) in [
        ("https://a.example.com", 204),
        ("https://a.example.com:443", 204),
        ("https://a.example.com:8443", 403),
        ("https://b.example.com/heardback", 204),
        ("https://b.example.com:443/heardback", 204),
        ("https://b.example.com", 403),
        ("https://c.example.com:8443", 204),
        ("https://c.example.com", 204),
        ("http://a.example.com", 403),
        ("https://A.example.com", 403),
        (BASE, 403),
    ] {
        assert_eq!(status(&harness, &request.signed(&key(), base)), expected, "{base}");
        let body = json_post("/app/messages", &json!({ "MessageSid": sid(2) }));
        let answer = status(&harness, &body.signed(&key(), base));
        assert_eq!(answer == 403, expected == 403, "JSON, {base}: {answer}");
    }
}

#[test]
fn both_tokens_are_valid_during_a_rotation() {
    let harness = Harness::new(&[("TWILIO_AUTH_TOKEN", &format!("{TOKEN},{NEXT}"))]);
    for (key, expected) in [(TOKEN, 204), (NEXT, 204), ("another", 403)] {
        assert_eq!(
            status(&harness, &signed_by(&status_callback(1, "sent"), key)),
            expected,
            "{key}"
        );
    }
    for (key, expected) in [(TOKEN, 200), (NEXT, 200), ("another", 403)] {
        assert_eq!(status(&harness, &signed_by(&code_entered(2), key)), expected, "{key}");
    }
}

#[test]
fn the_apps_keys_are_valid_on_the_apps_routes_and_the_accounts_tokens_are_not() {
    let keys = format!("{APP_KEY},{NEXT}");
    let harness = Harness::new(&[("HEARDBACK_APP_KEYS", &keys)]);
    let mut passed_on = status_callback(1, "sent");
    "/app/twilio/status".clone_into(&mut passed_on.target);
    let app = [
        (code_entered(2), 200),
        (json_post("/app/messages", &json!({ "MessageSid": sid(2) })), 200),
        (get(&format!("/app/messages/{}", sid(2))), 200),
        (passed_on, 204),
    ];
    for (request, expected) in &app {
        for (key, expected) in [(TOKEN, 403), (APP_KEY, *expected), (NEXT, *expected)] {
            let what = &request.target;
            assert_eq!(status(&harness, &signed_by(request, key)), expected, "{what} by {key}");
        }
    }
    for (key, expected) in [(TOKEN, 204), (APP_KEY, 403), (NEXT, 403)] {
        assert_eq!(
            status(&harness, &signed_by(&status_callback(3, "sent"), key)),
            expected,
            "{key}"
        );
    }
}

#[test]
fn a_shared_key_is_valid_on_twilios_routes_by_its_own_algorithm_only() {
    const ID: &str = "webhooks_sharedkey_01";
    const SECRET: &str = "c2hhcmVkLWtleS1zZWNyZXQtZXhhbXBsZQ==";
    let harness = Harness::new(&[
        ("TWILIO_SHARED_KEYS", &format!("{ID}:HMAC_SHA256:{SECRET}")),
        ("HEARDBACK_APP_KEYS", APP_KEY),
    ]);
    let ask = |request: &Recording, algorithm, lines: &[&str]| {
        let id = KeyId::parse(ID).expect("valid");
        let key = SigningKey::shared(id, algorithm, SECRET.as_bytes());
        let mut request = request.signed(&key, BASE);
        for line in lines {
            let name = "X-Twilio-Webhooks-Signature-Settings".to_owned();
            request.headers.push((name, (*line).to_owned()));
        }
        status(&harness, &request)
    };
    let (callback, event) = (status_callback(1, "sent"), code_entered(1));
    let (strong, weak) = (Algorithm::HmacSha256, Algorithm::HmacSha1);
    let good = "key=webhooks_sharedkey_01,algorithm=HMAC_SHA256";
    assert_eq!(ask(&callback, strong, &[good]), 204);
    let two_lines = ["key=webhooks_sharedkey_01", "algorithm=HMAC_SHA256"];
    assert_eq!(ask(&callback, strong, &two_lines), 204);
    assert_eq!(ask(&callback, strong, &[good, good]), 204, "of two headers the first counts");
    assert_eq!(ask(&event, strong, &[good]), 403, "a SharedKey is no app key");
    let down = "key=webhooks_sharedkey_01,algorithm=HMAC_SHA1";
    for (algorithm, lines) in [
        (weak, &[good][..]),
        (weak, &[down]),
        (weak, &[]),
        (strong, &[down]),
        (strong, &["algorithm=HMAC_SHA256"]),
        (strong, &["key=another,algorithm=HMAC_SHA256"]),
        (strong, &["garbage"]),
        (strong, &[]),
    ] {
        assert_eq!(ask(&callback, algorithm, lines), 403, "{algorithm:?} {lines:?}");
    }
    // The token stays valid beside it.
    assert_eq!(status(&harness, &signed_by(&callback, TOKEN)), 204);
    let mut named = signed_by(&callback, TOKEN);
    named.headers.push(("X-Twilio-Webhooks-Signature-Settings".to_owned(), good.to_owned()));
    assert_eq!(status(&harness, &named), 403);
}
