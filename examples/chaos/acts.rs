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
}

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
        }
    }

    pub(crate) fn fills_the_disk(self) -> bool {
        matches!(self, Self::DiskLow | Self::DiskFull | Self::StartOnFullDisk)
    }
}

/// How often each is in a deck.
pub(crate) const DECK: [(Act, usize); 8] = [
    (Act::Kill, 28),
    (Act::Terminate, 3),
    (Act::Stop, 3),
    (Act::DiskLow, 1),
    (Act::DiskFull, 1),
    (Act::StartOnFullDisk, 1),
    (Act::Rotate, 2),
    (Act::CutAll, 1),
];
/// Every so many decks begin with a key turned away: it takes a minute until all is well again.
pub(crate) const DENY_EVERY: u64 = 6;
/// Between two acts, in milliseconds: mostly short, so that a start is often cut short as well; now and
/// then so long that nothing excuses what goes wrong.
pub(crate) const GAPS: [(u64, i64, i64); 3] = [(30, 0, 200), (62, 200, 1200), (8, 3000, 5000)];
