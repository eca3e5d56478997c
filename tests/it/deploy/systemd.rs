//! `deploy/heardback.service`: the unit, its user and its settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::deploy::{read, said, settings_are_sound};
use crate::disk::holder;
use crate::harness::running::{BINARY, Running, wrapped};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{LONG, code_entered, eventually, http_client, signed};
use crate::skip::skipped_unless_ci;

/// The values of a key of the unit.
fn values(key: &str) -> Vec<String> {
    let unit = read("deploy/heardback.service");
    let start = format!("{key}=");
    unit.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

fn is_missing(program: &str) -> bool {
    let missing = Command::new(program).arg("--version").output().is_err();
    if missing {
        skipped_unless_ci(&format!("there is no `{program}`"));
    }
    missing
}

#[test]
fn systemd_accepts_the_unit_without_a_warning_and_finds_little_exposed() {
    if is_missing("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("heardback.service");
    let text = read("deploy/heardback.service");
    assert!(text.contains("\nExecStart=/usr/local/bin/heardback serve\n"));
    // `systemd-analyze verify` looks for the program and for the manual.
    let text = text.replace("/usr/local/bin/heardback", BINARY);
    fs::write(&unit, text).expect("written");
    let analyze = |words: &[&str]| {
        let output =
            Command::new("systemd-analyze").args(words).arg(&unit).output().expect("it runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    };
    // `verify` also loads other units of this machine, which may have warnings of their own.
    let verified = analyze(&["verify", "--man=no"]);
    assert!(!verified.contains("heardback"), "{verified}");
    // The exposure, of 100: a service without hardening has 96.
    analyze(&["security", "--offline=yes", "--threshold=15"]);
}

#[test]
fn the_units_settings_are_valid_and_its_credentials_are_the_files_that_it_reads() {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let own = values("Environment");
    let file = read("deploy/heardback.env");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    for line in own.iter().map(String::as_str).chain(lines) {
        let (name, value) = line.split_once('=').expect("a setting");
        let old = settings.insert(name.to_owned(), value.to_owned());
        assert_eq!(old, None, "{name} is set twice");
    }
    settings_are_sound(&settings, &[]);
    assert_eq!(values("EnvironmentFile"), ["/etc/heardback/heardback.env"]);

    let credentials = values("LoadCredential");
    let paths: Vec<&str> =
        settings.values().filter_map(|value| value.strip_prefix("%d/")).collect();
    assert_eq!(paths.len(), credentials.len());
    for name in paths {
        let credential = format!("{name}:/etc/heardback/credentials/{name}");
        assert!(credentials.contains(&credential), "{credential}");
    }

    // The store is in the folder that systemd creates and keeps writable.
    let store = settings["HEARDBACK_STORE"].strip_prefix("sled:").expect("sled");
    let folder = Path::new("/var/lib").join(&values("StateDirectory")[0]);
    assert!(Path::new(store).starts_with(&folder), "{store}");
    let user = values("User");
    let declared = format!("u {} - \"Heardback\" {}", user[0], folder.display());
    assert!(read("deploy/sysusers.conf").lines().any(|line| line == declared), "{declared}");
    assert_eq!(user, values("Group"));
}

#[test]
fn systemd_accepts_the_declaration_of_the_user() {
    if is_missing("systemd-sysusers") {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sysusers.conf");
    let output =
        Command::new("systemd-sysusers").arg("--dry-run").arg(file).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("ignoring"), "{}", said(&output));
}

/// The system calls of a set such as `@system-service`, with those of the sets in it.
fn calls_of(set: &str) -> BTreeSet<String> {
    let mut list = Command::new("systemd-analyze");
    let output = list.args(["syscall-filter", set]).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    let entries = text.lines().filter(|line| line.starts_with(' ')).map(str::trim);
    let mut calls = BTreeSet::new();
    for entry in entries.filter(|entry| !entry.starts_with('#')) {
        if entry.starts_with('@') {
            calls.extend(calls_of(entry));
        } else {
            calls.insert(entry.to_owned());
        }
    }
    calls
}

#[test]
fn the_unit_allows_every_system_call_that_a_working_service_makes() {
    if is_missing("systemd-analyze") {
        return;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped_unless_ci("there is no `strace`");
    }
    let [allowed, denied] = &values("SystemCallFilter")[..] else { panic!("two lines") };
    let allowed = calls_of(allowed);
    let denied = calls_of(denied.strip_prefix('~').expect("a list of denied calls"));

    let twilio = Twilio::start();
    twilio.reply_with(TwilioReply::Status(200));
    let folder = tempfile::tempdir().expect("a folder");
    let (store, trace) = (folder.path().join("store"), folder.path().join("trace"));
    let path = trace.display().to_string();
    let words = ["strace", "-f", "-qq", "-o", path.as_str(), BINARY, "serve"];
    let mut service = Running::start(wrapped(&words, &store, &twilio, &[]));
    service.is_really(holder(&store));
    assert_eq!(service.exchange(&http_client::bytes(&signed(&code_entered(1)))).status, 200);
    let reported = || service.metric("heardback_messages{state=\"reported\"}") == 1;
    eventually("the confirmation is reported", LONG, reported);
    service.signal(Signal::HUP);
    service.says("reload");
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success(), "{}", service.logs());

    let trace = fs::read_to_string(trace).expect("written");
    // Each call is `PID call(…`; lines for signals and resumed calls are left out.
    let made = trace.lines().filter_map(|line| line.split_whitespace().nth(1)?.split_once('('));
    let made: BTreeSet<&str> = made.map(|(call, _)| call).collect();
    assert!(made.contains("fdatasync") && made.contains("accept4"), "{made:?}");
    let refused: Vec<&&str> =
        made.iter().filter(|call| !allowed.contains(**call) || denied.contains(**call)).collect();
    assert!(refused.is_empty(), "the unit's SystemCallFilter refuses {refused:?}");
    // For MemoryDenyWriteExecute.
    let both = trace.lines().find(|line| line.contains("PROT_WRITE|PROT_EXEC"));
    assert_eq!(both, None, "the unit refuses memory that is writable and executable");
}
