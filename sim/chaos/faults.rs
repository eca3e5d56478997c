//! What the nemesis can do, and how often it does which.

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Kill,
    Terminate,
    Stop,
    StopLongerThanALease,
    /// Below what the store wants free.
    DiskLow,
    /// Not a byte left.
    DiskFull,
    /// A start with not a byte left.
    StartOnFullDisk,
    /// Twilio turns the key away.
    Deny,
    /// Another pair of tokens, and SIGHUP.
    Rotate,
    CutAll,
    /// All posts of one account hang.
    Hang,
    /// Large batches of Event Streams at a time.
    Burst,
    /// A batch of confirmations for SIDs that Twilio does not know.
    BogusSids,
    /// Unauthenticated clients with the most expensive requests.
    Flood,
    Clock(Jump),
}

/// How far the wall clock jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Jump {
    TwoDaysAhead,
    /// Farther than a message stays pending.
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

    /// Another one, for a clock that jumps twice.
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

impl Act {
    pub(crate) fn word(self) -> &'static str {
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
            Self::Clock(Jump::TwoDaysAhead) => "clock 2 days ahead",
            Self::Clock(Jump::NineDaysAhead) => "clock 9 days ahead",
            Self::Clock(Jump::TwoDaysBack) => "clock 2 days back",
        }
    }

    pub(crate) fn fills_the_disk(self) -> bool {
        matches!(self, Self::DiskLow | Self::DiskFull | Self::StartOnFullDisk)
    }
}

/// Kills in each deck. A run of a minute shall see each act.
pub(crate) const KILLS: usize = 54;
pub(crate) const KILLS_OF_A_SHORT_RUN: usize = 18;
/// How often each of the others is in a deck.
pub(crate) const DECK: [(Act, usize); 10] = [
    (Act::Terminate, 3),
    (Act::Stop, 3),
    (Act::DiskLow, 1),
    (Act::DiskFull, 1),
    (Act::StartOnFullDisk, 1),
    (Act::Rotate, 2),
    (Act::CutAll, 1),
    (Act::Burst, 1),
    (Act::BogusSids, 1),
    (Act::Flood, 1),
];
/// One of these is in each deck.
pub(crate) const JUMPS: [Jump; 3] = [Jump::TwoDaysAhead, Jump::TwoDaysBack, Jump::NineDaysAhead];
/// Every so many decks begin with an account that hangs.
pub(crate) const HANG_EVERY: u64 = 3;
/// Every so many decks begin with a key turned away: it takes a minute until all is well again.
pub(crate) const DENY_EVERY: u64 = 6;
/// Between two acts, in milliseconds: mostly short, so that a start is often cut short as well; now and
/// then so long that nothing excuses what goes wrong.
pub(crate) const GAPS: [(u64, i64, i64); 3] = [(30, 0, 200), (62, 200, 1200), (8, 3000, 5000)];
