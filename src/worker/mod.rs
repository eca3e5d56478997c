//! The worker claims due messages, posts their feedback to Twilio and stores the results. The store is the queue; only
//! posts in flight and the state of the lanes are in memory.
//!
//! Delivery is at least once: if a result is not stored, the message is posted again when its lease expires, which is
//! harmless. Deliberately absent: any effect on a webhook. The worker cannot import `inbound`.

mod attempt_log;
pub mod clock;
pub mod lane;
mod lanes;
mod observer;
pub mod sweep;
mod worker_log;

pub use crate::worker::observer::Observer;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};

use crate::domain::account_block::AccountNews;
use crate::domain::feedback::{Claim, EndedAttempt, OutcomeDetail, Settlement, Verdict};
use crate::domain::message::LastAttempt;
use crate::domain::retry::{AttemptFacts, MISSING_GRACE, RetryPolicy, conclude};
use crate::domain::sid::AccountSid;
use crate::store::{Clock, Store, StoreError};
use crate::upstream::Upstreams;
use crate::worker::attempt_log::{AttemptLog, STORE_WAIT, finish, settle_all};
use crate::worker::clock::monotonic;
use crate::worker::lane::{FinishedPost, Lane, Room};
use crate::worker::lanes::{Lanes, Rooms};

/// The longest wait after consecutive errors of the store.
const STORE_WAIT_CAP: Duration = Duration::from_secs(30);
/// The blocks that other receivers learned are read at most this often.
const BLOCKS_INTERVAL: Duration = Duration::from_secs(1);
/// A store that reports a due message but returns no claim is not polled more often than this.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The results of posts that end within this time are stored in one commit, and one claim takes their places. Far below
/// the duration of a post, which holds its place for this much longer.
const GATHER: Duration = Duration::from_millis(1);

/// The likely cause of a 404 for a message that Twilio itself named.
const MISSING_NAMED: &str = "a status callback of Twilio names this SID, so the account or region may be wrong, or the message deleted";
/// The likely cause of a 404 for any other message.
const MISSING_UNNAMED: &str =
    "no status callback of Twilio names this SID, so the SID may be wrong";

/// A source of numbers in `[0, 1)`. Injected, so that tests choose them.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

#[derive(Debug, Clone, Copy)]
pub struct WorkerConfig {
    /// Shared slots: the most posts in flight, own slots excluded.
    pub concurrency: usize,
    /// Own slots: this many accounts without a post in flight may start one each beyond the shared slots.
    pub own_slots: usize,
    /// A lease lasts for the longest post, this time before it, and this time after it, to store its result. Until it ends,
    /// the attempts of a killed process take places of their account. 10 s in `serve`.
    pub lease_margin: Duration,
    /// See [`RetryPolicy::give_up_after`].
    pub give_up_after: Duration,
    /// How often a paused lane is probed. 60 s in `serve`.
    pub probe_every: Duration,
    /// Decide and record, but do not post. A later run without it posts these confirmations.
    pub dry_run: bool,
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The number of posts that it started.
    pub started: usize,
    /// The time until the next step; `None`: only the end of a post or a change in the store makes one necessary.
    pub again_in: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    claim: Claim,
    began: Instant,
}

type JoinedPost = Result<(Id, Verdict), JoinError>;

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
    in_flight: HashMap<Id, InFlight>,
    /// Attempts whose results the store does not have yet. The next claim takes them along.
    ended: Vec<EndedAttempt>,
    /// What the other receivers of the store must know, before they see the results of the posts.
    news: Vec<(AccountSid, AccountNews)>,
    blocks_read_at: Option<Instant>,
    /// The time of the next claim. `None` if the last one got as many messages as it wanted: more may be due.
    next_claim: Option<Instant>,
    store_wait: Duration,
    /// No further post starts.
    is_stopping: Arc<AtomicBool>,
}

