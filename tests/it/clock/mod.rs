//! A wall clock that jumps: nothing expires and nothing is removed before a second source confirms the time.

pub(crate) mod binary;
mod jumps;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heardback::domain::code::CodeKey;
use heardback::domain::feedback::Settlement;
use heardback::domain::matching::{ObserveOutcome, Reason};
use heardback::domain::message::State;
use heardback::domain::signal::MessageUpdate;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{ClockGuard, Filter, Quotas, Store, Swept};
use jiff::SignedDuration;
use tempfile::TempDir;

use crate::given::{
    DAY, HOUR, Hands, MINUTE, at, direct, options, person, reason, reference, registered, reply,
    shared, sid, status,
};

/// A store with a wall clock and an uptime, which the test moves separately.
struct Bench {
    folder: TempDir,
    wall: Hands,
    uptime: Arc<AtomicU64>,
    store: Option<Arc<dyn Store>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut bench =
            Self { folder, wall: Hands::default(), uptime: Arc::default(), store: None };
        bench.start_at(0);
        bench
    }

    /// Opens the store with the wall clock at that second. Closes it first if it is open.
    fn start_at(&mut self, wall: i64) {
        drop(self.store.take());
        self.wall.set(wall);
        let uptime = Arc::clone(&self.uptime);
        let uptime = move || Duration::from_secs(uptime.load(Ordering::SeqCst));
        let guard = ClockGuard::disciplined(self.wall.clock(), Arc::new(uptime), Arc::new(|_| {}));
        self.store = Some(opened(self.folder.path(), &self.wall, guard));
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().expect("open")
    }

    /// Moves both clocks: the uptime by so many seconds, the wall clock to that second.
    fn passes(&self, seconds: u64, wall: i64) {
        self.uptime.fetch_add(seconds, Ordering::SeqCst);
        self.wall.set(wall);
    }

    async fn sweep(&self) -> Swept {
        let mut all = Swept::default();
        while {
            all += self.store().expire(7).await.expect("swept");
            !all.complete
        } {}
        all
    }

    async fn state(&self, n: u32) -> Option<State> {
        self.store().show(sid(n)).await.expect("shown").map(|message| message.state)
    }

    fn ahead(&self) -> Option<SignedDuration> {
        self.store().clock_guard().jump().map(|jump| jump.ahead)
    }
}

fn opened(folder: &Path, wall: &Hands, clock: Arc<ClockGuard>) -> Arc<dyn Store> {
    let given = options(folder, wall.clock());
    Arc::new(SledStore::open(Options { clock, ..given }).expect("it opens"))
}

/// One record of each kind that a sweep may expire, orphan or remove: a pending message (1), an
/// undelivered one (2), an untracked one (3), parked evidence (4), a counted reply.
async fn filled() -> Bench {
    let bench = Bench::new();
    let store = bench.store();
    let key = CodeKey::new(b"the app's key");
    let coded = MessageUpdate { code: Some(key.hmac(sid(1), "111111")), ..registered(1, 0) };
    store.remember(coded).await.expect("remembered");
    let failed = MessageUpdate { status: status(2, "failed", 0).status, ..registered(2, 0) };
    store.remember(failed).await.expect("remembered");
    store.remember(status(3, "sent", -2 * HOUR)).await.expect("remembered");
    store.observe(direct(4, 0)).await.expect("observed");
    store.observe(reply(7, -3 * HOUR)).await.expect("observed");
    bench
}

const NOTHING: Swept = Swept {
    confirmed: Vec::new(),
    expired: 0,
    orphaned: 0,
    messages: 0,
    evidence: 0,
    links: 0,
    marks: 0,
    evicted: 0,
    complete: true,
};

#[tokio::test]
async fn a_start_forty_days_ahead_removes_nothing_and_each_record_counts_with_the_right_clock() {
    let mut bench = filled().await;
    let counts = bench.store().counts();
    for start in [40 * DAY, 4000 * DAY, 41 * DAY] {
        bench.start_at(start);
        assert!(bench.ahead().is_some_and(|ahead| ahead.is_positive()), "a jump");
        assert_eq!(bench.sweep().await, NOTHING);
        bench.passes(60, start + 60);
        assert_eq!(bench.sweep().await, NOTHING);
    }
    assert_eq!(bench.store().counts(), counts);
    assert_eq!(bench.state(1).await, Some(State::Pending));
    // A write in the meantime does not make this final.
    bench.store().remember(status(1, "sent", 41 * DAY)).await.expect("remembered");
    let known = bench.store().show(sid(1)).await.expect("shown").expect("there");
    assert!(known.state == State::Pending && known.code.is_some());
    let late = bench.store().remember(registered(4, 0)).await.expect("remembered");
    assert_eq!(late.confirmed, [sid(4)], "the evidence was still parked");
    bench.start_at(10 * MINUTE);
    assert_eq!(bench.ahead(), None);
    let replayed = bench.store().observe(reply(7, 10 * MINUTE)).await.expect("observed");
    assert!(matches!(replayed, ObserveOutcome::NotConfirmed(_)), "it was counted: {replayed:?}");
}

