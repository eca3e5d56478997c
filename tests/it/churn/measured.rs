//! Measurements of a store under churn: its folder, its records, this process.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use heardback::store::RecordCounts;

/// One measurement.
pub(super) struct Sample {
    /// Messages started so far.
    messages: u32,
    counts: RecordCounts,
    /// Bytes that the folder occupies on disk, and the total length of its files.
    folder: (u64, u64),
    /// Resident memory of this process in bytes; other tests may run in it.
    memory: u64,
    after: Duration,
}

impl Sample {
    pub(super) fn take(messages: u32, counts: RecordCounts, folder: &Path, began: Instant) -> Self {
        let folder = allocated(folder);
        Self { messages, counts, folder, memory: memory(), after: began.elapsed() }
    }

    /// The greater of the two: a file may have holes, and may have blocks allocated beyond its end.
    pub(super) fn size(&self) -> u64 {
        self.folder.0.max(self.folder.1)
    }
}

/// Bytes that a folder occupies on disk, and the total length of its files.
pub(super) fn allocated(folder: &Path) -> (u64, u64) {
    let (mut taken, mut length) = (0, 0);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // sled renames and removes temporary files concurrently.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            let within = allocated(&path);
            (taken, length) = (taken + within.0, length + within.1);
        } else {
            (taken, length) = (taken + found.blocks() * 512, length + found.len());
        }
    }
    (taken, length)
}

fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let held = held.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    held.unwrap_or_default() << 10
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub(super) fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", ratio(bytes, 1 << 20))
}

pub(super) const HEAD: &str = "\
| messages | live | parked, orphaned | links | on disk, MiB | files, MiB | RSS, MiB | s |
| --: | --: | --: | --: | --: | --: | --: | --: |";

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, counts, folder, memory, after } = self;
        let (live, waiting) = (counts.total(), counts.parked + counts.orphaned);
        let (disk, files) = (mebibytes(folder.0), mebibytes(folder.1));
        let (memory, links) = (mebibytes(*memory), counts.links);
        let after = after.as_secs();
        write!(
            f,
            "| {messages} | {live} | {waiting} | {links} | {disk} | {files} | {memory} | {after} |"
        )
    }
}
