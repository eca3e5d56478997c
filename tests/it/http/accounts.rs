//! Several accounts in one process over real sockets: which key may speak for which account.

use heardback::recording::Recording;
use heardback::twilio::signature::{Algorithm, KeyId, SigningKey};
use serde_json::json;

use crate::harness::running::{Running, command};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    ACCOUNT, BASE, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, TOKEN, eventually, form, get,
    http_client, json as json_post, sid,
};

const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";
const OWN_APP_KEY: &str = "the other account's own app key";
const APP_KEY: &str = "what every account's app signs with";
const UNKNOWN_ACCOUNT: &str = "AC9999999999abcdef0123456789abcdef";
const SHARED_ID: &str = "webhooks_sharedkey_01";
const SHARED: &str = "a shared key's secret";

struct Harness {
    service: Running,
    twilio: Twilio,
    _folder: tempfile::TempDir,
}

impl Harness {
    /// The environment's account, and another one in a file.
    fn new(more: &[(&str, &str)]) -> Self {
        let twilio = Twilio::start();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("accounts.toml");
        let text = format!(
            "[[account]]\nsid = \"{OTHER_ACCOUNT}\"\nauth_tokens = [\"{OTHER_TOKEN}\"]\n\
             app_keys = [\"{OWN_APP_KEY}\"]\nedge = \"dublin\"\nregion = \"ie1\"\n\
             shared_keys = [{{ id = \"{SHARED_ID}\", algorithm = \"HMAC_SHA256\", \
             secret = \"{SHARED}\" }}]\n"
        );
        std::fs::write(&file, text).expect("written");
        let path = file.display().to_string();
        let own = [("HEARDBACK_ACCOUNTS_FILE", path.as_str()), ("HEARDBACK_APP_KEYS", APP_KEY)];
        let more: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
        let service = Running::start(command(&folder.path().join("store"), &twilio, &more));
        Self { service, twilio, _folder: folder }
    }

    fn send(&self, request: &Recording, secret: &str) -> u16 {
        self.service.exchange(&http_client::bytes(&by(request, secret))).status
    }
}

fn by(request: &Recording, secret: &str) -> Recording {
    request.signed(&SigningKey::new(secret.as_bytes()), BASE)
}

fn status(account: &str, number: u32) -> Recording {
    let sid = sid(number);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("MessageStatus", "sent"),
        ("AccountSid", account),
        ("To", RECIPIENT),
        ("From", SENDER),
    ];
    form("/twilio/status", &fields)
}

fn event(account: Option<&str>, number: u32) -> Recording {
    let sid = sid(number);
    let mut fields = vec![("MessageSid", sid.as_str()), ("Type", "code_entered")];
    fields.extend(account.map(|account| ("AccountSid", account)));
    form("/app/events", &fields)
}

fn json_event(account: Option<&str>, number: u32) -> Recording {
    let mut body = json!({ "MessageSid": sid(number), "Type": "code_entered" });
    if let (Some(account), Some(body)) = (account, body.as_object_mut()) {
        body.insert("AccountSid".to_owned(), account.into());
    }
    json_post("/app/events", &body)
}

#[test]
fn an_accounts_token_speaks_for_its_own_account_only() {
    let harness = Harness::new(&[]);
    for (account, secret, expected) in [
        (ACCOUNT, TOKEN, 204),
        (OTHER_ACCOUNT, OTHER_TOKEN, 204),
        (ACCOUNT, OTHER_TOKEN, 403),
        (OTHER_ACCOUNT, TOKEN, 403),
        (UNKNOWN_ACCOUNT, TOKEN, 403),
        (UNKNOWN_ACCOUNT, OTHER_TOKEN, 403),
        (UNKNOWN_ACCOUNT, "a guess", 403),
        (ACCOUNT, APP_KEY, 403),
        (OTHER_ACCOUNT, OWN_APP_KEY, 403),
    ] {
        let got = harness.send(&status(account, 1), secret);
        assert_eq!(got, expected, "{account} by {secret}");
        let mut asked = status(account, 1);
        let query = String::from_utf8(std::mem::take(&mut asked.body)).expect("a form");
        let asked = get(&format!("/twilio/status?{query}"));
        assert_eq!(harness.send(&asked, secret), expected, "GET, {account} by {secret}");
    }
    // The account is in the body, so every key is tried; the key's owner still decides.
    let missing = form("/twilio/status", &[("MessageSid", &sid(1))]);
    for secret in [TOKEN, OTHER_TOKEN] {
        assert_eq!(harness.send(&missing, secret), 400, "signed, without an account");
    }
}