#[tokio::test]
async fn twilios_date_or_the_operator_allows_the_sweep() {
    for operator in [false, true] {
        let mut bench = filled().await;
        bench.start_at(20 * DAY);
        assert_eq!(bench.sweep().await, NOTHING);
        let guard = bench.store().clock_guard();
        if operator {
            guard.confirm();
        } else {
            guard.agree(at(20 * DAY - 2));
        }
        assert_eq!(bench.ahead(), None);
        let swept = bench.sweep().await;
        assert_eq!((swept.expired, swept.orphaned), (1, 2), "{swept:?}");
        // A confirmation by the operator may be a mistake, so it removes nothing for a day.
        let removed = usize::from(!operator);
        assert_eq!((swept.messages, swept.marks), (removed, removed), "{swept:?}");
        bench.start_at(20 * DAY + MINUTE);
        assert_eq!(bench.ahead(), None, "the store knows the new time");
    }
}

#[tokio::test]
async fn a_date_of_twilio_that_contradicts_the_clock_keeps_every_record_unexpired_by_that_date() {
    let mut bench = filled().await;
    bench.start_at(40 * DAY);
    bench.store().clock_guard().agree(at(2 * DAY));
    let swept = bench.sweep().await;
    assert_eq!(swept, Swept { messages: 1, orphaned: 1, ..NOTHING }, "by two days");
    assert!(bench.ahead().is_some());
    assert_eq!(bench.state(1).await, Some(State::Pending));
}

#[tokio::test]
async fn a_jump_while_the_service_runs_is_noticed_and_cleared_when_the_clock_returns() {
    let bench = filled().await;
    bench.passes(600, 600);
    bench.sweep().await;
    assert_eq!(bench.ahead(), None);
    bench.passes(60, 40 * DAY);
    assert_eq!(bench.sweep().await, NOTHING);
    assert!(bench.ahead().is_some());
    bench.passes(60, 720);
    assert_eq!((bench.ahead(), bench.state(1).await), (None, Some(State::Pending)));
    // The uptime grows as much as the wall clock: that time has passed, in suspend or not.
    bench.passes(8 * 86_400, 8 * DAY + 720);
    assert_eq!(bench.sweep().await.expired, 1);
}

#[tokio::test]
async fn a_clock_that_falls_back_removes_nothing_early_when_it_jumps_forward_again() {
    let mut bench = Bench::new();
    bench.start_at(40 * DAY);
    bench.store().remember(registered(1, 40 * DAY)).await.expect("remembered");
    bench.start_at(0);
    assert!(bench.ahead().is_some_and(|ahead| ahead.is_negative()));
    bench.store().remember(registered(2, 0)).await.expect("remembered");
    bench.passes(60, 40 * DAY);
    assert_eq!(bench.sweep().await, NOTHING);
    bench.start_at(40 * DAY + 60);
    assert_eq!(bench.sweep().await, NOTHING);
    assert_eq!(bench.state(2).await, Some(State::Pending));
}

#[tokio::test]
async fn an_idle_store_knows_when_it_was_last_open() {
    let mut bench = filled().await;
    for minute in 1..=3 * 60 {
        bench.passes(60, minute * MINUTE);
        bench.sweep().await;
    }
    bench.start_at(3 * HOUR + 50 * MINUTE);
    assert_eq!(bench.ahead(), None, "the store was closed for less than an hour");
    bench.start_at(5 * HOUR);
    assert!(bench.ahead().is_some());
}

#[tokio::test]
async fn a_store_without_a_time_of_its_last_use_removes_nothing_without_a_confirmation() {
    let mut bench = filled().await;
    drop(bench.store.take());
    let db = crate::given::raw_sled(bench.folder.path());
    assert!(db.remove("!last-seen").expect("removed").is_some());
    drop(db);
    bench.start_at(20 * DAY);
    assert_eq!(bench.sweep().await, NOTHING);
    bench.store().clock_guard().agree(at(20 * DAY));
    assert_eq!(bench.sweep().await.expired, 1);
}

