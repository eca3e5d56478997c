//! `TWILIO_SHARED_KEYS`, good and bad, and that no word of a bad one shows.

use secrecy::ExposeSecret;

use super::*;
use crate::twilio::signature::Algorithm;

fn gather(shared: &str) -> Result<Settings, Problems> {
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", "https://hooks.example.com"),
        ("TWILIO_ACCOUNT_SID", "AC0123456789abcdef0123456789abcdef"),
    ]);
    let env = |name: &str| match name {
        "TWILIO_AUTH_TOKEN" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "TWILIO_SHARED_KEYS_FILE" if shared == "@" => Some("/run/shared".to_owned()),
        "TWILIO_SHARED_KEYS" if shared != "@" => Some(shared.to_owned()),
        _ => None,
    };
    let file = |_: &Path| Ok("webhooks_sharedkey_01:HMAC_SHA1:hush\n".to_owned());
    Settings::gather(&args, &env, &file)
}

#[test]
fn each_key_is_bound_to_its_algorithm_and_its_secret_is_taken_verbatim() {
    let text = "webhooks_sharedkey_01:HMAC_SHA256:a:b==, webhooks_sharedkey_02:HMAC_SHA1:c,";
    let settings = gather(text).expect("sound");
    let keys: Vec<_> = settings
        .accounts
        .first()
        .shared_keys
        .iter()
        .map(|key| (key.id.as_str(), key.algorithm, key.secret.expose_secret()))
        .collect();
    let expected = [
        ("webhooks_sharedkey_01", Algorithm::HmacSha256, "a:b=="),
        ("webhooks_sharedkey_02", Algorithm::HmacSha1, "c"),
    ];
    assert_eq!(keys, expected);
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert!(gather("").expect("sound").accounts.first().shared_keys.is_empty());
    let from_file = gather("@").expect("sound");
    assert_eq!(from_file.accounts.first().shared_keys[0].secret.expose_secret(), "hush");
}

#[test]
fn what_is_wrong_with_a_key_is_said_without_a_word_of_it() {
    for (text, word) in [
        (",", "nothing stands between"),
        ("hush", "key 1: expected id:algorithm:secret"),
        ("hush:HMAC_SHA1", "expected id:algorithm:secret"),
        ("hush:HMAC_SHA512:hush", "its algorithm must be HMAC_SHA1 or HMAC_SHA256"),
        ("hush:hmac-sha1:hush", "its algorithm must be"),
        ("hush::hush", "its algorithm must be"),
        (":HMAC_SHA1:hush", "its id must be"),
        ("hush hush:HMAC_SHA1:hush", "its id must be"),
        ("hush=:HMAC_SHA1:hush", "its id must be"),
        ("hush,hush:HMAC_SHA1:hush", "key 1: expected id:algorithm:secret"),
        ("hush:HMAC_SHA1:", "its secret is empty"),
        ("hush:HMAC_SHA1:hush,hush:HMAC_SHA256:hush", "key 2 has the id of another one"),
    ] {
        let problems = gather(text).expect_err(text);
        let shown = problems.to_string();
        assert!(shown.contains("TWILIO_SHARED_KEYS") && shown.contains(word), "{text}: {shown}");
        assert!(!format!("{shown} {problems:?}").contains("hush"), "{shown}");
    }
    let long = "x".repeat(129);
    assert!(gather(&format!("{long}:HMAC_SHA1:hush")).is_err());
    let all = gather("hush,hush:x:hush,:HMAC_SHA1:hush").expect_err("three");
    assert_eq!(all.iter().count(), 3, "{all}");
}

#[test]
fn a_secret_in_the_ids_place_is_warned_of_and_no_secret_shows() {
    let settings = gather("an-id:HMAC_SHA1:hush").expect("sound");
    let warnings = settings.warnings.join("\n");
    assert!(warnings.contains("key 1") && !warnings.contains("an-id"), "{warnings}");
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
}
