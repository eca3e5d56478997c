//! Lane: what the answers to one account's posts say about the account as a whole.
//!
//! Promises that feedback never competes with sending for the account's API concurrency (429 halves
//! ours), and that a fault of the account refuses no message. Pure: `now` and `jitter` are
//! arguments. Deliberately absent: waiting, logging, and the store.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::feedback::{Verdict, Why};
use crate::domain::retry::obeying;
use crate::domain::sid::MessageSid;

/// A minute without a 429 regains one place.
const CLEAN_WINDOW: Duration = Duration::from_mins(1);
/// The first 429 holds the account for this long and up to as much again.
const HOLD_BASE: Duration = Duration::from_secs(1);
/// Consecutive 429s double the hold up to this.
const HOLD_CAP: Duration = Duration::from_mins(1);
/// This many 404s without a success between them are the account's fault, or the region's.
const MISSING_LIMIT: u32 = 20;
/// How many messages that got 403 are remembered. One that is forgotten merely costs one more pause.
const DENIED_CAP: usize = 1024;

/// Whether a post may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many may.
    Now(usize),
    /// None may until then.
    After(Duration),
    /// None may until one that is under way has ended.
    Full,
}

/// How a lane stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Posts go out.
    Open,
    /// Waiting out a 429.
    Held,
    /// Turned away; one probe at a time finds out when that is over.
    Paused,
}

impl LaneState {
    /// The word used in metrics and the readiness detail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Held => "held",
            Self::Paused => "paused",
        }
    }
}

/// How a lane stands, for metrics and the readiness detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneReport {
    /// In one word.
    pub state: LaneState,
    /// How many posts it would have under way at most.
    pub limit: usize,
    /// How many are.
    pub in_flight: usize,
    /// Why it is paused, if it is.
    pub why: Option<Why>,
}

/// What just happened to a lane, to be said once and loudly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was open, and is paused now.
    Paused(Why),
    /// It was paused, and is open now.
    Reopened,
}

/// What a verdict means in the light of those before it; goes into `domain::retry::AttemptFacts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The message got 403 before, and another has succeeded since.
    pub suspect: bool,
    /// The lane is paused now.
    pub paused: bool,
    /// How long a message that is given back should stay away.
    pub hold: Duration,
    /// What changed, if anything did.
    pub change: Option<Change>,
}

#[derive(Debug)]
struct Pause {
    since: Instant,
    next_probe: Instant,
    why: Why,
}

/// One account's lane.
#[derive(Debug)]
pub struct Lane {
    ceiling: usize,
    probe_every: Duration,
    limit: usize,
    in_flight: usize,
    /// Since when posts have gone out without a 429, less what was credited for it.
    clean_since: Instant,
    hold_until: Option<Instant>,
    throttled_at: Option<Instant>,
    /// 429s in a row.
    throttles: u32,
    /// 404s in a row.
    missing: u32,
    pause: Option<Pause>,
    successes: u64,
    /// Messages that got 403, each with the number of successes before it.
    denied: VecDeque<(MessageSid, u64)>,
}

