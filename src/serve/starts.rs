//! Earlier starts on the same store, so that a process that restarts again and again can say so.
//!
//! A file in the store's folder has a time on each line. It is advice only: an unreadable line is skipped, and a
//! failed write does not delay the start.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::config::StoreUrl;

/// The file's name in the store's folder.
const FILE: &str = "starts";
/// Older starts are dropped.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);
/// The most starts that are kept.
const MOST: usize = 32;

/// Notes a start. Returns those of the hour before it.
pub(super) fn note(store: &StoreUrl, now: Timestamp) -> Vec<Timestamp> {
    let StoreUrl::Sled(folder) = store;
    let path = folder.join(FILE);
    let earlier = read(&path, now);
    let mut lines = String::new();
    for start in earlier.iter().chain([&now]) {
        let _ = writeln!(lines, "{start}");
    }
    if let Err(error) = fs::write(&path, lines) {
        tracing::warn!(
            path = %path.display(), %error,
            "cannot note this start in {}: {error}; repeated restarts will not be reported", path.display()
        );
    }
    earlier
}

fn read(path: &Path, now: Timestamp) -> Vec<Timestamp> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let starts = text.lines().filter_map(|line| line.parse::<Timestamp>().ok());
    let is_recent = |start: &Timestamp| *start <= now && now.duration_since(*start) < KEPT_FOR;
    let mut starts: Vec<_> = starts.filter(is_recent).collect();
    starts.drain(..starts.len().saturating_sub(MOST));
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starts_of_the_last_hour_are_known_to_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = StoreUrl::Sled(folder.path().to_owned());
        let at = |minute| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
        assert_eq!(note(&store, at(100)), []);
        assert_eq!(note(&store, at(110)), [at(100)]);
        fs::write(folder.path().join(FILE), format!("x\n{}\n{}\n", at(110), at(999)))
            .expect("written");
        assert_eq!(note(&store, at(120)), [at(110)], "nonsense and the future are skipped");
        assert_eq!(note(&store, at(175)), [at(120)], "an hour is over for the first");
        let absent = StoreUrl::Sled(folder.path().join("none"));
        assert_eq!(note(&absent, at(0)), [], "it delays no start");
    }
}
