//! The budget of file descriptors: the limit is raised as far as the system allows, and divided before the store opens.
//!
//! A connection needs two descriptors. The process, the store, the posts, the control socket and the operator's listener
//! get theirs first; the public listener gets the rest. So no listener uses the descriptors of another one or of a commit.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;
use crate::domain::findings::FdLimit;

/// HTTP workers: more would only wait for the one thread that writes.
const MAX_WORKERS: usize = 4;
/// Connections of each HTTP worker.
const MAX_CONNECTIONS: usize = 4096;
/// Descriptors of a worker: an epoll instance, its event and its sockets.
const FDS_PER_WORKER: usize = 4;
/// A further worker needs at least this many connections.
const MIN_CONNECTIONS_PER_WORKER: usize = 64;
/// Descriptors of a service with one worker, besides its listeners: servers, store and signals. 22 were measured, and
/// the claim on the store's path is one more.
const SERVICE_FDS: usize = 24;
/// Short-lived descriptors: a snapshot of sled's, a name lookup, a recording.
const TRANSIENT_FDS: usize = 5;
/// Descriptors of a connection: its own, and the watchdog's duplicate.
const FDS_PER_CONNECTION: usize = 2;

/// The fewest own slots of the worker, for accounts that a reload adds.
const MIN_OWN_SLOTS: usize = 8;
/// The most own slots of the worker, however many accounts there are.
const MAX_OWN_SLOTS: usize = 64;

/// Connections to the app, if every webhook is under way that may be.
const MAX_FORWARDS: usize = 256;
/// With fewer to spare, forwarded webhooks have no descriptors of their own.
const FEW_DESCRIPTORS: usize = 64;
/// With fewer, a burst of forwarded webhooks is refused early.
const ENOUGH_FORWARDS: usize = 64;

/// Connections of the operator's listener: 32 open pages, scrapes and probes.
const OPS_CONNECTIONS: usize = 64;
/// A probe, a scrape, and a connection that is being closed.
const MIN_OPS_CONNECTIONS: usize = 3;
/// Concurrent commands of the control socket.
const CONTROL_CONNECTIONS: usize = 16;
/// A command, and a connection that is being closed.
const MIN_CONTROL_CONNECTIONS: usize = 2;
const MIN_CONNECTIONS: usize = 3;
/// With fewer, a flood of idle clients or a proxy with many connections makes other clients wait.
const ENOUGH_CONNECTIONS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdBudget {
    pub limit: usize,
    pub workers: usize,
    /// Concurrent connections of the public listener.
    pub connections: usize,
    pub ops_connections: usize,
    pub control_connections: usize,
    /// Posts beyond the shared slots, one for each account. A reload does not change it.
    pub own_slots: usize,
    /// Descriptors of forwarded webhooks. A reload may add the first app, so they are kept in any case.
    pub forwards: usize,
    /// The lowest limit without a warning.
    pub recommended: usize,
}

impl FdBudget {
    /// Raises the limit and divides it.
    ///
    /// # Errors
    /// The limit is too low. The error names the command that raises it.
    pub(super) fn plan(settings: &Settings) -> anyhow::Result<Self> {
        let (shared, accounts) = (
            settings.upstream_concurrency + settings.send.slots(),
            settings.accounts.iter().count(),
        );
        let limit = raise();
        let open = open_now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let budget = Self::of(limit, open, (shared, accounts), cores);
        let least = MIN_OPS_CONNECTIONS + MIN_CONTROL_CONNECTIONS + MIN_CONNECTIONS;
        let needed = base(open, shared + 1) + FDS_PER_CONNECTION * least;
        let Some(budget) = budget else {
            bail!(
                "the limit of open files (ulimit -n) is {limit}, and this service needs {needed} at least; raise it: \
                 `ulimit -n 65536` in the shell that starts it, LimitNOFILE=65536 for systemd, `--ulimit \
                 nofile=65536` for Docker"
            );
        };
        if budget.is_low() {
            tracing::warn!(limit, connections = budget.connections, "{}", budget.describe());
        }
        Ok(budget)
    }

    fn of(
        limit: usize,
        open: usize,
        (shared, accounts): (usize, usize),
        cores: usize,
    ) -> Option<Self> {
        let spare = limit.checked_sub(base(open, shared))?;
        let most_own_slots = accounts.clamp(MIN_OWN_SLOTS, MAX_OWN_SLOTS);
        let own_slots = (spare / 16).clamp(1, most_own_slots);
        let spare = spare.checked_sub(own_slots)?;
        let forwards = (spare.saturating_sub(FEW_DESCRIPTORS) / 8).min(MAX_FORWARDS);
        let spare = spare.checked_sub(forwards)?;
        let ops_connections = (spare / 16).clamp(MIN_OPS_CONNECTIONS, OPS_CONNECTIONS);
        let control_connections = (spare / 32).clamp(MIN_CONTROL_CONNECTIONS, CONTROL_CONNECTIONS);
        let rest =
            spare.checked_sub(FDS_PER_CONNECTION * (ops_connections + control_connections))?;
        let affordable = rest / (FDS_PER_WORKER + FDS_PER_CONNECTION * MIN_CONNECTIONS_PER_WORKER);
        let workers = cores.min(affordable).clamp(1, MAX_WORKERS);
        let rest = rest.saturating_sub(FDS_PER_WORKER * (workers - 1));
        let connections = (rest / FDS_PER_CONNECTION).min(MAX_CONNECTIONS * workers);
        let recommended = base(open, shared + most_own_slots + 2 * ENOUGH_FORWARDS)
            + FDS_PER_CONNECTION * (OPS_CONNECTIONS + CONTROL_CONNECTIONS + ENOUGH_CONNECTIONS)
            + FDS_PER_WORKER * (MAX_WORKERS - 1);
        let budget = Self {
            limit,
            workers,
            connections,
            ops_connections,
            control_connections,
            own_slots,
            forwards,
            recommended,
        };
        (connections >= MIN_CONNECTIONS).then_some(budget)
    }

