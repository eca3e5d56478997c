//! Access to the page and its buttons: with a token, without one, and from other sites.

use crate::harness::http_client::Line;
use crate::harness::running::{BINARY, Running, settings, wrapped};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{ACCOUNT, Harness, sid};
use crate::page::{TOKEN, ask, csrf_token, get, logged_in};

const BUTTON: &str = "/accounts/AC0123456789abcdef0123456789abcdef/hold";

fn guarded() -> Harness {
    Harness::new(&[("HEARDBACK_OPS_TOKEN", TOKEN)])
}

#[test]
fn without_the_token_the_page_is_closed_and_probes_and_metrics_stay_open() {
    let harness = guarded();
    let ops = harness.service.ops;
    for path in ["/", "/messages?q=x", &format!("/messages/{}", sid(1))] {
        let answer = get(ops, path, &[]);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/login")), "{path}");
        assert!(answer.body.is_empty(), "{path}");
    }
    assert_eq!(get(ops, "/live", &[]).status, 401);
    for path in ["/livez", "/readyz", "/metrics", "/app/openapi.json", "/style.css", "/login"] {
        assert_eq!(get(ops, path, &[]).status, 200, "{path}");
    }
    let cookie = logged_in(ops);
    let page = get(ops, "/", &[&cookie]);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Log out") && !page.text().contains(TOKEN));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(get(ops, "/", &[&bearer]).status, 200);
    // A value close to the token is refused.
    for wrong in ["Bearer", "Bearer x", &format!("Basic {TOKEN}"), &format!("Bearer {TOKEN}x")] {
        let answer = get(ops, "/", &[&format!("Authorization: {wrong}")]);
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.header("WWW-Authenticate").is_some_and(|it| it.starts_with("Bearer")));
    }
    for wrong in ["", ".", "99999999999.0.00", &"f".repeat(90)] {
        let cookie = format!("Cookie: heardback_operator={wrong}");
        assert_eq!(get(ops, "/", &[&cookie]).status, 303, "{wrong}");
    }
    assert!(!harness.service.logs().contains(TOKEN));
}

#[test]
fn wrong_tokens_are_limited_and_a_session_goes_on_meanwhile() {
    let harness = guarded();
    let ops = harness.service.ops;
    let cookie = logged_in(ops);
    let mut answers = (0..11).map(|n| ask(ops, "POST", "/login", &[], &format!("token=guess{n}")));
    assert!(answers.by_ref().take(10).all(|answer| answer.status == 403));
    assert_eq!(answers.next().expect("one more").status, 429);
    // An attacker on the operator's network cannot lock the operator out.
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(get(ops, "/", &[&bearer]).status, 200);
    assert_eq!(get(ops, "/", &[&cookie]).status, 200);
    assert_eq!(get(ops, "/", &[&logged_in(ops)]).status, 200);
    assert_eq!(
        get(ops, "/", &["Authorization: Bearer x"]).status,
        429,
        "a wrong token is still limited"
    );
    harness.service.says("too many wrong tokens");
}

#[test]
fn another_sites_page_cannot_press_a_button() {
    let harness = guarded();
    let ops = harness.service.ops;
    let cookie = logged_in(ops);
    let token = csrf_token(&get(ops, "/", &[&cookie]).text());
    let body = format!("csrf_token={token}");
    let foreign = "Origin: https://evil.example";
    for (more, body) in [
        (&[cookie.as_str(), "Sec-Fetch-Site: cross-site"][..], body.as_str()),
        (&[&cookie, "Sec-Fetch-Site: same-site"], &body),
        (&[&cookie, foreign], &body),
        (&[&cookie, "Origin: null"], &body),
        (&[&cookie], ""),
        (&[&cookie], "csrf_token=00"),
    ] {
        assert_eq!(ask(ops, "POST", BUTTON, more, body).status, 403, "{more:?} {body}");
    }
    // The form of another session is refused.
    let other = logged_in(ops);
    assert_eq!(ask(ops, "POST", BUTTON, &[&other], &body).status, 403);
    let answer = ask(ops, "POST", BUTTON, &[], &body);
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/login")));
    let right = format!("token={}", serde_urlencoded::to_string([("", TOKEN)]).expect("encodes"));
    let login = ask(ops, "POST", "/login", &[foreign], &right.replace("token==", "token="));
    assert_eq!(login.status, 403, "a login from another site");
    let held = " is on hold.";
    assert!(!get(ops, "/", &[&cookie]).text().contains(held), "no action was executed");

    let own = format!("Origin: http://{ops}");
    let answer = ask(ops, "POST", BUTTON, &[&cookie, &own], &body);
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/")));
    let told = answer.header("Set-Cookie").expect("what was done");
    assert!(
        told.starts_with("heardback_done=on_hold; ") && told.contains("SameSite=Strict"),
        "{told}"
    );
    assert!(get(ops, "/", &[&cookie]).text().contains(held));
    // A program with a bearer token needs no form.
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let resume = BUTTON.replace("hold", "resume");
    assert_eq!(ask(ops, "POST", &resume, &[&bearer], "").status, 303);
    assert!(!get(ops, "/", &[&cookie]).text().contains(held));
    let answer = ask(ops, "POST", "/logout", &[&cookie, &own], &body);
    assert!(answer.header("Set-Cookie").is_some_and(|it| it.contains("heardback_operator=;")));
}

