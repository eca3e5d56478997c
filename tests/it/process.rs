//! The real binary as a process: its start and its refusals to start, its end, and the data that
//! survives.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::http_client::{self, Line};
use crate::harness::running::{BINARY, Running, command, wrapped};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    Harness, LONG, RECIPIENT, TOKEN, eventually, form, sid, signed, status_callback,
};
use crate::http::reply;

/// Draining may take twenty seconds; then the service logs a timeout.
const DRAINED: Duration = Duration::from_secs(15);

/// Runs the process to its end.
fn run(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("it ran");
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).expect("UTF-8"))
}

fn heardback(words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(words).env_clear();
    command
}

/// Every file of a store with its content, except the lock file, in which each attempt leaves a
/// note.
fn files(store: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(store).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && name != "heardback.lock" {
            files.insert(name, std::fs::read(entry.path()).expect("readable"));
        }
    }
    files
}

#[test]
fn every_missing_or_wrong_setting_is_listed_and_the_exit_code_is_2() {
    let (code, text) = run(heardback(&["serve"]));
    assert_eq!(code, Some(2), "{text}");
    for name in ["HEARDBACK_PUBLIC_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    let wrong = [
        ("HEARDBACK_PUBLIC_URL", "hooks.example.com"),
        ("TWILIO_ACCOUNT_SID", TOKEN),
        ("TWILIO_AUTH_TOKEN", ""),
        ("HEARDBACK_LISTEN", "nowhere"),
        ("HEARDBACK_STORE", "mysql://x"),
        ("HEARDBACK_UPSTREAM_URL", "http://example.com"),
        ("HEARDBACK_UPSTREAM_CONCURRENCY", "0"),
        ("HEARDBACK_GIVE_UP_AFTER", "soon"),
        ("HEARDBACK_DRY_RUN", "perhaps"),
        ("HEARDBACK_LOG", "heardback=loud"),
        ("TWILIO_API_KEY", "SK0123456789abcdef0123456789abcdef"),
    ];
    for word in ["serve", "check"] {
        let mut command = heardback(&[word]);
        command.envs(wrong);
        let (code, text) = run(command);
        assert_eq!(code, Some(2), "{text}");
        let named = wrong.map(|(name, _)| name);
        for name in named.into_iter().filter(|name| *name != "TWILIO_API_KEY") {
            assert!(text.contains(name), "{name} is not in\n{text}");
        }
        assert!(text.contains("TWILIO_API_SECRET"), "{text}");
        assert!(!text.contains(TOKEN), "a possible secret is not repeated");
    }
}

#[test]
fn help_exits_with_0_and_an_unknown_command_with_2() {
    for words in [&["--help"][..], &["serve", "--help"], &["check", "--help"], &["--version"]] {
        assert_eq!(run(heardback(words)).0, Some(0), "{words:?}");
    }
    for words in [&[][..], &["frobnicate"], &["serve", "--auth-token", "x"], &["serve", "x"]] {
        assert_eq!(run(heardback(words)).0, Some(2), "{words:?}");
    }
}

#[test]
fn an_address_in_use_is_named_and_the_exit_code_is_1() {
    let harness = Harness::new(&[]);
    let taken = harness.service.public.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let (code, text) = run(command(&store, &harness.twilio, &[("HEARDBACK_LISTEN", &taken)]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&taken) && text.contains("HEARDBACK_LISTEN"), "{text}");
}

#[test]
fn a_store_in_use_is_left_alone_and_its_process_is_named() {
    let harness = Harness::new(&[]);
    harness.send(&status_callback(1, "sent"));
    let before = files(&harness.store());
    let began = Instant::now();
    let (code, text) = run(command(&harness.store(), &harness.twilio, &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(began.elapsed() >= Duration::from_secs(9), "a rolling restart needs this wait");
    let holder = format!("pid {}", harness.service.pid().as_raw_nonzero());
    assert!(text.contains("in use by another process") && text.contains(&holder), "{text}");
    assert_eq!(files(&harness.store()), before);
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 204, "the first service goes on");
}

#[test]
fn a_store_of_a_newer_format_or_of_another_program_is_refused_and_left_alone() {
    let mut harness = Harness::new(&[]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(DRAINED).success());
    let format = harness.store().join("FORMAT");
    for (content, said) in
        [(&b"7\n"[..], "format 7"), (b"99 creating\n", "format 99"), (b"?", "no number")]
    {
        std::fs::write(&format, content).expect("written");
        let before = files(&harness.store());
        let (code, text) = run(command(&harness.store(), &harness.twilio, &[]));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(said), "{text}");
        assert_eq!(files(&harness.store()), before);
    }
    std::fs::remove_file(&format).expect("removed");
    let (code, text) = run(command(&harness.store(), &harness.twilio, &[]));
    assert!(code == Some(1) && text.contains("not a Heardback store"), "{text}");
}

