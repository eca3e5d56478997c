//! The examples for an app's developers (`examples/app/`): each sends a message, registers it and
//! reports its code, delays no login, and retries after a 503 and after no answer.
//!
//! Node and Python run with Twilio's own libraries, curl with `openssl`, the hooks of Supabase
//! under Deno. Ruby and PHP run with a stand-in for Twilio's library (`ruby/`, `php/`), because
//! their packages are not in the registries that CI uses. A test without its tool is skipped; with
//! `HEARDBACK_CI=1` it fails.

mod kit;
mod relay;
mod supabase;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use heardback::twilio::signature::{Content, SigningKey, sign};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::examples::kit::{Example, Kit};
use crate::examples::relay::{Relay, Trouble};
use crate::harness::{ACCOUNT, LONG, RECIPIENT, SENDER, TOKEN, eventually, sid};

/// The account and secret that the demo prints.
const DEMO_ACCOUNT: &str = "AC11111111111111111111111111111111";
const DEMO_TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The environment of an example.
struct Environment<'a> {
    account: &'a str,
    token: &'a str,
    twilio: &'a str,
    heardback: &'a str,
}

impl Environment<'_> {
    fn set_on(&self, command: &mut Command) {
        command.envs([
            ("TWILIO_ACCOUNT_SID", self.account),
            ("TWILIO_AUTH_TOKEN", self.token),
            ("HEARDBACK_UPSTREAM_URL", self.twilio),
            ("TWILIO_FROM", SENDER),
            ("HEARDBACK_PUBLIC_URL", self.heardback),
            ("HEARDBACK_APP_KEYS", self.token),
        ]);
    }
}

/// The running demo; it is killed when the test ends.
struct Demo {
    child: Child,
    receiver: String,
    twilio: String,
}

