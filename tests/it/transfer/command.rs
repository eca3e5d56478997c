//! `export` and `import` as processes, beside the service and on a closed store.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backup::binary::{about, fill, run, text};
use crate::harness::running::{Running, command};
use crate::harness::{
    ACCOUNT, Harness, LONG, OTHER_ACCOUNT, RECIPIENT, SENDER, eventually, form, sid,
};

const KEY: (&str, &str) = ("HEARDBACK_PHONE_KEY", "a-phone-key-of-the-source-271828");
const OTHER_KEY: (&str, &str) = ("HEARDBACK_PHONE_KEY", "another-key-9876543210");
/// Digits that every notation of the recipient has.
const DIGITS: &str = "5551234567";

/// 1 reported; 2 and 3 confirmed, on hold; 4 pending; one piece of parked evidence.
fn filled() -> Harness {
    let harness = Harness::new(&[KEY]);
    for number in 1..=4 {
        let sid = sid(number);
        let fields = [
            ("MessageSid", sid.as_str()),
            ("To", RECIPIENT),
            ("From", SENDER),
            ("Link", "https://example.com/"),
        ];
        assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
    }
    harness.confirm(1);
    harness.reaches(1, "reported");
    let (code, _, talk) = run(&["hold", ACCOUNT], &harness.store());
    assert_eq!(code, Some(0), "{talk}");
    harness.confirm(2);
    harness.confirm(3);
    let named = form("/app/events", &[("Reference", "login-77"), ("Type", "password_used")]);
    assert_eq!(harness.send(&named).status, 202);
    harness
}

fn stop(harness: &mut Harness) {
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
}

/// The export of a store, in a file of its own.
fn exported(store: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.jsonl");
    let output = about(&["export", "--out", &text(&file)], store).env(KEY.0, KEY.1).output();
    let output = output.expect("it ran");
    let talk = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(0), true), "{talk}");
    assert!(talk.starts_with("exported ") && talk.contains(" records: "), "{talk}");
    (folder, file)
}

/// Exit code, stdout, stderr of an import.
fn import(store: &Path, words: &[&str], stdin: Option<&str>) -> (Option<i32>, String, String) {
    let mut command = about(&[&["import"], words].concat(), store);
    command.env(KEY.0, KEY.1).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().expect("spawned");
    if let Some(given) = stdin {
        let mut pipe = child.stdin.take().expect("piped");
        // The import may have failed before it read everything.
        let _ = pipe.write_all(given.as_bytes());
    }
    let output = child.wait_with_output().expect("it ran");
    let told = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), told(output.stdout), told(output.stderr))
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).expect("there").lines().map(str::to_owned).collect()
}

/// The lines between the header and the end, in any order.
fn records(file: &Path) -> Vec<String> {
    let mut lines = lines(file);
    lines.pop();
    lines.remove(0);
    lines.sort();
    lines
}

