//! The place of the store: a file system that can lose it, another user's folder, a missing seal.
//! `serve`, `check` and `doctor` report it with the command that corrects it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Signal, geteuid};
use serde_json::Value;

use crate::harness::running::{BINARY, Running, command, settings};
use crate::harness::twilio::Twilio;
use crate::harness::{Harness, LONG, status_callback};
use crate::skip::{skipped, skipped_unless_ci};

const ALLOW: &str = "HEARDBACK_ALLOW_UNSAFE_STORE";
/// The ID of an unprivileged user.
const USER: u32 = 65534;

/// Runs a command with a service's settings and these: its exit code and its output.
fn run(words: &[&str], store: &Path, more: &[(&str, &str)]) -> (Option<i32>, String) {
    let twilio = Twilio::start();
    let (program, arguments) = words.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(settings(store, &twilio)).envs(more.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("it ran");
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8([stdout, stderr].concat()).expect("UTF-8"))
}

/// A mounted overlay, unmounted when dropped.
struct Overlay(tempfile::TempDir);

impl Overlay {
    fn mount() -> Option<Self> {
        if !geteuid().is_root() {
            skipped("mounting an overlay takes root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(path(name)).expect("made");
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            path("lower"),
            path("upper"),
            path("work")
        );
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &layers, &path("merged")]);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                // An overlay in a container's own layer may be refused, and not every kernel has overlayfs.
                skipped(&format!("no overlay here: {}", String::from_utf8_lossy(&output.stderr)));
                None
            }
            Err(error) => {
                skipped_unless_ci(&format!("there is no `mount`: {error}"));
                None
            }
        }
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("merged/data/store")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path().join("merged")).status();
    }
}

/// `serve` refuses the store, `check` and `doctor` report it, and a service that allows it logs a warning.
fn is_reported_and_refused(store: &Path, name: &str) {
    let said_so = |said: &str| {
        assert!(said.contains(&format!("the store {} is on {name}", store.display())), "{said}");
        assert!(said.contains(ALLOW), "{said}");
    };
    let denied = [(ALLOW, "")];
    let (code, said) = run(&[BINARY, "serve"], store, &denied);
    assert_eq!(code, Some(1), "{said}");
    said_so(&said);
    assert!(said.contains(&format!("{ALLOW}=true")), "{said}");
    assert!(!store.exists(), "nothing is created there");
    let (code, said) = run(&[BINARY, "check"], store, &denied);
    assert_eq!(code, Some(0), "{said}");
    said_so(&said);
    let (code, said) = run(&[BINARY, "check", "--json"], store, &denied);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == Some(0) && said["warnings"].to_string().contains(name), "{said}");
    let (code, said) = run(&[BINARY, "doctor"], store, &denied);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAIL  store"), "{said}");
    said_so(&said);
    let (_, said) = run(&[BINARY, "doctor"], store, &[]);
    assert!(said.contains("warn  store") && !said.contains("FAIL  store"), "{said}");
    let twilio = Twilio::start();
    let mut service = Running::start(command(store, &twilio, &[]));
    let logs = service.logs();
    let warned = logs.lines().find(|line| line.contains(&format!("is on {name}")));
    assert!(warned.is_some_and(|line| line.contains("\"WARN\"")), "{logs}");
    service.signal(Signal::TERM);
    assert!(service.ends_within(LONG).success());
}

#[test]
fn a_store_in_memory_is_refused_unless_the_settings_allow_it() {
    let is_tmpfs = Command::new("stat").args(["-f", "-c", "%T", "/dev/shm"]).output();
    if !is_tmpfs.is_ok_and(|told| told.stdout.starts_with(b"tmpfs")) {
        return skipped_unless_ci("/dev/shm is no tmpfs");
    }
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        return skipped_unless_ci("/dev/shm may not be written");
    };
    is_reported_and_refused(&folder.path().join("data/store"), "tmpfs");
}

#[test]
fn a_store_in_a_containers_own_layer_is_refused_unless_the_settings_allow_it() {
    let Some(overlay) = Overlay::mount() else { return };
    is_reported_and_refused(&overlay.store(), "overlayfs");
    let (_, said) = run(&[BINARY, "check"], &overlay.store(), &[(ALLOW, "")]);
    assert!(said.contains("mount a volume at"), "{said}");
}

#[test]
fn a_missing_seal_is_refused_and_touching_it_accepts_the_records_with_a_warning() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    let seal = harness.store().join("SEAL");
    fs::remove_file(&seal).expect("there");
    for (words, sign) in [
        (&[BINARY, "serve"][..], "heardback: "),
        (&[BINARY, "doctor"], "FAIL  store"),
        (&[BINARY, "verify-store"], "NOT sound"),
    ] {
        let (code, said) = run(words, &harness.store(), &[]);
        assert_eq!(code, Some(1), "{words:?}: {said}");
        assert!(said.contains(sign) && said.contains("has no SEAL file"), "{words:?}: {said}");
        assert!(said.contains(&format!("touch {}", seal.display())), "{words:?}: {said}");
    }
    fs::write(&seal, []).expect("touched");
    harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    harness.service.says("the SEAL file of the store");
    assert_eq!(harness.state(1).as_deref(), Some("untracked"));
}