impl Demo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_heardback"))
            .args(["demo", "--keep"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut lines = lines.map_while(Result::ok);
        let mut shown = Vec::new();
        for line in lines.by_ref() {
            shown.push(line);
            if shown.last().is_some_and(|line| line.contains("Stop it with Ctrl-C")) {
                break;
            }
        }
        // A reader must stay, because the demo's next write would fail and end it.
        std::thread::spawn(move || lines.for_each(drop));
        let address = |name: &str| {
            let mut lines = shown.iter().filter_map(|line| line.trim().strip_prefix(name));
            let rest = lines.next().unwrap_or_else(|| panic!("no {name} in {shown:#?}"));
            rest.split_whitespace().next().expect("an URL").to_owned()
        };
        let (receiver, twilio) = (address("receiver"), address("“Twilio”"));
        Self { child, receiver, twilio }
    }

    async fn state(&self, sid: &str) -> String {
        let url = format!("{}/app/messages/{sid}", self.receiver);
        let signature = sign(&SigningKey::new(DEMO_TOKEN.as_bytes()), &url, &Content::Nothing);
        let client = reqwest::Client::builder().no_proxy().timeout(LONG).build().expect("a client");
        let answer = client.get(url).header("X-Twilio-Signature", signature).send().await;
        let message: Value = answer.expect("an answer").json().await.expect("JSON");
        message.get("state").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The procedure of the examples' README: the demo, and an example beside it.
#[test]
fn beside_the_demo_each_example_sends_a_message_that_is_reported() {
    let kits: Vec<Kit> = Example::ALL.into_iter().filter_map(Kit::of).collect();
    let demo = Demo::start();
    let environment = Environment {
        account: DEMO_ACCOUNT,
        token: DEMO_TOKEN,
        twilio: &demo.twilio,
        heardback: &demo.receiver,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for kit in kits {
        let mut run = kit.start(&environment);
        let sid = run.sid();
        run.works_until(|| runtime.block_on(demo.state(&sid)) == "reported");
        run.ends_well();
    }
}

/// Until the example has printed the message's SID, which it does at once, no request is answered.
fn survives(example: Example, number: u32, trouble: Trouble) {
    let Some(kit) = Kit::of(example) else { return };
    let relay = Relay::start(number, trouble);
    let environment =
        Environment { account: ACCOUNT, token: TOKEN, twilio: &relay.url, heardback: &relay.url };
    let mut run = kit.start(&environment);
    assert_eq!(run.sid(), sid(number), "{example:?}");
    relay.open();
    run.works_until(|| relay.harness.state(number).as_deref() == Some("reported"));
    run.ends_well();
    let message = relay.harness.message(number).expect("known");
    assert_eq!(message["evidence"], "code_entered", "{example:?}: {message}");
    // A registration after the event fills in the fields that the event lacked.
    eventually("both were accepted", LONG, || relay.taken() == ["/app/events", "/app/messages"]);
    assert_eq!(relay.turned_away(), ["/app/events", "/app/messages"], "{example:?}");
    assert!(!relay.harness.service.logs().contains(RECIPIENT));
}

#[test]
fn node_delays_no_login_and_retries() {
    survives(Example::Node, 1, Trouble::Busy);
}

#[test]
fn python_delays_no_login_and_retries() {
    survives(Example::Python, 2, Trouble::Busy);
}

#[test]
fn ruby_delays_no_login_and_retries() {
    survives(Example::Ruby, 3, Trouble::Busy);
}

#[test]
fn php_delays_no_login_and_retries() {
    survives(Example::Php, 4, Trouble::Busy);
}

#[test]
fn curl_delays_no_login_and_retries() {
    survives(Example::Curl, 5, Trouble::Busy);
}

#[test]
fn each_example_retries_after_any_transient_failure() {
    std::thread::scope(|all| {
        for (example, number) in Example::ALL.into_iter().zip(11..) {
            all.spawn(move || survives(example, number, Trouble::Rude));
        }
    });
}

/// The operator can correct a wrong key or URL, and no registration is lost until then.
#[test]
fn each_example_keeps_a_request_after_403_as_long_as_after_503() {
    std::thread::scope(|all| {
        for (example, number) in Example::ALL.into_iter().zip(31..) {
            all.spawn(move || survives(example, number, Trouble::Forbidden));
        }
    });
}

#[test]
fn a_permanently_refused_request_is_sent_once() {
    let relay = Relay::start(21, Trouble::ForGood);
    relay.open();
    let (twilio, heardback) = (&*relay.url, &*relay.url);
    let environment = Environment { account: ACCOUNT, token: TOKEN, twilio, heardback };
    for (kit, times) in Example::ALL.into_iter().filter_map(Kit::of).zip(1..) {
        let mut run = kit.start(&environment);
        run.sid();
        run.works_until(|| relay.asked() == [times, times]);
        run.ends_well();
        run.works_until(|| true);
        assert_eq!(relay.asked(), [times, times], "an event and a registration");
    }
    assert_eq!(relay.harness.state(21), None, "nothing was accepted");
}

#[test]
fn without_a_message_nothing_is_reported() {
    let relay = Relay::start(22, Trouble::Nothing);
    relay.open();
    let (twilio, heardback) = (&*relay.url, &*relay.url);
    // A recipient that the stand-in for Twilio does not know.
    let environment = Environment { account: DEMO_ACCOUNT, token: TOKEN, twilio, heardback };
    for kit in Example::ALL.into_iter().filter_map(Kit::of) {
        let mut run = kit.start(&environment);
        run.fails();
        run.works_until(|| true);
    }
    assert!(relay.asked().is_empty(), "{:?}", relay.asked());
}

#[test]
fn php_needs_a_folder_for_its_jobs_and_skips_broken_ones() {
    let Some(kit) = Kit::of(Example::Php) else { return };
    let relay = Relay::start(23, Trouble::Nothing);
    relay.open();
    let environment =
        Environment { account: ACCOUNT, token: TOKEN, twilio: &relay.url, heardback: &relay.url };
    for word in [RECIPIENT, "work"] {
        let ran = kit
            .command(word, &environment)
            .env_remove("HEARDBACK_SPOOL")
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && said.contains("HEARDBACK_SPOOL must name"), "{said}");
    }
    // Their names sort before all others.
    kit.spool("heardback-0.job", "");
    kit.spool("heardback-1.job", "[\"/app/events\",{\"Mess");
    kit.spool("heardback-2.job", "[7]");
    let mut run = kit.start(&environment);
    run.sid();
    run.works_until(|| relay.harness.state(23).as_deref() == Some("reported"));
    run.ends_well();
    assert_eq!(relay.asked(), [1, 1]);
}

#[test]
fn each_example_is_under_forty_lines_and_waits_two_seconds_at_most() {
    let folder = root().join("examples/app");
    let mut files: Vec<_> = Example::ALL.map(|example| folder.join(example.file())).into();
    for name in ["_shared/heardback.ts", "send-sms/index.ts", "signed-in/index.ts"] {
        files.push(folder.join("supabase/functions").join(name));
    }
    let mut limits = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("there");
        assert!(text.lines().count() < 40, "{}: {} lines", file.display(), text.lines().count());
        let shown = ["timeout(2000)", "timeout=2", "timeout: 2", "TIMEOUT => 2", "max-time 2 "];
        limits += usize::from(shown.iter().any(|limit| text.contains(limit)));
    }
    assert_eq!(limits, Example::ALL.len() + 1, "each example that calls Heardback sets a timeout");
}