#[test]
fn one_service_exports_while_it_serves_and_another_continues_with_the_records() {
    let source = filled();
    fill(&source.service, 700);
    let (_folder, file) = exported(&source.store());
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
    let all = lines(&file);
    let [head, end] = [all.first(), all.last()]
        .map(|line| serde_json::from_str::<Value>(line.expect("a line")).expect("JSON"));
    assert_eq!((&head["type"], &head["format"]), (&json!("heardback"), &json!(2)));
    assert_eq!(end["type"], "end");
    // 1 to 4 are among those with a callback.
    let expected = (&json!(700), &json!(4), &json!(1), &json!(1));
    assert_eq!((&end["messages"], &end["links"], &end["parked"], &end["holds"]), expected);
    let whole = all.join("\n");
    assert!(!whole.contains(DIGITS) && !whole.contains(KEY.1), "no number, and not the key");

    let target = Harness::new(&[KEY]);
    let (code, told, talk) = import(&target.store(), &[&text(&file)], None);
    assert_eq!(code, Some(0), "{told}{talk}");
    let many = all.len() - 2;
    let (paused, first) = (told.lines().nth(1).unwrap_or_default(), told.lines().next());
    let all_added = format!(
        "imported {many} records; 0 here were updated, 0 are equal, 0 differ and were kept"
    );
    assert_eq!(first, Some(&*all_added));
    assert!(paused.contains(&format!("`heardback resume {ACCOUNT}`")), "{told}");
    for (number, state) in [(1, "reported"), (2, "confirmed"), (4, "pending"), (700, "untracked")] {
        assert_eq!(target.state(number).as_deref(), Some(state), "{number}");
    }
    assert_eq!(target.service.metric("heardback_messages{state=\"untracked\"}"), 696);
    assert!(target.twilio.posts().is_empty(), "the imported account is still on hold");
    let (_again, second) = exported(&target.store());
    assert_eq!(records(&second), records(&file));

    assert_eq!(run(&["resume", ACCOUNT], &target.store()).0, Some(0));
    target.reaches(2, "reported");
    target.reaches(3, "reported");
    let posts = target.twilio.posts();
    assert_eq!(posts.len(), 2, "reported messages are not posted again");
    // A person is found as before.
    let reply = [
        ("MessageSid", "SM9999999999999999999999999999face"),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Body", "ok"),
        ("AccountSid", ACCOUNT),
    ];
    assert_eq!(target.send(&form("/twilio/message", &reply)).status, 200);
    let erased = run(&["forget", "--json", RECIPIENT], &target.store()).1;
    let erased: Value = serde_json::from_str(&erased).expect("JSON");
    assert_eq!(erased["messages"], 700);

    let (code, told, talk) = import(&target.store(), &["--json", &text(&file)], None);
    assert_eq!(code, Some(0), "{told}{talk}");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["complete"], told["skipped"].as_u64() > Some(0)), (&json!(true), true));
}

#[test]
fn closed_stores_are_exported_and_imported_through_a_pipe() {
    let (mut source, mut target) = (filled(), Harness::new(&[KEY]));
    stop(&mut source);
    stop(&mut target);
    let output = about(&["export"], &source.store()).env(KEY.0, KEY.1).output().expect("it ran");
    assert_eq!(output.status.code(), Some(0));
    let whole = String::from_utf8(output.stdout).expect("UTF-8");
    let (_folder, file) = exported(&source.store());
    let few = about(&["import", &text(&file)], &target.store())
        .env(KEY.0, KEY.1)
        .env("HEARDBACK_MAX_MESSAGES", "3")
        .output()
        .expect("it ran");
    let said = String::from_utf8(few.stderr).expect("UTF-8");
    assert_eq!(few.status.code(), Some(1), "{said}");
    assert!(said.contains("the limit of 3 messages (HEARDBACK_MAX_MESSAGES)"), "{said}");
    let (code, told, talk) = import(&target.store(), &["-"], Some(&whole));
    assert_eq!(code, Some(0), "{told}{talk}");
    let (_folder, file) = exported(&target.store());
    let mut expected: Vec<_> = whole.lines().map(str::to_owned).collect();
    expected.pop();
    expected.remove(0);
    expected.sort();
    assert_eq!(records(&file), expected);

    target.service = Running::start(command(&target.store(), &target.twilio, &[KEY]));
    assert_eq!(run(&["resume", ACCOUNT], &target.store()).0, Some(0));
    eventually("both are reported", LONG, || target.twilio.posts().len() == 2);
}

#[test]
fn persons_of_another_key_are_refused_before_any_write_with_the_remedy() {
    let source = filled();
    let (_folder, file) = exported(&source.store());
    let target = Harness::new(&[OTHER_KEY]);
    let (code, told, talk) = import(&target.store(), &[&text(&file)], None);
    assert_eq!((code, told.as_str()), (Some(1), ""), "{talk}");
    for said in [
        "another key",
        "This store is empty",
        "HEARDBACK_PHONE_KEY of the source",
        "heardback store key",
    ] {
        assert!(talk.contains(said), "{said}: {talk}");
    }
    target.confirm(9);
    let whole = fs::read_to_string(&file).expect("there");
    let (code, told, talk) = import(&target.store(), &["-"], Some(&whole));
    assert_eq!((code, told.as_str()), (Some(1), ""), "{talk}");
    assert!(talk.contains("holds records of its own"), "{talk}");
    assert!(!talk.contains(KEY.1) && !talk.contains(OTHER_KEY.1), "{talk}");
    assert_eq!(target.state(1), None);
}