#[test]
fn a_message_is_reported_while_another_accounts_hanging_posts_take_all_slots() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::HoldOf(OTHER_ACCOUNT));
    for number in 1..=20 {
        assert_eq!(harness.send(&event(None, number), OWN_APP_KEY), 200);
    }
    eventually("the account's posts hang", LONG, || harness.twilio.posts().len() >= 4);
    assert_eq!(harness.send(&event(Some(ACCOUNT), 100), APP_KEY), 200);
    let metric = "heardback_upstream_attempts_total{result=\"done\"}";
    eventually("the other account's message is reported", LONG, || {
        harness.service.metric(metric) == 1
    });
}

#[test]
fn an_app_key_of_an_account_speaks_for_it_and_a_shared_app_key_for_all() {
    let harness = Harness::new(&[]);
    for (number, account, secret, expected) in [
        (1, Some(ACCOUNT), APP_KEY, 200),
        (2, Some(OTHER_ACCOUNT), APP_KEY, 200),
        (3, None, APP_KEY, 400),
        (4, Some(OTHER_ACCOUNT), OWN_APP_KEY, 200),
        (5, None, OWN_APP_KEY, 200),
        (6, Some(ACCOUNT), OWN_APP_KEY, 403),
        (7, Some(UNKNOWN_ACCOUNT), APP_KEY, 403),
        (8, Some(UNKNOWN_ACCOUNT), OWN_APP_KEY, 403),
        (9, Some(ACCOUNT), TOKEN, 403),
        (9, Some(OTHER_ACCOUNT), OTHER_TOKEN, 403),
    ] {
        for request in [event(account, number), json_event(account, number)] {
            let got = harness.send(&request, secret);
            assert_eq!(got, expected, "{account:?} by {secret}: {}", request.target);
        }
    }
    // Each message was confirmed for its own account, and posted with the credentials of that
    // account.
    let posted = |account: &str, number: u32| {
        let path = format!("/Accounts/{account}/Messages/{}/", sid(number));
        eventually(&path, LONG, || harness.twilio.posts().iter().any(|post| post.contains(&path)));
    };
    posted(ACCOUNT, 1);
    for number in [2, 4, 5] {
        posted(OTHER_ACCOUNT, number);
    }
    // A message of another account is not found.
    for (number, secret, expected) in [
        (1, APP_KEY, 200),
        (2, APP_KEY, 200),
        (2, OWN_APP_KEY, 200),
        (3, APP_KEY, 404),
        (1, OWN_APP_KEY, 404),
        (99, OWN_APP_KEY, 404),
        (1, TOKEN, 403),
    ] {
        let asked = get(&format!("/app/messages/{}", sid(number)));
        assert_eq!(harness.send(&asked, secret), expected, "{number} by {secret}");
    }
    let [there, nowhere] = [1, 99].map(|number| {
        let asked = by(&get(&format!("/app/messages/{}", sid(number))), OWN_APP_KEY);
        harness.service.exchange(&http_client::bytes(&asked)).text()
    });
    assert_eq!(there, nowhere, "no hint");
}

#[test]
fn an_account_is_never_guessed_if_a_key_speaks_for_several() {
    let harness = Harness::new(&[]);
    let target = "https://app.example.com/";
    for (route, body) in [
        ("/app/messages", json!({ "MessageSid": sid(1) })),
        ("/app/messages", json!({ "Link": target })),
        ("/app/messages", json!({ "MessageSid": sid(1), "Link": target })),
        ("/app/events", json!({ "To": RECIPIENT })),
        ("/app/events", json!({ "Reference": "login-1" })),
    ] {
        let request = by(&json_post(route, &body), APP_KEY);
        let answer = harness.service.exchange(&http_client::bytes(&request));
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains("AccountSid: missing"), "{}", answer.text());
        let own = harness.send(&json_post(route, &body), OWN_APP_KEY);
        assert!((200..300).contains(&own), "the key's owner is the account: {own} {body}");
    }
}

#[test]
fn anothers_message_cannot_be_confirmed_by_naming_it() {
    let harness = Harness::new(&[]);
    assert_eq!(harness.send(&json_event(Some(ACCOUNT), 1), APP_KEY), 200);
    let register =
        json_post("/app/messages", &json!({ "MessageSid": sid(2), "AccountSid": ACCOUNT }));
    assert_eq!(harness.send(&register, APP_KEY), 201, "the default account's");
    // The other account's app reports that the default account's message arrived.
    let answer =
        harness.service.exchange(&http_client::bytes(&by(&json_event(None, 2), OWN_APP_KEY)));
    assert_ne!(answer.status, 200, "{}", answer.text());
    // The other account's Twilio reports it. A click adds no facts about the message, so nothing
    // contradicts it.
    let click = json!({ "event_type": "click", "sms_sid": sid(2), "account_sid": OTHER_ACCOUNT });
    assert_eq!(harness.send(&json_post("/twilio/click", &click), OTHER_TOKEN), 204);
    let asked = by(&get(&format!("/app/messages/{}", sid(2))), APP_KEY);
    let message = harness.service.exchange(&http_client::bytes(&asked)).json();
    assert_eq!(message["state"], "pending");
}

