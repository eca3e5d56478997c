//! Several recordings, one after the other, as the command prints them.

use std::path::PathBuf;

use serde::Serialize;

use crate::commands::doctor::offline::diagnosis::diagnose;
use crate::commands::doctor::offline::finding::Diagnosis;
use crate::commands::recorded;
use crate::config::Settings;

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
    finding: Diagnosis,
}

/// Reads and diagnoses each file.
///
/// # Errors
/// The first file that cannot be read, with why.
pub fn files(settings: &Settings, paths: &[PathBuf]) -> Result<Diagnosed, String> {
    let read = |path: &PathBuf| {
        let file = path.display().to_string();
        let recording = recorded::read(path).map_err(|error| format!("{file}: {error}"))?;
        Ok(OfFile { file, finding: diagnose(settings, &recording) })
    };
    Ok(Diagnosed { files: paths.iter().map(read).collect::<Result<_, String>>()? })
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
