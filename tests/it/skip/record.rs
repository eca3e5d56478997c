//! The record of skipped tests, shared by the tests that write it and by `tests/skips.rs`, which prints it.
//!
//! All test binaries of one `cargo test` have cargo as their parent process. The record is named after that process and
//! its start time, so runs at the same time do not mix and no run reads the record of an earlier one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The record of the test run with this parent process.
pub(crate) fn file(parent: u32) -> PathBuf {
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    // proc(5): field 3 follows the last `)`, and field 22 is the start time of the process.
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let started = behind.split_whitespace().nth(19).unwrap_or("0");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("skips").join(format!("{parent}-{started}"))
}

/// The text to print of a record: each reason with its tests.
pub(crate) fn summary(record: &Path) -> String {
    let lines = fs::read_to_string(record).unwrap_or_default();
    let mut reasons: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (test, why) in lines.lines().filter_map(|line| line.split_once('\t')) {
        reasons.entry(why).or_default().insert(test);
    }
    let tests: BTreeSet<&str> = reasons.values().flatten().copied().collect();
    if tests.is_empty() {
        return "No test reported a skip.\n".to_owned();
    }
    let noun = if tests.len() == 1 { "test was" } else { "tests were" };
    let mut text = format!(
        "{} {noun} skipped, in whole or in part; .ci/run installs the tools:\n",
        tests.len()
    );
    for (why, tests) in reasons {
        let _ = writeln!(text, "  {why}");
        for test in tests {
            let _ = writeln!(text, "    {test}");
        }
    }
    text
}