#[test]
fn a_shared_key_speaks_for_its_own_account_only() {
    let harness = Harness::new(&[]);
    let id = KeyId::parse(SHARED_ID).expect("valid");
    let key = SigningKey::shared(id, Algorithm::HmacSha256, SHARED.as_bytes());
    for (account, expected) in [(OTHER_ACCOUNT, 204), (ACCOUNT, 403), (UNKNOWN_ACCOUNT, 403)] {
        let mut request = status(account, 1).signed(&key, BASE);
        let settings = format!("key={SHARED_ID},algorithm=HMAC_SHA256");
        request.headers.push(("X-Twilio-Webhooks-Signature-Settings".to_owned(), settings));
        let got = harness.service.exchange(&http_client::bytes(&request)).status;
        assert_eq!(got, expected, "{account}");
    }
}

#[test]
fn the_key_that_a_route_last_matched_is_shown_by_its_name() {
    let harness = Harness::new(&[("TWILIO_AUTH_TOKEN", &format!("{TOKEN},{OTHER_TOKEN}0"))]);
    harness.send(&status(ACCOUNT, 1), &format!("{OTHER_TOKEN}0"));
    harness.send(&status(OTHER_ACCOUNT, 1), OTHER_TOKEN);
    harness.send(&event(None, 2), APP_KEY);
    harness.send(&event(None, 3), OWN_APP_KEY);
    harness.send(&status(ACCOUNT, 1), "a guess");
    harness.send(&status(UNKNOWN_ACCOUNT, 1), TOKEN);
    let when = |route: &str, account: &str, key: &str| {
        harness.service.metric(&format!(
            "heardback_key_last_matched_timestamp_seconds\
             {{route=\"{route}\",account=\"{account}\",key=\"{key}\"}}"
        ))
    };
    for (route, account, key, is_there) in [
        ("/twilio/status", ACCOUNT, "token 2", true),
        ("/twilio/status", ACCOUNT, "token 1", false),
        ("/twilio/status", OTHER_ACCOUNT, "token 1", true),
        ("/app/events", "any", "app key 1", true),
        ("/app/events", OTHER_ACCOUNT, "app key 1", true),
        ("/app/events", ACCOUNT, "app key 1", false),
    ] {
        let when = when(route, account, key);
        assert_eq!(when > 1_700_000_000, is_there, "{route} {account} {key}: {when}");
    }
    let text = harness.service.operator("/metrics").text();
    assert!(!text.contains(UNKNOWN_ACCOUNT), "an unknown account creates no label");
}

#[test]
fn a_token_of_the_wrong_region_is_logged_at_once_and_changes_no_response() {
    let harness = Harness::new(&[("TWILIO_REGION", "us1"), ("TWILIO_EDGE", "ashburn")]);
    let from = |account: &str, secret: &str, region: &str| {
        let mut request = by(&status(account, 1), secret);
        request.headers.push(("X-Home-Region".to_owned(), region.to_owned()));
        harness.service.exchange(&http_client::bytes(&request)).status
    };
    let hints = |region: &str| {
        let logs = harness.service.logs();
        let said = format!("names region {region}");
        logs.lines().filter(|line| line.contains(&said)).count()
    };
    assert_eq!(from(ACCOUNT, TOKEN, "ie1"), 204, "a matching signature is valid from any region");
    assert_eq!(from(ACCOUNT, "a guess", "us1"), 403);
    assert_eq!(from(OTHER_ACCOUNT, "a guess", "ie1"), 403);
    assert_eq!(hints("ie1") + hints("us1"), 0, "the region is as configured");
    for _ in 0..3 {
        assert_eq!(from(ACCOUNT, "a guess", "ie1"), 403);
        assert_eq!(from(OTHER_ACCOUNT, "a guess", "us1"), 403);
        assert_eq!(from(ACCOUNT, "a guess", "forged line"), 403);
    }
    eventually("the hints are logged", LONG, || hints("ie1") == 1 && hints("us1") == 1);
    assert!(!harness.service.logs().contains("forged"));
}
