//! The owner of a store's files after a command: the service's user needs access to its own store
//! only. Root leaves no file that this user cannot write, and changes no file of another user.
//!
//! Needs root; without it the tests are skipped.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::Signal;

use crate::backup::binary::{backed_up, fill, messages, run, text, verified};
use crate::harness::{Harness, LONG};
use crate::skip::{skipped, skipped_unless_ci};

/// The uid of Debian's unprivileged user for network services.
const OWNER: u32 = 65534;
/// A group that this user does not belong to.
const GROUP: u32 = 1234;

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        // Only root can change the owner of a file. CI that is not root skips this too.
        skipped("only root can change the owner of a file");
    }
    root
}

/// A folder and its contents.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let entries = entries.map(|entry| entry.expect("an entry").path());
    entries.chain([folder.to_path_buf()]).collect()
}

fn give(folder: &Path, group: u32) {
    for path in files(folder) {
        chown(&path, Some(OWNER), Some(group)).expect("given");
    }
}

fn owners(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).expect("there");
    (found.uid(), found.gid())
}

/// All of them, except these names.
fn owned(folder: &Path, but: &[&str]) {
    for path in files(folder) {
        if !but.iter().any(|name| path.ends_with(name)) {
            assert_eq!(owners(&path), (OWNER, OWNER), "{}", path.display());
        }
    }
}

/// A closed store of 20 messages that belongs to the service's user.
fn stopped() -> Harness {
    let mut harness = Harness::new(&[]);
    fill(&harness.service, 20);
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
    give(&harness.store(), OWNER);
    harness
}

/// Root's, as the root folder of a volume often is.
fn lost_and_found(folder: &Path) {
    fs::create_dir(folder.join("lost+found")).expect("made");
    fs::set_permissions(folder.join("lost+found"), PermissionsExt::from_mode(0o700)).expect("set");
    fs::write(folder.join("lost+found/letter"), "dear").expect("written");
}

fn lost_and_found_is_roots(folder: &Path) {
    for path in files(&folder.join("lost+found")) {
        assert_eq!(owners(&path), (0, 0), "{}", path.display());
    }
}

#[test]
fn commands_of_root_leave_the_stores_files_to_its_owner() {
    if !root() {
        return;
    }
    let harness = stopped();
    lost_and_found(&harness.store());
    let folder = tempfile::tempdir().expect("a folder");
    backed_up(&harness.store(), folder.path());
    owned(&harness.store(), &["lost+found"]);
    lost_and_found_is_roots(&harness.store());
    // A volume: its root folder belongs to the service, and the store is a new folder in it.
    let volume = folder.path().join("volume");
    fs::create_dir(&volume).expect("made");
    chown(&volume, Some(OWNER), Some(OWNER)).expect("given");
    let store = volume.join("heardback");
    let (code, told, talk) = run(&["restore", &text(folder.path())], &store);
    assert_eq!(code, Some(0), "{told}{talk}");
    owned(&store, &[]);
    assert_eq!(messages(&verified(&[], &store)), 20);
    owned(&store, &[]);
}

#[test]
fn a_store_that_root_cannot_open_keeps_its_owner() {
    if !root() {
        return;
    }
    let harness = stopped();
    for path in files(&harness.store()) {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")) {
            fs::remove_file(path).expect("removed");
        }
    }
    let db = harness.store().join("db");
    let mut bytes = fs::read(&db).expect("there");
    bytes.iter_mut().take(4096).for_each(|byte| *byte = 0);
    fs::write(&db, bytes).expect("written");
    // Root creates this file anew.
    fs::remove_file(harness.store().join("heardback.lock")).expect("removed");
    assert_eq!(verified(&[], &harness.store())["ok"], false);
    owned(&harness.store(), &[]);
    // If the folder belongs to root, the owner comes from the store's files, and the folder stays
    // root's.
    chown(harness.store(), Some(0), Some(0)).expect("given");
    assert_eq!(verified(&[], &harness.store())["ok"], false);
    assert_eq!(owners(&harness.store()), (0, 0));
    owned(&harness.store(), &["store"]);
}

#[test]
fn the_services_user_needs_no_rights_of_other_users() {
    if !root() {
        return;
    }
    if Command::new("setpriv").arg("-V").output().is_err() {
        return skipped_unless_ci("there is no `setpriv`");
    }
    let harness = stopped();
    give(&harness.store(), GROUP);
    lost_and_found(&harness.store());
    let around = harness.store().with_file_name("");
    fs::set_permissions(&around, PermissionsExt::from_mode(0o755)).expect("set");
    // The binary may be in a folder that only root may enter.
    let binary = around.join("heardback");
    crate::harness::copy_binary(&binary);
    let (backup, volume) = (around.join("backup"), around.join("volume"));
    for made in [&backup, &volume] {
        fs::create_dir(made).expect("made");
        chown(made, Some(OWNER), Some(GROUP)).expect("given");
    }
    lost_and_found(&volume);
    let does = |words: &[&str], store: &Path| {
        let mut does = Command::new("setpriv");
        does.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(words);
        let store = format!("sled:{}", store.display());
        let Output { status, stdout, stderr } =
            does.env_clear().env("HEARDBACK_STORE", store).output().expect("it ran");
        let told = [stdout, stderr].concat();
        assert!(status.success(), "{words:?}: {}", String::from_utf8_lossy(&told));
    };
    does(&["verify-store"], &harness.store());
    does(&["backup", &text(&backup)], &harness.store());
    does(&["restore", &text(&backup)], &volume);
    does(&["verify-store"], &volume);
    for store in [harness.store(), volume] {
        lost_and_found_is_roots(&store);
        assert_eq!(owners(&store), (OWNER, GROUP));
    }
}
