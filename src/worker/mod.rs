//! Worker: claims what is due, posts it, settles it. The store is the queue; nothing is kept here
//! but what is under way and what is known of the account.
//!
//! Promises at-least-once: an attempt whose end could not be written down is made again when its
//! lease has lapsed ("confirmed" said twice is the same state). Deliberately absent: anything that
//! a webhook could wait for. The worker cannot see `inbound`, nor slow it down.

mod attempt_log;
pub mod clock;
pub mod lane;
mod lanes;
pub mod sweep;
mod worker_log;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};

use crate::domain::feedback::{Claim, Feedback, OutcomeDetail, Settlement, Verdict};
use crate::domain::message::LastAttempt;
use crate::domain::retry::{AttemptFacts, MISSING_GRACE, RetryPolicy, conclude};
use crate::domain::sid::AccountSid;
use crate::store::{Clock, Store, StoreError, Swept};
use crate::upstream::Upstreams;
use crate::worker::attempt_log::{AttemptLog, EndedAttempt, settle, settle_all};
use crate::worker::lane::{FinishedPost, Lane, LaneReport, Room};
use crate::worker::lanes::{Lanes, Rooms};

/// Left of a lease after the longest post, to write its end down.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// The first wait for a store that cannot be reached; doubles up to [`STORE_WAIT_CAP`].
const STORE_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for a store that cannot be reached.
const STORE_WAIT_CAP: Duration = Duration::from_secs(30);
/// Looks at the store this often even unasked: a shared store may miss a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A store that says "due now" and hands out nothing is not asked more often than this.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The likely cause of a 404 for a message that Twilio itself named.
const MISSING_NAMED: &str = "a status callback of Twilio names this SID, so the account or region may be wrong, or the message deleted";
/// The likely cause of a 404 for any other message.
const MISSING_UNNAMED: &str =
    "no status callback of Twilio names this SID, so the SID may be wrong";

/// A source of numbers in `[0, 1)`. Injected, so that tests own it.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What the worker is told.
#[derive(Debug, Clone, Copy)]
pub struct WorkerConfig {
    /// Shared slots: posts under way at a time.
    pub concurrency: usize,
    /// Own slots: beyond the shared ones, this many accounts without a post under way may start one each.
    pub own_slots: usize,
    /// How long a claim holds. 60 s in `serve`.
    pub lease: Duration,
    /// See [`RetryPolicy::give_up_after`].
    pub give_up_after: Duration,
    /// How often a paused lane is probed. 60 s in `serve`.
    pub probe_every: Duration,
    /// Decide and record, but do not post. A later run without it posts these confirmations.
    pub dry_run: bool,
}

/// Is told what happens, for metrics and the readiness detail. Must not block.
pub trait Observer: Send + Sync {
    /// An attempt ended with this verdict's word after that long.
    fn attempt(&self, verdict: &'static str, took: Duration);
    /// The same attempt, with its message and the whole verdict.
    fn posted(&self, claim: &Claim, verdict: &Verdict, took: Duration);
    /// An attempt's end was written down; the [`Settlement`]'s word.
    fn settled(&self, settlement: &'static str);
    /// A step of the sweep ended.
    fn swept(&self, swept: &Swept);
    /// An account's lane stands differently than before.
    fn lane(&self, account: AccountSid, report: &LaneReport);
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Posts that were started.
    pub started: usize,
    /// When the next step has something to do; `None` if only the end of a post or a change in the
    /// store can bring it about.
    pub again_in: Option<Duration>,
}

/// A post under way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    claim: Claim,
    began: Instant,
}

type Landed = Result<(Id, Verdict), JoinError>;

/// The worker: a step ([`Self::tick`]) and a loop ([`Self::run`]).
pub struct Worker {
    store: Arc<dyn Store>,
    upstream: Arc<Upstreams>,
    config: WorkerConfig,
    clock: Clock,
    jitter: Jitter,
    observer: Arc<dyn Observer>,
    lanes: Lanes,
    /// The [`Upstreams::generation`] at which the lanes were last updated.
    generation: u64,
    posts: JoinSet<Verdict>,
    flights: HashMap<Id, Flight>,
    store_wait: Duration,
}

impl Worker {
    /// A worker that has not started anything yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        upstream: Arc<Upstreams>,
        config: WorkerConfig,
        clock: Clock,
        jitter: Jitter,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let generation = upstream.generation();
        Self {
            store,
            upstream,
            generation,
            config,
            clock,
            jitter,
            observer,
            lanes: Lanes::new(config.concurrency, config.probe_every),
            posts: JoinSet::new(),
            flights: HashMap::new(),
            store_wait: STORE_WAIT,
        }
    }