/// The remedy that the refusal names.
#[test]
fn an_empty_store_with_a_key_of_its_own_is_started_once_with_the_sources() {
    let source = filled();
    let (_folder, file) = exported(&source.store());
    let mut target = Harness::new(&[]);
    let (code, _, talk) = import(&target.store(), &[&text(&file)], None);
    assert!(
        code == Some(1) && talk.contains("start it once with the HEARDBACK_PHONE_KEY"),
        "{talk}"
    );
    stop(&mut target);
    target.service = Running::start(command(&target.store(), &target.twilio, &[KEY]));
    let (code, told, talk) = import(&target.store(), &[&text(&file)], None);
    assert_eq!(code, Some(0), "{told}{talk}");
    assert_eq!(target.state(1).as_deref(), Some("reported"));
}

#[test]
fn a_truncated_or_changed_file_is_refused_as_a_whole_and_a_pipe_reports_its_imported_part() {
    let source = filled();
    let (folder, file) = exported(&source.store());
    let whole = lines(&file);
    let broken = folder.path().join("broken.jsonl");
    let mut cut = whole.clone();
    cut.pop();
    let mut spoilt = whole.clone();
    let last = spoilt.len() - 1;
    spoilt.insert(last, format!("{{\"type\":\"message\",\"to\":\"{RECIPIENT}\"}}"));
    let cases = [
        (cut, format!("it was cut after line {}", whole.len() - 1)),
        (spoilt, format!("line {} cannot be read", whole.len())),
    ];
    for (broken_lines, said) in cases {
        let broken_text = broken_lines.join("\n");
        fs::write(&broken, &broken_text).expect("written");
        let target = Harness::new(&[KEY]);
        let (code, told, talk) = import(&target.store(), &[&text(&broken)], None);
        assert_eq!((code, told.as_str()), (Some(1), ""), "{talk}");
        assert!(talk.contains("nothing was imported") && talk.contains(&said), "{talk}");
        assert!(!talk.contains(DIGITS), "{talk}");
        assert_eq!(target.state(1), None);

        let (code, told, talk) = import(&target.store(), &["-", "--json"], Some(&broken_text));
        assert_eq!(code, Some(1), "{talk}");
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let many = whole.len() as u64 - 2;
        assert_eq!(told, {
            let holds = [ACCOUNT];
            json!({
                "added": many, "updated": 0, "skipped": 0, "kept": 0, "kept_messages": [],
                "confirmed": 0, "holds": holds, "complete": false,
            })
        });
        assert!(
            talk.contains("the import stopped before its end") && talk.contains(&said),
            "{talk}"
        );
        assert!(!talk.contains(DIGITS), "{talk}");
        assert_eq!(target.state(1).as_deref(), Some("reported"));
    }
}

#[test]
fn no_file_is_overwritten_and_no_partial_export_is_left() {
    let source = filled();
    let (folder, file) = exported(&source.store());
    let before = fs::read(&file).expect("there");
    let (code, told, talk) = run(&["export", "--out", &text(&file)], &source.store());
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(talk.contains("exists already"), "{talk}");
    assert_eq!(fs::read(&file).expect("there"), before);

    // The leftover of an export that a signal ended does not prevent another.
    let (next, part) = (folder.path().join("next.jsonl"), folder.path().join("next.jsonl.part"));
    fs::write(&part, "half of it").expect("written");
    let (code, _, talk) = run(&["export", "--out", &text(&next)], &source.store());
    assert_eq!((code, part.exists()), (Some(0), false), "{talk}");
    assert_eq!(records(&next), records(&file));

    let (none, nowhere) = (folder.path().join("none.jsonl"), folder.path().join("no-store"));
    let (code, _, talk) = run(&["export", "--out", &text(&none)], &nowhere);
    assert!(code == Some(1) && talk.contains("there is no store"), "{talk}");
    assert!(!none.exists());
    let (code, _, talk) = run(&["import", &text(&none)], &source.store());
    assert!(code == Some(2) && talk.contains("cannot read"), "{talk}");
    let (code, _, talk) = run(&["import", "/dev/null"], &source.store());
    assert!(code == Some(1) && talk.contains("line 1 is no header"), "{talk}");
}