#[tokio::test]
async fn records_from_a_clock_that_was_behind_are_not_expired_by_its_correction() {
    let mut bench = filled().await;
    bench.start_at(-40 * DAY);
    bench.passes(60, -40 * DAY + 60);
    let seen = MessageUpdate { created_at: None, ..registered(11, 60) };
    bench.store().remember(seen).await.expect("remembered");
    bench.store().observe(direct(12, 60)).await.expect("observed");
    assert_eq!(bench.sweep().await, NOTHING);
    bench.passes(60, 120);
    assert_eq!(bench.sweep().await, NOTHING);
    bench.store().clock_guard().agree(at(120));
    assert_eq!((bench.ahead(), bench.sweep().await), (None, NOTHING));
    assert_eq!(bench.state(11).await, Some(State::Pending));
    let late = bench.store().remember(registered(12, 120)).await.expect("remembered");
    assert_eq!(late.confirmed, [sid(12)], "the evidence was still parked");
}

#[tokio::test]
async fn records_expired_or_orphaned_by_a_wrong_clock_count_again_once_the_clock_is_corrected() {
    let bench = Bench::new();
    let store = bench.store();
    store.remember(registered(1, 0)).await.expect("remembered");
    store.observe(direct(4, 0)).await.expect("observed");
    store.observe(shared("x", 0)).await.expect("observed");
    // The operator confirms a clock that is nine days ahead.
    bench.passes(60, 9 * DAY);
    store.clock_guard().confirm();
    let swept = bench.sweep().await;
    assert_eq!((swept.expired, swept.orphaned), (1, 2), "{swept:?}");
    assert_eq!(bench.state(1).await, Some(State::Expired));
    assert_eq!((store.counts().orphaned, store.counts().parked_fullest), (2, 0));

    bench.passes(60, 2 * MINUTE);
    store.clock_guard().agree(at(2 * MINUTE));
    assert_eq!(bench.state(1).await, Some(State::Pending), "before any sweep");
    let parked = store.list(Filter::Parked, None, 10).await.expect("listed");
    let orphaned = store.list(Filter::Orphaned, None, 10).await.expect("listed");
    assert_eq!((parked.entries.len(), orphaned.entries.len()), (2, 0));
    let confirmed = store.observe(reply(8, 100)).await.expect("observed");
    assert_eq!(confirmed, ObserveOutcome::Confirmed(sid(1)));
    let of = MessageUpdate { recipient: Some(person(4)), ..registered(4, 0) };
    let late = store.remember(of).await.expect("remembered");
    assert_eq!(late.confirmed, [sid(4)], "by evidence that was orphaned");
    assert_eq!(bench.sweep().await, NOTHING);
    let counts = store.counts();
    assert_eq!((counts.parked, counts.orphaned, counts.parked_fullest), (1, 0, 1));
    bench.passes(8 * 86_400, 8 * DAY);
    assert_eq!(bench.sweep().await.orphaned, 1, "the evidence still expires at its own time");
}

#[tokio::test]
async fn evidence_parked_by_a_clock_that_was_ahead_is_judged_when_the_clock_is_right_again() {
    let bench = Bench::new();
    let store = bench.store();
    let of = MessageUpdate { reference: Some(reference("x")), ..registered(1, -HOUR) };
    store.remember(of).await.expect("remembered");
    bench.passes(60, 9 * DAY);
    let parked = store.observe(shared("x", 0)).await.expect("observed");
    assert_eq!(reason(&parked), Some(Reason::NewerMayCome), "{parked:?}");
    assert_eq!(bench.sweep().await, NOTHING, "a newer message may still be registered");
    bench.passes(60, 2 * MINUTE);
    assert_eq!(
        bench.sweep().await,
        Swept { confirmed: vec![sid(1)], ..NOTHING },
        "not nine days later"
    );
}

#[tokio::test]
async fn a_retry_that_a_clock_two_days_ahead_has_dated_is_due_at_once_also_after_a_restart() {
    for restarts in [false, true] {
        let mut bench = Bench::new();
        bench.store().remember(registered(1, 0)).await.expect("remembered");
        bench.passes(60, 2 * DAY);
        bench.store().observe(direct(1, 60)).await.expect("observed");
        let lease = Duration::from_mins(1);
        let claims = bench.store().claim(1, lease, &Quotas::default()).await.expect("claimed");
        let retry = Settlement::Retry { after: 15 * lease, spent: Duration::ZERO };
        let claim = claims.first().expect("one");
        bench.store().settle(claim.lease, retry, None).await.expect("settled");
        if restarts {
            bench.start_at(2 * MINUTE);
        } else {
            bench.passes(60, 2 * MINUTE);
        }
        let next = bench.store().next_due(&Quotas::default()).await.expect("known");
        assert_eq!(next, Some(Duration::ZERO), "{restarts}");
        let claims = bench.store().claim(1, lease, &Quotas::default()).await.expect("claimed");
        assert_eq!(claims.len(), 1, "{restarts}");
    }
}
