//! The first 403: the service logs that no key has matched, and `doctor --watch` shows the reason
//! without a restart. Recording is off before and after, bounded, and not kept by default.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use heardback::recording::Recording;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::running::{BINARY, settings};
use crate::harness::{
    ACCOUNT, BASE, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, TOKEN, eventually, form,
    http_client, key, signed, status_callback,
};

/// A text that must not show anywhere.
const TEXT: &str = "my code is 424242";
const CAUSE: &str = "It was signed for http, not for https.";

/// A reply whose signature covers an http URL instead of https.
fn signed_for_http(number: u32) -> Vec<u8> {
    let sid = format!("SM{number:032x}");
    let fields = [
        ("MessageSid", sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Body", TEXT),
    ];
    let request = form("/twilio/message?reference=hush-7", &fields);
    http_client::bytes(&request.signed(&key(), "http://hooks.example.com"))
}

/// A running `heardback doctor --watch`, killed when dropped.
struct Watch {
    child: Child,
    said: Receiver<String>,
    told: Receiver<String>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (says, said) = channel();
    std::thread::spawn(move || {
        let _ =
            BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| says.send(line));
    });
    said
}

impl Watch {
    fn start(harness: &Harness, words: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["doctor", "--watch"]).args(words).env_clear().stdin(Stdio::null());
        command.envs(settings(&harness.store(), &harness.twilio));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let said = lines(child.stdout.take().expect("piped"));
        let told = lines(child.stderr.take().expect("piped"));
        let watch = Self { child, said, told };
        watch.stderr_line("Watching for refused requests");
        watch
    }

    /// Waits for a line on standard error.
    fn stderr_line(&self, words: &str) -> String {
        Self::wait(&self.told, words)
    }

    /// Waits for a line on standard output.
    fn says(&self, words: &str) -> String {
        Self::wait(&self.said, words)
    }

    fn wait(lines: &Receiver<String>, words: &str) -> String {
        loop {
            let line =
                lines.recv_timeout(LONG).unwrap_or_else(|_| unreachable!("no line has {words:?}"));
            for hidden in [
                TOKEN,
                RECIPIENT.trim_start_matches('+'),
                SENDER.trim_start_matches('+'),
                TEXT,
                "hush-7",
            ] {
                assert!(!line.contains(hidden), "{hidden} shows in {line}");
            }
            if line.contains(words) {
                return line;
            }
        }
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it is there");
    }

    fn ends_with(&mut self, code: i32) {
        let mut end = None;
        eventually("the watch ends", LONG, || {
            end = self.child.try_wait().expect("ours");
            end.is_some()
        });
        assert_eq!(end.and_then(|end| end.code()), Some(code));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The recordings below a folder.
fn recordings(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let found = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "http"));
    found.chain(folders.iter().flat_map(|folder| recordings(folder))).collect()
}

#[test]
fn a_watch_shows_the_reason_of_each_rejection_without_a_restart_and_keeps_nothing() {
    let harness = Harness::new(&[]);
    assert_eq!(harness.service.exchange(&signed_for_http(1)).status, 403);
    harness.service.says("run `heardback doctor --watch` to see why");
    let mut watch = Watch::start(&harness, &[]);
    assert!(watch.stderr_line("phone numbers").contains("not kept"));
    assert_eq!(harness.service.exchange(&signed_for_http(2)).status, 403);
    let head = watch.says("mismatch");
    assert!(head.contains(&format!("POST {BASE}/twilio/message?…")), "{head}");
    watch.says(CAUSE);
    watch.interrupt();
    assert!(watch.stderr_line("Watch over").contains("1 seen"));
    watch.ends_with(0);
    harness.service.says("watch of rejected requests ended");
    assert_eq!(harness.service.exchange(&signed_for_http(3)).status, 403, "rejected as before");
    let root = harness.store().parent().expect("a folder").to_owned();
    assert_eq!(recordings(&root), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_watch_ends_after_the_given_number_of_requests_or_the_given_time() {
    let harness = Harness::new(&[]);
    let mut watch = Watch::start(&harness, &["--count", "1", "--json"]);
    assert_eq!(harness.service.exchange(&signed_for_http(1)).status, 403);
    let seen: Value = serde_json::from_str(&watch.says("outcome")).expect("JSON");
    assert_eq!(seen["causes"][0]["id"], "scheme_http");
    assert_eq!((&seen["refused"], &seen["file"]), (&"mismatch".into(), &Value::Null));
    watch.stderr_line("Watch over (1 requests were seen)");
    watch.ends_with(0);
    let mut watch = Watch::start(&harness, &["--for", "1s"]);
    watch.stderr_line("Watch over (1s are over): 0 seen");
    watch.ends_with(0);
}

#[test]
fn the_recordings_of_a_watch_are_for_their_owner_alone() {
    let harness = Harness::new(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let mut watch =
        Watch::start(&harness, &["--count", "1", "--keep", &kept.display().to_string()]);
    assert_eq!(harness.service.exchange(&signed_for_http(1)).status, 403);
    let name = watch.says("Kept as ").replace("Kept as ", "");
    assert!(watch.stderr_line("Watch over").contains("delete them when you are done"));
    watch.ends_with(0);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&kept), mode(&kept.join(&name))), (0o700, 0o600));
    let recording = fs::read(kept.join(&name)).expect("there");
    let recording = Recording::parse(&recording).expect("a recording");
    assert_eq!(recording.target, "/twilio/message?reference=hush-7");
}