#[test]
fn without_a_token_a_rebound_dns_name_is_refused() {
    let harness = Harness::new(&[]);
    let ops = harness.service.ops;
    let rebound = "Host: evil.example:9091";
    for path in ["/", "/live", "/messages?q=x"] {
        assert_eq!(get(ops, path, &[rebound]).status, 421, "{path}");
    }
    assert_eq!(ask(ops, "POST", BUTTON, &[rebound], "").status, 421);
    assert_eq!(get(ops, "/livez", &[rebound]).status, 200, "a probe may use any name");
    harness.confirm(1);
    let page = get(ops, "/", &["Host: localhost"]);
    assert_eq!(page.status, 200);
    // A form must come from the page here too.
    let body = format!("csrf_token={}", csrf_token(&page.text()));
    assert_eq!(ask(ops, "POST", BUTTON, &["Sec-Fetch-Site: cross-site"], &body).status, 403);
    assert_eq!(ask(ops, "POST", BUTTON, &[], "").status, 403);
    assert_eq!(ask(ops, "POST", BUTTON, &["Sec-Fetch-Site: same-origin"], &body).status, 303);
    assert!(get(ops, "/", &[]).text().contains(&format!("Reporting for {ACCOUNT} is on hold")));
}

#[test]
fn without_a_token_no_request_passes_a_proxy_and_with_one_it_does() {
    let harness = Harness::new(&[]);
    let ops = harness.service.ops;
    let marks = [
        "Forwarded: for=203.0.113.9",
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Host: ops.example.com",
        "Via: 1.1 proxy",
        "X-Real-IP: 203.0.113.9",
    ];
    for mark in marks {
        for path in ["/", "/live", "/messages?q=x"] {
            let answer = get(ops, path, &[mark]);
            assert_eq!(answer.status, 403, "{path} {mark}");
            assert!(answer.text().contains("HEARDBACK_OPS_TOKEN"), "{}", answer.text());
        }
        assert_eq!(ask(ops, "POST", BUTTON, &[mark], "").status, 403, "{mark}");
        // Probes and metrics are requested by monitoring, also through a proxy.
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(get(ops, path, &[mark]).status, 200, "{path} {mark}");
        }
    }
    let mut nginx = Line::open(ops);
    nginx.send(format!("GET / HTTP/1.0\r\nHost: {ops}\r\n\r\n").as_bytes());
    assert_eq!(nginx.answer().expect("an answer").status, 403);
    assert_eq!(get(ops, "/", &[]).status, 200);

    let guarded = guarded();
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for mark in marks {
        assert_eq!(get(guarded.service.ops, "/", &[&bearer, mark]).status, 200, "{mark}");
    }
}

#[test]
fn the_hosts_of_the_listen_address_are_accepted_without_a_token() {
    let harness = Harness::new(&[("HEARDBACK_OPS_LISTEN", "127.0.0.2:0")]);
    let ops = harness.service.ops;
    assert_eq!(get(ops, "/", &[]).status, 200);
    assert_eq!(get(ops, "/", &["Host: localhost:9091"]).status, 200);
    assert_eq!(get(ops, "/", &["Host: 127.0.0.3"]).status, 421);
}

#[test]
fn a_service_that_listens_for_other_machines_without_a_token_does_not_start() {
    let twilio = Twilio::start();
    twilio.reply_with(TwilioReply::Status(200));
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let open = ("HEARDBACK_OPS_LISTEN", "0.0.0.0:0");
    let output = wrapped(&[BINARY, "serve"], &store, &twilio, &[open]).output().expect("it ran");
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{talk}");
    assert!(
        talk.contains("HEARDBACK_OPS_TOKEN is missing") && talk.contains("127.0.0.1"),
        "{talk}"
    );
    assert!(!store.exists());
    assert!(settings(&store, &twilio).iter().all(|(name, _)| name != "HEARDBACK_OPS_TOKEN"));

    let token = ("HEARDBACK_OPS_TOKEN", TOKEN);
    let service = Running::start(wrapped(&[BINARY, "serve"], &store, &twilio, &[open, token]));
    assert!(service.ops.ip().is_unspecified());
    let here = (std::net::Ipv4Addr::LOCALHOST, service.ops.port()).into();
    assert_eq!(get(here, "/livez", &[]).status, 200);
    assert_eq!(get(here, "/", &["Host: heardback.internal:9091"]).status, 303);
}