impl Worker {
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
            in_flight: HashMap::new(),
            ended: Vec::new(),
            news: Vec::new(),
            blocks_read_at: None,
            next_claim: None,
            store_wait: STORE_WAIT,
            is_stopping: Arc::default(),
        }
    }

    /// Runs until `shutdown` completes and all posts in flight are settled. A claim that arrives after `shutdown` is
    /// released before it is posted. If the future is dropped earlier, the leases expire and the messages are posted again.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let is_stopping = Arc::clone(&self.is_stopping);
        let mut shutdown = std::pin::pin!(async move {
            shutdown.await;
            is_stopping.store(true, Ordering::Relaxed);
        });
        if self.config.dry_run {
            tracing::warn!(
                "dry run: confirmations are recorded and not posted; they are posted once \
                 HEARDBACK_DRY_RUN is switched off"
            );
            return shutdown.await;
        }
        let store = Arc::clone(&self.store);
        loop {
            // Before the query, so that a change during the query also wakes the worker.
            let changed = store.changed();
            let tick = {
                let step = std::pin::pin!(self.tick());
                match select(&mut shutdown, step).await {
                    Either::Left(((), step)) => {
                        step.await;
                        break;
                    }
                    Either::Right((tick, _)) => tick,
                }
            };
            let look_every = self.look_every();
            let wait = tick.again_in.unwrap_or(look_every).min(look_every);
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(post) = self.posts.join_next_with_id() => self.finish_posts(post).await,
                () = changed => {}
                () = tokio::time::sleep(wait) => {}
            }
            // The time until the next claim is worth its cost.
            let next_claim = self.next_claim.map(|at| at.saturating_duration_since(monotonic()));
            let pause = next_claim.unwrap_or_default();
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(pause) => {}
                }
                while let Some(post) = self.posts.try_join_next_with_id() {
                    self.finish_post(post);
                }
            }
        }
        self.drain().await;
    }

    /// One step: stores the results of the posts that ended, claims as many messages as there is room for, and starts their
    /// posts.
    pub async fn tick(&mut self) -> Tick {
        self.share_news().await;
        let tick = self.claim_and_start().await;
        // Without a claim, nothing has taken the results along.
        self.settle_ended().await;
        tick
    }

    async fn claim_and_start(&mut self) -> Tick {
        let idle = |again_in| Tick { started: 0, again_in };
        if self.config.dry_run || self.is_stopping.load(Ordering::Relaxed) {
            return idle(None);
        }
        let before = monotonic();
        if let Err(error) = self.read_blocks(before).await {
            return idle(Some(self.note_error(&error)));
        }
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
            Err(error) => idle(Some(self.note_error(&error))),
        }
    }

    /// Returns the wait until the next try.
    fn note_error(&mut self, error: &StoreError) -> Duration {
        let wait = self.store_wait;
        self.store_wait = (wait * 2).min(STORE_WAIT_CAP);
        tracing::warn!(%error, "cannot claim messages: {error}; nothing is posted meanwhile, next try in {wait:?}");
        wait
    }

    /// The longest time until the next step.
    fn look_every(&self) -> Duration {
        let (first, last) = self.store.look_every().into_inner();
        first + last.saturating_sub(first).mul_f64((self.jitter)())
    }

    /// Takes over what the other receivers of the store learned from Twilio.
    async fn read_blocks(&mut self, now: Instant) -> Result<(), StoreError> {
        let age = self.blocks_read_at.map(|at| now.saturating_duration_since(at));
        if age.is_some_and(|age| age < BLOCKS_INTERVAL) {
            return Ok(());
        }
        let blocks = self.store.account_blocks().await?;
        self.blocks_read_at = Some(now);
        for (account, change) in self.lanes.share(&blocks, now) {
            worker_log::change(account, &change);
        }
        Ok(())
    }

    /// Shares with the other receivers of the store the account blocks that the last posts revealed. This precedes the
    /// settlements, which free places that the other receivers would use.
    async fn share_news(&mut self) {
        for (account_sid, news) in std::mem::take(&mut self.news) {
            if let Err(error) = self.store.share_news(account_sid, news).await {
                tracing::warn!(
                    %account_sid, %error,
                    "the other receivers do not learn Twilio's answer for {account_sid}: {error}; they learn it from \
                     their own posts"
                );
            }
        }
    }

    /// Awaits the end of one post and stores its result; false if no post is in flight. If it is cancelled, the message
    /// is posted again.
    pub async fn finished(&mut self) -> bool {
        let Some(post) = self.posts.join_next_with_id().await else { return false };
        self.finish_post(post);
        self.share_news().await;
        self.settle_ended().await;
        true
    }

    /// Awaits and settles all posts in flight.
    pub async fn drain(&mut self) {
        loop {
            self.share_news().await;
            self.settle_ended().await;
            let Some(post) = self.posts.join_next_with_id().await else { return };
            self.finish_posts(post).await;
        }
    }

    /// Finishes this post, and all others that end within [`GATHER`].
    async fn finish_posts(&mut self, first: JoinedPost) {
        self.finish_post(first);
        let others = async {
            while let Some(post) = self.posts.join_next_with_id().await {
                self.finish_post(post);
            }
        };
        // Posts that are still in flight then end in a later step.
        let _ = tokio::time::timeout(GATHER, others).await;
    }

    async fn settle_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() {
            settle_all(&self.attempt_log(), ended).await;
        }
    }

    fn attempt_log(&self) -> AttemptLog {
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

    /// Settles the ended attempts and claims further messages in one step, and starts their posts.
    async fn start_up_to(&mut self, rooms: &Rooms, before: Instant) -> Result<Tick, StoreError> {
        let margin = self.config.lease_margin;
        let lease = self.upstream.longest_post().saturating_add(margin.saturating_mul(2));
        self.next_claim = Some(before + self.store.claim_interval());
        let ended = std::mem::take(&mut self.ended);
        let (slots, quotas) = (rooms.slots, &rooms.quotas);
        let (settled, claims) = self.store.settle_and_claim(&ended, slots, lease, quotas).await;
        let log = self.attempt_log();
        let finishing = finish(&log, ended, settled);
        tokio::join!(self.start_all(claims, rooms, before + margin), finishing).0
    }

    /// Starts the posts of a claim.
    async fn start_all(
        &mut self,
        claims: Result<Vec<Claim>, StoreError>,
        rooms: &Rooms,
        latest: Instant,
    ) -> Result<Tick, StoreError> {
        let claims = claims?;
        let claimed = claims.len();
        let is_backlog = claimed > 0 && claimed == rooms.slots;
        if is_backlog {
            self.next_claim = None;
        }
        let mut started = 0;
        for claim in claims {
            started += usize::from(self.start(claim, latest).await);
        }
        let now = monotonic();
        self.lanes.report(self.observer.as_ref(), now);
        let left = self.rooms(now);
        let again_in = if self.is_full(&left) {
            None
        } else if is_backlog && left.slots > 0 {
            Some(Duration::ZERO)
        } else if claimed > 0 && !self.store.claim_interval().is_zero() {
            // The end of a post makes the next step, and a store that several processes share is polled in any case.
            left.opens_in
        } else {
            let due = self.store.next_due(&left.quotas).await?;
            due.map(|due| due.max(MIN_POLL_INTERVAL)).into_iter().chain(left.opens_in).min()
        };
        Ok(Tick { started, again_in })
    }

    /// Starts a post if its lane allows it, and before `latest`, so that its lease lasts; otherwise releases the claim.
    async fn start(&mut self, claim: Claim, latest: Instant) -> bool {
        let began = monotonic();
        let lane = self.lanes.of(claim.feedback.account, began);
        let wait = match room(lane, &claim, began) {
            _ if self.is_stopping.load(Ordering::Relaxed) => Duration::ZERO,
            Room::Now(_) if began < latest => {
                lane.begin(began, claim.missing);
                self.post(claim, began);
                return true;
            }
            Room::Now(_) | Room::Full => MIN_POLL_INTERVAL,
            Room::After(wait) => wait,
        };
        worker_log::released(&claim);
        let settlement = Settlement::Release { after: wait };
        let end = EndedAttempt { lease: claim.lease, settlement, attempt: None };
        settle_all(&self.attempt_log(), vec![end]).await;
        false
    }

    fn post(&mut self, claim: Claim, began: Instant) {
        let (upstream, feedback) = (Arc::clone(&self.upstream), claim.feedback);
        let handle = self.posts.spawn(async move { upstream.post(&feedback).await });
        self.in_flight.insert(handle.id(), InFlight { claim, began });
    }

    /// Reads the verdict on a post into the result of the attempt.
    fn finish_post(&mut self, post: JoinedPost) {
        let (id, verdict) = post.unwrap_or_else(|error| (error.id(), panicked(&error)));
        let Some(InFlight { claim, began }) = self.in_flight.remove(&id) else { return };
        let (now, account) = (monotonic(), claim.feedback.account);
        let took = now.saturating_duration_since(began);
        let age = (self.clock)().duration_since(claim.created_at).try_into().unwrap_or_default();
        let post = FinishedPost {
            message: claim.feedback.message,
            began,
            missing: claim.missing,
            named_by_twilio: claim.named_by_twilio && age >= MISSING_GRACE,
        };
        let context = self.lanes.of(account, now).end(&post, &verdict, now, (self.jitter)());
        let facts = AttemptFacts {
            attempts: claim.attempts,
            spent: claim.spent,
            took,
            age,
            suspect: context.suspect,
            hold: context.hold,
        };
        let policy = RetryPolicy { give_up_after: self.config.give_up_after };
        let settlement = conclude(&verdict, &facts, &policy, (self.jitter)());
        self.observer.posted(&claim, &verdict, took);
        worker_log::attempt(&claim, &verdict, took, &settlement);
        if let Some(change) = &context.change {
            worker_log::change(account, change);
        }
        self.news.extend(context.news.map(|news| (account, news)));
        self.lanes.report(self.observer.as_ref(), now);
        let attempt = Some(last_attempt(&claim, &verdict, (self.clock)(), took));
        self.ended.push(EndedAttempt { lease: claim.lease, settlement, attempt });
    }
}

fn room(lane: &mut Lane, claim: &Claim, now: Instant) -> Room {
    let room = lane.room(now);
    let is_full = claim.missing && lane.free_for_missing() == 0;
    if is_full && matches!(room, Room::Now(_)) { Room::Full } else { room }
}

/// The record of an attempt in its message. After a 404 it names the likely cause.
fn last_attempt(
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

/// The verdict on a post that panicked. It may have reached Twilio; another post is harmless.
fn panicked(error: &JoinError) -> Verdict {
    let message = format!("the attempt broke off: {error}");
    Verdict::Retry { why: OutcomeDetail { message, ..OutcomeDetail::default() }, after: None }
}
