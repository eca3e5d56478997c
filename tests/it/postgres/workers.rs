//! Two workers on one database, and a Twilio over real HTTP. Leases and due times go by the database's clock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use heardback::domain::feedback::{Claim, Verdict};
use heardback::domain::sid::AccountSid;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use heardback::store::{Quotas, Store, Swept};
use heardback::upstream::Upstreams;
use heardback::worker::lane::LaneReport;
use heardback::worker::{Observer, Worker};
use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::given::{Hands, account, at, direct, policy, registered, sid};
use crate::postgres::Postgres;
use crate::upstream::{LONG, config, taken};
use crate::worker::CONFIG;

/// The states of the lanes and the results that were stored, in order.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    changed: Notify,
}

impl Notes {
    fn write(&self, line: String) {
        self.lines.lock().expect("unpoisoned").push(line);
        self.changed.notify_one();
    }

    fn count(&self, line: &str) -> usize {
        self.lines.lock().expect("unpoisoned").iter().filter(|known| *known == line).count()
    }

    /// Waits until a line is the last one of its first word.
    async fn latest(&self, line: &str) {
        let word = line.split(' ').next().expect("a word");
        let is_there = || {
            let lines = self.lines.lock().expect("unpoisoned");
            lines.iter().rfind(|known| known.starts_with(word)).is_some_and(|last| last == line)
        };
        while !is_there() {
            let changed = tokio::time::timeout(LONG, self.changed.notified()).await;
            changed.unwrap_or_else(|_| panic!("{line} is not in {:?}", self.lines));
        }
    }
}

impl Observer for Notes {
    fn posted(&self, _claim: &Claim, _verdict: &Verdict, _took: Duration) {}
    fn settled(&self, settlement: &'static str) {
        self.write(format!("settled {settlement}"));
    }
    fn swept(&self, _swept: &Swept) {}
    fn lane(&self, _account: AccountSid, report: &LaneReport) {
        let why = report.why.as_ref().map_or("", |why| &why.message);
        self.write(format!("lane {} {} {why}", report.state.as_str(), report.limit));
    }
}

/// A receiver: its store, its worker and its notes.
struct Receiver {
    store: Arc<dyn Store>,
    worker: Worker,
    notes: Arc<Notes>,
}

/// A worker in its loop.
struct Running {
    notes: Arc<Notes>,
    stop: oneshot::Sender<()>,
    /// The worker has seen the stop.
    seen: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Receiver {
    fn new(database: &Postgres, twilio: &MockServer) -> Self {
        let options = database.options(&Hands::default(), policy());
        let store = PostgresStore::open(PostgresOptions { clock: None, ..options });
        let store: Arc<dyn Store> = Arc::new(store.expect("opened"));
        let upstream = vec![(account(), config(&twilio.uri(), &["token"], LONG))];
        let upstreams = Upstreams::new(upstream, Arc::new(|_| {})).expect("clients");
        let notes = Arc::new(Notes::default());
        let worker = Worker::new(
            Arc::clone(&store),
            Arc::new(upstreams),
            CONFIG,
            Arc::new(Timestamp::now),
            Arc::new(|| 0.5),
            notes.clone(),
        );
        Self { store, worker, notes }
    }

    /// Confirms messages with these numbers.
    async fn confirm(&self, numbers: std::ops::Range<u32>) {
        let now = Timestamp::now().as_second() - at(0).as_second();
        for n in numbers {
            self.store.remember(registered(n, now)).await.expect("remembered");
            self.store.observe(direct(n, now)).await.expect("observed");
        }
    }

    fn run(self) -> Running {
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::new(Notify::new());
        let seeing = Arc::clone(&seen);
        let task = tokio::spawn(self.worker.run(async move {
            let _ = stopped.await;
            seeing.notify_one();
        }));
        Running { notes: self.notes, stop, seen, task }
    }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends well");
    }
}

async fn answer(twilio: &MockServer, answer: impl Respond + 'static) {
    twilio.reset().await;
    Mock::given(any()).respond_with(answer).mount(twilio).await;
}

fn rejected(_: &Request) -> ResponseTemplate {
    let error = serde_json::json!({ "code": 20003, "message": "Authenticate", "status": 401 });
    ResponseTemplate::new(401).set_body_json(error)
}

/// Holds each answer back, and counts the posts that are certainly in flight at once.
#[derive(Clone, Default)]
struct Slow {
    began: Arc<Mutex<Vec<Instant>>>,
}

const HELD_FOR: Duration = Duration::from_millis(200);

impl Respond for Slow {
    fn respond(&self, post: &Request) -> ResponseTemplate {
        self.began.lock().expect("unpoisoned").push(Instant::now());
        taken(post).set_delay(HELD_FOR)
    }
}

