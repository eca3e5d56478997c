//! All output of the program, by place: logs, responses and files.

use std::fs;
use std::path::Path;

use crate::harness::http_client::Answer;
use crate::privacy::canaries::{Canaries, TARGET_IS};

/// The store and copies of it.
const STORE: &str = "the store";

#[derive(Default)]
pub(super) struct Gathered {
    pieces: Vec<(String, Vec<u8>, Vec<&'static str>)>,
}

impl Gathered {
    pub(super) fn take(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.pieces.push((place.into(), bytes.into(), Vec::new()));
    }

    /// A response, which may contain the values of its own request.
    pub(super) fn answer(&mut self, place: String, answer: &Answer, may: &[&'static str]) {
        let bytes = [answer.head.as_bytes(), &answer.body].concat();
        self.pieces.push((place, bytes, may.to_vec()));
    }

    /// Every file and folder below a folder, with its name.
    pub(super) fn folder(&mut self, place: &str, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a type");
            self.take(format!("a name in {place}"), path.display().to_string());
            if kind.is_dir() {
                self.folder(place, &path);
            } else if kind.is_file() {
                // sled may have removed the file in the meantime.
                let Ok(bytes) = fs::read(&path) else { continue };
                let may = if place.starts_with(STORE) { vec![TARGET_IS] } else { Vec::new() };
                self.pieces.push((format!("{place}: {}", path.display()), bytes, may));
            }
        }
    }

    /// Whether these bytes are in the output of that place.
    pub(super) fn has(&self, place: &str, needle: &[u8]) -> bool {
        let mut pieces = self.pieces.iter().filter(|(from, ..)| from.starts_with(place));
        pieces.any(|(_, bytes, _)| bytes.windows(needle.len()).any(|window| window == needle))
    }

    /// The canaries found in places that must not have them.
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
