//! The harness of the tests that use the real binary: the service on its own ports, a fake Twilio, and signed requests
//! as bytes. Drop ends every process.

pub(crate) mod browser;
pub(crate) mod http_client;
pub(crate) mod running;
pub(crate) mod twilio;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::http_client::Answer;
use crate::harness::running::{BINARY, Running, command};
use crate::harness::twilio::Twilio;
pub(crate) use crate::support::http::{form, get, post};

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const OTHER_ACCOUNT: &str = "AC1123456789abcdef0123456789abcdef";
/// The format of a Twilio auth token; not a real one.
pub(crate) const TOKEN: &str = "f00dbabe98765432100123456789cafe";
/// The public URL that both sign.
pub(crate) const BASE: &str = "https://hooks.example.com";
pub(crate) const RECIPIENT: &str = "+15551234567";
pub(crate) const SENDER: &str = "+15017122661";

/// Longer than any step on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A service with its own store, and its fake Twilio.
pub(crate) struct Harness {
    // Fields are dropped in this order.
    pub(crate) service: Running,
    pub(crate) twilio: Twilio,
    folder: TempDir,
}

impl Harness {
    /// Starts both, with these additional settings.
    pub(crate) fn new(more: &[(&str, &str)]) -> Self {
        let twilio = Twilio::start();
        let folder = tempfile::tempdir().expect("a folder");
        let service = Running::start(command(&folder.path().join("store"), &twilio, more));
        Self { service, twilio, folder }
    }

    /// A service that was started apart.
    pub(crate) fn over(service: Running, twilio: Twilio, folder: TempDir) -> Self {
        Self { service, twilio, folder }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Sends the request on a new connection, signed by the account.
    pub(crate) fn send(&self, request: &Recording) -> Answer {
        self.service.exchange(&http_client::bytes(&signed(request)))
    }

    /// Registers a message and reports its code as entered, which confirms it.
    pub(crate) fn confirm(&self, number: u32) -> Answer {
        self.send(&code_entered(number))
    }

    /// The service's view of a message.
    pub(crate) fn message(&self, number: u32) -> Option<Value> {
        let answer = self.send(&get(&format!("/app/messages/{}", sid(number))));
        (answer.status == 200).then(|| answer.json())
    }

    pub(crate) fn state(&self, number: u32) -> Option<String> {
        let message = self.message(number)?;
        message.get("state").and_then(Value::as_str).map(str::to_owned)
    }

    /// Waits until the message has this state.
    pub(crate) fn reaches(&self, number: u32, state: &str) {
        let arrived = || self.state(number).as_deref() == Some(state);
        eventually(&format!("{} {state}", sid(number)), LONG, arrived);
    }
}

/// Signs the request by the account, for [`BASE`].
pub(crate) fn signed(request: &Recording) -> Recording {
    request.signed(&key(), BASE)
}

pub(crate) fn key() -> SigningKey {
    SigningKey::new(TOKEN.as_bytes())
}

pub(crate) fn sid(number: u32) -> String {
    format!("SM{number:032x}")
}

pub(crate) fn json(target: &str, body: &Value) -> Recording {
    post(target, "application/json", body.to_string().as_bytes())
}

/// A status callback of Twilio.
pub(crate) fn status_callback(number: u32, status: &str) -> Recording {
    let sid = sid(number);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("MessageStatus", status),
        ("AccountSid", ACCOUNT),
        ("To", RECIPIENT),
        ("From", SENDER),
    ];
    form("/twilio/status", &fields)
}

pub(crate) fn code_entered(number: u32) -> Recording {
    form("/app/events", &[("MessageSid", &sid(number)), ("Type", "code_entered")])
}

/// Polls until the condition is true.
pub(crate) fn eventually(condition: &str, deadline: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < deadline, "not within {deadline:?}: {condition}");
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

/// Copies the binary, for a user who may not enter its folder. `cp` makes the copy: if this process had it open for
/// writing, a child of another test could inherit the descriptor, and the copy could not be executed (`ETXTBSY`).
pub(crate) fn copy_binary(to: &Path) {
    let copied = Command::new("cp").args([Path::new(BINARY), to]).status();
    assert!(copied.expect("there is a `cp`").success());
}
