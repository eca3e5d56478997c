//! Several recordings, one after the other, as the command prints them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Settings;
use crate::recording::Recording;
use crate::tools::doctor::offline::diagnose;
use crate::tools::doctor::offline::finding::Finding;

/// A recording is at most a body with its head; what is larger is none.
const LARGEST: u64 = 4 << 20;

/// What is known of each file.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Diagnosed {
    files: Vec<OfFile>,
}

#[derive(Debug, Serialize)]
struct OfFile {
    file: String,
    #[serde(flatten)]
    finding: Finding,
}

/// Reads and diagnoses each file.
///
/// # Errors
/// The first file that cannot be read, with why.
pub fn files(settings: &Settings, paths: &[PathBuf]) -> Result<Diagnosed, String> {
    let read = |path: &PathBuf| {
        let file = path.display().to_string();
        let recording = recording(path).map_err(|error| format!("{file}: {error}"))?;
        Ok(OfFile { file, finding: diagnose(settings, &recording) })
    };
    Ok(Diagnosed { files: paths.iter().map(read).collect::<Result<_, String>>()? })
}

fn recording(path: &Path) -> Result<Recording, String> {
    let length = path.metadata().map_err(|error| error.to_string())?.len();
    if length > LARGEST {
        return Err(format!("{length} bytes are more than a recorded request has"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Recording::parse(&bytes).map_err(|error| error.to_string())
}

impl Diagnosed {
    /// Whether it is known of each file how it was signed.
    #[must_use]
    pub fn all_found(&self) -> bool {
        self.files.iter().all(|of| of.finding.is_found())
    }

    /// For people; each file under its name, if there are several.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.files.iter().map(|OfFile { file, finding }| match self.files.len() {
            0 | 1 => finding.text(),
            _ => format!("{file}\n{}", finding.text()),
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// For programs: an array with an object for each file.
    ///
    /// # Errors
    /// None in practice: there is nothing in it that JSON cannot hold.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}
