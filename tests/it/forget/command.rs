//! The command as a process: beside the service, and on a closed store.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use heardback::store::sled::backup::contents;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::backup::binary::{about, backed_up, run, text, verified};
use crate::given::raw_sled;
use crate::harness::{
    ACCOUNT, Harness, LONG, RECIPIENT, SENDER, form, get, http_client, sid, signed,
};

/// Digits that every notation of the recipient has.
const DIGITS: &str = "5551234567";
const REFERENCE: &str = "a-login-of-theirs";

/// A message to that number, registered under a reference.
fn registered(harness: &Harness, number: u32, to: &str, reference: &str) {
    let fields = [
        ("MessageSid", &*sid(number)),
        ("To", to),
        ("From", SENDER),
        ("Reference", reference),
        ("AccountSid", ACCOUNT),
    ];
    assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
}

/// Three messages to the recipient, one to another person.
fn filled(more: &[(&str, &str)]) -> Harness {
    let harness = Harness::new(more);
    for number in 1..=3 {
        registered(&harness, number, RECIPIENT, REFERENCE);
    }
    registered(&harness, 4, "+15557654321", "somebody-elses");
    harness
}

fn erased(words: &[&str], store: &Path) -> Value {
    let (code, told, talk) = run(&[&["forget", "--json"], words].concat(), store);
    assert_eq!(code, Some(0), "{told}{talk}");
    assert!(!format!("{told}{talk}").contains(DIGITS), "{told}{talk}");
    serde_json::from_str(&told).expect("JSON")
}

fn of(messages: u64) -> Value {
    json!({
        "messages": messages, "unreported": 0, "evidence": 0, "links": 0, "references": 0,
        "recordings": 0,
    })
}

fn status_of(harness: &Harness, number: u32) -> u16 {
    harness.send(&get(&format!("/app/messages/{}", sid(number)))).status
}

#[test]
fn a_service_forgets_while_it_serves_and_no_later_backup_has_the_records() {
    let harness = filled(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let holds = |backup: &Path| {
        let bytes = fs::read(backup.join("heardback.backup")).expect("there");
        bytes.windows(REFERENCE.len()).any(|window| window == REFERENCE.as_bytes())
    };
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    backed_up(&harness.store(), &before);
    assert!(holds(&before), "the search finds present digits");

    assert_eq!(erased(&[RECIPIENT], &harness.store()), of(3));
    for (number, status) in [(1, 404), (2, 404), (3, 404), (4, 200)] {
        assert_eq!(status_of(&harness, number), status, "{number}");
    }
    assert_eq!(harness.service.metric("heardback_messages{state=\"pending\"}"), 1);
    backed_up(&harness.store(), &after);
    assert!(!holds(&after));
    assert!(contents(fs::File::open(after.join("heardback.backup")).expect("there")).is_ok());
    assert_eq!(erased(&[RECIPIENT], &harness.store()), of(0));
    let logs = harness.service.logs();
    assert!(logs.contains("records of recipients erased") && !logs.contains(DIGITS), "{logs}");
}

#[test]
fn a_closed_store_forgets_and_stays_valid() {
    let mut harness = filled(&[]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    assert_eq!(erased(&["whatsapp:+1 555 123-4567"], &harness.store()), of(3));
    let report = verified(&[], &harness.store());
    assert_eq!((&report["ok"], &report["messages"]["pending"]), (&json!(true), &json!(1)));
    let db = raw_sled(&harness.store());
    assert!(db.scan_prefix(b"m").count() == 1, "one record is left");
}

#[test]
fn a_store_of_an_older_format_is_left_alone() {
    let mut harness = filled(&[]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    fs::write(harness.store().join("FORMAT"), "2\n").expect("written");
    let (code, told, talk) = run(&["forget", RECIPIENT], &harness.store());
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(talk.contains("format 2") && talk.contains("heardback export"), "{talk}");
    assert_eq!(fs::read_to_string(harness.store().join("FORMAT")).expect("there"), "2\n");
}

#[test]
fn addresses_are_read_from_stdin_so_that_no_process_list_shows_them() {
    let harness = filled(&[]);
    let mut command = about(&["forget", "-"], &harness.store());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("spawned");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(format!("\u{feff}{RECIPIENT}\n\n +1 555 765-4321\n").as_bytes())
        .expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ran");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(told, "erased 4 messages\nearlier backups still contain these records\n");
}

#[test]
fn an_invalid_address_is_not_repeated_and_nothing_is_erased() {
    let harness = filled(&[]);
    let (code, told, talk) = run(&["forget", RECIPIENT, "4917612345678"], &harness.store());
    assert_eq!((code, told.as_str()), (Some(2), ""));
    assert!(talk.contains("address 2: expected E.164") && !talk.contains("4917"), "{talk}");
    assert_eq!(status_of(&harness, 1), 200);
    let (code, _, talk) = run(&["forget", "-"], &harness.store());
    assert_eq!(code, Some(2));
    assert!(talk.contains("stdin is empty"), "{talk}");
}

#[test]
fn if_there_is_no_store_none_is_created() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let (code, told, talk) = run(&["forget", RECIPIENT], &store);
    assert_eq!((code, told.as_str()), (Some(1), ""));
    assert!(talk.contains("there is no store in") && !store.exists(), "{talk}");
}

#[test]
fn without_the_key_of_their_hashes_persons_are_not_reported_as_unknown() {
    let mut harness = filled(&[("HEARDBACK_PHONE_KEY", "0123456789abcdef0123456789abcdef")]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    for (key, said) in
        [("", "set that to the key it had"), ("another-0123456789", "is not the key")]
    {
        let mut command = about(&["forget", RECIPIENT], &harness.store());
        let output = command.env("HEARDBACK_PHONE_KEY", key).output().expect("it ran");
        let talk = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{talk}");
        assert!(talk.contains(said) && !talk.contains("another-"), "{talk}");
    }
    let key = harness.store().join("../key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("written");
    let mut command = about(&["forget", RECIPIENT], &harness.store());
    let output = command.env("HEARDBACK_PHONE_KEY_FILE", text(&key)).output().expect("it ran");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"erased 3 messages"));
}

#[test]
fn recordings_of_their_rejected_requests_are_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = folder.path().join("refused");
    let path = text(&refused);
    let mut harness = filled(&[("HEARDBACK_RECORD_REFUSED", &path)]);
    let count = || fs::read_dir(&refused).expect("a folder").count();
    let refuse = |harness: &Harness| {
        let mut request = signed(&form("/twilio/message", &[("From", RECIPIENT)]));
        request.target.push_str("?moved=1");
        assert_eq!(harness.service.exchange(&http_client::bytes(&request)).status, 403);
        crate::harness::eventually("the request is recorded", LONG, || {
            fs::read_dir(&refused)
                .expect("a folder")
                .any(|entry| entry.expect("an entry").path().extension().is_some())
        });
    };
    refuse(&harness);
    assert_eq!(erased(&[RECIPIENT], &harness.store())["recordings"], 1);
    assert_eq!(count(), 0);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    fs::write(refused.join("2026-11-23T10-02-11.123Z-twilio-message-mismatch.http"), "x")
        .expect("written");
    fs::write(refused.join("notes.txt"), "not ours").expect("written");
    let mut command = about(&["forget", "--json", RECIPIENT], &harness.store());
    let output = command.env("HEARDBACK_RECORD_REFUSED", &path).output().expect("it ran");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["recordings"], 1);
    assert_eq!(count(), 1, "a file of another program stays");
}
