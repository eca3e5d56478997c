//! Wrong keys and damaged signature headers: `doctor` names each cause.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::causes::{
    ACCOUNT, APP_KEY, BASE, BODY, SECOND, SHARED_SECRET, TARGET, TOKEN, arrived, causes, finding,
    ours, signed, with,
};
use heardback::commands::doctor::offline::{DiagnosisOutcome, diagnose};
use heardback::config::{Settings, SettingsArgs};
use heardback::twilio::form;
use heardback::twilio::signature::{Algorithm, Content, KeyId, SigningKey, sign};

#[test]
fn a_key_that_the_route_does_not_accept_is_named() {
    let sign_with = |key: &str, target: &str| {
        arrived(target, BODY, &signed(key, &format!("{BASE}{target}"), BODY))
    };
    for (key, target, cause, name) in [
        (TOKEN, "/app/events", "token_on_app_route", "token 1"),
        (APP_KEY, TARGET, "app_key_on_twilio_route", "app key 1"),
        (SECOND, TARGET, "key_quoted", "token 2"),
        ("the-secret-of-the-api-key", "/app/events", "api_secret", "API key"),
        (ACCOUNT, TARGET, "account_sid", "account SID"),
        ("", "/app/events", "empty_key", "empty key"),
    ] {
        let request = sign_with(key, target);
        assert_eq!(causes(&ours(), &request), [cause]);
        let finding = finding(&ours(), &request);
        let said = finding.text();
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_key_that_was_damaged_at_the_sender_is_named_with_its_damage() {
    let sign_with = |key: &str, target: &str| {
        arrived(target, BODY, &signed(key, &format!("{BASE}{target}"), BODY))
    };
    for (key, target, how) in [
        (format!("{APP_KEY}\n"), "/app/events", "line break at its end"),
        (format!("{APP_KEY}\r\n"), "/app/events", "Windows line break"),
        (format!(" {TOKEN}"), TARGET, "blank before it"),
        (format!("\"{TOKEN}\""), TARGET, "double quotes"),
        (format!("'{APP_KEY}'"), "/app/events", "single quotes"),
        (format!("\u{feff}{APP_KEY}"), "/app/events", "byte order mark"),
        (TOKEN.to_uppercase(), TARGET, "upper case"),
        (STANDARD.encode(APP_KEY), "/app/events", "encoded as base64"),
        (APP_KEY[..APP_KEY.len() - 1].to_owned(), "/app/events", "without its last character"),
        (format!("{TOKEN}{TOKEN}"), TARGET, "twice in a row"),
    ] {
        let request = sign_with(&key, target);
        assert_eq!(causes(&ours(), &request), ["key_damaged"], "{how}");
        let said = finding(&ours(), &request).text();
        assert!(
            said.contains(how)
                && said.contains("of HEARDBACK_APP_KEYS") | said.contains("of TWILIO_AUTH_TOKEN"),
            "{said}"
        );
    }
}

#[test]
fn a_signature_that_was_damaged_is_repaired_and_named() {
    let url = format!("{BASE}{TARGET}");
    // A signature with a `+` and a `/`, so that both can be damaged.
    let bodies = (0..1000).map(|n| format!("{BODY}&N={n}"));
    let mut signed_bodies = bodies.map(|body| (signed(TOKEN, &url, &body), body));
    let (good, body) =
        signed_bodies.find(|(text, _)| text.contains('+') && text.contains('/')).expect("one");
    let bytes = STANDARD.decode(&good);
    let digits = bytes.expect("base64").into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
    for (header, cause) in [
        (format!("\"{good}\""), "quoted"),
        (good.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"), "percent_encoded"),
        (good.replace('+', " "), "plus_lost"),
        (good.replace('+', "-").replace('/', "_"), "url_safe_base64"),
        (good.trim_end_matches('=').to_owned(), "padding_lost"),
        (hex.clone(), "hexadecimal"),
        (format!("sha1={hex}"), "hexadecimal"),
    ] {
        assert_eq!(causes(&ours(), &arrived(TARGET, &body, &header)), [cause], "{header}");
    }
    let mut twice = arrived(TARGET, &body, &signed("another", &url, &body));
    twice.headers.push(("X-Twilio-Signature".to_owned(), good));
    assert_eq!(causes(&ours(), &twice), ["second_header"]);
}

#[test]
fn an_unnamed_or_differently_bound_shared_key_is_distinguished_from_a_valid_one() {
    let url = format!("{BASE}{TARGET}");
    let signed = |secret: &str, algorithm: &str| {
        let algorithm = Algorithm::parse(algorithm).expect("known");
        let id = KeyId::parse("any").expect("an id");
        let key = SigningKey::shared(id, algorithm, secret.as_bytes());
        let pairs = form::pairs(BODY.as_bytes());
        sign(&key, &url, &Content::Form { pairs: &pairs, body: BODY.as_bytes() })
    };
    let named = |secret: &str, algorithm: &str, header: &str| {
        let request = arrived(TARGET, BODY, &signed(secret, algorithm));
        if header.is_empty() {
            request
        } else {
            with(request, "X-Twilio-Webhooks-Signature-Settings", header)
        }
    };
    let good = "key=webhooks_sharedkey_01,algorithm=HMAC_SHA256";
    let finding = finding(&ours(), &named(SHARED_SECRET, "HMAC_SHA256", good));
    assert_eq!(finding.outcome, DiagnosisOutcome::Good, "{}", finding.text());
    assert_eq!(finding.key.as_deref(), Some("the SharedKey webhooks_sharedkey_01"));
    for (secret, algorithm, header, cause) in [
        (SHARED_SECRET, "HMAC_SHA256", "", "settings_header_missing"),
        (
            SHARED_SECRET,
            "HMAC_SHA256",
            "key=another,algorithm=HMAC_SHA256",
            "settings_header_other",
        ),
        (SHARED_SECRET, "HMAC_SHA256", "key=webhooks_sharedkey_01", "settings_header_other"),
        (SHARED_SECRET, "HMAC_SHA1", "key=webhooks_sharedkey_01,algorithm=HMAC_SHA1", "algorithm"),
        (TOKEN, "HMAC_SHA256", "", "algorithm"),
        (TOKEN, "HMAC_SHA1", good, "settings_header_other"),
    ] {
        assert_eq!(causes(&ours(), &named(secret, algorithm, header)), [cause], "{header}");
    }
    let unknown = named("nobody's", "HMAC_SHA256", "key=unknown,algorithm=HMAC_SHA256");
    let text = diagnose(&ours(), &unknown).text();
    assert!(text.contains("names a SharedKey that is not in TWILIO_SHARED_KEYS"), "{text}");
}

#[test]
fn a_header_that_is_no_signature_is_reported_as_such() {
    for (header, cause) in [("", "unsigned"), ("nonsense", "malformed")] {
        assert_eq!(causes(&ours(), &arrived(TARGET, BODY, header)), [cause], "{header}");
    }
    let mut none = arrived(TARGET, BODY, "");
    none.headers.pop();
    assert_eq!(causes(&ours(), &none), ["unsigned"]);
}

#[test]
fn a_key_of_another_configured_account_is_distinguished_from_one_of_an_unknown_account() {
    const OTHER: &str = "AC5555555555abcdef0123456789abcdef";
    const OTHER_TOKEN: &str = "the token of the other account";
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", BASE),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("HEARDBACK_ACCOUNTS_FILE", "/run/accounts.toml"),
    ]);
    let env = |name: &str| (name == "TWILIO_AUTH_TOKEN").then(|| TOKEN.to_owned());
    let file = format!("[[account]]\nsid = '{OTHER}'\nauth_tokens = ['{OTHER_TOKEN}']\n");
    let settings = Settings::load(&args, &env, &|_| Ok(file.clone())).expect("sound");
    let url = format!("{BASE}{TARGET}");
    let body = BODY.replace(ACCOUNT, OTHER);
    let found = |body: &str, key: &str| {
        let signature = signed(key, &url, body);
        finding(&settings, &arrived(TARGET, body, &signature))
    };
    let good = found(&body, OTHER_TOKEN);
    assert_eq!(good.outcome, DiagnosisOutcome::Good, "{}", good.text());
    assert_eq!(good.key.as_deref(), Some("token 1 of account 1 of HEARDBACK_ACCOUNTS_FILE"));
    for (body, key) in [(&body[..], TOKEN), (BODY, OTHER_TOKEN)] {
        let text = found(body, key).text();
        assert!(text.contains("signed with a key that speaks for another one only"), "{text}");
        assert!(!text.contains(OTHER_TOKEN) && !text.contains(TOKEN), "{text}");
    }
}
