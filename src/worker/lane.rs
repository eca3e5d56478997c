//! A lane is the concurrency limit and the circuit breaker of one account's posts.
//!
//! A 429 halves the limit, so that feedback leaves the account's API concurrency to sending. Slow failures halve it,
//! too, so that posts that hang hold few slots. No message is refused because of a problem of the whole account. This
//! module does not wait, log or use the store, and `now` and `jitter` are arguments.
//!
//! A 404 has two causes that look alike: Twilio does not know the SID, or the account or region is wrong. So 404s never
//! delay the first post of a message, and one success shows that the account is right. Until then no message is refused
//! for a 404. A pause by 404s needs a new success, because the account may have become wrong since the last one. During a
//! pause by 404s, messages that had one are posted one at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::feedback::{OutcomeDetail, Verdict};
use crate::domain::findings::UNKNOWN_SIDS;
use crate::domain::retry::obeying;
use crate::domain::sid::MessageSid;

/// Each such time without a 429 or a slow failure raises the limit by one.
const CLEAN_WINDOW: Duration = Duration::from_mins(1);
/// The first 429 holds the account for this long and up to as much again.
const HOLD_BASE: Duration = Duration::from_secs(1);
/// Consecutive 429s double the hold up to this.
const HOLD_CAP: Duration = Duration::from_mins(1);
/// A failed post that took this long held a slot for nothing. Shorter than any timeout of a post.
const SLOW: Duration = Duration::from_secs(2);
/// From this count on, each slow failure halves the limit. A conclusive verdict resets the count.
const SLOW_LIMIT: u32 = 2;
/// This many 404s without a success between them pause the lane.
const MISSING_LIMIT: u32 = 20;
/// A message that had a 404 is posted again after the probe interval divided by this, plus up to half as much.
const MISSING_WAIT: u32 = 12;
/// How many messages that got 403 are remembered. One that is forgotten merely costs one more pause.
const DENIED_CAP: usize = 1024;

/// Whether a post may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// This many posts may start now.
    Now(usize),
    /// No post may start for this long.
    After(Duration),
    /// No post may start until a running one ends.
    Full,
}

/// How a lane stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Posts go out.
    Open,
    /// Waiting out a 429.
    Held,
    /// Turned away; one probe at a time finds out when that is over. After 404s, only messages that had one are
    /// posted one at a time.
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
    pub in_flight: usize,
    /// Why it is paused, if it is.
    pub why: Option<OutcomeDetail>,
}

/// A change of a lane's state. The caller logs it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneChange {
    /// It was open or paused for another reason, and is paused now.
    Paused(OutcomeDetail),
    /// Posts hang, and it has this many places now.
    Narrowed(usize),
    /// It was paused, and is open now.
    Reopened,
}

/// What a verdict means in the light of those before it; goes into `domain::retry::AttemptFacts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictContext {
    /// The message got the same 403 or 404 before, and another message of the account succeeded.
    pub suspect: bool,
    /// The lane is paused now.
    pub paused: bool,
    /// How long a message that is given back, or that got a 404, should stay away.
    pub hold: Duration,
    /// What changed, if anything did.
    pub change: Option<LaneChange>,
}

/// A post that has ended.
#[derive(Debug, Clone, Copy)]
pub struct FinishedPost {
    pub message: MessageSid,
    pub began: Instant,
    /// The message's last attempt before it got a 404.
    pub missing: bool,
    /// Twilio itself named the message, long enough ago to be visible everywhere.
    pub named_by_twilio: bool,
}

#[derive(Debug)]
struct Pause {
    since: Instant,
    /// `None` after 404s, which close the lane for no message that had none.
    next_probe: Option<Instant>,
    why: OutcomeDetail,
}

