//! `deploy/heardback.service`: the unit, its user and its settings.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::deploy::{read, said, settings_are_sound};
use crate::harness::running::BINARY;
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
fn systemd_takes_the_unit_without_a_warning_and_finds_little_exposed() {
    if is_missing("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("heardback.service");
    let text = read("deploy/heardback.service");
    assert!(text.contains("\nExecStart=/usr/local/bin/heardback serve\n"));
    // It looks for the program and for the manual.
    let text = text.replace("/usr/local/bin/heardback", BINARY);
    fs::write(&unit, text).expect("written");
    let analyze = |words: &[&str]| {
        let output =
            Command::new("systemd-analyze").args(words).arg(&unit).output().expect("it runs");
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    };
    assert_eq!(analyze(&["verify", "--man=no"]), "");
    // Of 100; a service without any hardening has 96.
    analyze(&["security", "--offline=yes", "--threshold=15"]);
}

#[test]
fn the_units_settings_are_sound_and_its_credentials_are_the_files_that_it_reads() {
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

    // The store lies in the folder that systemd makes and leaves writable.
    let store = settings["HEARDBACK_STORE"].strip_prefix("sled:").expect("sled");
    let folder = Path::new("/var/lib").join(&values("StateDirectory")[0]);
    assert!(Path::new(store).starts_with(&folder), "{store}");
    let user = values("User");
    let declared = format!("u {} - \"Heardback\" {}", user[0], folder.display());
    assert!(read("deploy/sysusers.conf").lines().any(|line| line == declared), "{declared}");
    assert_eq!(user, values("Group"));
}

#[test]
fn systemd_takes_the_declaration_of_the_user() {
    if is_missing("systemd-sysusers") {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sysusers.conf");
    let output =
        Command::new("systemd-sysusers").arg("--dry-run").arg(file).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("ignoring"), "{}", said(&output));
}
