//! Each cause of a rejection: a request is signed, then changed in one way. `doctor` must name the
//! change without showing a value of the request.

mod body;
mod keys;

use heardback::commands::doctor::offline::{Diagnosis, DiagnosisOutcome, MAX_SIGNATURES, diagnose};
use heardback::config::{Settings, SettingsArgs};
use heardback::recording::Recording;
use heardback::twilio::form;
use heardback::twilio::signature::{Content, SigningKey, sign};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "f00dbabe98765432100123456789cafe";
const SECOND: &str = "0badc0de98765432100123456789beef";
const APP_KEY: &str = "an-app-key-of-some-length";
const PHONE: &str = "+15558675310";
const SHARED: &str = "webhooks_sharedkey_01";
const SHARED_SECRET: &str = "a-shared-secret-of-some-length";
const BASE: &str = "https://hooks.example.com";
const BODY: &str = "AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01&Body=my+code%0Ais+4242&\
                    From=%2B15558675310&FromCity=&MessageSid=SM0123456789abcdef0123456789abcdef&NumMedia=0&\
                    SmsSid=SM0123456789abcdef0123456789abcdef&To=%2B15017122661";

fn settings_for(public: &str) -> Settings {
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", public),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_API_KEY", "SK0123456789abcdef0123456789abcdef"),
    ]);
    let env = |name: &str| {
        let value = match name {
            "TWILIO_AUTH_TOKEN" => format!("{TOKEN},\"{SECOND}\""),
            "TWILIO_API_SECRET" => "the-secret-of-the-api-key".to_owned(),
            "HEARDBACK_APP_KEYS" => APP_KEY.to_owned(),
            "TWILIO_SHARED_KEYS" => format!("{SHARED}:HMAC_SHA256:{SHARED_SECRET}"),
            _ => return None,
        };
        Some(value)
    };
    Settings::load(&args, &env, &|_| Err(std::io::ErrorKind::NotFound.into())).expect("sound")
}

/// Signs a form for a URL.
fn signed(key: &str, url: &str, body: &str) -> String {
    let pairs = form::pairs(body.as_bytes());
    let content = Content::Form { pairs: &pairs, body: body.as_bytes() };
    sign(&SigningKey::new(key.as_bytes()), url, &content)
}

/// Signs a URL alone.
fn signed_url(key: &str, url: &str) -> String {
    sign(&SigningKey::new(key.as_bytes()), url, &Content::Nothing)
}

fn arrived(target: &str, body: &str, signature: &str) -> Recording {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Recording {
        method: "POST".to_owned(),
        target: target.to_owned(),
        headers: vec![
            header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            header("X-Twilio-Signature", signature),
        ],
        body: body.as_bytes().to_vec(),
        ..Recording::default()
    }
}

fn with(mut recording: Recording, name: &str, value: &str) -> Recording {
    recording.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    recording.headers.push((name.to_owned(), value.to_owned()));
    recording
}

/// The output of `doctor`, which must contain no value of the request.
fn finding(settings: &Settings, recording: &Recording) -> Diagnosis {
    let finding = diagnose(settings, recording);
    let text = finding.text() + &serde_json::to_string(&finding).expect("plain data");
    let secrets =
        [TOKEN, SECOND, APP_KEY, "the-secret", SHARED_SECRET, "15558675310", "15017122661", "4242"];
    for hidden in secrets {
        assert!(!text.contains(hidden), "{hidden} shows in\n{text}");
    }
    if let Some(signature) = recording.header("X-Twilio-Signature").filter(|text| text.len() > 20) {
        assert!(!text.contains(signature), "a signature shows in\n{text}");
    }
    assert!(finding.tried.signatures <= MAX_SIGNATURES, "{text}");
    finding
}

#[track_caller]
fn causes(settings: &Settings, recording: &Recording) -> Vec<&'static str> {
    let finding = finding(settings, recording);
    let body = String::from_utf8_lossy(&recording.body);
    assert_eq!(finding.outcome, DiagnosisOutcome::Found, "{body}\n{}", finding.text());
    finding.causes.iter().map(|cause| cause.id).collect()
}

fn ours() -> Settings {
    settings_for(BASE)
}

const TARGET: &str = "/twilio/message";

#[test]
fn a_valid_request_is_reported_valid_with_other_possible_reasons_for_its_rejection() {
    let url = format!("{BASE}{TARGET}");
    let good = finding(&ours(), &arrived(TARGET, BODY, &signed(TOKEN, &url, BODY)));
    assert_eq!(good.outcome, DiagnosisOutcome::Good);
    assert_eq!(good.key.as_deref(), Some("token 1 of TWILIO_AUTH_TOKEN"));
    assert_eq!(good.signed_url.as_deref(), Some("https://hooks.example.com/twilio/message"));
    assert!(good.text().contains("another reason"), "{}", good.text());
    // With the default port the signature is valid too: the receiver tries both forms.
    let signature = signed(TOKEN, "https://hooks.example.com:443/twilio/message", BODY);
    assert_eq!(
        finding(&ours(), &arrived(TARGET, BODY, &signature)).outcome,
        DiagnosisOutcome::Good
    );
    // A valid signature for another account.
    let other = BODY.replace("AC0123", "AC9999");
    let good = finding(&ours(), &arrived(TARGET, &other, &signed(TOKEN, &url, &other)));
    assert!(good.text().contains("another account (AC…cdef)"), "{}", good.text());
}

