//! The real binary and its disk: a 2xx comes after the sync; a full disk is reported and survived;
//! a failed write ends the process.
//!
//! Needs `strace` and the right to mount. Without them a test is skipped; with `HEARDBACK_CI=1` it
//! fails.

use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal};

use crate::harness::running::{BINARY, Running, command, wrapped};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    Harness, LONG, code_entered, eventually, http_client, sid, signed, status_callback,
};
use crate::skip::{skipped, skipped_unless_ci};

/// A separate file system in memory.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Mounts it. `None`: the test is skipped.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            // No installation can change this, so CI skips it too. A test with an injected
            // `free_space` covers the case there.
            skipped("mounting a small disk takes root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).to_lowercase();
                if why.contains("permission denied") || why.contains("not permitted") {
                    skipped(&format!("nobody may mount in here, not even root: {why}"));
                } else {
                    skipped_unless_ci(&why);
                }
                None
            }
            Err(error) => {
                skipped_unless_ci(&format!("there is no `mount`: {error}"));
                None
            }
        }
    }

    pub(crate) fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(self.folder.path());
        assert!(mount.status().expect("it ran").success(), "remounted with {size}");
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A lazy unmount: a process with a file open on it is about to end.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

#[test]
fn a_nearly_full_disk_is_reported_and_no_write_is_partial_until_there_is_room() {
    let Some(disk) = Disk::mount("400m") else { return };
    let twilio = Twilio::start();
    twilio.reply_with(TwilioReply::Hold);
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    let send = |request: &_| service.exchange(&http_client::bytes(&signed(request)));
    assert_eq!(send(&code_entered(1)).status, 200);
    for full in [1, 2] {
        disk.resize("120m");
        for request in [status_callback(2, "sent"), code_entered(2)] {
            let answer = send(&request);
            assert_eq!(answer.status, 503, "{}", answer.head);
            assert!(answer.closes());
            let wait = answer.header("Retry-After").and_then(|wait| wait.parse::<u32>().ok());
            assert!(wait.is_some_and(|wait| wait > 0), "{}", answer.head);
            let told = request.target.starts_with("/app/");
            assert_eq!(answer.text().is_empty(), !told, "{}", answer.text());
        }
        let ready = service.operator("/readyz");
        assert_eq!(ready.status, 503);
        let reason = ready.json();
        let reason = reason["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("MiB left, 128 MiB required"), "{reason}");
        assert_eq!(service.operator("/livez").status, 200);
        let counted = service.metric("heardback_refusals_total{reason=\"disk_full\"}");
        assert_eq!(counted, 2 * full, "each once");
        disk.resize("400m");
        assert_eq!(service.operator("/readyz").status, 200);
        let unknown = crate::harness::get(&format!("/app/messages/{}", sid(2)));
        assert_eq!(send(&unknown).status, 404, "no partial write");
    }
    assert_eq!(send(&status_callback(2, "sent")).status, 204);
    // Messages confirmed before are still posted.
    disk.resize("120m");
    twilio.reply_with(TwilioReply::Status(200));
    let shown = crate::harness::get(&format!("/app/messages/{}", sid(1)));
    let reported = || send(&shown).json()["state"] == "reported";
    eventually("the confirmation is reported", LONG, reported);
}

#[test]
fn a_failed_write_ends_the_process_without_an_answer() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    // In blocks of 512 bytes. The SIGXFSZ is ignored, so the write fails with EFBIG.
    let limited = format!("trap '' XFSZ; ulimit -f 1200; exec {BINARY} serve");
    let mut service = Running::start(wrapped(&["/bin/sh", "-c", &limited], &store, &twilio, &[]));
    let mut line = service.line();
    let mut acknowledged = 0;
    for number in 1..=20_000 {
        line.send(&http_client::bytes(&signed(&status_callback(number, "sent"))));
        match line.answer() {
            Some(answer) => assert_eq!(answer.status, 204, "{}", answer.head),
            None => break,
        }
        acknowledged = number;
    }
    assert!((1..20_000).contains(&acknowledged), "{acknowledged}");
    let end = service.ends_within(LONG);
    assert_eq!(end.code(), Some(1), "{}", service.logs());
    assert!(service.logs().contains("the store cannot go on"), "{}", service.logs());
    // With room again, every acknowledged record is there.
    let service = Running::start(command(&store, &twilio, &[]));
    let counted = || service.metric("heardback_messages{state=\"untracked\"}");
    assert!(counted() >= u64::from(acknowledged), "{} of {acknowledged}", counted());
    assert!(counted() <= u64::from(acknowledged) + 1);
}

