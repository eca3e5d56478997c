//! The first use: `demo --keep`, and then the commands that it prints. The page is open in a real
//! browser, and a shell runs each printed command. A message is confirmed, Twilio is down, Twilio
//! rejects the account, the alert's condition holds, Twilio is back, and the queue drains. One page
//! shows all of it live, without a reload.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::commands::has_curl;
use crate::harness::browser::{Browser, PATIENCE};
use crate::harness::eventually;
use crate::harness::running::BINARY;

/// The account of the demo's recordings.
const ACCOUNT: &str = "AC11111111111111111111111111111111";
const FUNNEL: &str = "document.querySelector('.funnel').innerText.replace(/\\s+/g, ' ')";
const HEALTH: &str = "document.querySelector('.health').innerText";
const OUTBOX: &str = "document.querySelector('#outbox').innerText";

/// The demo and its output. It is killed when the test ends.
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
        // The pipe has no reader from here on, and the demo continues.
        Self { child, said, _folder: folder }
    }

    /// The printed line with this start and this end.
    fn line(&self, start: &str, end: &str) -> &str {
        let mut lines = self.said.iter().map(|line| line.trim());
        let found = lines.find(|line| line.starts_with(start) && line.ends_with(end));
        found.unwrap_or_else(|| unreachable!("no {start} … {end} in\n{}", self.said.join("\n")))
    }

    /// Runs a printed line in a shell. Returns its output.
    fn types(&self, end: &str) -> String {
        let line = self.line("curl ", end);
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env("no_proxy", "*").stderr(Stdio::null());
        let done = shell.output().expect("a shell");
        assert!(done.status.success(), "{line}");
        String::from_utf8(done.stdout).expect("UTF-8")
    }

    /// Confirms one more message. Returns its SID.
    fn confirms(&self) -> String {
        let said = self.types("/message");
        assert!(said.contains("200 confirmed"), "{said}");
        said.split(':').next().expect("a name").to_owned()
    }

    /// Whether the condition of an alert holds, if it compares one series with one number.
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
        // The process may have ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The expression of this alert in `ops/alerts.yml`, without the maximum over receivers: the demo is one.
fn condition(alert: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/alerts.yml");
    let rules: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(path).expect("there")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups").iter();
    let mut rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let rule = rules.find(|rule| rule["alert"] == alert).expect(alert);
    let expression = rule["expr"].as_str().expect("an expression");
    let of_all = expression.strip_prefix("max by (").and_then(|rest| rest.split_once(") ("));
    of_all.map_or(expression.to_owned(), |(_, of_one)| of_one.replacen(')', "", 1))
}

#[test]
fn one_command_shows_a_message_a_dead_twilio_a_paused_lane_and_the_draining_queue() {
    if !has_curl() {
        return;
    }
    let Some(mut browser) = Browser::start(&[]) else { return };
    browser.call("Log.enable", &json!({}));
    let demo = Demo::start();
    let page = demo.line("open http", "").split(' ').nth(1).expect("an URL").to_owned();
    browser.open(&page);
    // One is refused by the demo's script; there is no other fault.
    browser.shows(HEALTH, "Twilio refused 1 confirmation");
    browser.shows("document.querySelector('#pulse').innerText", "live");
    browser.shows(FUNNEL, "8 reported");
    browser.evaluate("window.loadedOnce = true; document.querySelector('#q').value = 'half a na'");

    demo.confirms();
    browser.shows(FUNNEL, "9 reported");
    let (paused, old) = (condition("HeardbackLanePaused"), condition("HeardbackOutboxOld"));
    let old = old.split("unless").next().expect("its first part").trim();
    assert!(!demo.holds(&paused));
    // The test does not wait as long as the alert does: any wait is enough.
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
    assert!(demo.holds(&paused), "the alert's condition: {paused}");

    demo.types("/up");
    browser.shows(OUTBOX, "Nothing waits to be reported.");
    browser.shows(FUNNEL, "11 reported");
    let healthy = format!("String(!{HEALTH}.includes('paused'))");
    browser.shows(&healthy, "true");
    assert!(!demo.holds(&paused) && !demo.holds(&waits));
    let kept = "String(window.loadedOnce) + document.querySelector('#q').value";
    assert_eq!(browser.evaluate(kept), "truehalf a na", "the page was never loaded again");

    // The timeline of one message, found with the keyboard.
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
