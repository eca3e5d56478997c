//! Send through with both stores, with several accounts, and with a store that does not write.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use heardback::domain::basic_auth::CredentialTag;
use heardback::domain::outgoing::{OutgoingSend, SendAnswer, SendFailure};
use heardback::inbound::send::credentials::SendCredentials;
use heardback::inbound::send::sends::{MessageCreator, Sends};
use heardback::recording::Recording;
use heardback::store::Store as _;
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use tokio::runtime::Handle;

use crate::fixtures;
use crate::harness::{
    ACCOUNT, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, TOKEN, eventually, form, json, sid,
    status_callback,
};
use crate::postgres::Postgres;
use crate::send::api::{Reply, basic, created};
use crate::send::{Desk, FORM, create_as};

/// A service on a database.
fn on_a_database(postgres: &Postgres, folder: &Path) -> Desk {
    let (url, run) = (postgres.url(), folder.join("run"));
    Desk::new(&[
        ("HEARDBACK_STORE", &url),
        ("HEARDBACK_PHONE_KEY", "0123456789abcdef"),
        ("HEARDBACK_RUN_DIR", run.to_str().expect("UTF-8")),
    ])
}

#[test]
fn a_message_is_registered_in_a_database_too() {
    let Some(postgres) = Postgres::new() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let desk = on_a_database(&postgres, folder.path());
    let body = format!("{FORM}&Heardback.Reference=login-7&Heardback.Code=471108");
    let answer = desk.send_form(&body);
    assert_eq!((answer.status, answer.header("Heardback-Registered")), (201, Some("true")));
    assert_eq!(desk.harness.message(1).expect("registered")["reference"], "login-7");
    assert_eq!(desk.harness.confirm(1).status, 200);
    desk.harness.reaches(1, "reported");
}

/// A text or a call of the recipient at this time, by Event Streams.
fn act(kind: &str, at: Timestamp) -> Recording {
    let at = at.to_string();
    let (of, data) = if kind == "text" {
        let data = serde_json::json!({
            "messageSid": sid(0x1000), "accountSid": ACCOUNT, "from": RECIPIENT, "to": SENDER, "body": "thanks",
            "timestamp": at,
        });
        ("messaging.inbound-message.received", data)
    } else {
        let call = format!("CA{:032x}", 1);
        let parameters = serde_json::json!({
            "CallSid": call, "AccountSid": ACCOUNT, "From": RECIPIENT, "To": SENDER, "Direction": "inbound",
            "CallStatus": "completed", "CallDuration": "7",
        });
        let request = serde_json::json!({ "method": "POST", "parameters": parameters });
        let data = serde_json::json!({ "sid": call, "timestamp": at, "request": request });
        ("voice.status-callback.call.completed", data)
    };
    let event = serde_json::json!({
        "specversion": "1.0", "type": format!("com.twilio.{of}"), "id": format!("EZ{kind}"), "time": at,
        "source": format!("/2010-04-01/Accounts/{ACCOUNT}/x"), "datacontenttype": "application/json",
        "data": data,
    });
    json("/twilio/events", &serde_json::json!([event]))
}

/// The callback of a lost send states no creation time. So the message may be younger than the act, and it may have got
/// the text from a machine.
#[test]
fn an_act_just_after_the_callback_of_a_lost_send_is_kept_until_the_app_states_the_creation_time() {
    let postgres = Postgres::new();
    let folder = tempfile::tempdir().expect("a folder");
    let on_database = postgres.as_ref().map(|postgres| on_a_database(postgres, folder.path()));
    for desk in std::iter::once(Desk::new(&[])).chain(on_database) {
        desk.api.reply_with(Reply::Close);
        assert_eq!(desk.send_form(FORM).header("Heardback-Sent"), Some("maybe"));
        for (number, kind) in [(1, "text"), (2, "call")] {
            let mut callback = status_callback(number, "sent");
            callback.target = "/twilio/status?feedback=1".to_owned();
            assert_eq!(desk.harness.send(&callback).status, 204);
            let message = desk.harness.message(number).expect("registered");
            let heard = message["remembered_at"].as_str().expect("a time");
            let heard: Timestamp = heard.parse().expect("a time");
            assert_eq!(desk.harness.send(&act(kind, heard)).status, 204);
            assert_eq!(desk.harness.state(number).as_deref(), Some("pending"), "{kind}");
            let created = (heard - SignedDuration::from_mins(2)).to_string();
            let fields = [("MessageSid", sid(number)), ("CreatedAt", created)];
            let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
            assert_eq!(desk.harness.send(&form("/app/messages", &fields)).status, 200, "{kind}");
            desk.harness.reaches(number, "reported");
        }
    }
}

#[test]
fn a_full_store_does_not_hide_that_the_message_was_sent() {
    let desk = Desk::new(&[("HEARDBACK_MAX_MESSAGES", "1")]);
    assert_eq!(desk.send_form(FORM).header("Heardback-Registered"), Some("true"));
    let answer = desk.send_form(FORM);
    assert_eq!((answer.status, answer.header("Heardback-Registered")), (201, Some("false")));
    assert_eq!(answer.json()["sid"], sid(2));
    assert_eq!((desk.count("registered"), desk.count("unregistered")), (1, 1));
    assert_eq!(desk.harness.state(2), None);
    let finding = desk.harness.service.operator("/").text();
    assert!(finding.contains("1 messages were sent and not registered within an hour"));
}

