//! The store's folder is moved, deleted or replaced while the real binary serves from it: nothing more is acknowledged,
//! and the process ends with an error that names the next step.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use heardback::store::sled::{Options, SledStore};
use heardback::store::{Store as _, StoreError};
use rustix::process::Signal;

use crate::backup::binary::{backed_up, run, text};
use crate::disk::Disk;
use crate::given::{Hands, options, registered};
use crate::harness::running::{Running, command};
use crate::harness::twilio::Twilio;
use crate::harness::{Harness, LONG, eventually, http_client, signed, status_callback};

/// A change of the store's folder.
type Event = (&'static str, fn(&Path));

fn aside(store: &Path) -> std::path::PathBuf {
    store.with_file_name("aside")
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("it ran");
    assert!(copied.success(), "copied");
}

const EVENTS: [Event; 7] = [
    ("renamed", |store| fs::rename(store, aside(store)).expect("renamed")),
    ("renamed, and a new folder in its place", |store| {
        fs::rename(store, aside(store)).expect("renamed");
        fs::create_dir(store).expect("made");
    }),
    ("deleted", |store| fs::remove_dir_all(store).expect("deleted")),
    ("deleted, and a new folder in its place", |store| {
        fs::remove_dir_all(store).expect("deleted");
        fs::create_dir(store).expect("made");
    }),
    ("replaced by its copy", |store| {
        copy(store, &aside(store));
        fs::rename(store, store.with_file_name("old")).expect("renamed");
        fs::rename(aside(store), store).expect("renamed");
    }),
    ("db replaced by its copy", |store| {
        copy(&store.join("db"), &store.join("copy"));
        fs::rename(store.join("copy"), store.join("db")).expect("renamed");
    }),
    ("db deleted", |store| fs::remove_file(store.join("db")).expect("deleted")),
];

/// The exit code of a process whose store is no longer at its path.
const GONE: i32 = 3;

/// The process has ended with an error that names the event and the remedy.
fn ends_with_advice(service: &mut Running, event: &str) {
    let end = service.ends_within(LONG);
    let logs = service.logs();
    assert_eq!(end.code(), Some(GONE), "{event}\n{logs}");
    for said in ["while this process had it open", "heardback restore"] {
        assert!(logs.contains(said), "{event}: {said:?} is not in\n{logs}");
    }
}

#[test]
fn no_webhook_gets_a_2xx_after_the_stores_files_have_left_their_path() {
    for (event, act) in EVENTS {
        let mut harness = Harness::new(&[]);
        assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
        act(&harness.store());
        let mut line = harness.service.line();
        line.send(&http_client::bytes(&signed(&status_callback(2, "sent"))));
        let status = line.answer().map(|answer| answer.status);
        assert!(!matches!(status, Some(200..300)), "{event}: {status:?}");
        ends_with_advice(&mut harness.service, event);
        if event == "renamed" {
            fs::rename(aside(&harness.store()), harness.store()).expect("moved back");
            harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
            assert_eq!(harness.state(1).as_deref(), Some("untracked"), "no record is lost");
        }
    }
}

#[test]
fn an_idle_service_ends_when_its_stores_files_have_left_their_path() {
    for (event, act) in EVENTS.into_iter().take(4) {
        let mut harness = Harness::new(&[]);
        act(&harness.store());
        ends_with_advice(&mut harness.service, event);
    }
}

#[test]
fn a_service_ends_when_its_volume_is_unmounted() {
    let Some(disk) = Disk::mount("400m") else { return };
    let twilio = Twilio::start();
    let mut service = Running::start(command(&disk.store(), &twilio, &[]));
    drop(disk);
    ends_with_advice(&mut service, "unmounted");
}

/// Starts a service that must refuse to start: its exit code and its output.
fn refused(store: &Path, twilio: &Twilio) -> (Option<i32>, String) {
    let output = command(store, twilio, &[]).output().expect("it ran");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_start_after_the_store_was_moved_or_deleted_refuses_to_create_an_empty_one() {
    for (event, act) in EVENTS.into_iter().take(4) {
        let mut harness = Harness::new(&[]);
        assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
        act(&harness.store());
        ends_with_advice(&mut harness.service, event);
        let was_there = harness.store().exists();
        let marker = harness.store().with_file_name("store.served");
        for _ in 0..2 {
            let (code, talk) = refused(&harness.store(), &harness.twilio);
            assert_eq!(code, Some(GONE), "{event}: {talk}");
            assert!(talk.contains(&*marker.to_string_lossy()), "{event}: {talk}");
        }
        assert_eq!(harness.store().exists(), was_there, "{event}: no folder is created");
        let is_empty = || fs::read_dir(harness.store()).expect("there").next().is_none();
        assert!(!was_there || is_empty(), "{event}: nothing is created in it");
        let is_deleted = event.starts_with("deleted");
        if is_deleted {
            fs::remove_file(&marker).expect("there");
        } else {
            if was_there {
                fs::remove_dir(harness.store()).expect("empty");
            }
            fs::rename(aside(&harness.store()), harness.store()).expect("moved back");
        }
        harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
        let kept = (!is_deleted).then_some("untracked");
        assert_eq!(harness.state(1).as_deref(), kept, "{event}");
        assert!(marker.exists(), "{event}");
    }
}

#[test]
fn a_store_whose_folder_cannot_be_read_is_not_called_missing() {
    let mut harness = Harness::new(&[]);
    harness.service.signal(Signal::TERM);
    assert_eq!(harness.service.ends_within(LONG).code(), Some(0));
    fs::rename(harness.store(), aside(&harness.store())).expect("renamed");
    // Root may read any folder, but not through a symbolic link to itself.
    std::os::unix::fs::symlink(harness.store(), harness.store()).expect("linked");
    let (code, talk) = refused(&harness.store(), &harness.twilio);
    assert_eq!(code, Some(1), "{talk}");
    assert!(!talk.contains("store.served"), "{talk}");
}

#[test]
fn a_missing_store_is_noticed_at_a_start_after_a_clean_stop_and_a_new_volume_is_accepted() {
    let mut harness = Harness::new(&[]);
    harness.service.signal(Signal::TERM);
    assert_eq!(harness.service.ends_within(LONG).code(), Some(0));
    fs::rename(harness.store(), aside(&harness.store())).expect("renamed");
    let (code, talk) = refused(&harness.store(), &harness.twilio);
    assert_eq!(code, Some(GONE), "{talk}");
    // A volume is mounted at the parent folder or at the store's own.
    let volume = tempfile::tempdir().expect("a folder");
    for store in [volume.path().join("one"), volume.path().join("deep/er/store")] {
        Running::start(command(&store, &harness.twilio, &[]));
    }
    let mounted = volume.path().join("two");
    fs::create_dir(&mounted).expect("made");
    Running::start(command(&mounted, &harness.twilio, &[]));
}

#[test]
fn a_backup_is_restored_in_place_of_a_missing_store_and_the_service_starts_with_it() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    let (store, into) = (harness.store(), harness.store().with_file_name("backup"));
    backed_up(&store, &into);
    fs::remove_dir_all(&store).expect("deleted");
    ends_with_advice(&mut harness.service, "deleted");
    assert_eq!(refused(&store, &harness.twilio).0, Some(GONE));
    let (code, _, talk) = run(&["restore", &text(&into)], &store);
    assert_eq!(code, Some(0), "{talk}");
    harness.service = Running::start(command(&store, &harness.twilio, &[]));
    assert_eq!(harness.state(1).as_deref(), Some("untracked"));
}

#[test]
fn a_restore_and_a_second_service_are_refused_while_a_service_runs_on_a_moved_folder() {
    let mut harness = Harness::new(&[]);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    let (store, into) = (harness.store(), harness.store().with_file_name("backup"));
    backed_up(&store, &into);
    // A stopped process notices nothing and still has its files open.
    harness.service.signal(Signal::STOP);
    fs::rename(&store, aside(&store)).expect("renamed");
    for made in [false, true] {
        if made {
            fs::create_dir_all(&store).expect("made");
        }
        let (code, _, talk) = run(&["restore", &text(&into)], &store);
        assert_eq!(code, Some(1), "{talk}");
        assert!(talk.contains("in use by another process"), "{talk}");
        assert!(!store.join("FORMAT").exists() && !store.join("db").exists(), "nothing is created");
    }
    let second = command(&store, &harness.twilio, &[]).output().expect("it ran");
    let talk = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{talk}");
    assert!(talk.contains("in use by another process"), "{talk}");
    harness.service.signal(Signal::CONT);
    ends_with_advice(&mut harness.service, "renamed, and an empty folder in its place");
    let (code, _, talk) = run(&["restore", &text(&into)], &store);
    assert_eq!(code, Some(0), "{talk}");
    harness.service = Running::start(command(&store, &harness.twilio, &[]));
    assert_eq!(harness.state(1).as_deref(), Some("untracked"));
}

#[test]
fn a_deleted_lock_file_admits_no_second_process_and_stops_no_service() {
    let harness = Harness::new(&[]);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    fs::remove_file(harness.store().join("heardback.lock")).expect("deleted");
    let second = command(&harness.store(), &harness.twilio, &[]).output().expect("it ran");
    let talk = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{talk}");
    assert!(talk.contains("in use by another process"), "{talk}");
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 204);
    assert_eq!(harness.service.operator("/readyz").status, 200);
}

#[tokio::test]
async fn a_command_on_a_moved_store_is_unavailable_and_ends_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let fatal = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&fatal);
    let store = SledStore::open(Options {
        on_fatal: Arc::new(move |failure| {
            noted.lock().expect("held").push(failure.reason.clone());
        }),
        ..options(&path, Hands::default().clock())
    });
    let store = store.expect("opens");
    store.remember(registered(1, 0)).await.expect("remembered");
    fs::rename(&path, aside(&path)).expect("renamed");
    for number in [2, 3] {
        let refused = store.remember(registered(number, 0)).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { label: "closed", .. })),
            "{refused:?}"
        );
    }
    assert!(store.health().await.is_err());
    eventually("the store reports a fatal error", LONG, || !fatal.lock().expect("held").is_empty());
    assert!(fatal.lock().expect("held")[0].contains("was moved or deleted"));
}
