//! URLs of accounts, their reload, and the commands that show them.

use heardback::twilio::signature::SigningKey;
use rustix::process::Signal;
use serde_json::Value;

use crate::forward::app::{App, says, twiml};
use crate::forward::{message, service};
use crate::harness::running::{BINARY, Running, command, settings};
use crate::harness::twilio::Twilio;
use crate::harness::{ACCOUNT, BASE, LONG, OTHER_ACCOUNT, eventually, http_client, signed};

const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";

fn accounts(urls: &str) -> String {
    format!("[[account]]\nsid = \"{OTHER_ACCOUNT}\"\nauth_tokens = [\"{OTHER_TOKEN}\"]\n{urls}\n")
}

#[test]
fn each_account_has_its_own_app_which_a_reload_replaces() {
    let (of_all, own, next) =
        (App::start(says("all")), App::start(says("own")), App::start(says("next")));
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("accounts.toml");
    let write = |urls: &str| std::fs::write(&file, accounts(urls)).expect("written");
    write(&format!("forward_message_url = \"{}\"", own.url("/own")));
    let path = file.display().to_string();
    let service = Running::start(command(
        &folder.path().join("store"),
        &twilio,
        &[
            ("HEARDBACK_ACCOUNTS_FILE", &path),
            ("HEARDBACK_FORWARD_MESSAGE_URL", &of_all.url("/all")),
            ("HEARDBACK_FORWARD_PRIVATE", "true"),
        ],
    ));
    let text = |number: u32, token: Option<&str>| {
        let mut request = message(number);
        let request = match token {
            None => signed(&request),
            Some(token) => {
                let body = String::from_utf8(request.body).expect("ASCII");
                request.body = body.replace(ACCOUNT, OTHER_ACCOUNT).into_bytes();
                request.signed(&SigningKey::new(token.as_bytes()), BASE)
            }
        };
        service.exchange(&http_client::bytes(&request)).text()
    };
    let reload = |result: &str| {
        let metric = format!("heardback_config_reloads_total{{result=\"{result}\"}}");
        let before = service.metric(&metric);
        service.signal(Signal::HUP);
        eventually("the file was read again", LONG, || service.metric(&metric) > before);
    };
    assert_eq!(text(1, None), twiml("all"));
    assert_eq!(text(2, Some(OTHER_TOKEN)), twiml("own"));
    let key = SigningKey::new(OTHER_TOKEN.as_bytes());
    assert!(own.received()[0].is_signed_by(&key), "the account's own key signs again");
    write(&format!("forward_message_url = \"{}\"", next.url("/next")));
    reload("done");
    assert_eq!(text(3, Some(OTHER_TOKEN)), twiml("next"));
    write("forward_message_url = \"https://10.0.0.1:x/\"");
    reload("refused");
    assert_eq!(text(4, Some(OTHER_TOKEN)), twiml("next"), "the old URL stays in force");
    write("forward_message_url = \"off\"");
    reload("done");
    assert_eq!(text(5, Some(OTHER_TOKEN)), "<Response/>");
    write("");
    reload("done");
    assert_eq!(text(6, Some(OTHER_TOKEN)), twiml("all"));
    assert_eq!(text(7, None), twiml("all"));
}

#[test]
fn check_prints_where_each_url_goes_and_no_secret() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(BINARY)
            .args(arguments)
            .env_clear()
            .envs(settings(&folder.path().join("store"), &twilio))
            .env("HEARDBACK_FORWARD_MESSAGE_URL", "https://me:hush@app.example.com/sms?t=hush#rc=3")
            .env("HEARDBACK_FORWARD_CALL_URL", "https://app.example.com/voice")
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = run(&["check"]);
    for words in [
        "HEARDBACK_FORWARD_MESSAGE_URL  https://app.example.com/sms?…",
        "HEARDBACK_FORWARD_STATUS_URL   not set",
        "paste https://hooks.example.com/twilio/message",
        "in place of https://app.example.com/sms?…",
        "in place of https://app.example.com/voice",
        "the part after # has no effect",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let json: Value = serde_json::from_str(&run(&["check", "--json"])).expect("JSON");
    let first = &json["forwards"][0];
    assert_eq!(first["account"], ACCOUNT);
    assert_eq!(
        (&first["kind"], &first["app"]),
        (&"message".into(), &"https://app.example.com/sms?…".into())
    );
    assert!(!text.contains("hush") && !json.to_string().contains("hush"));
}

/// Runs `doctor` with these arguments, and returns its text.
fn doctor(app: &App, arguments: &[&str]) -> (bool, String) {
    let harness = service(app, &[]);
    let output = std::process::Command::new(BINARY)
        .arg("doctor")
        .args(arguments)
        .env_clear()
        .envs(settings(&harness.store(), &harness.twilio))
        .env("HEARDBACK_FORWARD_MESSAGE_URL", app.url("/sms"))
        .env("HEARDBACK_FORWARD_PRIVATE", "true")
        .env("HEARDBACK_OPS_LISTEN", harness.service.ops.to_string())
        .output()
        .expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn doctor_asks_the_app_only_when_it_is_told_to() {
    let app = App::start(says("x"));
    let (_, text) = doctor(&app, &[]);
    assert_eq!(app.received().len(), 0, "{text}");
    assert!(text.contains("--ask-app"), "{text}");
    // An app that accepts everything.
    let (_, text) = doctor(&app, &["--ask-app"]);
    assert!(text.contains("accepts a wrong signature, too"), "{text}");
    let received = app.received();
    assert_eq!(received.len(), 2);
    assert!(
        received.iter().all(|one| !one.body.contains("MessageSid") && !one.body.contains("From="))
    );
    // An app that refuses everything.
    app.reply_with(crate::forward::app::answer("403 Forbidden", "", ""));
    let (is_well, text) = doctor(&app, &["--ask-app"]);
    assert!(!is_well && text.contains("refuses Heardback's signature"), "{text}");
}