#[test]
fn a_url_that_differs_in_its_origin_is_named() {
    let settings = settings_for("https://hooks.example.com:8443/hb");
    for (public, url, cause) in [
        (BASE, "http://hooks.example.com/twilio/message", "scheme_http"),
        (BASE, "https://hooks.example.com:8080/twilio/message", "port"),
        (BASE, "https://hooks.example.com:80/twilio/message", "port"),
        (BASE, "https://hooks.example.com:9999/twilio/message", "port"),
        (BASE, "https://internal.example.net:5050/twilio/message", "host"),
        (BASE, "https://forwarded.example.net/twilio/message", "host"),
        (BASE, "https://rfc7239.example.net/twilio/message", "host"),
        (BASE, "https://www.hooks.example.com/twilio/message", "host"),
        ("https://Hooks.Example.com", "https://hooks.example.com/twilio/message", "host"),
        ("https://h.example:8444", "https://h.example:443/twilio/message", "port"),
        (BASE, "https://hooks.example.com/heardback/twilio/message", "prefix_added"),
        (BASE, "https://hooks.example.com/v7/in/twilio/message", "prefix_added"),
    ] {
        let mut request = arrived(TARGET, BODY, &signed(TOKEN, url, BODY));
        for (name, value) in [
            ("Host", "internal.example.net:5050"),
            ("X-Forwarded-Host", "forwarded.example.net, inner.example.net"),
            ("Forwarded", "for=192.0.2.1;host=\"rfc7239.example.net\";proto=https"),
            ("X-Forwarded-Port", "9999"),
            ("X-Forwarded-Prefix", "/v7/in/"),
        ] {
            request = with(request, name, value);
        }
        assert_eq!(causes(&settings_for(public), &request), [cause], "{url}");
    }
    for (url, cause) in [
        ("https://hooks.example.com:8443/twilio/message", "prefix_dropped"),
        ("http://hooks.example.com:8443/hb/twilio/message", "scheme_http"),
    ] {
        let request = arrived(TARGET, BODY, &signed(TOKEN, url, BODY));
        assert_eq!(causes(&settings, &request), [cause], "{url}");
    }
    let local = settings_for("http://127.0.0.1:8080");
    let url = "https://127.0.0.1:8080/twilio/message";
    assert_eq!(causes(&local, &arrived(TARGET, BODY, &signed(TOKEN, url, BODY))), ["scheme_https"]);
}

#[test]
fn a_host_is_reported_with_its_source() {
    let url = "https://abc.ngrok.app/twilio/message";
    let request = with(arrived(TARGET, BODY, &signed(TOKEN, url, BODY)), "Host", "abc.ngrok.app");
    let text = finding(&ours(), &request).text();
    assert!(text.contains("abc.ngrok.app (the Host header's)"), "{text}");
    assert!(text.contains("not for hooks.example.com"), "{text}");
}

#[test]
fn a_path_or_query_that_was_rewritten_is_named() {
    let long = "/twilio/status?b=2&a=x%20y&feedback=1";
    for (signed_for, target, cause) in [
        ("/twilio/message/", TARGET, "slash_dropped"),
        ("/twilio/message", "/twilio/message/", "slash_added"),
        ("//twilio/message", TARGET, "double_slash"),
        ("/twilio/status", TARGET, "route"),
        ("/twilio/message", "/twilio/message?utm=1", "query_added"),
        ("/twilio/message?a=1&b=2", "/twilio/message?a=1&utm=1&b=2", "query_parameter_added"),
        (long, "/twilio/status?a=x%20y&b=2&feedback=1", "query_order"),
        (long, "/twilio/status?b=2&a=x+y&feedback=1", "query_encoding"),
        ("/twilio/status?r=a+b", "/twilio/status?r=a%20b", "query_encoding"),
        ("/twilio/status?r=a+b", "/twilio/status?r=a%2Bb", "query_encoding"),
        ("/twilio/status?r=a%2Bb", "/twilio/status?r=a+b", "query_encoding"),
        ("/twilio/status?r=a/b", "/twilio/status?r=a%2Fb", "query_encoding"),
        ("/twilio/status?r=a%2Fb", "/twilio/status?r=a/b", "query_encoding"),
        ("/twilio/status?r=%c3%b1", "/twilio/status?r=%C3%B1", "query_encoding"),
        ("/twilio/status?feedback=1", "/twilio/status", "feedback_lost"),
        ("/twilio/status?x=1&feedback=1", "/twilio/status?x=1", "feedback_lost"),
        ("/twilio/message?", TARGET, "query_empty"),
        ("/twilio/message#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000", TARGET, "fragment"),
        ("/in?tenant=7", TARGET, "path_rewritten query_lost"),
    ] {
        let request = arrived(target, BODY, &signed(TOKEN, &format!("{BASE}{signed_for}"), BODY));
        let request = with(request, "X-Original-URI", "/in?tenant=7");
        let found = causes(&ours(), &request);
        assert_eq!(found.join(" "), cause, "{signed_for} came as {target}");
    }
}

