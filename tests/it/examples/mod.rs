//! The examples for an app's developers (`examples/app/`): each sends a message through Heardback and reports its code,
//! delays no login, and repeats the report after every fault that may end.
//!
//! Node and Python run with Twilio's own libraries, Go with its standard library, curl with `openssl`, the hooks of
//! Supabase under Deno. Ruby and PHP run with a stand-in for Twilio's library (`ruby/`, `php/`), because their packages are
//! not in the registries that CI uses. A test without its tool is skipped; with `HEARDBACK_CI=1` it fails.

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
use crate::examples::relay::{Backend, Fault, Relay};
use crate::harness::{ACCOUNT, LONG, RECIPIENT, SENDER, TOKEN, sid};
use crate::send::api::Reply;

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
    heardback: &'a str,
}

impl Environment<'_> {
    fn set_on(&self, command: &mut Command) {
        command.envs([
            ("TWILIO_ACCOUNT_SID", self.account),
            ("TWILIO_AUTH_TOKEN", self.token),
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
        let receiver = shown.iter().find_map(|line| line.trim().strip_prefix("receiver"));
        let receiver = receiver.unwrap_or_else(|| panic!("no receiver in {shown:#?}")).trim();
        Self { child, receiver: receiver.to_owned() }
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
    let environment =
        Environment { account: DEMO_ACCOUNT, token: DEMO_TOKEN, heardback: &demo.receiver };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for kit in kits {
        let mut run = kit.start(&environment);
        let sid = run.sid();
        run.works_until(|| runtime.block_on(demo.state(&sid)) == "reported");
        run.ends_well();
    }
}

/// The reports reach no service before the example has printed the message's SID, which it must do without them.
fn survives(kit: Kit, backend: &Backend, relay: &Relay) {
    let environment = Environment { account: ACCOUNT, token: TOKEN, heardback: &relay.url };
    let mut run = kit.start(&environment);
    let sent = run.sid();
    let mut numbers = 1..=u32::try_from(Fault::TRANSIENT.len()).expect("few");
    let number = numbers.find(|number| sid(*number) == sent).expect("the SID of a message");
    let state = || backend.harness.state(number);
    assert_eq!(state().as_deref(), Some("pending"), "registered by sending");
    relay.open();
    run.works_until(|| state().as_deref() == Some("reported"));
    run.ends_well();
    let message = backend.harness.message(number).expect("known");
    assert_eq!(message["evidence"], "code_entered", "{message}");
    // On a busy machine the service may exceed the example's timeout, so that a third report follows.
    let reports = relay.reports();
    assert!(reports.len() > 1, "the first report failed: {reports:?}");
    assert!(reports.iter().all(|report| *report == reports[0]), "a repeat has the same time");
    assert!(reports[0].1.contains(&sent) && reports[0].1.contains("OccurredAt=20"), "{reports:?}");
}

/// Every fault at once, because each repeat comes after five seconds.
fn survives_every_fault(example: Example) {
    let Some(kits) = Fault::TRANSIENT.iter().map(|_| Kit::of(example)).collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let (backend, relays) = Backend::start(Fault::TRANSIENT);
    std::thread::scope(|all| {
        for (kit, relay) in kits.into_iter().zip(&relays) {
            let backend = &backend;
            all.spawn(move || survives(kit, backend, relay));
        }
    });
    let created = backend.api.requests();
    assert_eq!(created.len(), relays.len(), "each message is sent once");
    for request in created {
        assert!(request.body.contains("&ProvideFeedback=true&"), "{}", request.body);
    }
    assert!(!backend.harness.service.logs().contains(RECIPIENT));
}

#[test]
fn node_delays_no_login_and_repeats_its_report() {
    survives_every_fault(Example::Node);
}

#[test]
fn python_delays_no_login_and_repeats_its_report() {
    survives_every_fault(Example::Python);
}

#[test]
fn ruby_delays_no_login_and_repeats_its_report() {
    survives_every_fault(Example::Ruby);
}

#[test]
fn php_delays_no_login_and_repeats_its_report() {
    survives_every_fault(Example::Php);
}

#[test]
fn go_delays_no_login_and_repeats_its_report() {
    survives_every_fault(Example::Go);
}

#[test]
fn curl_delays_no_login_and_repeats_its_report() {
    survives_every_fault(Example::Curl);
}

#[test]
fn a_permanently_refused_report_is_sent_once() {
    for kit in Example::ALL.into_iter().filter_map(Kit::of) {
        let (backend, [relay]) = Backend::start([Fault::Refused]);
        relay.open();
        let environment = Environment { account: ACCOUNT, token: TOKEN, heardback: &relay.url };
        let mut run = kit.start(&environment);
        run.sid();
        run.ends_well();
        assert_eq!(relay.reports().len(), 1);
        assert_eq!(backend.harness.state(1).as_deref(), Some("pending"), "nothing was accepted");
    }
}

#[test]
fn without_a_message_nothing_is_reported() {
    let (backend, [relay]) = Backend::start([Fault::None]);
    relay.open();
    // An account that the service does not know.
    let environment = Environment { account: DEMO_ACCOUNT, token: TOKEN, heardback: &relay.url };
    for kit in Example::ALL.into_iter().filter_map(Kit::of) {
        kit.start(&environment).fails();
    }
    assert!(backend.api.requests().is_empty(), "nothing reached Twilio");
    assert!(relay.reports().is_empty(), "{:?}", relay.reports());
}

#[test]
fn a_message_whose_answer_is_lost_is_not_sent_again() {
    let (backend, [relay]) = Backend::start([Fault::None]);
    relay.open();
    backend.api.reply_with(Reply::Close);
    let environment = Environment { account: ACCOUNT, token: TOKEN, heardback: &relay.url };
    for (kit, times) in Example::ALL.into_iter().filter_map(Kit::of).zip(1..) {
        kit.start(&environment).fails();
        assert_eq!(backend.api.requests().len(), times);
    }
    assert!(relay.reports().is_empty(), "{:?}", relay.reports());
}

/// The lines of an example: all lines of code, and the lines that an app adds for Heardback. These are the function
/// `report`, which begins after a comment and ends at the next empty line, its call and the base URL.
fn lines(text: &str) -> (usize, usize) {
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty()
            && !line.starts_with("//")
            && !line.starts_with('#')
            && line != "<?php"
            && !line.starts_with("\"\"\"")
    };
    let (_, job) = text.split_once("A job for your queue").expect("the function `report`");
    let function = job.lines().skip(1).take_while(|line| !line.trim().is_empty());
    (text.lines().filter(is_code).count(), function.filter(is_code).count() + 2)
}

#[test]
fn each_example_adds_less_than_ten_lines_and_the_readme_counts_them() {
    let folder = root().join("examples/app");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("there");
    let readme = read("README.md");
    for example in Example::ALL {
        let file = example.file();
        let text = read(file);
        let (all, added) = lines(&text);
        assert!(added < 10, "{file}: {added} lines");
        let row = format!("| [`{file}`]({file}) | {added} | {all} |");
        assert!(readme.contains(&row), "README has no row {row}");
        let limits = [
            "timeout(2000)",
            "timeout=2",
            "timeout(2)",
            "'timeout' => 2",
            "Timeout: 2 *",
            "max-time 2 ",
        ];
        assert!(limits.iter().any(|limit| text.contains(limit)), "{file} limits no report");
    }
    for name in ["_shared/heardback.ts", "send-sms/index.ts", "signed-in/index.ts"] {
        let count = read(&format!("supabase/functions/{name}")).lines().count();
        assert!(count < 40, "{name}: {count} lines");
    }
}