#[test]
fn a_later_watch_replaces_an_earlier_one() {
    let harness = Harness::new(&[]);
    let mut first = Watch::start(&harness, &[]);
    let second = Watch::start(&harness, &[]);
    first.stderr_line("another `heardback doctor --watch` has begun");
    first.ends_with(0);
    assert_eq!(harness.service.exchange(&signed_for_http(1)).status, 403);
    second.says(CAUSE);
}

#[test]
fn a_watch_ends_with_its_service_and_cannot_start_without_one() {
    let mut harness = Harness::new(&[]);
    let mut watch = Watch::start(&harness, &[]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success(), "a watch delays no shutdown");
    watch.stderr_line("the service has ended");
    watch.ends_with(1);
    let mut command = Command::new(BINARY);
    command
        .args(["doctor", "--watch"])
        .env_clear()
        .envs(settings(&harness.store(), &harness.twilio));
    let output = command.stdin(Stdio::null()).output().expect("it ran");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("no service has the store in") && told.contains("heardback serve"),
        "{told}"
    );
}

#[test]
fn invalid_bounds_are_wrong_usage() {
    let harness = Harness::new(&[]);
    for words in [
        &["--watch", "--for", "2h"][..],
        &["--watch", "--for", "soon"],
        &["--watch", "--count", "0"],
        &["--watch", "x.http"],
        &["--count", "1"],
    ] {
        let mut command = Command::new(BINARY);
        command
            .arg("doctor")
            .args(words)
            .env_clear()
            .envs(settings(&harness.store(), &harness.twilio));
        let output = command.stdin(Stdio::null()).output().expect("it ran");
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}

/// The WARN lines that say that no key has matched.
fn unmatched(harness: &Harness) -> Vec<Value> {
    let logs = harness.service.logs();
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let says = |line: &Value| {
        line["message"].as_str().is_some_and(|message| message.starts_with("no key has matched"))
    };
    lines.filter(says).collect()
}

#[test]
fn until_a_key_matches_on_a_route_the_log_reports_rejections_there_once_a_minute() {
    let harness = Harness::new(&[]);
    for number in 1..=5 {
        assert_eq!(harness.service.exchange(&signed_for_http(number)).status, 403);
    }
    assert_eq!(
        harness.service.exchange(&http_client::bytes(&status_callback(1, "sent"))).status,
        403
    );
    let mut other = status_callback(2, "sent");
    other.body =
        String::from_utf8(other.body).expect("ASCII").replace(ACCOUNT, OTHER_ACCOUNT).into();
    assert_eq!(harness.send(&other).status, 403);
    let lines = unmatched(&harness);
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["route"].as_str(), line["reason"].as_str(), line["level"].as_str()))
        .collect();
    let warn = Some("WARN");
    assert_eq!(
        found,
        [
            (Some("/twilio/message"), Some("signature_mismatch"), warn),
            (Some("/twilio/status"), Some("signature_missing"), warn),
            (Some("/twilio/status"), Some("other_account"), warn),
        ]
    );
    assert!(
        lines[2]["message"].as_str().is_some_and(|text| text.contains("heardback check")),
        "{lines:?}"
    );
    assert!(!harness.service.logs().contains(RECIPIENT.trim_start_matches('+')));
}

#[test]
fn once_a_key_has_matched_on_a_route_the_log_reports_no_more_rejections_there() {
    let harness = Harness::new(&[]);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    let mut forged = signed(&status_callback(2, "sent"));
    forged.target.push_str("?x=1");
    assert_eq!(harness.service.exchange(&http_client::bytes(&forged)).status, 403);
    // The log has a later refusal, on another route.
    assert_eq!(harness.service.exchange(&signed_for_http(1)).status, 403);
    harness.service.says("no key has matched on /twilio/message yet, and 1 request got 403 there");
    assert_eq!(unmatched(&harness).len(), 1, "{}", harness.service.logs());
}
