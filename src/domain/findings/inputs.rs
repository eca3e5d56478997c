//! The facts for findings: numbers and words about the running service.
//!
//! Counts are increases over a window that ends now; the field says which window. The windows are those of
//! `ops/alerts.yml`. Deliberately absent: addresses, message SIDs, keys.

use std::iter::Sum;

use jiff::{SignedDuration, Timestamp};

use crate::domain::clock::Jump;
use crate::domain::sid::AccountSid;

/// The state of the service at one moment.
#[derive(Debug, Clone, Default)]
pub struct FindingInputs {
    pub now: Timestamp,
    /// Facts from the start of the process.
    pub start: StartFacts,
    /// Whether the process shuts down.
    pub is_draining: bool,
    /// Whether `HEARDBACK_DRY_RUN` is on.
    pub is_dry_run: bool,
    /// Reloads that were refused, in 30 minutes.
    pub reloads_refused: u64,
    /// Signatures on the routes below `/twilio/`.
    pub twilio: SignatureFacts,
    /// Signatures on the routes below `/app/`.
    pub app: SignatureFacts,
    /// Signatures by route and account; `twilio` and `app` are sums of these.
    pub signatures: Vec<RouteSignatures>,
    /// Answered requests, and received evidence.
    pub requests: RequestFacts,
    /// Failures of forwarded webhooks, in 15 minutes.
    pub forwards: Vec<ForwardFacts>,
    /// Keys that have matched since the start.
    pub keys: Vec<KeyFacts>,
    /// Accounts whose posts Twilio rejects.
    pub paused: Vec<PausedLane>,
    /// Accounts whose latest 2xx to a post was not Twilio's.
    pub foreign: Vec<ForeignServer>,
    /// Accounts that Twilio throttles.
    pub throttled: Vec<ThrottledLane>,
    /// Accounts that an operator put on hold.
    pub on_hold: Vec<HeldAccount>,
    /// Confirmations that wait to be reported.
    pub outbox: OutboxFacts,
    /// Posts to Twilio.
    pub upstream: UpstreamFacts,
    /// The store and its disk.
    pub store: StoreFacts,
    /// Conversion by calling code.
    pub countries: Vec<Traffic>,
    /// Conversion by sender.
    pub senders: Vec<Traffic>,
    /// A jump of the system clock that is not resolved.
    pub clock_jump: Option<Jump>,
}

/// Facts from the start of `serve`.
#[derive(Debug, Clone, Default)]
pub struct StartFacts {
    /// When the process started.
    pub started_at: Timestamp,
    /// Known earlier starts on the same store.
    pub earlier_starts: Vec<Timestamp>,
    /// The file system of the store, such as `tmpfs`, if it can lose acknowledged records.
    pub unsafe_file_system: Option<String>,
    /// A limit of open files that is too small.
    pub fd_limit: Option<FdLimit>,
    /// Whether the file SEAL was torn or empty when the store was opened.
    pub is_end_unverified: bool,
}

/// A limit of open files that is below the reserve of the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdLimit {
    /// The limit in force.
    pub limit: u64,
    /// The least that is needed.
    pub needed: u64,
}

/// The account that a request names. A refused request does not prove its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimedAccount {
    /// No account, or a body that is not a form.
    Unnamed,
    /// An account that is not configured.
    Unknown,
    Configured(AccountSid),
}

/// Signatures of the requests to one route that name one account.
#[derive(Debug, Clone, Copy)]
pub struct RouteSignatures {
    /// `twilio` or `app`: the first part of the path.
    pub side: &'static str,
    /// The route, such as `/twilio/status`.
    pub route: &'static str,
    /// The account that the requests name.
    pub account: ClaimedAccount,
    pub facts: SignatureFacts,
}

/// Signatures of one side, of a route, or of an account.
#[derive(Debug, Clone, Copy, Default)]
pub struct SignatureFacts {
    /// When a signature last verified; `None`: not since the start.
    pub last_verified: Option<Timestamp>,
    /// Verified, in 15 minutes.
    pub verified: u64,
    /// Signed, and refused for the signature or the account, in 15 minutes.
    pub refused: u64,
    /// Failures in an hour.
    pub in_an_hour: SignatureFailures,
    /// Failures since the start.
    pub since_start: SignatureFailures,
}

impl Sum for SignatureFacts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let failures = |a: SignatureFailures, b: SignatureFailures| SignatureFailures {
            refused: a.refused.saturating_add(b.refused),
            unsigned: a.unsigned.saturating_add(b.unsigned),
        };
        all.fold(Self::default(), |sum, one| Self {
            last_verified: sum.last_verified.max(one.last_verified),
            verified: sum.verified.saturating_add(one.verified),
            refused: sum.refused.saturating_add(one.refused),
            in_an_hour: failures(sum.in_an_hour, one.in_an_hour),
            since_start: failures(sum.since_start, one.since_start),
        })
    }
}

/// Requests that were rejected for their signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignatureFailures {
    /// Signed, by another key or for another account.
    pub refused: u64,
    /// Without a readable signature, or without a valid one for an account that is not configured.
    pub unsigned: u64,
}

