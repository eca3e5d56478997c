//! The diagnoses of recorded files, as the command prints them.

use std::path::PathBuf;

use serde::Serialize;

use crate::commands::doctor::offline::diagnosis::diagnose;
use crate::commands::doctor::offline::finding::Diagnosis;
use crate::commands::recorded;
use crate::config::Settings;

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Diagnosed {
    files: Vec<DiagnosedFile>,
}

#[derive(Debug, Serialize)]
struct DiagnosedFile {
    file: String,
    #[serde(flatten)]
    diagnosis: Diagnosis,
}

pub(crate) fn files(settings: &Settings, paths: &[PathBuf]) -> Result<Diagnosed, String> {
    let read = |path: &PathBuf| {
        let file = path.display().to_string();
        let recording = recorded::read(path).map_err(|error| format!("{file}: {error}"))?;
        Ok(DiagnosedFile { file, diagnosis: diagnose(settings, &recording) })
    };
    Ok(Diagnosed { files: paths.iter().map(read).collect::<Result<_, String>>()? })
}

impl Diagnosed {
    pub(crate) fn all_found(&self) -> bool {
        self.files.iter().all(|of| of.diagnosis.is_found())
    }

    /// Several files stand below their names.
    pub(crate) fn text(&self) -> String {
        let texts = self.files.iter().map(|DiagnosedFile { file, diagnosis }| {
            let name = if self.files.len() > 1 { format!("{file}\n") } else { String::new() };
            name + &diagnosis.text()
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}
