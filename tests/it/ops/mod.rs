//! The metrics match their documentation: valid, bounded, without a phone number. `ops/` and
//! `docs/operations.md` name only metrics that the service has.
//!
//! `promtool` (Debian's package `prometheus`) checks metrics and rules. Without it a test is
//! skipped; with `HEARDBACK_CI=1` it fails.

mod dashboard;
mod findings;
mod labels;
mod rules;
mod scraped;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::skip::skipped_unless_ci;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// Runs `promtool`. False: it is not installed, and the test is skipped.
fn promtool(arguments: &[&str], folder: &Path, input: Option<&Path>) -> bool {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder);
    if let Some(input) = input {
        command.stdin(fs::File::open(input).expect("there"));
    }
    let Ok(output) = command.output() else {
        skipped_unless_ci("there is no `promtool`");
        return false;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    true
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("heardback_"));
    words.map(str::to_owned).collect()
}
