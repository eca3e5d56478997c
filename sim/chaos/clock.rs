//! The wall clock of the service, which a preloaded library shifts (`tests/preload/shift.c`).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::support::preload::compile;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preload/shift.c");

/// The compiled library, and the folder of the files that it reads: one for each receiver.
pub(crate) struct Clock {
    library: PathBuf,
    folder: PathBuf,
}

impl Clock {
    /// Compiles the library into `folder`. `None`: there is no C compiler, or the system is not Linux.
    pub(crate) fn build(folder: &Path, receivers: usize) -> anyhow::Result<Option<Self>> {
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let library = folder.join("shift.so");
        let Ok(output) = compile(Path::new(SOURCE), &library) else { return Ok(None) };
        ensure!(output.status.success(), "cc failed: {}", String::from_utf8_lossy(&output.stderr));
        let clock = Self { library, folder: folder.to_owned() };
        (0..receivers).try_for_each(|receiver| clock.shift_days(receiver, 0))?;
        Ok(Some(clock))
    }

    fn file(&self, receiver: usize) -> PathBuf {
        self.folder.join(format!("shift-{receiver}"))
    }

    /// Sets the wall clock of a receiver this many days ahead of the real time.
    pub(crate) fn shift_days(&self, receiver: usize, days: i64) -> anyhow::Result<()> {
        // The rename is atomic: the library never reads half a number.
        let file = self.file(receiver);
        let next = file.with_extension("next");
        std::fs::write(&next, (days * 24 * 60 * 60).to_string())?;
        std::fs::rename(&next, &file).context("cannot shift the clock")
    }

    pub(crate) fn environment(&self, receiver: usize) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library.clone()), ("SHIFT_FILE", self.file(receiver))]
    }
}
