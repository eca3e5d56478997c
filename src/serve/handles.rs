//! File handles: each connection takes two, and many systems grant a process 1,024 unless it asks
//! for more. Five hundred idle strangers must not be enough to keep everybody else out.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many as the system lets us have, as Go's runtime does for every program. Tells how many
/// that are.
pub(super) fn ask_for_more() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // What has no limit is as good as this.
    let count = |limit: Option<u64>| limit.and_then(|n| n.try_into().ok()).unwrap_or(usize::MAX);
    if current == maximum {
        return count(current);
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
        return count(current);
    }
    count(maximum)
}
