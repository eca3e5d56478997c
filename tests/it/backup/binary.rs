//! The backup commands beside a running service: traffic goes on, the backup has every acknowledged
//! record, and a SIGKILL at any step leaves the last backup and no partial store.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::disk::{Disk, holder};
use crate::harness::running::{BINARY, Running, command, wrapped};
use crate::harness::twilio::Twilio;
use crate::harness::{Harness, LONG, code_entered, http_client, signed, status_callback};
use crate::skip::skipped_unless_ci;

/// A command of the binary about that store.
pub(crate) fn about(words: &[&str], store: &Path) -> Command {
    let mut command = Command::new(BINARY);
    let store = format!("sled:{}", store.display());
    command.args(words).env_clear().env("HEARDBACK_STORE", store).stdin(Stdio::null());
    if let Some(temporary) = heardback::config::process_env("TMPDIR") {
        command.env("TMPDIR", temporary);
    }
    command
}

/// Exit code, stdout, stderr.
pub(crate) fn run(words: &[&str], store: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = about(words, store).output().expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The output of `verify-store --json`.
pub(crate) fn verified(words: &[&str], store: &Path) -> Value {
    let (code, told, talk) = run(&[&["verify-store", "--json"], words].concat(), store);
    let report: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(code, Some(i32::from(report["ok"] != true)), "{told}{talk}");
    report
}

pub(super) fn messages(report: &Value) -> u64 {
    let states = report["messages"].as_object().expect("by state");
    states.values().map(|count| count.as_u64().expect("a number")).sum()
}

pub(crate) fn backed_up(store: &Path, into: &Path) {
    let (code, told, talk) = run(&["backup", &text(into)], store);
    assert_eq!(code, Some(0), "{told}{talk}");
}

/// Sends this many status callbacks over several connections in parallel.
pub(crate) fn fill(service: &Running, messages: u32) {
    thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                let mut line = service.line();
                for number in (part + 1..=messages).step_by(4) {
                    line.send(&http_client::bytes(&signed(&status_callback(number, "sent"))));
                    assert_eq!(line.answer().expect("an answer").status, 204);
                }
            });
        }
    });
}

#[test]
fn a_backup_has_every_record_acknowledged_before_it_began_though_traffic_goes_on() {
    let harness = Harness::new(&[]);
    fill(&harness.service, 400);
    let folder = tempfile::tempdir().expect("a folder");
    let (stop, sent) = (AtomicBool::new(false), AtomicU32::new(400));
    let mut kept = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = harness.service.line();
            while !stop.load(Ordering::Acquire) {
                let number = sent.load(Ordering::Acquire) + 1;
                line.send(&http_client::bytes(&signed(&code_entered(number))));
                assert_eq!(line.answer().expect("an answer").status, 200);
                sent.store(number, Ordering::Release);
            }
        });
        for round in 0..5 {
            let acknowledged = sent.load(Ordering::Acquire);
            let into = folder.path().join(format!("backup-{round}"));
            backed_up(&harness.store(), &into);
            kept.push((into, acknowledged));
        }
        stop.store(true, Ordering::Release);
    });
    assert!(sent.load(Ordering::Acquire) > 405, "there was traffic");
    let twilio = Twilio::start();
    for (backup, acknowledged) in kept {
        let restored = backup.join("restored");
        let (code, told, talk) = run(&["restore", &text(&backup)], &restored);
        assert_eq!(code, Some(0), "{told}{talk}");
        let service = Running::start(command(&restored, &twilio, &[]));
        let states = ["untracked", "confirmed", "reported"];
        let counted =
            states.map(|state| service.metric(&format!("heardback_messages{{state=\"{state}\"}}")));
        assert!(counted.iter().sum::<u64>() >= u64::from(acknowledged), "{counted:?}");
        for number in [1, 400, acknowledged] {
            let asked =
                crate::harness::get(&format!("/app/messages/{}", crate::harness::sid(number)));
            assert_eq!(
                service.exchange(&http_client::bytes(&signed(&asked))).status,
                200,
                "{number}"
            );
        }
    }
}

