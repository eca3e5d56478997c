//! What is scraped is what is promised: valid, bounded, without a number; and what `ops/` and `docs/operations.md` make of
//! it names only what the service exposes.
//!
//! `promtool` (Debian's package `prometheus`) judges metrics and rules. Where it is missing that is skipped loudly;
//! `HEARDBACK_CI=1` makes a failure of that.

mod dashboard;
mod findings;
mod labels;
mod rules;
mod scraped;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::disk::skipped_unless_ci;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// Lets `promtool` judge; false, said loudly, where there is none.
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