#[test]
fn a_get_that_signs_its_query_twice_is_named() {
    let target = "/twilio/message?From=%2B15558675310&Body=hi";
    let url = format!("{BASE}{target}");
    let mut request = arrived(target, "", &signed(TOKEN, &url, "From=%2B15558675310&Body=hi"));
    request.method = "GET".to_owned();
    request.headers.retain(|(name, _)| name != "Content-Type");
    assert_eq!(causes(&ours(), &request), ["get_as_form"]);
    let mut request = with(request, "X-Twilio-Signature", &signed_url(TOKEN, &url));
    assert_eq!(finding(&ours(), &request).outcome, DiagnosisOutcome::Good);
    request.target = target.replace("%2B", "+");
    assert_eq!(causes(&ours(), &request), ["query_encoding"]);
}

#[test]
fn two_causes_together_are_found_and_three_are_not() {
    let url = "http://hooks.example.com/app/events/";
    let came = BODY.replace("%2B1", "+1");
    let request = arrived("/app/events", &came, &signed(APP_KEY, url, &came));
    assert_eq!(causes(&ours(), &request), ["scheme_http", "slash_dropped"]);
    let request = arrived("/app/events", BODY, &signed(TOKEN, url, BODY));
    assert_eq!(finding(&ours(), &request).outcome, DiagnosisOutcome::NotFound);
    let url = "http://hooks.example.com/app/events";
    let request = arrived("/app/events", BODY, &signed(TOKEN, url, BODY));
    assert_eq!(causes(&ours(), &request), ["token_on_app_route", "scheme_http"]);
    let url = format!("http://hooks.example.com{TARGET}");
    let request = arrived(TARGET, &came, &signed(TOKEN, &url, BODY));
    assert_eq!(causes(&ours(), &request), ["scheme_http", "plus_unescaped"]);
    // The two middlewares of Laravel.
    let request = arrived(
        TARGET,
        "Body=hi&To=1",
        &signed(TOKEN, &format!("{BASE}{TARGET}"), "Body=hi+&To=1&SmsStatus=received"),
    );
    assert_eq!(
        finding(&ours(), &request).outcome,
        DiagnosisOutcome::NotFound,
        "not among what is tried"
    );
    let sent = "Body=a%0Ab&A.B=1";
    let came = "Body=a%0D%0Ab&A_B=1";
    let request = arrived(TARGET, came, &signed(TOKEN, &format!("{BASE}{TARGET}"), sent));
    let mut found = causes(&ours(), &request);
    found.sort_unstable();
    assert_eq!(found, ["dots_became_underscores", "lf_became_crlf"]);
}

#[test]
fn an_unexplained_signature_is_reported_with_everything_tried_and_the_next_steps() {
    let other = BODY.replace("AC0123", "AC9999");
    let url = format!("{BASE}{TARGET}");
    let request = arrived(TARGET, &other, &signed("a key that nobody knows", &url, &other));
    let request = with(request, "X-Home-Region", "ie1");
    let finding = finding(&ours(), &with(request, "Host", "elsewhere.example.net"));
    assert_eq!((finding.outcome, finding.is_found()), (DiagnosisOutcome::NotFound, false));
    let text = finding.text();
    for words in [
        "nothing that was tried",
        "another account (AC…cdef)",
        "A subaccount signs with its own token",
        "X-Home-Region says ie1",
        "elsewhere.example.net",
        "forgery",
        " signatures",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(finding.tried.signatures > 1_000 && !finding.tried.cut_short, "{text}");
}

#[test]
fn a_request_made_to_exhaust_the_search_ends_it_early() {
    let fields = |count: usize| {
        (0..count).map(|n| format!("p{n}[]=+{n}_.%0A,")).collect::<Vec<_>>().join("&")
    };
    for body in [fields(4_000), "x".repeat(64 << 10)] {
        let target = format!("/twilio/message?{}", fields(300));
        let nothing = signed("a key that nobody knows", "https://x", "");
        let finding = finding(&ours(), &arrived(&target, &body, &nothing));
        assert_eq!(finding.outcome, DiagnosisOutcome::NotFound);
        assert!(finding.tried.signatures > 1_000, "{}", finding.text());
    }
}

#[test]
fn names_hosts_and_paths_that_may_be_values_are_not_shown() {
    let url = format!("{BASE}{TARGET}");
    let came = format!("{BODY}&%2B15558675310=1");
    let request = arrived(TARGET, &came, &signed(TOKEN, &url, BODY));
    let text = finding(&ours(), &request).text();
    assert!(text.contains("a name that is not shown"), "{text}");
    let target = format!("/hidden/{PHONE}?From={PHONE}");
    let request = arrived(&target, BODY, &signed(TOKEN, &format!("{BASE}{target}"), BODY));
    let shown = finding(&ours(), &request).signed_url;
    assert_eq!(shown.as_deref(), Some("https://hooks.example.com/…?…"));
}