#[test]
fn doctor_calls_no_store_valid_without_reading_its_records() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    let db = harness.store().join("db");
    let mut bytes = fs::read(&db).expect("there");
    bytes.iter_mut().skip(64).take(4096).for_each(|byte| *byte ^= 0xff);
    fs::write(&db, bytes).expect("written");
    let (_, said) = run(&[BINARY, "doctor"], &harness.store(), &[]);
    let store = said.lines().find(|line| line.contains("  store ")).expect("a line");
    assert!(!store.contains("readable") && !store.contains("sound"), "{store}");
    assert!(store.contains("were not read") && store.contains("heardback verify-store"), "{store}");
    let (code, said) = run(&[BINARY, "verify-store"], &harness.store(), &[]);
    assert!(code == Some(1) && said.contains("damaged"), "{said}");
}

/// A folder that every user may reach, with the binary in it.
struct Reachable {
    folder: tempfile::TempDir,
    binary: String,
}

impl Reachable {
    /// `None`: the test is skipped, for example without root.
    fn new() -> Option<Self> {
        if !geteuid().is_root() {
            skipped("becoming another user takes root");
            return None;
        }
        if Command::new("setpriv").arg("-V").output().is_err() {
            skipped_unless_ci("there is no `setpriv`");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("set");
        // The binary's own folder may be closed to other users.
        let binary = folder.path().join("heardback");
        crate::harness::copy_binary(&binary);
        let binary = binary.display().to_string();
        Some(Self { folder, binary })
    }

    /// The output of `serve` when that user runs it.
    fn serve(&self, store: &Path) -> String {
        let words =
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &self.binary, "serve"];
        let (code, said) = run(&words, store, &[]);
        assert_eq!(code, Some(1), "{said}");
        said
    }

    fn make(&self, name: &str, owner: u32, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).expect("made");
        chown(&path, Some(owner), Some(owner)).expect("given");
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        path
    }
}

#[test]
fn a_folder_of_another_user_is_reported_with_both_users_and_the_remedy() {
    let Some(place) = Reachable::new() else { return };
    let holds = |said: &str, words: &[&str]| {
        for word in words {
            assert!(said.contains(word), "{word} is not in {said}");
        }
    };
    let us = "this process runs as nobody (uid 65534)";
    for (name, mode) in [("closed", 0o700), ("readable", 0o755), ("with a space", 0o500)] {
        let store = place.make(name, 0, mode);
        let path = store.display().to_string();
        let typed = if name.contains(' ') { format!("'{path}'") } else { path.clone() };
        let said = place.serve(&store);
        holds(
            &said,
            &[
                &format!("{path} belongs to root (uid 0)"),
                us,
                &format!("`chown -R 65534:65534 {typed}`"),
            ],
        );
        assert_eq!(fs::read_dir(&store).expect("there").count(), 0);
    }
    // A user without a name, as in a container.
    let store = place.make("container", 10_001, 0o700);
    holds(
        &place.serve(&store),
        &["belongs to uid 10001", us, "chown -R", "or run this as uid 10001"],
    );
    // The folder belongs to the user, and its mode denies access.
    let store = place.make("ours", USER, 0o500);
    holds(&place.serve(&store), &["belongs to nobody (uid 65534)", "mode is 0500", "`chmod u+rwX"]);
    // The store does not exist yet, and its parent belongs to root.
    let volume = place.make("volume", 0, 0o755);
    let said = place.serve(&volume.join("store"));
    let typed = format!("`install -d -m 700 -o 65534 -g 65534 {}`", volume.join("store").display());
    holds(&said, &[&format!("{} belongs to root (uid 0)", volume.display()), us, &typed]);
    // The parent folder is closed.
    let around = place.make("around", 0, 0o700);
    let inner = place.make("around/store", USER, 0o700);
    holds(
        &place.serve(&inner),
        &[&format!("{} belongs to root", around.display()), us, "chmod o+x"],
    );
    // One file belongs to root.
    let harness = {
        let mut harness = Harness::new(&[]);
        harness.service.signal(Signal::TERM);
        assert!(harness.service.ends_within(LONG).success());
        harness
    };
    for name in ["FORMAT", "SEAL", "db", "heardback.lock"] {
        let store = place.make(&format!("left-{name}"), USER, 0o700);
        for entry in fs::read_dir(harness.store()).expect("there").flatten() {
            let path = store.join(entry.file_name());
            if entry.path().is_file() {
                fs::copy(entry.path(), &path).expect("copied");
                chown(&path, Some(USER), Some(USER)).expect("given");
            }
        }
        let file = store.join(name);
        chown(&file, Some(0), Some(0)).expect("given");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("set");
        let said = place.serve(&store);
        holds(
            &said,
            &[&format!("{} belongs to root (uid 0)", file.display()), us, "chown -R 65534:65534"],
        );
    }
}