#[test]
fn a_later_export_adds_its_confirmations_and_kept_messages_are_listed() {
    let source = Harness::new(&[KEY]);
    for number in [1, 2] {
        let fields = [("MessageSid", sid(number)), ("To", RECIPIENT.to_owned())];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(source.send(&form("/app/messages", &fields)).status, 201);
    }
    assert_eq!(run(&["hold", ACCOUNT], &source.store()).0, Some(0));
    let target = Harness::new(&[KEY]);
    let (_first, early) = exported(&source.store());
    assert_eq!(import(&target.store(), &[&text(&early)], None).0, Some(0));
    source.confirm(1);
    let (_second, late) = exported(&source.store());
    let (code, told, talk) = import(&target.store(), &[&text(&late)], None);
    assert_eq!(code, Some(0), "{talk}");
    assert!(told.contains("; 1 here were updated, 2 are equal, 0 differ"), "{told}");
    assert!(told.contains("\n1 messages that were here are now confirmed\n"), "{told}");
    assert_eq!(target.state(1).as_deref(), Some("confirmed"));
    target.service.says(&format!("confirmed {} by import", sid(1)));
    target.service.says(&format!("account {ACCOUNT} put on hold by import"));
    // The earlier export does not undo the confirmation.
    let (code, told, talk) = import(&target.store(), &[&text(&early)], None);
    assert_eq!(code, Some(0), "{talk}");
    assert!(told.contains("2 are equal, 1 differ and were kept"), "{told}");
    assert!(told.contains(&format!("\nkept {}\n", sid(1))), "{told}");
    assert_eq!(target.state(1).as_deref(), Some("confirmed"));

    let contradicts = fs::read_to_string(&late).expect("there");
    let contradicts = contradicts.replace(ACCOUNT, OTHER_ACCOUNT);
    let (code, told, talk) = import(&target.store(), &["-", "--json"], Some(&contradicts));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, &told["kept"]), (Some(0), &json!(2)), "{talk}");
    assert_eq!(told["kept_messages"], json!([sid(1), sid(2)]));
}

/// The new receiver gets the traffic first; then the old store is exported into it.
#[test]
fn a_receiver_with_traffic_completes_its_messages_from_the_old_store() {
    let source = Harness::new(&[KEY]);
    let fields = [
        ("MessageSid", sid(1)),
        ("To", RECIPIENT.to_owned()),
        ("From", SENDER.to_owned()),
        ("Reference", "login-1".to_owned()),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(source.send(&form("/app/messages", &fields)).status, 201);
    let target = Harness::new(&[KEY]);
    let callback = [
        ("MessageSid", fields[0].1),
        ("To", RECIPIENT),
        ("From", SENDER),
        ("MessageStatus", "delivered"),
        ("AccountSid", ACCOUNT),
    ];
    assert_eq!(target.send(&form("/twilio/status", &callback)).status, 204);
    let event = form("/app/events", &[("Reference", "login-1"), ("Type", "password_used")]);
    assert_eq!(target.send(&event).status, 202);
    assert_eq!(target.state(1).as_deref(), Some("untracked"));
    let (_folder, file) = exported(&source.store());
    let (code, told, talk) = import(&target.store(), &[&text(&file)], None);
    assert_eq!(code, Some(0), "{told}{talk}");
    target.reaches(1, "reported");
    assert_eq!(target.twilio.posts().len(), 1);
}
