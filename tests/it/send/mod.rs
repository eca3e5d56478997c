//! Send through: apps create messages at Heardback, which passes each request on once and registers the message.

pub(crate) mod api;
mod official;
mod rejected;
mod secrecy;
mod stores;
mod weather;

use heardback::recording::Recording;
use serde_json::Value;

use crate::harness::http_client::{Answer, bytes};
use crate::harness::running::{Running, command};
use crate::harness::{ACCOUNT, Harness, TOKEN, form, status_callback};
use crate::send::api::{Api, Reply, basic, created};

/// The form that Twilio's Python library sends.
const FORM: &str = "To=%2B15551234567&From=%2B15017122661&Body=Your+code+is+471108";
/// The parameters that Heardback adds, without a reference.
const ADDED: &str = "ProvideFeedback=true&StatusCallback=https%3A%2F%2Fhooks.example.com%2Ftwilio%2Fstatus%3F\
                     feedback%3D1%23rc%3D3%26rp%3D5xx%2Cct%2Crt%26ct%3D2000%26rt%3D4000";

/// A service with send through, and the API behind it.
struct Desk {
    harness: Harness,
    api: Api,
    settings: Vec<(String, String)>,
}

impl Desk {
    fn new(more: &[(&str, &str)]) -> Self {
        let api = Api::start();
        let url = api.url();
        let mut settings = vec![("HEARDBACK_SEND", "on"), ("HEARDBACK_UPSTREAM_URL", &url)];
        settings.extend(more);
        let harness = Harness::new(&settings);
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let settings = settings.into_iter().map(own).collect();
        Self { harness, api, settings }
    }

    /// Starts the service again, after its end, with the same store.
    fn restart(&mut self) {
        let settings: Vec<_> =
            self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let command = command(&self.harness.store(), &self.harness.twilio, &settings);
        self.harness.service = Running::start(command);
    }

    fn send(&self, request: &Recording) -> Answer {
        self.harness.service.exchange(&bytes(request))
    }

    /// Sends a form as the account.
    fn send_form(&self, body: &str) -> Answer {
        self.send(&create(body))
    }

    fn count(&self, result: &str) -> u64 {
        self.harness.service.metric(&format!("heardback_sends_total{{result=\"{result}\"}}"))
    }
}

fn path(account: &str) -> String {
    format!("/2010-04-01/Accounts/{account}/Messages.json")
}

/// A request to create a message, as the account.
fn create(body: &str) -> Recording {
    create_as(ACCOUNT, &basic(ACCOUNT, TOKEN), body)
}

fn create_as(account: &str, authorization: &str, body: &str) -> Recording {
    let mut request = form(&path(account), &[]);
    request.headers.push(("Authorization".to_owned(), authorization.to_owned()));
    request.body = body.as_bytes().to_vec();
    request
}

#[test]
fn a_message_is_created_once_with_feedback_and_is_registered_before_the_app_hears_it() {
    let desk = Desk::new(&[]);
    let answer = desk.send_form(FORM);
    assert_eq!((answer.status, answer.header("Heardback-Registered")), (201, Some("true")));
    assert_eq!(answer.text(), created(ACCOUNT, 1, &format!("{FORM}&{ADDED}")));
    assert_eq!(answer.header("Twilio-Request-Id"), Some("RQ1"));
    assert_eq!(answer.header("X-Internal"), None);
    assert!(!answer.closes(), "the app keeps its connection");
    let requests = desk.api.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].request_line(), format!("POST {} HTTP/1.1", path(ACCOUNT)));
    assert_eq!(requests[0].body, format!("{FORM}&{ADDED}"));
    assert_eq!(requests[0].header("Authorization"), Some(basic(ACCOUNT, TOKEN).as_str()));
    let message = desk.harness.message(1).expect("registered");
    assert_eq!(message["state"], "pending");
    assert_eq!(desk.count("registered"), 1);
    assert_eq!(desk.harness.confirm(1).status, 200);
    desk.harness.reaches(1, "reported");
}