/// The process id of the service, from its store's lock file.
pub(crate) fn holder(store: &Path) -> Pid {
    let note = std::fs::read_to_string(store.join("heardback.lock")).expect("locked");
    let pid = note.trim().strip_prefix("pid ").and_then(|pid| pid.parse().ok());
    Pid::from_raw(pid.expect("a number")).expect("a process")
}

#[test]
fn a_2xx_is_written_only_after_the_sync_of_its_records() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped_unless_ci("there is no `strace`");
    }
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (store, trace) = (folder.path().join("store"), folder.path().join("trace"));
    // So that only the requests cause writes.
    let dry = [("HEARDBACK_DRY_RUN", "true")];
    let calls = "trace=read,readv,recvfrom,write,writev,sendto,sendmsg,pwrite64,fdatasync,fsync";
    let trace_path = trace.display().to_string();
    let words =
        ["strace", "-f", "-y", "-s", "4096", "-e", calls, "-o", &trace_path, BINARY, "serve"];
    let mut service = Running::start(wrapped(&words, &store, &twilio, &dry));
    service.is_really(holder(&store));
    let requests = [status_callback(1, "sent"), code_entered(1), status_callback(2, "sent")];
    for request in &requests {
        let answer = service.exchange(&http_client::bytes(&signed(request)));
        assert!((200..300).contains(&answer.status));
    }
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success(), "{}", service.logs());
    let trace = std::fs::read_to_string(&trace).expect("written");
    let mut rest = trace.lines();
    for request in &requests {
        // Each step must come after the one before it.
        let head = format!("{} {} HTTP/1.1", request.method, request.target);
        assert!(rest.any(|line| line.contains(&head)), "{head} is read");
        let mut written = false;
        let mut syncing = None;
        let synced = rest.any(|line| {
            assert!(!line.contains("\"HTTP/1.1 2"), "answered before the sync: {line}");
            let thread = line.split_whitespace().next();
            written |= line.contains("pwrite64(") && line.contains("/store/db>");
            if line.contains("fdatasync(") && line.contains("/store/db>") {
                syncing = thread;
                return written && line.ends_with("= 0");
            }
            written
                && syncing == thread
                && line.contains("<... fdatasync resumed>")
                && line.ends_with("= 0")
        });
        assert!(synced, "{head} is followed by the sync of what was written");
        assert!(rest.any(|line| line.contains("\"HTTP/1.1 2")), "{head} is answered");
    }
}

#[test]
fn a_damaged_store_is_refused_with_the_remedy() {
    let mut harness = Harness::new(&[]);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    std::fs::remove_file(harness.store().join("db")).expect("removed");
    let output = command(&harness.store(), &harness.twilio, &[]).output().expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is damaged") && said.contains("backup"), "{said}");
}

/// Runs the service to its end: it fails before it listens.
fn refused(store: &Path, twilio: &Twilio) -> String {
    let output = command(store, twilio, &[]).output().expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("is damaged"), "the disk is at fault, not the store: {said}");
    said
}

