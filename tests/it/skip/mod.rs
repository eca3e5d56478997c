//! Skipped tests: each skip goes to the terminal at once and into the summary at the end of `cargo test`.
//!
//! The test harness captures `eprintln!` of every test that passes, and a skipped test passes. So a skip is written to
//! the standard error stream itself, and to the record that `tests/skips.rs` prints when all tests have run.

mod record;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::parent_id;
use std::panic::Location;
use std::path::Path;

use heardback::config::process_env;

/// Records that the current test skips something for `why`. Use this only for a reason that no
/// installation can change, such as missing root rights: CI does not fail on it.
#[track_caller]
pub(crate) fn skipped(why: &str) {
    let thread = std::thread::current();
    // With one test thread, tests run on the main thread, which does not have their name.
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => Location::caller().to_string(),
    };
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut terminal = std::io::stderr();
    writeln!(terminal, "SKIPPED {test}: {why}").expect("standard error is open");
    let file = record::file(parent_id());
    fs::create_dir_all(file.parent().expect("a folder")).expect("created");
    let mut record = OpenOptions::new().create(true).append(true).open(file).expect("opened");
    // One write: tests that run in parallel do not mix their lines.
    record.write_all(format!("{test}\t{why}\n").as_bytes()).expect("recorded");
}

/// The same for a missing tool, which `.ci/run` installs: with `HEARDBACK_CI=1` the test fails.
#[track_caller]
pub(crate) fn skipped_unless_ci(why: &str) {
    assert_ne!(process_env("HEARDBACK_CI").as_deref(), Some("1"), "{why}");
    skipped(why);
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    /// A test that is skipped without `groff`.
    const TEST: &str =
        "manual::the_manual_has_every_command_and_groff_formats_each_page_without_a_warning";

    /// Runs [`TEST`] again without any tool, as a child of this process.
    fn without_tools(more: &[&str], ci: bool) -> Output {
        let empty = tempfile::tempdir().expect("a folder");
        let mut again = Command::new(std::env::current_exe().expect("this binary"));
        again.env("PATH", empty.path()).env_remove("HEARDBACK_CI").env_remove("RUST_TEST_THREADS");
        if ci {
            again.env("HEARDBACK_CI", "1");
        }
        again.args(["--exact", TEST]).args(more).output().expect("it runs")
    }

    #[test]
    fn a_skip_reaches_the_terminal_and_the_summary_though_output_is_captured() {
        let own = record::file(std::process::id());
        let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        let run = without_tools(&["--test-threads=2"], false);
        assert!(run.status.success(), "{}", text(&run));
        let line = format!("SKIPPED {TEST}: there is no `groff`\n");
        assert!(text(&run).contains(&line), "{}", text(&run));
        // Twice in the record, once in the summary.
        without_tools(&["--test-threads=2"], false);
        let summary = record::summary(&own);
        assert!(summary.contains("1 test"), "{summary}");
        assert_eq!(summary.matches(TEST).count(), 1, "{summary}");
        assert!(summary.contains("there is no `groff`"), "{summary}");

        let run = without_tools(&["--test-threads=1"], false);
        let place = "SKIPPED tests/it/manual.rs:";
        assert!([place, &line].iter().any(|said| text(&run).contains(*said)), "{}", text(&run));

        fs::remove_file(&own).expect("recorded");
        let run = without_tools(&["--test-threads=2"], true);
        assert!(!run.status.success(), "a missing tool is a failure in CI");
        assert!(!own.exists(), "and no skip");
        assert!(record::summary(&own).contains("No test"), "{}", record::summary(&own));
    }

    #[test]
    fn the_summary_is_the_last_integration_test_that_cargo_runs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("there");
        assert!(manifest.contains("[[test]]\nname = \"skips\"\nharness = false\n"), "{manifest}");
        // Cargo runs the test targets of a package in the order of their names.
        for entry in fs::read_dir(root.join("tests")).expect("readable").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "rs") {
                let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
                assert!(name.as_str() <= "skips", "{name} would run after the summary");
            }
        }
        let check = fs::read_to_string(root.join("check")).expect("there");
        assert!(check.contains("/tmp/skipped-tests.txt"), "./check prints the summary at its end");
    }

    #[test]
    fn no_test_reports_a_skip_in_another_way() {
        // Composed, so that this file does not match.
        let word = ["SKIP", "PED"].concat();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs")
                    && !path.ends_with("skip/mod.rs")
                {
                    let text = fs::read_to_string(&path).expect("UTF-8");
                    assert!(!text.contains(&word), "{}: use crate::skip", path.display());
                }
            }
        }
    }
}
