//! Reads recordings from the files on the command line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::recording::Recording;

/// The largest recording: a body with its head.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a recording. The file may be endless, such as a device: the read stops at the limit.
///
/// # Errors
/// The file cannot be read, or is no recording. The error contains none of its text.
pub(super) fn read(path: &Path) -> Result<Recording, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes, the limit of a recording"));
    }
    Recording::parse(&bytes).map_err(|error| error.to_string())
}
