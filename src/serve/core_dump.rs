//! No core dump: one would hold tokens, phone numbers and texts, and stay on a disk for years.
//!
//! Two measures, since each leaves a gap. A limit of one byte stops a dump to a file, which is never shorter than a page.
//! On Linux it also stops a dump to a program such as systemd-coredump, which a limit of zero does not: the kernel reads
//! one as "never", and that program would log the environment, secrets included. The filter leaves memory out of any
//! dump that is made all the same.
//!
//! Not by `PR_SET_DUMPABLE`: it gives `/proc/PID` to root, so that an operator's `lsof` and `strace` as the service's own
//! user, and the tests that count descriptors or trace system calls, would need root.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Stops core dumps of this process.
///
/// # Errors
/// The system refuses the limit.
pub fn disable() -> io::Result<()> {
    // Not every system has it; the limit is enough for most dumps.
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
    let never = Some(1);
    Ok(setrlimit(Resource::Core, Rlimit { current: never, maximum: never })?)
}