impl Slow {
    /// The most posts that began within the time of one answer.
    fn most_at_once(&self) -> usize {
        let began = self.began.lock().expect("unpoisoned");
        let since = |first: &Instant| {
            let later = began.iter().filter(|at| **at >= *first);
            later.take_while(|at| at.duration_since(*first) < HELD_FOR).count()
        };
        began.iter().map(since).max().unwrap_or_default()
    }
}

#[tokio::test]
async fn two_workers_together_post_no_more_at_once_than_the_account_allows() {
    let Some(database) = Postgres::new() else { return };
    let (twilio, slow) = (MockServer::start().await, Slow::default());
    answer(&twilio, slow.clone()).await;
    let [first, second] = [0, 1].map(|_| Receiver::new(&database, &twilio));
    first.confirm(0..24).await;
    let (first, second) = (first.run(), second.run());
    let reported = || [&first, &second].map(|running| running.notes.count("settled reported"));
    while reported().iter().sum::<usize>() < 24 {
        let changed = async {
            tokio::select! {
                () = first.notes.changed.notified() => {}
                () = second.notes.changed.notified() => {}
            }
        };
        tokio::time::timeout(LONG, changed).await.expect("progress");
    }
    assert_eq!(slow.began.lock().expect("unpoisoned").len(), 24, "each is posted once");
    assert_eq!(slow.most_at_once(), CONFIG.concurrency);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_401_of_one_worker_pauses_the_other_and_its_accepted_probe_reopens_both() {
    let Some(database) = Postgres::new() else { return };
    let twilio = MockServer::start().await;
    answer(&twilio, rejected).await;
    let [mut first, second] = [0, 1].map(|_| Receiver::new(&database, &twilio));
    first.confirm(0..1).await;
    assert_eq!(first.worker.tick().await.started, 1);
    first.worker.drain().await;
    assert_eq!(first.notes.count("lane paused 4 Authenticate"), 1);
    let second = second.run();
    second.notes.latest("lane paused 4 Authenticate").await;
    answer(&twilio, taken).await;
    let first = first.run();
    first.notes.latest("lane open 4 ").await;
    second.notes.latest("lane open 4 ").await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_429_of_one_worker_holds_the_other_and_halves_its_limit() {
    let Some(database) = Postgres::new() else { return };
    let twilio = MockServer::start().await;
    let throttled = ResponseTemplate::new(429).insert_header("Retry-After", "2");
    answer(&twilio, throttled).await;
    let [mut first, second] = [0, 1].map(|_| Receiver::new(&database, &twilio));
    first.confirm(0..1).await;
    assert_eq!(first.worker.tick().await.started, 1);
    first.worker.drain().await;
    assert_eq!(first.notes.count("lane throttled 2 "), 1);
    let second = second.run();
    second.notes.latest("lane throttled 2 ").await;
    answer(&twilio, taken).await;
    second.notes.latest("settled reported").await;
    second.stop().await;
}

#[tokio::test]
async fn a_message_that_became_due_elsewhere_is_posted_within_seconds() {
    let Some(database) = Postgres::new() else { return };
    let twilio = MockServer::start().await;
    answer(&twilio, taken).await;
    let [first, second] = [0, 1].map(|_| Receiver::new(&database, &twilio));
    let second = second.run();
    let began = Instant::now();
    // Its own worker does not run.
    first.confirm(0..1).await;
    second.notes.latest("settled reported").await;
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    second.stop().await;
}

#[tokio::test]
async fn a_claim_that_arrives_after_the_stop_is_given_back_and_not_posted() {
    let Some(database) = Postgres::new() else { return };
    let twilio = MockServer::start().await;
    answer(&twilio, taken).await;
    let [first, second] = [0, 1].map(|_| Receiver::new(&database, &twilio));
    first.confirm(0..2).await;
    let mut blocker = PgConnection::connect_with(&database.connect()).await.expect("connected");
    let mut blocking = blocker.begin().await.expect("begun");
    sqlx::query("LOCK TABLE hold IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *blocking)
        .await
        .expect("locked");
    let running = first.run();
    // The claim waits for the table.
    let mut observer = PgConnection::connect_with(&database.connect()).await.expect("connected");
    let is_waiting =
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'hold'::regclass)";
    while !sqlx::query_scalar::<_, bool>(is_waiting).fetch_one(&mut observer).await.expect("asked")
    {
        tokio::task::yield_now().await;
    }
    running.stop.send(()).expect("it runs");
    running.seen.notified().await;
    blocking.rollback().await.expect("released");
    running.task.await.expect("it ends well");
    assert_eq!(twilio.received_requests().await.expect("recorded").len(), 0);
    for n in 0..2 {
        let delivery = second.store.show(sid(n)).await.expect("shown").expect("known").delivery;
        assert_eq!((delivery.lease, delivery.attempts), (None, 0), "as before the claim");
    }
    let claims =
        second.store.claim(4, Duration::from_mins(1), &Quotas::default()).await.expect("claimed");
    assert_eq!(claims.len(), 2, "due at once");
}