#[test]
fn the_socket_and_the_backup_are_private_and_the_socket_is_removed_with_the_service() {
    let mut harness = Harness::new(&[]);
    harness.send(&status_callback(1, "sent"));
    let socket = harness.store().join("control.sock");
    let found = fs::symlink_metadata(&socket).expect("there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let into = harness.store().with_file_name("backup");
    backed_up(&harness.store(), &into);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&into), mode(&into.join("heardback.backup"))), (0o700, 0o600));
    assert_eq!(fs::read_dir(&into).expect("a folder").count(), 1, "nothing else is left");
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success(), "{}", harness.service.logs());
    assert!(!socket.exists());
}

#[test]
fn verify_store_reports_the_contents_of_a_served_store_a_stopped_store_and_a_backup() {
    let mut harness = Harness::new(&[("HEARDBACK_DRY_RUN", "true")]);
    fill(&harness.service, 30);
    harness.confirm(31);
    let served = verified(&[], &harness.store());
    assert_eq!(
        (messages(&served), &served["format"], &served["seal"]),
        (31, &6.into(), &"sound".into())
    );
    assert_eq!(served["messages"]["confirmed"], 1);
    assert_eq!(served["person_key_inside"], true);
    let into = harness.store().with_file_name("backup");
    backed_up(&harness.store(), &into);
    // A killed service leaves its socket file.
    harness.service.signal(Signal::KILL);
    harness.service.ends_within(LONG);
    assert!(harness.store().join("control.sock").exists());
    let stopped = verified(&[], &harness.store());
    let of_backup = verified(&[&text(&into)], &harness.store());
    for field in ["format", "messages", "parked", "orphaned", "links", "entries", "seal"] {
        assert_eq!(stopped[field], served[field], "{field}");
        assert_eq!(of_backup[field], served[field], "{field}");
    }
    assert!(of_backup["begun_at"].is_string() && stopped["begun_at"].is_null());
    backed_up(&harness.store(), &into);
    assert_eq!(messages(&verified(&[&text(&into)], &harness.store())), 31);
    // A leftover socket file does not prevent a start, and the service replaces it.
    let service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    assert_eq!(messages(&verified(&[], &harness.store())), 31);
    drop(service);
    let (code, told, _) = run(&["verify-store"], &harness.store());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(": sound\n") && told.contains("untracked 30"), "{told}");
}

#[test]
fn a_damaged_or_missing_store_is_reported_with_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let missing = verified(&[], &store);
    assert!(missing["error"].as_str().expect("said").contains("there is no store"), "{missing}");
    let (code, _, talk) = run(&["backup", &text(&folder.path().join("b"))], &store);
    assert_eq!(code, Some(1), "{talk}");
    assert!(!folder.path().join("b/heardback.backup").exists());
    assert!(!folder.path().join("b/heardback.backup.part").exists());
    assert!(!store.exists(), "no store was created");
    let (code, _, talk) = run(&["restore", &text(folder.path())], &store);
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("cannot open the backup"), "{talk}");
    fs::write(folder.path().join("heardback.backup"), "a letter").expect("written");
    let (code, _, talk) = run(&["restore", &text(folder.path())], &store);
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("no backup of Heardback's") && !store.exists(), "{talk}");
    for words in [&["backup", "x", "--store", "mysql://x"][..], &["backup"], &["restore"]] {
        assert_eq!(run(words, &store).0, Some(2), "{words:?}");
    }
}

#[test]
fn a_restore_beside_a_service_or_over_a_store_is_refused() {
    let harness = Harness::new(&[]);
    harness.send(&status_callback(1, "sent"));
    let into = harness.store().with_file_name("backup");
    backed_up(&harness.store(), &into);
    let (code, _, talk) = run(&["restore", &text(&into)], &harness.store());
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("is not empty") && talk.contains("stop the service"), "{talk}");
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 204, "the service goes on");
}

#[test]
fn if_no_socket_can_be_created_the_service_serves_and_logs_which_commands_fail() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let store: PathBuf = folder.path().join("s".repeat(120));
    let mut service = Running::start(command(&store, &twilio, &[]));
    service.says("no control socket");
    assert_eq!(
        service.exchange(&http_client::bytes(&signed(&status_callback(1, "sent")))).status,
        204
    );
    let (code, _, talk) = run(&["backup", &text(folder.path())], &store);
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("in use by another process"), "{talk}");
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success());
    backed_up(&store, folder.path());
}

