//! Forwarding: the service takes its evidence, asks the app, and answers Twilio with the app's answer.

mod app;
mod failures;
mod official;
mod order;
mod safety;
mod served;
mod settings;
mod store;

use heardback::recording::Recording;

use crate::forward::app::App;
use crate::harness::http_client::Answer;
use crate::harness::{ACCOUNT, Harness, RECIPIENT, SENDER, form, json, sid};

/// A service that forwards all three kinds to the app on this machine.
fn service(app: &App, more: &[(&str, &str)]) -> Harness {
    let [message, call, status] = ["/sms", "/voice", "/status"].map(|path| app.url(path));
    let mut settings = vec![
        ("HEARDBACK_FORWARD_MESSAGE_URL", message.as_str()),
        ("HEARDBACK_FORWARD_CALL_URL", call.as_str()),
        ("HEARDBACK_FORWARD_STATUS_URL", status.as_str()),
        ("HEARDBACK_FORWARD_PRIVATE", "true"),
    ];
    settings.extend_from_slice(more);
    Harness::new(&settings)
}

fn forwards(harness: &Harness, kind: &str, result: &str) -> u64 {
    let name = format!("heardback_forwards_total{{kind=\"{kind}\",result=\"{result}\"}}");
    harness.service.metric(&name)
}

/// The SID of an inbound message.
fn inbound(number: u32) -> String {
    format!("SM{:032x}", 0x1000 + number)
}

/// Twilio's form for an inbound message.
fn message_of(number: u32, from: &str, body: &str) -> Recording {
    let sid = inbound(number);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("SmsStatus", "received"),
        ("AccountSid", ACCOUNT),
        ("From", from),
        ("To", SENDER),
        ("Body", body),
        ("NumMedia", "0"),
    ];
    form("/twilio/message", &fields)
}

fn message(number: u32) -> Recording {
    message_of(number, RECIPIENT, &format!("text {number}"))
}

fn call(number: u32, status: &str, more: &[(&str, &str)]) -> Recording {
    let sid = format!("CA{number:032x}");
    let mut fields = vec![
        ("CallSid", sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Direction", "inbound"),
        ("CallStatus", status),
    ];
    fields.extend_from_slice(more);
    form("/twilio/call", &fields)
}

/// The app registers a message to [`RECIPIENT`], which it sent a minute ago.
fn register(harness: &Harness, number: u32) {
    // A reply within seconds would be automatic.
    let created = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1);
    let message = serde_json::json!({
        "MessageSid": sid(number), "To": RECIPIENT, "From": SENDER, "CreatedAt": created.to_string(),
    });
    let answer = harness.send(&json("/app/messages", &message));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn content_type(answer: &Answer) -> &str {
    answer.header("Content-Type").unwrap_or_default()
}
