//! The wall clock of the service, which a preloaded library shifts (`tests/preload/shift.c`).

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::support::preload::compile;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preload/shift.c");

/// The compiled library, and the file that it reads.
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Compiles the library into `folder`. `None`: there is no C compiler, or the system is not Linux.
    pub(crate) fn build(folder: &Path) -> anyhow::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let library = folder.join("shift.so");
        let compiled = compile(Path::new(SOURCE), &library);
        if !compiled.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        let clock = Self { library, file: folder.join("shift") };
        clock.shift_days(0)?;
        Ok(Some(clock))
    }

    /// Sets the wall clock this many days ahead of the real time.
    pub(crate) fn shift_days(&self, days: i64) -> anyhow::Result<()> {
        // The rename is atomic: the library never reads half a number.
        let next = self.file.with_extension("next");
        std::fs::write(&next, (days * 24 * 60 * 60).to_string())?;
        std::fs::rename(&next, &self.file).context("cannot shift the clock")
    }

    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("SHIFT_FILE", &self.file)]
    }
}
