//! Earlier starts on the same store, for the finding about repeated restarts.
//!
//! A file in the folder of the control socket has a time on each line. An unreadable line is skipped, and a failed write does not
//! delay the start.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

const FILE: &str = "starts";
/// Older starts are dropped.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
const MAX_STARTS: usize = 32;

/// Records a start. Returns the starts of the hour before it.
pub(super) fn note(folder: &Path, now: Timestamp) -> Vec<Timestamp> {
    let path = folder.join(FILE);
    let earlier = read(&path, now);
    let mut lines = String::new();
    for start in earlier.iter().chain([&now]) {
        let _ = writeln!(lines, "{start}");
    }
    if let Err(error) = fs::write(&path, lines) {
        tracing::warn!(
            path = %path.display(), %error,
            "cannot record this start in {}: {error}; repeated restarts will not be reported", path.display()
        );
    }
    earlier
}

fn read(path: &Path, now: Timestamp) -> Vec<Timestamp> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let starts = text.lines().filter_map(|line| line.parse::<Timestamp>().ok());
    let is_recent = |start: &Timestamp| *start <= now && now.duration_since(*start) < KEPT_FOR;
    let mut starts: Vec<_> = starts.filter(is_recent).collect();
    starts.drain(..starts.len().saturating_sub(MAX_STARTS));
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_gets_the_starts_of_the_last_hour() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path();
        let at = |minute| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
        assert_eq!(note(store, at(100)), []);
        assert_eq!(note(store, at(110)), [at(100)]);
        fs::write(folder.path().join(FILE), format!("x\n{}\n{}\n", at(110), at(999)))
            .expect("written");
        assert_eq!(
            note(store, at(120)),
            [at(110)],
            "an invalid line and a future time are skipped"
        );
        assert_eq!(note(store, at(175)), [at(120)], "older starts are dropped");
        let absent = folder.path().join("none");
        assert_eq!(note(&absent, at(0)), [], "no error without the folder");
    }
}
