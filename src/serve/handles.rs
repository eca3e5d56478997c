//! File handles: each connection takes two, and many systems grant a process 1,024 unless it asks
//! for more. Five hundred idle strangers must not be enough to keep everybody else out.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many as the system lets us have, as Go's runtime does for every program.
pub(super) fn ask_for_more() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
