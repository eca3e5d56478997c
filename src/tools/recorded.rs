//! Recordings from files, as the commands that take some read them.

use std::path::Path;

use crate::recording::Recording;

/// A recording is at most a body with its head; what is larger is none.
const LARGEST: u64 = 4 << 20;

/// Reads one.
///
/// # Errors
/// Why it cannot be read, or is none; nothing of what it says.
pub(super) fn read(path: &Path) -> Result<Recording, String> {
    let length = path.metadata().map_err(|error| error.to_string())?.len();
    if length > LARGEST {
        return Err(format!("{length} bytes are more than a recorded request has"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Recording::parse(&bytes).map_err(|error| error.to_string())
}
