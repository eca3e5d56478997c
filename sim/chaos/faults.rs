//! The faults that the nemesis injects, and how often.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Kill,
    Terminate,
    Stop,
    StopLongerThanALease,
    /// Less space than the store requires.
    DiskLow,
    /// No byte is free.
    DiskFull,
    /// The service starts while no byte is free.
    StartOnFullDisk,
    /// Twilio rejects the key.
    Deny,
    /// A new pair of tokens, and SIGHUP.
    Rotate,
    CutAll,
    /// All posts of one account hang.
    Hang,
    /// Several large batches of Event Streams at once.
    Burst,
    /// A batch of confirmations for SIDs that Twilio does not know.
    BogusSids,
    /// Unauthenticated clients that send the most expensive requests.
    Flood,
    Clock(Jump),
    Database(DatabaseFault),
    /// A receiver ends by SIGTERM, and another takes its place.
    Replace,
}

/// A fault of the database, or of the network in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DatabaseFault {
    TerminateBackend,
    /// The server then restarts all its processes.
    KillBackend,
    KillPostmaster,
    RestartImmediately,
    /// The primary dies, and the standby is promoted.
    Failover,
    CutAll,
    /// Commits lose their answers.
    CutCommits,
    /// Nothing is forwarded to the server and back.
    Stall,
    /// The standby gets no log, so a synchronous primary commits nothing.
    StallStandby,
}

/// The prefix of the names of the database's faults.
pub(crate) const DATABASE: &str = "database: ";
pub(crate) const REPLACED: &str = "receiver replaced";

impl DatabaseFault {
    /// The name, with [`DATABASE`] before it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TerminateBackend => "database: backend terminated",
            Self::KillBackend => "database: SIGKILL of a backend",
            Self::KillPostmaster => "database: SIGKILL of the postmaster",
            Self::RestartImmediately => "database: immediate restart",
            Self::Failover => "database: standby promoted",
            Self::CutAll => "database: every connection cut",
            Self::CutCommits => "database: answers to COMMIT cut",
            Self::Stall => "database: stalled",
            Self::StallStandby => "database: standby stalled",
        }
    }

    /// Whether it ends processes.
    pub(crate) fn kills(self) -> bool {
        matches!(
            self,
            Self::TerminateBackend
                | Self::KillBackend
                | Self::KillPostmaster
                | Self::RestartImmediately
                | Self::Failover
        )
    }
}

/// How far the wall clock jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Jump {
    TwoDaysAhead,
    /// Farther than the time for which a message stays pending.
    NineDaysAhead,
    TwoDaysBack,
}

impl Jump {
    pub(crate) fn days(self) -> i64 {
        match self {
            Self::TwoDaysAhead => 2,
            Self::NineDaysAhead => 9,
            Self::TwoDaysBack => -2,
        }
    }

    /// The second jump of a clock that jumps twice.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::TwoDaysAhead => Self::TwoDaysBack,
            Self::NineDaysAhead => Self::TwoDaysAhead,
            Self::TwoDaysBack => Self::NineDaysAhead,
        }
    }
}

pub(crate) const HANG: &str = "one account hangs";
pub(crate) const BOGUS_SIDS: &str = "unknown SIDs";
pub(crate) const FLOOD: &str = "unauthenticated flood";

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Terminate => "SIGTERM",
            Self::Stop => "SIGSTOP",
            Self::StopLongerThanALease => "SIGSTOP longer than a lease",
            Self::DiskLow => "disk below the store's limit",
            Self::DiskFull => "disk full",
            Self::StartOnFullDisk => "start on a full disk",
            Self::Deny => "credentials turned away",
            Self::Rotate => "credentials rotated",
            Self::CutAll => "every connection cut",
            Self::Hang => HANG,
            Self::Burst => "burst of Event Streams",
            Self::BogusSids => BOGUS_SIDS,
            Self::Flood => FLOOD,
            Self::Database(fault) => fault.name(),
            Self::Replace => REPLACED,
            Self::Clock(Jump::TwoDaysAhead) => "clock 2 days ahead",
            Self::Clock(Jump::NineDaysAhead) => "clock 9 days ahead",
            Self::Clock(Jump::TwoDaysBack) => "clock 2 days back",
        }
    }

    pub(crate) fn fills_the_disk(self) -> bool {
        matches!(self, Self::DiskLow | Self::DiskFull | Self::StartOnFullDisk)
    }
}

/// Kills in each deck. A run of a minute has every fault.
pub(crate) const KILLS: usize = 54;
pub(crate) const KILLS_OF_A_SHORT_RUN: usize = 18;
/// How often each other fault is in a deck.
pub(crate) const DECK: [(Fault, usize); 10] = [
    (Fault::Terminate, 3),
    (Fault::Stop, 3),
    (Fault::DiskLow, 1),
    (Fault::DiskFull, 1),
    (Fault::StartOnFullDisk, 1),
    (Fault::Rotate, 2),
    (Fault::CutAll, 1),
    (Fault::Burst, 1),
    (Fault::BogusSids, 1),
    (Fault::Flood, 1),
];
/// The deck of receivers on a database: kills of receivers, and how often each other fault is in it.
pub(crate) const KILLS_OF_RECEIVERS: usize = 12;
pub(crate) const DATABASE_DECK: [(Fault, usize); 15] = [
    (Fault::Terminate, 2),
    (Fault::Stop, 2),
    (Fault::Rotate, 1),
    (Fault::CutAll, 1),
    (Fault::Burst, 1),
    (Fault::BogusSids, 1),
    (Fault::Database(DatabaseFault::TerminateBackend), 6),
    (Fault::Database(DatabaseFault::KillBackend), 4),
    (Fault::Database(DatabaseFault::KillPostmaster), 3),
    (Fault::Database(DatabaseFault::RestartImmediately), 3),
    (FAILOVER, 2),
    (Fault::Database(DatabaseFault::CutAll), 1),
    (Fault::Database(DatabaseFault::CutCommits), 6),
    (Fault::Database(DatabaseFault::Stall), 3),
    (STALLED_STANDBY, 1),
];
/// These need a standby.
pub(crate) const FAILOVER: Fault = Fault::Database(DatabaseFault::Failover);
pub(crate) const STALLED_STANDBY: Fault = Fault::Database(DatabaseFault::StallStandby);
/// Each deck has one of these.
pub(crate) const JUMPS: [Jump; 3] = [Jump::TwoDaysAhead, Jump::TwoDaysBack, Jump::NineDaysAhead];
/// Every third deck begins with an account that hangs.
pub(crate) const HANG_EVERY: u64 = 3;
/// Every sixth deck begins with a rejected key, because recovery takes a minute.
pub(crate) const DENY_EVERY: u64 = 6;
/// Pauses between two faults, in milliseconds: mostly short, so that a start is often cut short as well. A few are so
/// long that no fault excuses a violation.
pub(crate) const GAPS: [(u64, i64, i64); 3] = [(30, 0, 200), (62, 200, 1200), (8, 3000, 5000)];