#[test]
fn a_backup_that_is_killed_at_any_step_leaves_the_last_one_and_the_service_goes_on() {
    let harness = Harness::new(&[]);
    fill(&harness.service, 1500);
    let into = harness.store().with_file_name("backup");
    backed_up(&harness.store(), &into);
    let last = fs::read(into.join("heardback.backup")).expect("there");
    let mut unfinished = 0;
    for step in 0..30_u64 {
        // Leftovers of the previous step would hide that this backup has begun.
        let part = into.join("heardback.backup.part");
        assert!(!part.exists() || fs::remove_file(&part).is_ok());
        let mut child = about(&["backup", &text(&into)], &harness.store())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawned");
        while !part.exists() && child.try_wait().expect("asked").is_none() {
            thread::yield_now();
        }
        thread::park_timeout(Duration::from_millis(step * 2));
        child.kill().expect("killed");
        child.wait().expect("ended");
        unfinished += u32::from(part.exists());
        let now = fs::read(into.join("heardback.backup")).expect("there");
        if now != last {
            assert_eq!(messages(&verified(&[&text(&into)], &harness.store())), 1500, "step {step}");
        }
    }
    assert!(unfinished > 0, "no backup was interrupted");
    assert_eq!(harness.send(&status_callback(1501, "sent")).status, 204);
    // The service may need a moment to abandon the backup of the killed command.
    crate::harness::eventually("a new backup succeeds", LONG, || {
        run(&["backup", &text(&into)], &harness.store()).0 == Some(0)
    });
    assert_eq!(messages(&verified(&[&text(&into)], &harness.store())), 1501);
    assert!(!into.join("heardback.backup.part").exists());
}

#[test]
fn a_restore_that_is_killed_at_any_step_leaves_no_partial_store_and_can_be_repeated() {
    let harness = Harness::new(&[]);
    fill(&harness.service, 1500);
    let into = harness.store().with_file_name("backup");
    backed_up(&harness.store(), &into);
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let (mut half, mut whole) = (0, 0);
    for step in 0..40_u64 {
        let mut child = about(&["restore", &text(&into)], &store)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawned");
        thread::park_timeout(Duration::from_millis(step * 5));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let format = fs::read_to_string(store.join("FORMAT")).unwrap_or_default();
        if format == "6\n" {
            whole += 1;
            assert_eq!(messages(&verified(&[], &store)), 1500, "step {step}");
            fs::remove_dir_all(&store).expect("removed");
        } else if format == "restoring\n" {
            half += 1;
            let output = command(&store, &harness.twilio, &[]).output().expect("it ran");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("heardback restore"), "{said}");
        }
    }
    println!("{half} half, {whole} whole");
    assert!(half > 0, "no restore was interrupted");
    if !store.join("FORMAT").exists() || half > 0 {
        let (code, told, talk) = run(&["restore", &text(&into)], &store);
        assert_eq!(code, Some(0), "{told}{talk}");
    }
    assert_eq!(messages(&verified(&[], &store)), 1500);
}

#[test]
fn a_service_that_is_killed_during_a_backup_leaves_the_last_backup() {
    let mut harness = Harness::new(&[]);
    fill(&harness.service, 1500);
    let into = harness.store().with_file_name("backup");
    backed_up(&harness.store(), &into);
    let last = fs::read(into.join("heardback.backup")).expect("there");
    let child = about(&["backup", &text(&into)], &harness.store())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawned");
    crate::harness::eventually("the backup has begun", LONG, || {
        let part = into.join("heardback.backup.part");
        part.metadata().is_ok_and(|part| part.len() > 0) || !part.exists()
    });
    harness.service.signal(Signal::KILL);
    harness.service.ends_within(LONG);
    let output = child.wait_with_output().expect("ended");
    let now = fs::read(into.join("heardback.backup")).expect("there");
    if output.status.success() {
        assert_eq!(messages(&verified(&[&text(&into)], &harness.store())), 1500);
    } else {
        assert_eq!(now, last);
        assert!(!into.join("heardback.backup.part").exists());
    }
}

