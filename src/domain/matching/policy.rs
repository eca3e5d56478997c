//! What judgement depends on besides the facts: the settings, and how far times reach.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::click_link::Link;
use crate::domain::evidence::{Evidence, INFERRED_PARKED_FOR, SignalSource};
use crate::domain::message::{Message, State};
use crate::domain::timestamp_serde::{earlier, later};

/// How long a message that nobody asked feedback for is remembered, if the reply window is shorter.
/// It only has to shield newer ones from replies, and to await a registration that is late.
pub const UNTRACKED_FOR: Duration = Duration::from_hours(24);

/// A message of which nobody said when it was created may be older than our first word of it by this
/// much: registrations and callbacks take seconds, with retries minutes.
pub const UNSAID_FOR: Duration = INFERRED_PARKED_FOR;

/// How far the clocks of the app, of Twilio and of this machine may be apart before we believe that a
/// message is younger than what was done with it.
pub const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A message that is older than this when the person acts may be a former one under the same reference. Evidence by
/// reference waits for [`REGISTERED_WITHIN`] before it confirms such a message.
pub const REFERENCE_FRESH_FOR: Duration = Duration::from_mins(15);

/// No person reads a message and answers it within this time of its creation.
pub const AUTOMATIC_WITHIN: Duration = Duration::from_secs(5);

/// Texts of a sender that answered automatically prove nothing for this long.
pub const AUTOMATIC_FOR: Duration = Duration::from_hours(7 * 24);

/// The most evidence that waits for one reference or person. More than this is a loop, not a person.
pub const MAX_PARKED: usize = 16;

/// The default limit of all parked evidence. It leaves most of a volume of 1 GiB free.
pub const DEFAULT_MAX_PARKED: u64 = 200_000;

/// What time it is. The two differ while the wall clock has jumped ahead and no second source agrees
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a message stays pending.
    pub pending_ttl: Duration,
    /// How old a message a reply or a call may confirm.
    pub reply_window: Duration,
    /// The greatest age of a message that an app's event may confirm, if the event names only the person.
    pub event_window: Duration,
    /// How long finished records are kept.
    pub retention: Duration,
    /// Whether the status `read` counts as evidence.
    pub read_confirms: bool,
    /// Which of several messages under one reference is confirmed.
    pub resend: Resend,
}

/// In which order messages are evicted from a full store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionRank {
    /// The message was sent without a request for feedback.
    Untracked,
    /// Nothing is left to do for it.
    Finished,
    /// The operator may still requeue it.
    Refused,
}

impl EvictionRank {
    /// Every rank, the first to go first.
    pub const ALL: [Self; 3] = [Self::Untracked, Self::Finished, Self::Refused];
}

/// Which of several messages under one reference evidence confirms that names only the reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resend {
    /// The newest that may have arrived.
    #[default]
    Newest,
    /// The only one that may have arrived; none where there are several.
    OnlyDeliverable,
    /// All that may have arrived.
    All,
    /// The one whose code was entered. Without a code, as [`Self::OnlyDeliverable`]: the only one, none where there are several.
    Code,
}

impl Resend {
    pub const ALL: [Self; 4] = [Self::Newest, Self::OnlyDeliverable, Self::All, Self::Code];

    /// The word used in the settings.
    #[must_use]
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
    /// Until when a link is kept: as long as its message may be confirmed, and then remembered.
    #[must_use]
    pub fn link_until(&self, link: &Link) -> Timestamp {
        later(later(link.created_at, self.pending_ttl), self.retention)
    }

    /// The greatest age of a message that this evidence may confirm, if it names only the person.
    #[must_use]
    pub fn window_of(&self, evidence: &Evidence) -> Duration {
        match evidence.source {
            SignalSource::App => self.event_window,
            SignalSource::Reply | SignalSource::Call | SignalSource::Click | SignalSource::Link => {
                self.reply_window
            }
        }
    }

    /// The longer of the two windows.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        self.reply_window.max(self.event_window)
    }

    /// Until when a finished message is kept: for the retention, and for as long as it shields others.
    #[must_use]
    pub fn kept_until(&self, message: &Message) -> Timestamp {
        later(message.since, self.retention).max(self.shields_until(message))
    }

    /// Until when judgement needs a message, whatever its state: for as long as it can be the newest that
    /// a person may have acted upon. Without it, evidence would slide to an older message.
    #[must_use]
    pub fn shields_until(&self, message: &Message) -> Timestamp {
        let shields = later(later(message.created_at, self.longest_window()), UNSAID_FOR);
        // Evidence by its reference or code has to see it among the others, or takes them for all.
        if message.reference.is_some() || message.code.is_some() {
            return shields.max(later(message.remembered_at, self.pending_ttl));
        }
        shields
    }

    /// Whether a message may be removed early to make room for a new one in a full store, and from when
    /// on; the smallest first. `None`: never, because its confirmation is still awaited or unreported.
    #[must_use]
    pub fn evictable_from(&self, message: &Message) -> Option<(EvictionRank, Timestamp)> {
        let rank = match message.state {
            State::Pending | State::Confirmed => return None,
            State::Untracked => EvictionRank::Untracked,
            State::Expired | State::Undelivered | State::Reported => EvictionRank::Finished,
            State::Refused => EvictionRank::Refused,
        };
        Some((rank, self.shields_until(message).max(message.since)))
    }

    /// Until when `message` has to stay in a full store because of `other`, a message to the same person. Without
    /// `message`, late evidence would confirm `other`: evidence from before an outage, or replayed.
    #[must_use]
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

    /// The creation times of messages that compete with this one: one piece of evidence may be about either.
    #[must_use]
    pub fn reach(&self, message: &Message) -> RangeInclusive<Timestamp> {
        let coded = message.code.map_or(Duration::ZERO, |_| self.pending_ttl);
        // Either moment may be unknown and be corrected later.
        let reach = self.longest_window().max(coded).saturating_add(2 * UNSAID_FOR);
        earlier(message.created_at, reach)..=later(message.created_at, reach)
    }

    /// When a message that nobody asked feedback for, first seen at that moment, is forgotten.
    #[must_use]
    pub fn untracked_until(&self, seen_at: Timestamp) -> Timestamp {
        later(seen_at, self.longest_window().max(UNTRACKED_FOR))
    }

    /// When an inbound message counted at that moment may be forgotten: later than any message that
    /// it could be replayed against is still pending.
    #[must_use]
    pub fn seen_until(&self, seen_at: Timestamp) -> Timestamp {
        later(later(seen_at, self.pending_ttl), SEEN_MARGIN)
    }
}

/// How much longer than a message stays pending its replies are remembered as counted.
const SEEN_MARGIN: Duration = Duration::from_hours(24);
