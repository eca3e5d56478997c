//! Everything that came out of the program, by where: what it said, answered and wrote.

use std::fs;
use std::path::Path;

use crate::harness::wire::Answer;
use crate::privacy::canaries::{Canaries, TARGET_IS};

/// The store, and what is a copy of it.
const STORE: &str = "the store";

#[derive(Default)]
pub(super) struct Gathered {
    pieces: Vec<(String, Vec<u8>, Vec<&'static str>)>,
}

impl Gathered {
    pub(super) fn take(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.pieces.push((place.into(), bytes.into(), Vec::new()));
    }

    /// An answer, which may hold what it was asked for.
    pub(super) fn answer(&mut self, place: String, answer: &Answer, may: &[&'static str]) {
        let bytes = [answer.head.as_bytes(), &answer.body].concat();
        self.pieces.push((place, bytes, may.to_vec()));
    }

    /// Every file of a folder, and the folders in it. Names as well.
    pub(super) fn folder(&mut self, place: &str, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a type");
            self.take(format!("a name in {place}"), path.display().to_string());
            if kind.is_dir() {
                self.folder(place, &path);
            } else if kind.is_file() {
                // One that sled has just taken away is no file any more.
                let Ok(bytes) = fs::read(&path) else { continue };
                let may = if place.starts_with(STORE) { vec![TARGET_IS] } else { Vec::new() };
                self.pieces.push((format!("{place}: {}", path.display()), bytes, may));
            }
        }
    }

    /// Whether it is anywhere in what was gathered there.
    pub(super) fn has(&self, place: &str, needle: &[u8]) -> bool {
        let mut pieces = self.pieces.iter().filter(|(from, ..)| from.starts_with(place));
        pieces.any(|(_, bytes, _)| bytes.windows(needle.len()).any(|window| window == needle))
    }

    /// Which canaries sing where they may not.
    pub(super) fn leaks(&self, canaries: &Canaries) -> Vec<String> {
        let mut leaks = Vec::new();
        for (place, bytes, may) in &self.pieces {
            for (what, around) in canaries.found_in(bytes) {
                if !may.iter().any(|allowed| what.starts_with(allowed)) {
                    leaks.push(format!("{what}, in {place}: …{around}…"));
                }
            }
        }
        leaks
    }
}