/// One account's lane.
#[derive(Debug)]
pub struct Lane {
    ceiling: usize,
    probe_every: Duration,
    limit: usize,
    in_flight: usize,
    /// Posts begun since the start.
    begun: usize,
    /// When the time without a 429 or a slow failure began. Each raise of the limit moves it by [`CLEAN_WINDOW`].
    clean_since: Instant,
    hold_until: Option<Instant>,
    throttled_at: Option<Instant>,
    /// 429s in a row.
    throttles: u32,
    /// Slow failures in a row.
    slow: u32,
    narrowed_at: Option<Instant>,
    /// 404s in a row.
    missing: u32,
    /// How many of them were for messages that Twilio itself named.
    missing_named: u32,
    /// Posts under way for messages that had a 404.
    missing_in_flight: usize,
    /// Since the start, a pause or a change of the credentials. A post that began later and succeeded proves the account.
    doubted_at: Instant,
    proven: bool,
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
            begun: 0,
            clean_since: now,
            hold_until: None,
            throttled_at: None,
            throttles: 0,
            slow: 0,
            narrowed_at: None,
            missing: 0,
            missing_named: 0,
            missing_in_flight: 0,
            doubted_at: now,
            proven: false,
            pause: None,
            successes: 0,
            denied: VecDeque::new(),
        }
    }

    /// Whether a post may start. A lane that is paused by anything but 404s lets one at a time through.
    pub fn room(&mut self, now: Instant) -> Room {
        self.regain(now);
        let probe = self.pause.as_ref().and_then(|pause| pause.next_probe);
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

    /// How many posts of [`Self::room`] may be for messages that had a 404: one at a time during a pause by 404s.
    #[must_use]
    pub fn free_for_missing(&self) -> usize {
        match &self.pause {
            Some(Pause { next_probe: None, .. }) => 1_usize.saturating_sub(self.missing_in_flight),
            Some(_) | None => usize::MAX,
        }
    }

    /// Posts under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Posts begun since the start.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.begun
    }

    /// From now on a post has to succeed again before a message is refused for a 404.
    pub fn distrust(&mut self, now: Instant) {
        (self.doubted_at, self.proven) = (now, false);
    }

    /// A post starts; `missing`: of a message that had a 404.
    pub fn begin(&mut self, now: Instant, missing: bool) {
        self.in_flight += 1;
        self.begun = self.begun.wrapping_add(1);
        self.missing_in_flight += usize::from(missing);
        if let Some(probe) = self.pause.as_mut().and_then(|pause| pause.next_probe.as_mut()) {
            *probe = now + self.probe_every;
        }
    }

    /// Records the end of a post, and says what its verdict means for the lane and the message.
    pub fn end(
        &mut self,
        post: &FinishedPost,
        verdict: &Verdict,
        now: Instant,
        jitter: f64,
    ) -> VerdictContext {
        self.regain(now);
        let began = post.began;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.missing_in_flight = self.missing_in_flight.saturating_sub(usize::from(post.missing));
        let is_slow = now.saturating_duration_since(began) >= SLOW;
        if !matches!(verdict, Verdict::Retry { .. } | Verdict::Uncertain { .. }) {
            self.slow = 0;
        }
        let mut suspect = false;
        let change = match verdict {
            Verdict::Done { .. } => self.succeed(post),
            Verdict::Throttle { after, .. } => self.throttle(*after, began, now, jitter),
            Verdict::Missing { why } => {
                suspect = post.missing && self.proven;
                if suspect { None } else { self.miss(post, why, now) }
            }
            Verdict::Pause { why } => {
                suspect = why.status == Some(403) && self.is_suspect(post.message);
                if suspect { None } else { self.stop(why, Some(now + self.probe_every), now) }
            }
            Verdict::Uncertain { .. } | Verdict::Retry { .. } if is_slow => self.narrow(began, now),
            Verdict::Uncertain { .. } | Verdict::Retry { .. } | Verdict::Never { .. } => None,
        };
        let hold = if matches!(verdict, Verdict::Missing { .. }) {
            (self.probe_every / MISSING_WAIT).mul_f64(1.0 + jitter / 2.0)
        } else {
            self.away(now, jitter)
        };
        VerdictContext { suspect, paused: self.pause.is_some(), hold, change }
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
    fn succeed(&mut self, post: &FinishedPost) -> Option<LaneChange> {
        let began = post.began;
        self.successes += 1;
        (self.missing, self.missing_named) = (0, 0);
        self.proven |= began >= self.doubted_at;
        if self.throttled_at.is_none_or(|at| began > at) {
            self.throttles = 0;
        }
        self.pause.take_if(|pause| began >= pause.since).map(|_| LaneChange::Reopened)
    }

    /// Posts that were under way together and are throttled together count once.
    fn throttle(
        &mut self,
        after: Option<Duration>,
        began: Instant,
        now: Instant,
        jitter: f64,
    ) -> Option<LaneChange> {
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

    /// Posts that were under way together and hang together count once.
    fn narrow(&mut self, began: Instant, now: Instant) -> Option<LaneChange> {
        self.clean_since = now;
        self.slow = self.slow.saturating_add(1);
        if self.slow < SLOW_LIMIT
            || self.limit == 1
            || self.narrowed_at.is_some_and(|at| began < at)
        {
            return None;
        }
        self.limit = (self.limit / 2).max(1);
        self.narrowed_at = Some(now);
        Some(LaneChange::Narrowed(self.limit))
    }

    /// A 404 that began during a pause shows that Twilio accepts the credentials, so only messages with a 404 wait.
    fn miss(
        &mut self,
        post: &FinishedPost,
        why: &OutcomeDetail,
        now: Instant,
    ) -> Option<LaneChange> {
        self.missing = self.missing.saturating_add(1);
        self.missing_named = self.missing_named.saturating_add(u32::from(post.named_by_twilio));
        let closed = self.pause.as_ref().filter(|pause| pause.next_probe.is_some());
        let is_due =
            closed.map_or(self.missing >= MISSING_LIMIT, |pause| post.began >= pause.since);
        let named = self.missing_named;
        // Said again only if the cause turns out to be another one.
        let is_said = closed.is_none()
            && self
                .pause
                .as_ref()
                .is_some_and(|pause| named == 0 || !pause.why.message.contains(UNKNOWN_SIDS));
        if !is_due || is_said {
            return None;
        }
        let cause = match named {
            0 => UNKNOWN_SIDS.to_owned(),
            _ => format!("a status callback of Twilio names {named} of these SIDs"),
        };
        let count = self.missing;
        let answers = if count == 1 { "answer" } else { "answers" };
        let message = format!("{count} {answers} of 404 in a row, and {cause}");
        self.pause = None;
        self.stop(&OutcomeDetail { message, ..why.clone() }, None, now)
    }

    /// Pauses the lane, unless a probe is planned already: then the earlier reason stands. A pause by 404s plans no
    /// probe, so another reason replaces it.
    fn stop(
        &mut self,
        why: &OutcomeDetail,
        next_probe: Option<Instant>,
        now: Instant,
    ) -> Option<LaneChange> {
        if self.pause.as_ref().is_some_and(|pause| pause.next_probe.is_some()) {
            return None;
        }
        self.distrust(now);
        self.pause = Some(Pause { since: now, next_probe, why: why.clone() });
        Some(LaneChange::Paused(why.clone()))
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
        let probe = self.pause.as_ref().and_then(|pause| pause.next_probe);
        let paused = probe.map(|probe| {
            let probe = probe.saturating_duration_since(now).max(self.probe_every);
            probe.mul_f64(1.05 + jitter / 5.0)
        });
        held.max(paused).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
