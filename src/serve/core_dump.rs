//! Disables core dumps, which would hold tokens, phone numbers and texts.
//!
//! `RLIMIT_CORE` is one byte, not zero: on Linux only one byte also stops a dump to a program such as systemd-coredump,
//! which would log the environment. `coredump_filter` leaves the memory out of any other dump. Deliberately absent:
//! `PR_SET_DUMPABLE`, which gives `/proc/PID` to root, so that `lsof`, `strace` and some tests would need root.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Disables core dumps of this process.
///
/// # Errors
/// The system denies the limit.
pub fn disable() -> io::Result<()> {
    // Not every system has this file. Without it, the limit still stops most dumps.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
    // Only a privileged process may raise a hard limit of zero.
    let bytes = getrlimit(Resource::Core).maximum.map_or(1, |maximum| maximum.min(1));
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}
