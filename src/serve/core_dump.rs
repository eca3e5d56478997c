//! No core dump: one would hold tokens, phone numbers and texts, and stay on a disk for years.
//!
//! `RLIMIT_CORE` is one byte, not zero. Both stop a dump to a file, but on Linux only one byte stops a dump to a
//! program. Such a program, for example systemd-coredump, would log the environment with its secrets. If a dump is made
//! all the same, `coredump_filter` leaves the memory out.
//!
//! `PR_SET_DUMPABLE` is not used, because it gives `/proc/PID` to root. Then `lsof` and `strace` would need root, and
//! so would the tests that count descriptors or trace system calls.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Stops core dumps of this process.
///
/// # Errors
/// The system refuses the limit.
pub fn disable() -> io::Result<()> {
    // Not every system has this file. Without it, the limit still stops most dumps.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
    // Only a privileged process may raise a hard limit of zero.
    let bytes = getrlimit(Resource::Core).maximum.map_or(1, |maximum| maximum.min(1));
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(bytes), maximum: Some(bytes) })?)
}