/// Creates messages without Twilio.
struct Creator;

#[async_trait]
impl MessageCreator for Creator {
    async fn create(&self, send: OutgoingSend) -> Result<SendAnswer, SendFailure> {
        let form = String::from_utf8(send.form).expect("UTF-8");
        let body = created(send.account.as_str(), 1, &form).into_bytes();
        Ok(SendAnswer { status: 201, headers: Vec::new(), body })
    }
}

#[test]
fn a_store_that_hangs_holds_up_the_answer_for_two_seconds_and_the_registration_goes_on() {
    actix_web::rt::System::new().block_on(async {
        let account = fixtures::ACCOUNT.parse().expect("valid");
        let token = std::str::from_utf8(fixtures::TOKEN).expect("UTF-8");
        let known = [(account, vec![CredentialTag::new(fixtures::ACCOUNT, token)])];
        let credentials = Arc::new(SendCredentials::new(known.into()));
        let limits = (4, LONG);
        let sends = Arc::new(Sends::new(credentials, Arc::new(Creator), limits, Handle::current()));
        let desk = fixtures::Desk::sending(Arc::clone(&sends));
        let request = create_as(fixtures::ACCOUNT, &basic(fixtures::ACCOUNT, token), FORM);
        desk.gate.close();
        let began = Instant::now();
        let answer = post(&desk, &request).await;
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!((answer.0, answer.1.as_deref()), (201, Some("false")));
        let text = desk.metrics.render();
        assert!(text.contains("heardback_sends_total{result=\"unregistered\"} 1"), "{text}");
        desk.gate.open();
        // The drain waits for the late registration.
        sends.drain().await;
        let sid = sid(1).parse().expect("valid");
        assert!(desk.store.show(sid).await.expect("readable").is_some());
        let answer = post(&desk, &request).await;
        assert_eq!(answer.0, 503, "after the drain nothing is sent");
        desk.close().await;
    });
}

/// Sends the request. Returns the status and `Heardback-Registered`.
async fn post(desk: &fixtures::Desk, request: &Recording) -> (u16, Option<String>) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut post = client.post(format!("http://{}{}", desk.addr, request.target));
    for (name, value) in &request.headers {
        post = post.header(name, value);
    }
    let answer = post.body(request.body.clone()).send().await.expect("an answer");
    let registered = answer.headers().get("Heardback-Registered");
    let registered = registered.map(|value| value.to_str().expect("ASCII").to_owned());
    (answer.status().as_u16(), registered)
}

#[test]
fn each_account_of_the_file_sends_for_itself_only_and_sighup_replaces_the_credentials() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("accounts.toml");
    let key = "SK0123456789abcdef0123456789abcdef";
    let (first, second, third) = ("1".repeat(32), "2".repeat(32), "3".repeat(32));
    let other = |token: &str, more: &str| {
        format!("[[account]]\nsid = \"{OTHER_ACCOUNT}\"\nauth_tokens = [\"{token}\"]\n{more}\n")
    };
    let named = format!("send_api_keys = [\"{key}:{third}\"]");
    std::fs::write(&file, other(&first, &named)).expect("written");
    let desk = Desk::new(&[("HEARDBACK_ACCOUNTS_FILE", file.to_str().expect("UTF-8"))]);
    let send = |account: &str, user: &str, secret: &str| {
        desk.send(&create_as(account, &basic(user, secret), FORM)).status
    };
    assert_eq!(send(OTHER_ACCOUNT, OTHER_ACCOUNT, &first), 201);
    assert_eq!(send(OTHER_ACCOUNT, key, &third), 201);
    assert_eq!(send(ACCOUNT, ACCOUNT, TOKEN), 201);
    let refused = [
        (ACCOUNT, OTHER_ACCOUNT, first.as_str()),
        (ACCOUNT, key, &third),
        (OTHER_ACCOUNT, ACCOUNT, TOKEN),
        (OTHER_ACCOUNT, OTHER_ACCOUNT, TOKEN),
        (OTHER_ACCOUNT, OTHER_ACCOUNT, &second),
    ];
    for (account, user, secret) in refused {
        assert_eq!(send(account, user, secret), 401, "{user} for {account}");
    }
    let paths: Vec<String> =
        desk.api.requests().iter().map(|request| request.account().to_owned()).collect();
    assert_eq!(paths, [OTHER_ACCOUNT, OTHER_ACCOUNT, ACCOUNT]);
    std::fs::write(&file, other(&second, "")).expect("written");
    desk.harness.service.signal(Signal::HUP);
    eventually("the file was read again", LONG, || {
        send(OTHER_ACCOUNT, OTHER_ACCOUNT, &second) == 201
    });
    assert_eq!(send(OTHER_ACCOUNT, OTHER_ACCOUNT, &first), 401);
    assert_eq!(send(OTHER_ACCOUNT, key, &third), 401);
}