    /// Whether a flood of idle clients could make others wait.
    pub fn is_low(&self) -> bool {
        self.connections < ENOUGH_CONNECTIONS
    }

    /// The numbers for a finding, if the limit is low.
    pub(super) fn shortage(&self) -> Option<FdLimit> {
        let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
        let (limit, needed) = (number(self.limit), number(self.recommended));
        self.is_low().then_some(FdLimit { limit, needed })
    }

    /// The effect of a low limit, and the fix.
    pub fn describe(&self) -> String {
        let Self { limit, connections, recommended, .. } = self;
        format!(
            "the limit of open files (ulimit -n) is {limit}, so the public listener accepts {connections} connections at a \
             time, and further clients wait; raise it to {recommended} or more (LimitNOFILE= for systemd, --ulimit nofile= for Docker)"
        )
    }
}

/// Descriptors that the process needs without any connection.
fn base(open: usize, posts: usize) -> usize {
    [open, SERVICE_FDS, TRANSIENT_FDS, posts].into_iter().fold(0, usize::saturating_add)
}

/// Raises the limit as far as the system allows, as Go's runtime does for every program. Returns the limit.
fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `usize::MAX` stands for no limit.
    let count = |limit: Option<u64>| limit.and_then(|n| n.try_into().ok()).unwrap_or(usize::MAX);
    if current == maximum {
        return count(current);
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(
            %error,
            "cannot raise the limit of open files: {error}; fewer connections are accepted until you raise it (`ulimit -n`, \
             LimitNOFILE=)"
        );
        return count(current);
    }
    count(maximum)
}

/// Descriptors that are open now, without the one that lists them. Some may be inherited from the parent process.
fn open_now() -> usize {
    /// The standard streams, two listeners, the runtime's.
    const TYPICAL: usize = 12;
    std::fs::read_dir("/proc/self/fd").map_or(TYPICAL, |open| open.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_budget_promises_more_descriptors_than_there_are() {
        for limit in (0..300).chain([512, 1024, 4096, 65_536, 1 << 20, usize::MAX]) {
            for (shared, accounts, cores) in [(1, 1, 1), (4, 1000, 2), (64, 4, 4), (64, 70, 96)] {
                let Some(budget) = FdBudget::of(limit, 12, (shared, accounts), cores) else {
                    assert!(limit < 170, "{limit} {shared}");
                    continue;
                };
                let FdBudget { workers, connections, ops_connections, control_connections, .. } =
                    budget;
                assert!((1..=MAX_OWN_SLOTS).contains(&budget.own_slots), "{budget:?}");
                let total = base(12, shared + budget.own_slots + budget.forwards)
                    + FDS_PER_WORKER * (workers - 1)
                    + FDS_PER_CONNECTION * (connections + ops_connections + control_connections);
                assert!(total <= limit, "{limit}: {budget:?}");
                assert!(connections >= MIN_CONNECTIONS && ops_connections >= MIN_OPS_CONNECTIONS);
                assert!(control_connections >= MIN_CONTROL_CONNECTIONS);
                assert!(connections / workers >= 1 && workers <= cores, "{budget:?}");
            }
        }
        let usual = FdBudget::of(1 << 20, 12, (4, 1), 4).expect("enough");
        assert_eq!((usual.workers, usual.connections, usual.ops_connections), (4, 4 * 4096, 64));
        assert_eq!(usual.forwards, MAX_FORWARDS);
        assert!(!usual.is_low() && !FdBudget::of(1024, 12, (4, 1), 4).expect("enough").is_low());
        assert!(FdBudget::of(256, 12, (4, 1), 4).expect("enough").is_low());
        let recommended = usual.recommended;
        assert!((700..950).contains(&recommended), "{recommended}");
        for cores in 1..8 {
            let budget = FdBudget::of(recommended, 12, (4, 1), cores).expect("enough");
            assert!(!budget.is_low() && budget.forwards >= ENOUGH_FORWARDS, "{cores}");
        }
        let least = FdBudget::of(base(12, 5) + 16, 12, (4, 1000), 4).expect("just enough");
        assert_eq!(
            (least.connections, least.ops_connections, least.control_connections),
            (3, 3, 2)
        );
        assert_eq!(FdBudget::of(base(12, 5) + 15, 12, (4, 1000), 4), None);
    }

    #[test]
    fn the_own_slots_follow_the_accounts_within_bounds() {
        let own_slots =
            |accounts| FdBudget::of(1 << 20, 12, (4, accounts), 4).expect("enough").own_slots;
        assert_eq!([1, 8, 20, 1000].map(own_slots), [8, 8, 20, 64]);
    }
}