impl Lane {
    /// A lane that starts at its ceiling, and sends a probe so often while it is paused.
    #[must_use]
    pub fn new(ceiling: usize, probe_every: Duration, now: Instant) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            ceiling,
            probe_every,
            limit: ceiling,
            in_flight: 0,
            clean_since: now,
            hold_until: None,
            throttled_at: None,
            throttles: 0,
            missing: 0,
            pause: None,
            successes: 0,
            denied: VecDeque::new(),
        }
    }

    /// Whether a post may start. A paused lane lets one at a time through.
    pub fn room(&mut self, now: Instant) -> Room {
        self.regain(now);
        let probe = self.pause.as_ref().map(|pause| pause.next_probe);
        if probe.is_some() && self.in_flight > 0 {
            return Room::Full;
        }
        let wait = self.hold_until.max(probe).map(|until| until.saturating_duration_since(now));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Room::After(wait);
        }
        let limit = if probe.is_some() { 1 } else { self.limit };
        match limit.saturating_sub(self.in_flight) {
            0 => Room::Full,
            free => Room::Now(free),
        }
    }

    /// A post starts.
    pub fn begin(&mut self, now: Instant) {
        self.in_flight += 1;
        if let Some(pause) = &mut self.pause {
            pause.next_probe = now + self.probe_every;
        }
    }

    /// A post that had begun then ends so.
    pub fn end(
        &mut self,
        message: MessageSid,
        began: Instant,
        verdict: &Verdict,
        now: Instant,
        jitter: f64,
    ) -> Ruling {
        self.regain(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let mut suspect = false;
        let change = match verdict {
            Verdict::Done { .. } => self.succeed(began),
            Verdict::Throttle { after, .. } => self.throttle(*after, began, now, jitter),
            Verdict::Missing { why } => self.miss(why, now),
            Verdict::Pause { why } => {
                suspect = why.status == Some(403) && self.is_suspect(message);
                if suspect { None } else { self.stop(why, now) }
            }
            Verdict::Uncertain { .. } | Verdict::Retry { .. } | Verdict::Never { .. } => None,
        };
        Ruling { suspect, paused: self.pause.is_some(), hold: self.away(now, jitter), change }
    }

    /// How the lane stands.
    #[must_use]
    pub fn report(&self, now: Instant) -> LaneReport {
        let state = match &self.pause {
            Some(_) => LaneState::Paused,
            None if self.hold_until.is_some_and(|until| until > now) => LaneState::Held,
            None => LaneState::Open,
        };
        let why = self.pause.as_ref().map(|pause| pause.why.clone());
        LaneReport { state, limit: self.limit, in_flight: self.in_flight, why }
    }

    fn regain(&mut self, now: Instant) {
        while self.limit < self.ceiling
            && now.saturating_duration_since(self.clean_since) >= CLEAN_WINDOW
        {
            self.limit += 1;
            self.clean_since += CLEAN_WINDOW;
        }
    }

    /// Only what was begun after the pause proves that the pause is over.
    fn succeed(&mut self, began: Instant) -> Option<Change> {
        self.successes += 1;
        self.missing = 0;
        if self.throttled_at.is_none_or(|at| began > at) {
            self.throttles = 0;
        }
        self.pause.take_if(|pause| began >= pause.since).map(|_| Change::Reopened)
    }

    /// Posts that were under way together and are throttled together count once.
    fn throttle(
        &mut self,
        after: Option<Duration>,
        began: Instant,
        now: Instant,
        jitter: f64,
    ) -> Option<Change> {
        if self.throttled_at.is_none_or(|at| began > at) {
            self.limit = (self.limit / 2).max(1);
            self.throttled_at = Some(now);
            self.throttles = self.throttles.saturating_add(1);
        }
        let doublings = self.throttles.saturating_sub(1).min(6);
        let own = HOLD_BASE.saturating_mul(1 << doublings).mul_f64(1.0 + jitter).min(HOLD_CAP);
        let asked = after.map_or(Duration::ZERO, |after| obeying(after, jitter));
        let until = self.hold_until.map_or(now, |until| until.max(now)).max(now + own.max(asked));
        self.hold_until = Some(until);
        // A minute in which nothing was sent is no clean one.
        self.clean_since = until;
        None
    }

    fn miss(&mut self, why: &Why, now: Instant) -> Option<Change> {
        self.missing = self.missing.saturating_add(1);
        if self.missing < MISSING_LIMIT {
            return None;
        }
        let message = format!("{MISSING_LIMIT} answers of 404 in a row, the last: {}", why.message);
        self.stop(&Why { message, ..why.clone() }, now)
    }

    /// Pauses, unless it is paused already. The first reason stands until the lane is open again.
    fn stop(&mut self, why: &Why, now: Instant) -> Option<Change> {
        if self.pause.is_some() {
            return None;
        }
        let next_probe = now + self.probe_every;
        self.pause = Some(Pause { since: now, next_probe, why: why.clone() });
        Some(Change::Paused(why.clone()))
    }

    /// Notes a 403. True if this message had one before, and another message succeeded since.
    fn is_suspect(&mut self, message: MessageSid) -> bool {
        let known = self.denied.iter().position(|(denied, _)| *denied == message);
        let Some((at, &(_, before))) = known.and_then(|at| Some((at, self.denied.get(at)?))) else {
            if self.denied.len() >= DENIED_CAP {
                self.denied.pop_front();
            }
            self.denied.push_back((message, self.successes));
            return false;
        };
        let suspect = self.successes > before;
        if suspect {
            self.denied.remove(at);
        }
        suspect
    }

    /// Longer than until the next probe, so that the next one is made with another message.
    fn away(&self, now: Instant, jitter: f64) -> Duration {
        let held = self.hold_until.map(|until| until.saturating_duration_since(now));
        let paused = self.pause.as_ref().map(|pause| {
            let probe = pause.next_probe.saturating_duration_since(now).max(self.probe_every);
            probe.mul_f64(1.05 + jitter / 5.0)
        });
        held.max(paused).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