    /// The loop. Ends when `shutdown` does, once what is under way has been settled; to end sooner,
    /// drop it: the leases lapse, and the attempts are made again.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        if self.config.dry_run {
            tracing::warn!(
                "dry run: confirmations are recorded and not posted; they are posted once \
                 HEARDBACK_DRY_RUN is switched off"
            );
            return shutdown.await;
        }
        let store = Arc::clone(&self.store);
        let mut ends = Vec::new();
        loop {
            // Before the query, so that what comes in between still wakes us.
            let changed = store.changed();
            // What has ended is written down in the group in which the next are handed out.
            let settling = settle_all(self.book(), std::mem::take(&mut ends));
            let (tick, ()) = tokio::join!(self.tick(), settling);
            let nap = tick.again_in.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(landed) = self.posts.join_next_with_id() => ends = self.finish_posts(landed),
                () = changed => {}
                () = tokio::time::sleep(nap) => {}
            }
        }
        self.drain().await;
    }

    /// One step: claims as many messages as there is room for, and starts their posts.
    pub async fn tick(&mut self) -> Tick {
        let idle = |again_in| Tick { started: 0, again_in };
        if self.config.dry_run {
            return idle(None);
        }
        let before = Instant::now();
        let rooms = self.rooms(before);
        self.lanes.report(self.observer.as_ref(), before);
        if self.is_full(&rooms) {
            return idle(None);
        }
        match self.start_up_to(&rooms, before).await {
            Ok(tick) => {
                self.store_wait = STORE_WAIT;
                tick
            }
            Err(error) => {
                let wait = self.store_wait;
                self.store_wait = (wait * 2).min(STORE_WAIT_CAP);
                tracing::warn!(%error, "the store hands out nothing, next try in {wait:?}: {error}");
                idle(Some(wait))
            }
        }
    }

    /// Awaits the end of one post and writes it down; false if none is under way. Not to be
    /// cancelled: an end that was awaited and not written down costs another attempt.
    pub async fn finished(&mut self) -> bool {
        let Some(landed) = self.posts.join_next_with_id().await else { return false };
        settle_all(self.book(), self.finish_post(landed).into_iter().collect()).await;
        true
    }

    /// Awaits and settles everything under way.
    pub async fn drain(&mut self) {
        while let Some(landed) = self.posts.join_next_with_id().await {
            settle_all(self.book(), self.finish_posts(landed)).await;
        }
    }

    /// Every post that has ended, and how.
    fn finish_posts(&mut self, first: Landed) -> Vec<EndedAttempt> {
        let mut ends: Vec<_> = self.finish_post(first).into_iter().collect();
        while let Some(landed) = self.posts.try_join_next_with_id() {
            ends.extend(self.finish_post(landed));
        }
        ends
    }

    /// Where ends are written down.
    fn book(&self) -> AttemptLog {
        (Arc::clone(&self.store), Arc::clone(&self.observer))
    }

    /// Whether no account may start a post. With several accounts and a free own slot, only the store knows.
    fn is_full(&self, rooms: &Rooms) -> bool {
        rooms.slots == 0 && (rooms.quotas.own_slots == 0 || self.upstream.accounts() < 2)
    }

    fn rooms(&mut self, now: Instant) -> Rooms {
        let generation = self.upstream.generation();
        if generation != std::mem::replace(&mut self.generation, generation) {
            self.lanes.distrust(now);
        }
        let (shared, own, posts) =
            (self.config.concurrency.max(1), self.config.own_slots, self.posts.len());
        let own = own.saturating_sub(posts.saturating_sub(shared));
        self.lanes.room(shared.saturating_sub(posts), own, now)
    }

    async fn start_up_to(&mut self, rooms: &Rooms, before: Instant) -> Result<Tick, StoreError> {
        let claims = self.store.claim(rooms.slots, self.config.lease, &rooms.quotas).await?;
        let claimed = claims.len();
        let mut started = 0;
        for claim in claims {
            started += usize::from(self.start(claim, before).await);
        }
        let now = Instant::now();
        self.lanes.report(self.observer.as_ref(), now);
        let left = self.rooms(now);
        let again_in = if self.is_full(&left) {
            None
        } else if claimed > 0 && claimed == rooms.slots && left.slots > 0 {
            Some(Duration::ZERO)
        } else {
            let due = self.store.next_due(&left.quotas).await?;
            due.map(|due| due.max(LOOK_AGAIN)).into_iter().chain(left.opens_in).min()
        };
        Ok(Tick { started, again_in })
    }

    /// Starts a post, if its lease leaves the time and its lane the room; else gives it back.
    /// `before` the claim the lease had not begun, so it surely lasts that long from there.
    async fn start(&mut self, claim: Claim, before: Instant) -> bool {
        let began = Instant::now();
        let left = self.config.lease.saturating_sub(began.saturating_duration_since(before));
        let lane = self.lanes.of(claim.feedback.account, began);
        let wait = match room(lane, &claim, began) {
            Room::Now(_) if left >= self.upstream.longest_post() + LEASE_MARGIN => {
                lane.begin(began, claim.missing);
                self.post(claim, began);
                return true;
            }
            Room::Now(_) | Room::Full => LOOK_AGAIN,
            Room::After(wait) => wait,
        };
        worker_log::untried(&claim);
        let settlement = Settlement::Release { after: wait };
        settle(&self.book(), EndedAttempt { lease: claim.lease, settlement, attempt: None }).await;
        false
    }

    fn post(&mut self, claim: Claim, began: Instant) {
        let (upstream, feedback): (_, Feedback) = (Arc::clone(&self.upstream), claim.feedback);
        let handle = self.posts.spawn(async move { upstream.post(&feedback).await });
        self.flights.insert(handle.id(), Flight { claim, began });
    }

    /// What becomes of a message whose post has ended.
    fn finish_post(&mut self, landed: Landed) -> Option<EndedAttempt> {
        let (id, verdict) = match landed {
            Ok(landed) => landed,
            Err(error) => (error.id(), lost(&error)),
        };
        let Flight { claim, began } = self.flights.remove(&id)?;
        let (now, account) = (Instant::now(), claim.feedback.account);
        let took = now.saturating_duration_since(began);
        let lane = self.lanes.of(account, now);
        let age = (self.clock)().duration_since(claim.created_at).try_into().unwrap_or_default();
        let post = FinishedPost {
            message: claim.feedback.message,
            began,
            missing: claim.missing,
            named_by_twilio: claim.named_by_twilio && age >= MISSING_GRACE,
        };
        let ruling = lane.end(&post, &verdict, now, (self.jitter)());
        let facts = AttemptFacts {
            attempts: claim.attempts,
            spent: claim.spent,
            took,
            age,
            suspect: ruling.suspect,
            hold: ruling.hold,
        };
        let policy = RetryPolicy { give_up_after: self.config.give_up_after };
        let end = conclude(&verdict, &facts, &policy, (self.jitter)());
        self.observer.attempt(verdict.as_str(), took);
        self.observer.posted(&claim, &verdict, took);
        worker_log::attempt(&claim, &verdict, took, &end);
        if let Some(change) = &ruling.change {
            worker_log::change(account, change);
        }
        self.lanes.report(self.observer.as_ref(), now);
        let attempt = Some(log_fields(&claim, &verdict, (self.clock)(), took));
        Some(EndedAttempt { lease: claim.lease, settlement: end, attempt })
    }
}

fn room(lane: &mut Lane, claim: &Claim, now: Instant) -> Room {
    let room = lane.room(now);
    let is_full = claim.missing && lane.free_for_missing() == 0;
    if is_full && matches!(room, Room::Now(_)) { Room::Full } else { room }
}

/// How an attempt went, for those who look at the message later. After a 404 it names the likely cause.
fn log_fields(
    claim: &Claim,
    verdict: &Verdict,
    ended_at: Timestamp,
    took: Duration,
) -> LastAttempt {
    let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    let mut why = verdict.detail().cloned().unwrap_or_default();
    if matches!(verdict, Verdict::Missing { .. }) {
        let cause = if claim.named_by_twilio { MISSING_NAMED } else { MISSING_UNNAMED };
        why.message = format!("{}; {cause}", why.message);
    }
    let (number, status) = (claim.attempts, verdict.status());
    LastAttempt { number, ended_at, took_ms, status, code: why.code, message: why.message }
}

/// An attempt that ended in a panic. It may have reached Twilio; trying again harms nobody.
fn lost(error: &JoinError) -> Verdict {
    let message = format!("the attempt broke off: {error}");
    Verdict::Retry { why: OutcomeDetail { message, ..OutcomeDetail::default() }, after: None }
}
