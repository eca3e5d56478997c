//! The settings and the durations that matching depends on.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::click_link::Link;
use crate::domain::evidence::{Evidence, INFERRED_PARKED_FOR, SignalSource};
use crate::domain::message::{Message, State};
use crate::domain::timestamp_serde::{earlier, later};

/// How long an untracked message is kept, if the reply window is shorter. It only shields newer messages from replies,
/// and waits for a late registration.
pub const UNTRACKED_FOR: Duration = Duration::from_hours(24);

/// How much older than its first request a message may be if its creation time is unknown. Registrations and callbacks
/// take seconds, with retries minutes.
pub const UNSAID_FOR: Duration = INFERRED_PARKED_FOR;

/// The largest accepted difference between the clocks of the app, of Twilio and of this machine. Beyond it, a message
/// counts as younger than an act.
pub const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A message that is older than this when the person acts may be a former one under the same reference. Evidence by
/// reference waits for [`REGISTERED_WITHIN`](crate::domain::evidence::REGISTERED_WITHIN) before it confirms such a message.
pub const REFERENCE_FRESH_FOR: Duration = Duration::from_mins(15);

/// How soon after an arrival its receipt usually comes. If the first receipt of arrival comes later than this after an act,
/// the message had probably not arrived at the time of the act.
pub(super) const RECEIPT_WITHIN: Duration = Duration::from_secs(15);

/// How old a message may be for an act to be about it, if a newer one was sent but had not arrived. Mostly a person asks
/// for another message within minutes.
pub(super) const OLDER_WITHIN: Duration = Duration::from_mins(5);

/// No person reads a message and answers it within this time of its creation.
pub const AUTOMATIC_WITHIN: Duration = Duration::from_secs(5);

/// Texts of a sender that answered automatically prove nothing for this long.
pub const AUTOMATIC_FOR: Duration = Duration::from_hours(7 * 24);

/// The most evidence that is parked for one reference or person. More comes from a loop, not from a person.
pub const MAX_PARKED: usize = 16;

/// The default limit of all parked evidence. It leaves most of a volume of 1 GiB free.
pub const DEFAULT_MAX_PARKED: u64 = 200_000;

/// The current time. The two differ while the wall clock is ahead and no second source agrees
/// ([`crate::domain::clock`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// To date the written rows.
    pub wall: Timestamp,
    /// To judge which deadlines have passed.
    pub trusted: Timestamp,
}

impl From<Timestamp> for Now {
    fn from(at: Timestamp) -> Self {
        Self { wall: at, trusted: at }
    }
}

/// The settings that judgement depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// How long a message stays pending.
    pub pending_ttl: Duration,
    /// The greatest age of a message that a reply or a call may confirm.
    pub reply_window: Duration,
    /// The greatest age of a message that an app's event may confirm, if the event names only the person.
    pub event_window: Duration,
    /// How long finished records are kept.
    pub retention: Duration,
    /// Whether a read receipt (the status `read`) counts as evidence.
    pub read_confirms: bool,
    /// Which of several messages with one reference is confirmed.
    pub resend: Resend,
}

/// The order in which a full store evicts messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionRank {
    /// The message was sent without a request for feedback.
    Untracked,
    /// No step is left for it.
    Finished,
    /// The operator may still requeue it.
    Refused,
}

impl EvictionRank {
    /// Every rank, in the order of eviction.
    pub const ALL: [Self; 3] = [Self::Untracked, Self::Finished, Self::Refused];
}

/// Which of several messages with one reference is confirmed by evidence that names only the reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resend {
    /// The newest that may have arrived.
    #[default]
    Newest,
    /// The only one that may have arrived; none if there are several.
    OnlyDeliverable,
    /// All that may have arrived.
    All,
    /// The one whose code was entered. Without a code, the rule of [`Self::OnlyDeliverable`].
    Code,
}

impl Resend {
    pub const ALL: [Self; 4] = [Self::Newest, Self::OnlyDeliverable, Self::All, Self::Code];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::OnlyDeliverable => "only-deliverable",
            Self::All => "all",
            Self::Code => "code",
        }
    }
}