#[test]
fn a_store_opens_on_a_full_disk_or_reports_it_and_loses_no_record() {
    let Some(disk) = Disk::mount("400m") else { return };
    let twilio = Twilio::start();
    let mut service = Running::start(command(&disk.store(), &twilio, &[]));
    for number in 1..=50 {
        let answer =
            service.exchange(&http_client::bytes(&signed(&status_callback(number, "sent"))));
        assert_eq!(answer.status, 204);
    }
    service.signal(Signal::KILL);
    service.ends_within(LONG);
    let ballast = disk.folder.path().join("ballast");
    // Filled to the last byte: no room for sled's snapshot or for Heardback's files.
    let _ = std::io::copy(
        &mut std::io::repeat(7),
        &mut std::fs::File::create(&ballast).expect("created"),
    );
    let output = command(&disk.store(), &twilio, &[("HEARDBACK_LISTEN", "nowhere")]).output();
    assert_eq!(output.expect("it ran").status.code(), Some(2), "settings come first");
    let mut full = command(&disk.store(), &twilio, &[]);
    full.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    full.stderr(std::process::Stdio::piped());
    let mut child = full.spawn().expect("spawned");
    let (told, heard) = std::sync::mpsc::channel();
    let stderr = child.stderr.take().expect("piped");
    let reader = std::thread::spawn(move || {
        for line in std::io::BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = told.send(line);
        }
    });
    // The service either serves and refuses new records, or reports why it cannot.
    let mut said = String::new();
    while let Ok(line) = heard.recv_timeout(LONG) {
        said.push_str(&line);
        if line.contains("listening on") {
            break;
        }
    }
    let serves = said.contains("listening on");
    let _ = child.kill();
    let end = child.wait().expect("ended");
    let _ = reader.join();
    if !serves {
        assert_eq!(end.code(), Some(1), "{said}");
        assert!(said.contains("No space left") && !said.contains("is damaged"), "{said}");
    }
    println!("on a full disk it {}: {said}", if serves { "serves" } else { "refuses" });
    std::fs::remove_file(&ballast).expect("removed");
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    assert_eq!(service.metric("heardback_messages{state=\"untracked\"}"), 50);
    let answer = service.exchange(&http_client::bytes(&signed(&status_callback(51, "sent"))));
    assert_eq!(answer.status, 204, "the service accepts requests once there is room");
}

#[test]
fn a_read_only_disk_is_reported_and_its_store_is_not_called_damaged() {
    let Some(disk) = Disk::mount("400m") else { return };
    let twilio = Twilio::start();
    let mut service = Running::start(command(&disk.store(), &twilio, &[]));
    let answer = service.exchange(&http_client::bytes(&signed(&status_callback(1, "sent"))));
    assert_eq!(answer.status, 204);
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success());
    let remount = |how: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(disk.folder.path());
        assert!(mount.status().expect("it ran").success(), "{how}");
    };
    remount("ro");
    let said = refused(&disk.store(), &twilio);
    assert!(said.contains("Read-only file system"), "{said}");
    remount("rw");
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    assert_eq!(service.metric("heardback_messages{state=\"untracked\"}"), 1);
}

#[test]
fn a_folder_without_write_permission_is_reported_and_its_store_is_not_called_damaged() {
    if rustix::process::geteuid().is_root() && Command::new("setpriv").arg("-V").output().is_err() {
        return skipped_unless_ci("root may write anything, and there is no `setpriv`");
    }
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    drop(Running::start(command(&store, &twilio, &[])));
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
    };
    allow(folder.path(), 0o755);
    allow(&store, 0o555);
    let output = if rustix::process::geteuid().is_root() {
        // The binary may be in a folder that only root may enter.
        let binary = folder.path().join("heardback");
        crate::harness::copy_binary(&binary);
        let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let binary = binary.display().to_string();
        wrapped(&[&words[..], &[&binary, "serve"]].concat(), &store, &twilio, &[]).output()
    } else {
        command(&store, &twilio, &[]).output()
    };
    let said = String::from_utf8_lossy(&output.expect("it ran").stderr).into_owned();
    allow(&store, 0o755);
    assert!(said.contains("Permission denied") && !said.contains("is damaged"), "{said}");
}
