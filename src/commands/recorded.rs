//! Recordings from files, as the commands that take some read them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::recording::Recording;

/// A recording is at most a body with its head; what is larger is none.
const LARGEST: u64 = 4 << 20;

/// Reads one. What it is read from may have no end, or no length to ask for: no more is read than it takes to
/// know.
///
/// # Errors
/// Why it cannot be read, or is none; nothing of what it says.
pub(super) fn read(path: &Path) -> Result<Recording, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("more than {LARGEST} bytes, which no recorded request has"));
    }
    Recording::parse(&bytes).map_err(|error| error.to_string())
}