#[test]
fn a_backup_without_room_fails_and_the_last_one_stays() {
    let Some(disk) = Disk::mount("1m") else { return };
    let harness = Harness::new(&[]);
    fill(&harness.service, 20);
    let into = disk.store();
    backed_up(&harness.store(), &into);
    fill(&harness.service, 9000);
    let (code, _, talk) = run(&["backup", &text(&into)], &harness.store());
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("No space left"), "{talk}");
    assert!(!into.join("heardback.backup.part").exists());
    assert_eq!(messages(&verified(&[&text(&into)], &harness.store())), 20);
    assert_eq!(harness.send(&status_callback(10_000, "sent")).status, 204, "the service goes on");
}

#[test]
fn a_backup_onto_the_stores_own_disk_leaves_room_for_the_store() {
    let Some(disk) = Disk::mount("300m") else { return };
    let twilio = Twilio::start();
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    fill(&service, 20);
    let into = disk.store().with_file_name("backup");
    backed_up(&disk.store(), &into);
    disk.resize("200m");
    let (code, _, talk) = run(&["backup", &text(&into)], &disk.store());
    assert_eq!(code, Some(1), "{talk}");
    assert!(talk.contains("on the store's own disk"), "{talk}");
    assert_eq!(messages(&verified(&[&text(&into)], &disk.store())), 20);
}

#[test]
fn verify_store_beside_a_service_leaves_room_for_the_store() {
    let Some(disk) = Disk::mount("300m") else { return };
    let twilio = Twilio::start();
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    fill(&service, 20);
    let look = || {
        let mut look = about(&["verify-store"], &disk.store());
        look.env("TMPDIR", disk.store().parent().expect("a disk")).output().expect("it ran")
    };
    assert!(look().status.success());
    disk.resize("200m");
    let Output { status, stdout, .. } = look();
    let told = String::from_utf8_lossy(&stdout);
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("on the store's own disk; set TMPDIR"), "{told}");
}

#[test]
fn the_socket_accepts_no_connection_before_its_permissions_are_set() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped_unless_ci("there is no `strace`");
    }
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (store, trace) = (folder.path().join("store"), folder.path().join("trace"));
    let trace_path = text(&trace);
    let calls = "trace=socket,bind,chmod,fchmodat,listen";
    let words = ["strace", "-f", "-y", "-e", calls, "-o", &trace_path, BINARY, "serve"];
    let mut service = Running::start(wrapped(&words, &store, &twilio, &[]));
    service.is_really(holder(&store));
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success(), "{}", service.logs());
    let trace = fs::read_to_string(&trace).expect("written");
    // All of these calls, in this order: `listen` must come last.
    let mut rest =
        trace.lines().skip_while(|line| !line.contains("bind(") || !line.contains(".sock"));
    let bound = rest.next().expect("bound");
    assert!(bound.ends_with("= 0"), "{bound}");
    let shut = rest.next().expect("one more call");
    assert!(shut.contains("control.sock\"") && shut.contains(", 0600"), "{shut}");
    let listens = rest.next().expect("one more call");
    assert!(listens.contains("listen(") && listens.ends_with("= 0"), "{listens}");
}

#[test]
fn a_partial_backup_is_readable_by_its_owner_alone_and_no_link_is_followed() {
    let harness = Harness::new(&[]);
    fill(&harness.service, 20);
    let folder = tempfile::tempdir().expect("a folder");
    let (part, letter) =
        (folder.path().join("heardback.backup.part"), folder.path().join("letter"));
    fs::write(&letter, "dear").expect("written");
    symlink(&letter, &part).expect("linked");
    let (code, _, talk) = run(&["backup", &text(folder.path())], &harness.store());
    assert_eq!(code, Some(1), "{talk}");
    assert_eq!(fs::read_to_string(&letter).expect("there"), "dear");
    fs::rename(&letter, &part).expect("moved");
    fs::set_permissions(&part, PermissionsExt::from_mode(0o644)).expect("set");
    backed_up(&harness.store(), folder.path());
    let made = folder.path().join("heardback.backup").metadata().expect("there");
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
}
