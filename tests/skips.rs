//! The last test target of `cargo test`: prints which tests were skipped and why. It has no harness, so nothing
//! captures its output, and it never fails. `./check` prints the same text once more at its end.

#[path = "it/skip/record.rs"]
mod record;

use std::fs;
use std::os::unix::process::parent_id;
use std::path::Path;

fn main() {
    // Test runners request the list of tests, which is empty here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let own = record::file(parent_id());
    let summary = record::summary(&own);
    print!("\nskipped tests: {summary}\n");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    if let Err(error) = fs::write(target.join("skipped-tests.txt"), &summary) {
        println!("skipped tests: the summary for ./check was not written: {error}");
    }
    remove_records_but_those_of_running_tests(&own);
}

/// Removes the record just printed, and every record whose parent process has ended.
fn remove_records_but_those_of_running_tests(own: &Path) {
    let records = own.parent().map(fs::read_dir);
    for entry in records.into_iter().flatten().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let parent = name.split('-').next().and_then(|parent| parent.parse().ok());
        if path == own || parent.is_none_or(|parent| record::file(parent) != path) {
            // Another run may have removed it first.
            let _ = fs::remove_file(path);
        }
    }
}