impl Policy {
    /// When a link is removed: after its message can be confirmed, plus the retention.
    pub fn link_until(&self, link: &Link) -> Timestamp {
        later(later(link.created_at, self.pending_ttl), self.retention)
    }

    /// The greatest age of a message that this evidence may confirm, if it names only the person.
    pub fn window_of(&self, evidence: &Evidence) -> Duration {
        match evidence.source {
            SignalSource::App => self.event_window,
            SignalSource::Reply | SignalSource::Call | SignalSource::Click | SignalSource::Link => {
                self.reply_window
            }
        }
    }

    pub fn longest_window(&self) -> Duration {
        self.reply_window.max(self.event_window)
    }

    /// When a finished message is removed: after the retention, and not while it shields others.
    pub fn kept_until(&self, message: &Message) -> Timestamp {
        later(message.since, self.retention).max(self.shields_until(message))
    }

    /// How long matching needs a message in any state: while it can be the newest that a person acted upon. Without it,
    /// evidence would prove an older message.
    pub fn shields_until(&self, message: &Message) -> Timestamp {
        let shields = later(later(message.created_at, self.longest_window()), UNSAID_FOR);
        // Evidence by its reference or code needs all such messages, or it would choose among too few.
        if message.reference.is_some() || message.code.is_some() {
            return shields.max(later(message.remembered_at, self.pending_ttl));
        }
        shields
    }

    /// The rank of a message for eviction from a full store, and the time from which it can be evicted; the smallest goes
    /// first. `None`: never, because its confirmation is still awaited or unreported.
    pub fn evictable_from(&self, message: &Message) -> Option<(EvictionRank, Timestamp)> {
        let rank = match message.state {
            State::Pending | State::Confirmed => return None,
            State::Untracked => EvictionRank::Untracked,
            State::Expired | State::Undelivered | State::Reported => EvictionRank::Finished,
            State::Refused => EvictionRank::Refused,
        };
        Some((rank, self.shields_until(message).max(message.since)))
    }

    /// How long `message` must stay in a full store because of `other`, a message to the same person. Without `message`,
    /// late evidence would confirm `other`: evidence from before an outage, or replayed.
    pub fn stays_for(&self, message: &Message, other: &Message) -> Option<Timestamp> {
        let age = |message: &Message| (message.created_at, message.sid);
        if other.sid == message.sid || !self.reach(message).contains(&other.created_at) {
            return None;
        }
        match other.state {
            State::Pending => Some(other.expires_at),
            // It may become pending. The older of the two can be evicted first.
            State::Untracked if age(other) < age(message) => Some(other.expires_at),
            State::Undelivered if age(other) < age(message) || other.code.is_some() => {
                Some(self.kept_until(other))
            }
            State::Untracked
            | State::Undelivered
            | State::Expired
            | State::Confirmed
            | State::Reported
            | State::Refused => None,
        }
    }

    /// The creation times of messages that compete with this one: one act may be about either.
    pub fn reach(&self, message: &Message) -> RangeInclusive<Timestamp> {
        let coded = message.code.map_or(Duration::ZERO, |_| self.pending_ttl);
        // Either time may be unknown now and corrected later.
        let reach = self.longest_window().max(coded).saturating_add(2 * UNSAID_FOR);
        earlier(message.created_at, reach)..=later(message.created_at, reach)
    }

    /// When an untracked message is removed.
    pub fn untracked_until(&self, seen_at: Timestamp) -> Timestamp {
        later(seen_at, self.longest_window().max(UNTRACKED_FOR))
    }

    /// When the mark of a counted inbound message may be removed: later than any message that its replay could confirm is
    /// pending.
    pub fn seen_until(&self, seen_at: Timestamp) -> Timestamp {
        later(later(seen_at, self.pending_ttl), SEEN_MARGIN)
    }
}

/// How much longer than the pending lifetime the mark of a counted reply is kept.
const SEEN_MARGIN: Duration = Duration::from_hours(24);
