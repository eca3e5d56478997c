//! What a newcomer does with one command: `demo --keep`, and then what it prints. The page is opened in a real
//! browser, and each line that is to be typed is typed, by a shell: a message is confirmed, Twilio is gone, Twilio
//! turns the account away, the alert's condition holds, Twilio is back, and the queue drains; live, on one page that
//! is never loaded anew.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::commands::has_curl;
use crate::harness::browser::{Browser, PATIENCE};
use crate::harness::eventually;
use crate::harness::running::BINARY;

/// The account of the recordings that the demo plays.
const ACCOUNT: &str = "AC11111111111111111111111111111111";
const FUNNEL: &str = "document.querySelector('.funnel').innerText.replace(/\\s+/g, ' ')";
const HEALTH: &str = "document.querySelector('.health').innerText";
const OUTBOX: &str = "document.querySelector('#outbox').innerText";

/// The demo, and what it printed. It is gone when the test is.
struct Demo {
    child: Child,
    said: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(BINARY);
        command.args(["demo", "--keep"]).env_clear().env("TMPDIR", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = Vec::new();
        for line in lines.map_while(Result::ok) {
            said.push(line);
            if said.last().is_some_and(|line| line.contains("Type=code_entered")) {
                break;
            }
        }
        // Nobody reads on, and it goes on all the same.
        Self { child, said, _folder: folder }
    }

    /// The line that is printed and begins and ends so.
    fn line(&self, start: &str, end: &str) -> &str {
        let mut lines = self.said.iter().map(|line| line.trim());
        let found = lines.find(|line| line.starts_with(start) && line.ends_with(end));
        found.unwrap_or_else(|| unreachable!("no {start} … {end} in\n{}", self.said.join("\n")))
    }

    /// Types a line as it was printed. What comes of it.
    fn types(&self, end: &str) -> String {
        let line = self.line("curl ", end);
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env("no_proxy", "*").stderr(Stdio::null());
        let done = shell.output().expect("a shell");
        assert!(done.status.success(), "{line}");
        String::from_utf8(done.stdout).expect("UTF-8")
    }

    /// Has one more message confirmed. Its name.
    fn confirms(&self) -> String {
        let said = self.types("/message");
        assert!(said.contains("200 confirmed"), "{said}");
        said.split(':').next().expect("a name").to_owned()
    }

    /// Whether what an alert asks for holds, where it is one series compared with one number.
    fn holds(&self, condition: &str) -> bool {
        let words: Vec<&str> = condition.split(' ').collect();
        let [series, compared, number] = words.as_slice() else { unreachable!("{condition}") };
        let number: f64 = number.parse().expect("a number");
        let holds = |value: f64| match *compared {
            "==" => (value - number).abs() < f64::EPSILON,
            ">" => value > number,
            other => unreachable!("{other} in {condition}"),
        };
        let metrics = self.types("/metrics");
        let series = series.trim_end_matches('}');
        let rows = metrics.lines().filter(|line| line.starts_with(series));
        let mut values = rows.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).peekable();
        assert!(values.peek().is_some(), "there is no {series} in\n{metrics}");
        values.any(holds)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// What this alert of `ops/alerts.yml` asks Prometheus.
fn condition(alert: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/alerts.yml");
    let rules: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(path).expect("there")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups").iter();
    let mut rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let rule = rules.find(|rule| rule["alert"] == alert).expect(alert);
    rule["expr"].as_str().expect("an expression").to_owned()
}

#[test]
fn with_one_command_a_newcomer_sees_a_message_a_dead_twilio_a_paused_lane_and_the_queue_drain() {
    if !has_curl() {
        return;
    }
    let Some(mut browser) = Browser::start(&[]) else { return };
    browser.call("Log.enable", &json!({}));
    let demo = Demo::start();
    let page = demo.line("open http", "").split(' ').nth(1).expect("an URL").to_owned();
    browser.open(&page);
    // One is refused, as the demo has it; all else is well.
    browser.shows(HEALTH, "Twilio refused 1 confirmation");
    browser.shows("document.querySelector('#pulse').innerText", "live");
    browser.shows(FUNNEL, "7 reported");
    browser.evaluate("window.loadedOnce = true; document.querySelector('#q').value = 'half a na'");

    demo.confirms();
    browser.shows(FUNNEL, "8 reported");
    let (paused, old) = (condition("HeardbackLanePaused"), condition("HeardbackOutboxOld"));
    let old = old.split("unless").next().expect("its first part").trim();
    assert!(!demo.holds(&paused));
    // Nobody waits here for as long as the alert does: anything that has waited is enough.
    let (waits, _) = old.rsplit_once(' ').expect("a number");
    let waits = format!("{waits} 0");
    assert!(!demo.holds(&waits), "{waits}");

    demo.types("/down");
    let second = demo.confirms();
    let third = demo.confirms();
    browser.shows(OUTBOX, &third);
    browser.shows(HEALTH, "failed and will be retried");
    browser.shows(HEALTH, "no answer: cannot connect");
    browser.shows(OUTBOX, "cannot connect");
    eventually(&waits, PATIENCE, || demo.holds(&waits));

    demo.types("/revoke");
    browser.shows(HEALTH, &format!("Twilio rejects the posts of {ACCOUNT}, which are paused"));
    browser.shows(HEALTH, "Needs attention");
    browser.shows(OUTBOX, "when its lane opens");
    browser.shows("document.querySelector('#accounts').innerText", "paused");
    assert!(demo.holds(&paused), "what the alert asks for: {paused}");

    demo.types("/up");
    browser.shows(OUTBOX, "Nothing waits to be reported.");
    browser.shows(FUNNEL, "10 reported");
    let healthy = format!("String(!{HEALTH}.includes('paused'))");
    browser.shows(&healthy, "true");
    assert!(!demo.holds(&paused) && !demo.holds(&waits));
    let kept = "String(window.loadedOnce) + document.querySelector('#q').value";
    assert_eq!(browser.evaluate(kept), "truehalf a na", "the page was never loaded anew");

    // And the whole life of one of them, found by keyboard.
    let search = format!("const q = document.querySelector('#q'); q.focus(); q.value = '{second}'");
    browser.evaluate(&search);
    browser.press_enter();
    browser.shows("document.querySelector('.timeline')?.innerText", "reported, HTTP 200 in ");
    browser.shows(
        "document.querySelector('.timeline').innerText",
        "confirmed by code entered (direct)",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