#[test]
fn sigterm_and_sigint_finish_requests_and_posts_under_way_and_exit_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut harness = Harness::new(&[]);
        // A post that waits for its response, a request with an unfinished body, an idle
        // connection.
        harness.twilio.reply_with(TwilioReply::Hold);
        assert_eq!(harness.confirm(1).status, 200);
        eventually("the post is under way", LONG, || !harness.twilio.posts().is_empty());
        let request = signed(&status_callback(2, "sent"));
        let bytes = http_client::bytes(&request);
        let (start, rest) = bytes.split_at(bytes.len() - 10);
        let mut slow = harness.service.line();
        slow.send(start);
        let mut idle = harness.service.line();
        idle.send(&http_client::bytes(&signed(&status_callback(3, "sent"))));
        assert_eq!(idle.answer().expect("an answer").status, 204);

        harness.service.signal(signal);
        harness.service.says("draining");
        assert!(idle.is_closed_within(LONG), "an idle connection is closed");
        let refused = || TcpStream::connect(harness.service.public).is_err();
        eventually("new connections are refused", LONG, refused);
        let ready = harness.service.operator("/readyz");
        assert_eq!((ready.status, ready.json()["reason"].as_str()), (503, Some("shutting down")));
        slow.send(rest);
        let answer = slow.answer().expect("the request in flight is answered");
        assert!(answer.status == 204 && answer.closes(), "{}", answer.head);
        assert!(harness.service.still_runs_after(Duration::from_secs(1)), "a post is under way");
        harness.twilio.reply_with(TwilioReply::Status(200));
        let end = harness.service.ends_within(DRAINED);
        assert_eq!(end.code(), Some(0), "{signal:?}\n{}", harness.service.logs());

        harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
        assert_eq!(
            harness.state(1).as_deref(),
            Some("reported"),
            "the result of the post in flight is stored"
        );
        assert_eq!(harness.state(2).as_deref(), Some("untracked"));
        assert_eq!(harness.twilio.posts().len(), 1);
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM]] {
        let mut harness = Harness::new(&[]);
        harness.twilio.reply_with(TwilioReply::Hold);
        harness.confirm(1);
        eventually("the post is under way", LONG, || !harness.twilio.posts().is_empty());
        harness.service.signal(signals[0]);
        harness.service.says("draining");
        let began = Instant::now();
        harness.service.signal(signals[1]);
        let end = harness.service.ends_within(LONG);
        assert_eq!(end.code(), Some(1));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[test]
fn callers_that_never_stop_do_not_delay_a_shutdown_and_lose_nothing() {
    let mut harness = Harness::new(&[]);
    let public = harness.service.public;
    let callers: Vec<_> = (0..4_u32)
        .map(|caller| {
            thread::spawn(move || {
                let mut line = Line::open(public);
                let mut acknowledged = Vec::new();
                for number in (caller * 100_000)..((caller + 1) * 100_000) {
                    line.send(&http_client::bytes(&signed(&status_callback(number, "sent"))));
                    match line.answer() {
                        Some(answer) if answer.status == 204 => acknowledged.push(number),
                        Some(_) | None => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    let counted = "heardback_http_requests_total{route=\"/twilio/status\",status=\"204\"}";
    eventually("the callers have sent requests", LONG, || harness.service.metric(counted) > 100);
    harness.service.signal(Signal::TERM);
    assert_eq!(harness.service.ends_within(Duration::from_secs(8)).code(), Some(0));
    harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    for caller in callers {
        for number in caller.join().expect("it called").iter().rev().take(20) {
            assert_eq!(harness.state(*number).as_deref(), Some("untracked"), "{number}");
        }
    }
}

#[test]
fn a_confirmation_acknowledged_before_a_sigkill_is_posted_after_the_restart() {
    let mut harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::Hold);
    for number in 1..=20 {
        assert_eq!(harness.confirm(number).status, 200);
    }
    harness.service.signal(Signal::KILL);
    assert_eq!(harness.service.ends_within(LONG).code(), None, "killed");
    let before = harness.twilio.posts().len();
    harness.twilio.reply_with(TwilioReply::Status(200));
    harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    for number in 1..=20 {
        harness.reaches(number, "reported");
        let posted = |post: &&String| post.contains(&sid(number));
        assert!(harness.twilio.posts().iter().skip(before).any(|post| posted(&post)), "{number}");
    }
}

#[test]
fn callbacks_are_answered_whatever_twilio_does_meanwhile() {
    let replies = [
        TwilioReply::Hold,
        TwilioReply::Status(500),
        TwilioReply::Status(401),
        TwilioReply::Status(404),
        TwilioReply::Throttle,
        TwilioReply::Redirect,
        TwilioReply::Html,
    ];
    for (reply, start) in replies.into_iter().zip((0..).step_by(100)) {
        let harness = Harness::new(&[]);
        harness.twilio.reply_with(reply);
        let began = Instant::now();
        for number in start..start + 20 {
            assert_eq!(harness.confirm(number).status, 200, "{reply:?}");
            assert_eq!(
                harness.send(&status_callback(number, "delivered")).status,
                204,
                "{reply:?}"
            );
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{reply:?}: {:?}", began.elapsed());
        eventually("the service posts", LONG, || !harness.twilio.posts().is_empty());
        assert_eq!(harness.service.operator("/readyz").status, 200, "{reply:?}");
        let elsewhere = |post: &String| !post.starts_with("POST /2010-04-01/Accounts/");
        assert!(!harness.twilio.posts().iter().any(elsewhere), "a redirect is not followed");
    }
}

#[test]
fn the_service_listens_though_twilio_is_unreachable() {
    let mut harness = Harness::new(&[]);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", unused.local_addr().expect("bound"));
    drop(unused);
    harness.service = {
        harness.service.signal(Signal::KILL);
        harness.service.ends_within(LONG);
        Running::start(command(
            &harness.store(),
            &harness.twilio,
            &[("HEARDBACK_UPSTREAM_URL", &nowhere)],
        ))
    };
    assert_eq!(harness.confirm(1).status, 200);
    let tried =
        || harness.service.metric("heardback_upstream_attempts_total{result=\"retry\"}") > 0;
    eventually("a post was attempted", LONG, tried);
    assert_eq!(harness.state(1).as_deref(), Some("confirmed"));
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 204);
}

#[test]
fn the_service_raises_its_descriptor_limit_to_the_hard_limit() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let limited = format!("ulimit -Sn 300; ulimit -Hn 3000; exec {BINARY} serve");
    let store = folder.path().join("store");
    let service = Running::start(wrapped(&["/bin/sh", "-c", &limited], &store, &twilio, &[]));
    let limits = format!("/proc/{}/limits", service.pid().as_raw_nonzero());
    let limits = std::fs::read_to_string(limits).expect("ours");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(files.split_whitespace().nth(3), Some("3000"), "{files}");
}

#[test]
fn a_crash_leaves_no_core_dump_whatever_the_inherited_limit() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let unlimited = format!("ulimit -c unlimited && cd \"$0\" && exec {BINARY} serve");
    let here = folder.path().display().to_string();
    let words = ["/bin/sh", "-c", &unlimited, &here];
    let mut service = Running::start(wrapped(&words, &folder.path().join("store"), &twilio, &[]));
    let of_process = |name: &str| {
        let path = format!("/proc/{}/{name}", service.pid().as_raw_nonzero());
        std::fs::read_to_string(path).expect("readable")
    };
    let limits = of_process("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"], "{core}");
    assert_eq!(of_process("coredump_filter").trim(), "00000000");
    service.signal(Signal::ABORT);
    assert_eq!(service.ends_within(LONG).code(), None, "killed by the signal");
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    let mut names: Vec<_> = names.iter().map(std::fs::DirEntry::file_name).collect();
    names.sort();
    assert_eq!(names, ["store", "store.served"]);
}

#[test]
fn logs_at_their_most_verbose_level_name_no_person_and_no_secret() {
    let secret = "an-api-keys-own-secret";
    let harness = Harness::new(&[
        ("HEARDBACK_LOG", "trace,actix_http=trace"),
        ("HEARDBACK_APP_KEYS", TOKEN),
        ("TWILIO_API_KEY", "SK0123456789abcdef0123456789abcdee"),
        ("TWILIO_API_SECRET", secret),
    ]);
    let event = form("/app/events", &[("MessageSid", &sid(1)), ("To", RECIPIENT)]);
    let body = "my code is 424242";
    let reply = form("/twilio/message", &reply(&sid(101), &[("Body", body)]));
    let mut signatures = Vec::new();
    for request in [&event, &status_callback(1, "sent"), &reply, &form("/app/events", &[])] {
        let request = signed(request);
        signatures.extend(request.header("X-Twilio-Signature").map(str::to_owned));
        let bytes = http_client::bytes(&request);
        harness.service.exchange(&bytes);
        let forged = String::from_utf8_lossy(&bytes).replace("Sid", "sid");
        harness.service.exchange(forged.as_bytes());
    }
    harness.reaches(1, "reported");
    let logs = harness.service.logs();
    assert!(logs.contains(&sid(1)), "the SID of the message is logged");
    let person = RECIPIENT.trim_start_matches('+');
    for hidden in [person, TOKEN, secret, "424242", "Basic "] {
        let line = logs.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "{hidden}");
    }
    for signature in signatures {
        assert!(!logs.contains(&signature), "a signature");
    }
}