#[test]
fn reference_and_code_stay_here_and_the_code_confirms() {
    let desk = Desk::new(&[]);
    let body = format!("Heardback.Reference=login-7&{FORM}&Heardback.Code=471108");
    assert_eq!(desk.send_form(&body).status, 201);
    let body = format!("{FORM}&Heardback.Reference=login-7&Heardback.Code=990017");
    assert_eq!(desk.send_form(&body).status, 201);
    for request in desk.api.requests() {
        assert!(!request.body.contains("Heardback."), "{}", request.body);
        assert!(request.body.contains("%26reference%3Dlogin-7%23rc%3D3"), "{}", request.body);
    }
    let event = [("Reference", "login-7"), ("Code", "471108"), ("Type", "code_entered")];
    assert_eq!(desk.harness.send(&form("/app/events", &event)).status, 200);
    desk.harness.reaches(1, "reported");
    assert_eq!(desk.harness.state(2).as_deref(), Some("pending"));
}

#[test]
fn a_message_without_feedback_is_sent_as_it_is_and_never_reported() {
    let desk = Desk::new(&[]);
    for (body, sent) in [
        (format!("{FORM}&Heardback.Feedback=false"), FORM.to_owned()),
        (format!("{FORM}&ProvideFeedback=false"), format!("{FORM}&ProvideFeedback=false")),
    ] {
        let answer = desk.send_form(&body);
        assert_eq!((answer.status, answer.header("Heardback-Registered")), (201, None));
        assert_eq!(desk.api.requests().last().expect("sent").body, sent);
    }
    // Known, so that a reply to it confirms no older message; not tracked, so that it is never reported.
    assert_eq!(desk.harness.state(1).as_deref(), Some("untracked"));
    assert_eq!(desk.count("untracked"), 2);
}

#[test]
fn a_callback_url_of_the_app_stays_and_the_message_is_registered_all_the_same() {
    let desk = Desk::new(&[]);
    let body =
        format!("{FORM}&StatusCallback=https%3A%2F%2Fapp.example.com%2Fstatus%3Ffeedback%3D0");
    let answer = desk.send_form(&body);
    assert_eq!((answer.status, answer.header("Heardback-Registered")), (201, Some("true")));
    let sent = &desk.api.requests()[0];
    assert_eq!(sent.body, format!("{body}&ProvideFeedback=true"));
    assert_eq!(desk.harness.state(1).as_deref(), Some("pending"));
}

#[test]
fn scheduled_messages_services_and_media_go_through_byte_for_byte() {
    let desk = Desk::new(&[]);
    let body = "To=%2B15551234567&MessagingServiceSid=MG0123456789abcdef0123456789abcdef&Body=h%c3%a9llo+%e2%9c%93\
                &ScheduleType=fixed&SendAt=2026-12-01T08%3A00%3A00Z&MediaUrl=https%3A%2F%2Fa%2F1&MediaUrl=https%3A%2F%2Fa%2F2";
    assert_eq!(desk.send_form(body).status, 201);
    assert_eq!(desk.api.requests()[0].body, format!("{body}&{ADDED}"));
    let message: Value = desk.harness.message(1).expect("registered");
    assert_eq!(message["state"], "pending", "{message}");
}

#[test]
fn the_status_callback_may_come_before_the_answer() {
    let desk = Desk::new(&[]);
    desk.api.reply_with(Reply::Hold);
    let mut line = desk.harness.service.line();
    line.send(&bytes(&create(FORM)));
    desk.api.waits_for(1);
    let mut callback = status_callback(1, "sent");
    callback.target = "/twilio/status?feedback=1".to_owned();
    assert_eq!(desk.harness.send(&callback).status, 204);
    desk.api.reply_with(Reply::Created);
    let answer = line.answer().expect("an answer");
    assert_eq!((answer.status, answer.header("Heardback-Registered")), (201, Some("true")));
    assert_eq!(desk.harness.state(1).as_deref(), Some("pending"));
}

#[test]
fn several_accounts_and_named_api_keys_may_send_each_for_itself() {
    let key = "SK0123456789abcdef0123456789abcdef";
    let secret = "q8Zt0bFh3WxYz12q8Zt0bFh3WxYz12ab";
    let named = format!("{key}:{secret}");
    let desk = Desk::new(&[("HEARDBACK_SEND_API_KEYS", &named)]);
    assert_eq!(desk.send(&create_as(ACCOUNT, &basic(key, secret), FORM)).status, 201);
    let sent = &desk.api.requests()[0];
    assert_eq!(sent.header("Authorization"), Some(basic(key, secret).as_str()));
    assert_eq!(desk.send(&create_as(ACCOUNT, &basic(key, TOKEN), FORM)).status, 401);
    assert_eq!(desk.api.requests().len(), 1);
}