/// Requests and events by result.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestFacts {
    /// Answered with 5xx, in 10 minutes.
    pub server_errors: u64,
    /// Refused for their signature (unsigned ones excluded), in 15 minutes.
    pub signature_failures: u64,
    /// `signature_failures` a day ago; `None` if the process is younger.
    pub signature_failures_a_day_ago: Option<u64>,
    /// Signed and not usable, in 30 minutes.
    pub unusable: u64,
    /// Malformed events of Event Streams, in an hour.
    pub malformed_events: u64,
    /// Evidence that was orphaned, in 6 hours.
    pub orphaned: u64,
    /// Evidence of answered calls, clicks and forwarded messages that is in memory, because the store cannot write it.
    pub deferred_evidence: u64,
    /// Such evidence that was lost, in an hour.
    pub lost_evidence: u64,
    /// Sends of apps whose answer was lost, in an hour.
    pub lost_sends: u64,
    /// Messages that were sent and not registered, in an hour.
    pub unregistered_sends: u64,
}

/// Forwarded webhooks of one account and kind that failed, in 15 minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardFacts {
    pub account: String,
    /// `message`, `call` or `status`.
    pub kind: &'static str,
    pub failures: usize,
    pub since: Timestamp,
    /// The reason and the detail of the latest one.
    pub last: String,
}

/// A key, and when it last matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The account that it belongs to.
    pub account: String,
    /// Its name, such as `token 1`.
    pub name: String,
    /// When it last made a valid signature.
    pub last_matched: Timestamp,
}

/// An account whose posts are paused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PausedLane {
    pub account: String,
    pub since: Option<Timestamp>,
    /// HTTP status of the answer that paused it; `None` if no request was sent.
    pub status: Option<u16>,
    /// Twilio's error code.
    pub code: Option<u32>,
    /// Twilio's message, or ours.
    pub message: String,
}

/// A server that answers an account's posts with a 2xx that is not Twilio's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignServer {
    pub account: String,
    pub since: Timestamp,
    /// The kind of the latest answer, such as `200 with HTML`.
    pub why: String,
}

/// An account that waits for the end of a 429, or did so recently.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThrottledLane {
    pub account: String,
    /// The share of the last 30 minutes that it was throttled, from 0 to 1.
    pub share: f64,
    /// Since when its oldest confirmation waits, if the account is throttled now.
    pub oldest: Option<Timestamp>,
}

/// An account on hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAccount {
    pub account: String,
    pub since: Timestamp,
}

/// Confirmations that wait to be reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxFacts {
    /// All confirmations that wait.
    pub waiting: u64,
    /// How many waited 30 minutes ago; `None` if the process is younger.
    pub half_an_hour_ago: Option<u64>,
    /// Since when the oldest waits, of accounts that are not on hold.
    pub oldest: Option<Timestamp>,
    /// Those with a failed attempt, of accounts that are neither paused, throttled nor on hold. A lower bound if
    /// [`Self::is_cut`].
    pub failed: u64,
    /// The result of the last attempt of those.
    pub last_failure: Option<String>,
    /// Whether only the first of them were read.
    pub is_cut: bool,
}

/// Posts to Twilio.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpstreamFacts {
    /// Posts, in 15 minutes.
    pub attempts: u64,
    /// Those of `attempts` that failed temporarily.
    pub failures: u64,
    /// Confirmations that Twilio refused for good, in an hour.
    pub refused: u64,
    /// Messages in the store that were refused in 24 hours. A lower bound if [`Self::is_cut`].
    pub refused_today: u64,
    /// When the first of these was refused.
    pub refused_since: Option<Timestamp>,
    /// Whether only the latest refused messages were read.
    pub is_cut: bool,
    /// Posts, in an hour.
    pub attempts_in_an_hour: u64,
    /// 2xx answers that did not name the reported message, in an hour: another host may have sent them.
    pub unnamed: u64,
}

/// The store and its disk.
#[derive(Debug, Clone, Default)]
pub struct StoreFacts {
    /// Why it cannot accept events, or does not answer.
    pub trouble: Option<String>,
    /// Free bytes on its disk; `None` if not known.
    pub free: Option<u64>,
    /// Free bytes at an earlier time, and how long ago that was: at most six hours.
    pub free_before: Option<(SignedDuration, u64)>,
    /// Records that count towards the limit.
    pub records: u64,
    /// Messages that could be evicted to make room for new ones.
    pub evictable: u64,
    /// Parked evidence of the account with the most.
    pub parked: u64,
    /// The share of that account; 0 if not known.
    pub parked_share: u64,
    /// Click links, which have the same limit of their own.
    pub links: u64,
    /// `HEARDBACK_MAX_MESSAGES`; 0 if not known.
    pub max_records: u64,
    /// Finished records that were evicted early for lack of room, in an hour.
    pub forgotten_early: u64,
    /// Commits, in 10 minutes.
    pub commits: u64,
    /// Those of `commits` that took longer than a second.
    pub slow_commits: u64,
}

/// Messages of one calling code or sender, in two hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The calling code or the sender, as a metric names it.
    pub name: String,
    /// The messages of the last two hours.
    pub now: TrafficCount,
    /// `now` a day ago; `None` if the process is younger.
    pub a_day_ago: Option<TrafficCount>,
}

/// Messages sent, and messages confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCount {
    /// Sent with feedback requested.
    pub sent: u64,
    /// Confirmed.
    pub confirmed: u64,
}
