//! `.github/workflows/`: CI and releases on GitHub. They have not run there; the tests compare the
//! files with GitHub's schema.

use std::collections::BTreeMap;

use crate::deploy::{fits_schema, read, yaml};

const FILES: [&str; 2] = [".github/workflows/ci.yml", ".github/workflows/release.yml"];

#[test]
fn the_workflows_fit_githubs_schema() {
    fits_schema("vendor.github-workflows", &FILES);
}

#[test]
fn every_action_is_pinned_to_a_commit_with_its_version_in_a_comment() {
    let mut pins: BTreeMap<String, String> = BTreeMap::new();
    for file in FILES {
        for line in read(file).lines().filter_map(|line| line.trim().strip_prefix("uses: ")) {
            let (action, pin) = line.split_once('@').expect("a version");
            let (commit, version) = pin.split_once(" # v").expect("a version in a comment");
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
            assert_eq!(version.split('.').count(), 3, "{line}");
            let known = pins.entry(action.to_owned()).or_insert_with(|| pin.to_owned());
            assert_eq!(known, pin, "{action} has two versions");
        }
    }
    assert!(pins.len() >= 7, "{pins:?}");
}

#[test]
fn both_workflows_run_the_same_ci_with_the_rust_of_the_image() {
    let image = read("Dockerfile");
    let from = image.lines().find_map(|line| line.strip_prefix("FROM rust:")).expect("a line");
    let rust = from.split('-').next().expect("a version");
    for (file, job) in FILES.into_iter().zip(["ci", "test"]) {
        let workflow = yaml(&read(file));
        let job = &workflow["jobs"][job];
        assert_eq!(job["container"]["image"], format!("rust:{rust}-trixie"), "{file}");
        let steps = job["steps"].as_array().expect("steps");
        assert!(steps.iter().any(|step| step["run"] == "bash .ci/run"), "{file}");
        assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }), "{file}");
        assert!(read(file).contains("This file has not run yet"), "{file}");
    }
}
