//! The worker with the real store and a Twilio over real HTTP: the course of a confirmation. The
//! test sets the store's clock; the only sleeps are the lane's own delays.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heardback::domain::feedback::{Claim, Verdict};
use heardback::domain::message::{Message, State, Status};
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{
    Evidence, EvidenceTarget, MessageUpdate, Signal, SignalSource, TimeSource,
};
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Store, Swept};
use heardback::upstream::{UpstreamConfig, Upstreams};
use heardback::worker::lane::{LaneReport, LaneState};
use heardback::worker::{Observer, Tick, Worker, WorkerConfig};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, oneshot};
use wiremock::matchers::{any, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::given::policy;
use crate::upstream::{LONG, config, taken};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const OTHER: &str = "AC1123456789abcdef0123456789abcdef";
pub(crate) const CONFIG: WorkerConfig = WorkerConfig {
    concurrency: 4,
    own_slots: 8,
    lease_margin: Duration::from_secs(10),
    give_up_after: Duration::from_hours(24),
    probe_every: Duration::from_millis(250),
    dry_run: false,
};

/// Records its events.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    settled: Notify,
}

impl Notes {
    fn write(&self, line: String) {
        self.lines.lock().expect("unpoisoned").push(line);
    }

    fn count(&self, line: &str) -> usize {
        self.lines.lock().expect("unpoisoned").iter().filter(|known| *known == line).count()
    }
}

impl Observer for Notes {
    fn posted(&self, _claim: &Claim, verdict: &Verdict, _took: Duration) {
        self.write(verdict.as_str().to_owned());
    }
    fn settled(&self, settlement: &'static str) {
        self.write(format!("settled {settlement}"));
        self.settled.notify_one();
    }
    fn swept(&self, _swept: &Swept) {}
    fn lane(&self, _account: AccountSid, report: &LaneReport) {
        self.write(format!("lane {} {}", report.state.as_str(), report.limit));
    }
}

/// A store, a Twilio, a worker between them, and a clock.
struct Harness {
    store: Arc<SledStore>,
    twilio: MockServer,
    upstreams: Arc<Upstreams>,
    worker: Worker,
    notes: Arc<Notes>,
    seconds: Arc<AtomicI64>,
    // Dropped last: a store ends the process if its folder is removed while it is open.
    _folder: tempfile::TempDir,
}

impl Harness {
    async fn new(config: WorkerConfig) -> Self {
        let seconds = Arc::new(AtomicI64::new(0));
        let ticking = Arc::clone(&seconds);
        let clock = Arc::new(move || at(ticking.load(Ordering::Relaxed)));
        let folder = tempfile::tempdir().expect("a folder");
        let store = SledStore::open(Options::new(folder.path(), policy(), clock.clone()));
        let store = Arc::new(store.expect("opened"));
        let twilio = MockServer::start().await;
        let notes = Arc::new(Notes::default());
        let upstreams =
            Upstreams::new(configured(&twilio, &[ACCOUNT]), Arc::new(|_| {})).expect("clients");
        let upstreams = Arc::new(upstreams);
        let worker = Worker::new(
            store.clone(),
            Arc::clone(&upstreams),
            config,
            clock,
            Arc::new(|| 0.5),
            notes.clone(),
        );
        Self { _folder: folder, store, twilio, upstreams, worker, notes, seconds }
    }

    async fn answering(answer: impl Respond + 'static) -> Self {
        let harness = Self::new(CONFIG).await;
        harness.answer(answer).await;
        harness
    }

    /// Twilio accepts this message, and answers 404 for any other.
    async fn knowing(number: u32) -> Self {
        let harness = Self::new(CONFIG).await;
        let own = Mock::given(path_regex(sid(number).as_str())).respond_with(taken);
        own.with_priority(1).mount(&harness.twilio).await;
        Mock::given(any()).respond_with(status(404)).mount(&harness.twilio).await;
        harness
    }

    /// Two accounts; the posts of the first hang.
    async fn hanging() -> Self {
        let harness = Self::new(CONFIG).await;
        let hangs = |post: &Request| taken(post).set_delay(LONG * 9);
        let own = Mock::given(path_regex(ACCOUNT)).respond_with(hangs).with_priority(1);
        own.mount(&harness.twilio).await;
        Mock::given(any()).respond_with(taken).mount(&harness.twilio).await;
        harness.upstreams.replace(configured(&harness.twilio, &[ACCOUNT, OTHER])).expect("clients");
        harness
    }

    /// Sets Twilio's response to every request.
    async fn answer(&self, answer: impl Respond + 'static) {
        self.twilio.reset().await;
        Mock::given(any()).respond_with(answer).mount(&self.twilio).await;
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Confirms this many messages from this number on, with this age.
    async fn confirm(&self, numbers: std::ops::Range<u32>, age: i64) {
        let seen_at = at(self.seconds.load(Ordering::Relaxed));
        for number in numbers {
            confirm(self.store.as_ref(), number, seen_at, seen_at - SignedDuration::from_secs(age))
                .await;
        }
    }

    /// The same, many at a time.
    async fn confirm_many(&self, numbers: std::ops::Range<u32>, age: i64) {
        let seen_at = at(self.seconds.load(Ordering::Relaxed));
        let created_at = seen_at - SignedDuration::from_secs(age);
        let numbers: Vec<_> = numbers.collect();
        for some in numbers.chunks(250) {
            let confirms = some
                .iter()
                .map(|number| confirm(self.store.as_ref(), *number, seen_at, created_at));
            futures_util::future::join_all(confirms).await;
        }
    }

    /// A status callback of Twilio names each of these messages.
    async fn name(&self, numbers: std::ops::Range<u32>) {
        let seen_at = at(self.seconds.load(Ordering::Relaxed));
        for number in numbers {
            let status = Some(Status::Delivered);
            let named = sighting(ACCOUNT.parse().expect("valid"), number, seen_at, None);
            let named = MessageUpdate { tracked: false, by_twilio: true, status, ..named };
            self.store.remember(named).await.expect("remembered");
        }
    }

    /// One step, and the end of the posts that it started.
    async fn step(&mut self) -> Tick {
        let tick = self.worker.tick().await;
        self.worker.drain().await;
        tick
    }

    /// Steps until no message is due, and waits out the lane's delays.
    async fn run_dry(&mut self) {
        self.worker.drain().await;
        loop {
            match self.step().await {
                Tick { started: 0, again_in: None } => return,
                Tick { started: 0, again_in: Some(wait) } if wait > Duration::from_secs(5) => {
                    return;
                }
                Tick { started: 0, again_in: Some(wait) } => {
                    tokio::time::sleep(wait).await;
                    self.pass(1);
                }
                Tick { .. } => {}
            }
        }
    }

    async fn message(&self, number: u32) -> Message {
        self.store.show(sid(number)).await.expect("shown").expect("known")
    }

    async fn posts(&self) -> usize {
        self.twilio.received_requests().await.expect("recorded").len()
    }

    fn count(&self, state: State) -> u64 {
        self.store.counts().of(state)
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_793_952_000 + seconds).expect("in range")
}

fn sid(number: u32) -> MessageSid {
    MessageSid::parse(&format!("SM{number:032x}")).expect("valid")
}

/// These accounts, all at this Twilio.
fn configured(twilio: &MockServer, accounts: &[&str]) -> Vec<(AccountSid, UpstreamConfig)> {
    let one = |sid: &&str| (sid.parse().expect("valid"), config(&twilio.uri(), &["token"], LONG));
    accounts.iter().map(one).collect()
}

async fn confirm(store: &dyn Store, number: u32, seen_at: Timestamp, created_at: Timestamp) {
    confirm_for(ACCOUNT, store, number, seen_at, created_at).await;
}

async fn confirm_for(
    account: &str,
    store: &dyn Store,
    number: u32,
    seen_at: Timestamp,
    created_at: Timestamp,
) {
    let account = account.parse().expect("valid");
    let sighting = sighting(account, number, seen_at, Some(created_at));
    let target = EvidenceTarget::Message(sighting.sid);
    let evidence = Evidence {
        account,
        target,
        label: "code_entered".to_owned(),
        occurred_at: seen_at,
        time_source: TimeSource::Exact,
        source: SignalSource::App,
    };
    let remembers = Some(sighting);
    let signal = Signal {
        source: SignalSource::App,
        dedup_ids: Vec::new(),
        code: None,
        evidence: Ok(evidence),
        names: None,
        message_update: remembers,
        seen_at,
        trace: None,
    };
    store.observe(signal).await.expect("confirmed");
}

fn sighting(
    account: AccountSid,
    number: u32,
    seen_at: Timestamp,
    created_at: Option<Timestamp>,
) -> MessageUpdate {
    MessageUpdate {
        sid: sid(number),
        account,
        tracked: true,
        strict: true,
        by_twilio: false,
        recipient: None,
        number: None,
        names: None,
        from: None,
        service: None,
        reference: None,
        status: None,
        error_code: None,
        code: None,
        link: None,
        created_at,
        seen_at,
        trace: None,
    }
}

fn status(status: u16) -> ResponseTemplate {
    let error = serde_json::json!({ "code": 20001, "message": "X", "status": status });
    ResponseTemplate::new(status).set_body_json(error)
}

#[tokio::test]
async fn a_confirmation_is_reported_and_never_posted_again() {
    let mut harness = Harness::answering(taken).await;
    harness.confirm(1..2, 0).await;
    assert_eq!(harness.worker.tick().await.started, 1);
    assert!(harness.worker.finished().await);
    assert!(!harness.worker.finished().await);
    harness.pass(86_400);
    assert_eq!(harness.step().await, Tick { started: 0, again_in: None });
    let message = harness.message(1).await;
    assert_eq!((message.state, message.delivery.attempts), (State::Reported, 1));
    assert_eq!(harness.posts().await, 1);
    for line in ["done", "settled reported"] {
        assert_eq!(harness.notes.count(line), 1, "{line}");
    }
}

/// None of these is Twilio's response about the message.
#[tokio::test]
async fn a_2xx_that_is_not_twilios_is_retried_then_given_up_with_its_kind_and_never_reported() {
    let other = format!(r#"{{"message_sid":"{}"}}"#, sid(9));
    for (answer, kind) in [
        (status(200).set_body_raw("<html>Sign in</html>", "text/html"), "200 with HTML"),
        (status(204), "204 with an empty body"),
        (status(200).set_body_string("{}"), "200 with JSON that names no message"),
        (status(201).set_body_string(other), "201 that names another message"),
    ] {
        let mut harness = Harness::answering(answer).await;
        harness.confirm(1..2, 0).await;
        harness.step().await;
        let message = harness.message(1).await;
        assert_eq!((message.state, message.posts_made()), (State::Confirmed, 1), "{kind}");
        assert_eq!(message.last_attempt.expect("kept").message, kind);
        assert_eq!(
            (harness.notes.count("uncertain"), harness.notes.count("done")),
            (1, 0),
            "{kind}"
        );
        // The retries of a whole day.
        while harness.message(1).await.state == State::Confirmed {
            harness.pass(900);
            harness.step().await;
        }
        let message = harness.message(1).await;
        assert_eq!((message.state, message.reported_at), (State::Refused, None), "{kind}");
        let refusal = message.refusal.expect("kept");
        assert_eq!(refusal.message, format!("given up after 24h: {kind}"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_twilios_does_not_reopen_a_paused_lane() {
    let mut harness = Harness::answering(status(401)).await;
    harness.confirm(1..2, 0).await;
    harness.step().await;
    assert!(harness.notes.count("lane paused 4") > 0);
    assert_eq!(harness.message(1).await.posts_made(), 1, "a returned post counts as a post");
    harness.answer(status(200)).await;
    tokio::time::sleep(CONFIG.probe_every).await;
    harness.pass(120);
    harness.step().await;
    assert_eq!((harness.notes.count("uncertain"), harness.notes.count("lane open 4")), (1, 1));
    assert_eq!(harness.message(1).await.posts_made(), 2);
}

#[tokio::test]
async fn no_more_messages_are_claimed_than_may_be_under_way() {
    let mut harness = Harness::answering(taken).await;
    harness.confirm(0..10, 0).await;
    assert_eq!(harness.worker.tick().await, Tick { started: 4, again_in: None });
    assert_eq!(harness.worker.tick().await, Tick { started: 0, again_in: None });
    harness.worker.finished().await;
    assert_eq!(harness.worker.tick().await.started, 1);
    harness.run_dry().await;
    assert_eq!((harness.count(State::Reported), harness.posts().await), (10, 10));
}

#[tokio::test]
async fn a_transient_failure_is_retried_when_due_and_the_attempt_counts() {
    let mut harness = Harness::answering(status(503).insert_header("retry-after", "100")).await;
    harness.confirm(1..2, 0).await;
    harness.step().await;
    let again = harness.worker.tick().await.again_in.expect("is due");
    assert!(again >= Duration::from_secs(100) && again <= Duration::from_secs(110), "{again:?}");
    let delivery = harness.message(1).await.delivery;
    assert_eq!(delivery.attempts, 1);
    assert!(delivery.spent >= Duration::from_secs(105), "{:?}", delivery.spent);
    harness.answer(taken).await;
    harness.pass(110);
    assert_eq!(harness.step().await.started, 1);
    assert_eq!(harness.message(1).await.state, State::Reported);
}

#[tokio::test]
async fn a_failure_that_outlasts_the_retries_is_refused_with_its_reason() {
    let mut harness = Harness::answering(status(500)).await;
    harness.confirm(1..2, 0).await;
    for _ in 0..2000 {
        harness.step().await;
        harness.pass(120);
        if harness.message(1).await.state == State::Refused {
            break;
        }
    }
    let refusal = harness.message(1).await.refusal.expect("refused");
    assert!(refusal.message.starts_with("given up after 24h: "), "{}", refusal.message);
}

#[tokio::test]
async fn a_message_that_twilio_rejects_for_good_is_refused_with_its_code() {
    let body = serde_json::json!({"code": 21609, "message": "Invalid", "status": 400});
    let mut harness = Harness::answering(status(400).set_body_json(body)).await;
    harness.confirm(1..2, 0).await;
    harness.step().await;
    let refusal = harness.message(1).await.refusal.expect("refused");
    assert_eq!((refusal.status, refusal.code), (Some(400), Some(21609)));
    assert_eq!(refusal.message, "Invalid");
}

#[tokio::test]
async fn a_404_refuses_a_message_the_second_time_and_only_after_another_of_the_account_succeeded() {
    let mut harness = Harness::knowing(9).await;
    harness.confirm(1..2, 30).await;
    for _ in 0..10 {
        harness.step().await;
        harness.pass(900);
    }
    let message = harness.message(1).await;
    assert_eq!((message.state, message.delivery.spent), (State::Confirmed, Duration::ZERO));
    let cause = "no status callback of Twilio names this SID, so the SID may be wrong";
    assert!(message.last_attempt.expect("kept").message.ends_with(cause));
    harness.confirm(9..10, 0).await;
    harness.step().await;
    harness.confirm(2..3, 0).await;
    harness.pass(900);
    harness.step().await;
    let states = (harness.message(1).await.state, harness.message(2).await.state);
    assert_eq!(states, (State::Refused, State::Confirmed));
    let refusal = harness.message(1).await.refusal.expect("kept");
    assert!(refusal.message.contains("does not know this SID: X"), "{}", refusal.message);
    assert_eq!((refusal.status, refusal.code), (Some(404), Some(20001)));
    harness.confirm(3..4, 0).await;
    for seconds in [0, 5, 5] {
        harness.pass(seconds);
        harness.step().await;
        assert_eq!(harness.message(3).await.state, State::Confirmed, "younger than a minute");
    }
    harness.pass(60);
    harness.step().await;
    let states = (harness.message(2).await.state, harness.message(3).await.state);
    assert_eq!(states, (State::Refused, State::Refused));
}

#[tokio::test]
async fn a_good_message_behind_unknown_sids_is_posted_before_any_of_them_is_posted_again() {
    let mut harness = Harness::knowing(500).await;
    // With the good one, 84 are left after five steps: 21 full steps.
    harness.confirm(0..103, 3600).await;
    for _ in 0..5 {
        harness.step().await;
    }
    assert!(harness.notes.count("lane paused 4") > 0, "twenty 404s in a row");
    harness.confirm(500..501, 0).await;
    harness.pass(900);
    while harness.posts().await < 104 {
        assert!(harness.step().await.started > 0);
    }
    assert_eq!(harness.count(State::Reported), 1);
    let requests = harness.twilio.received_requests().await.expect("recorded");
    let mut paths: Vec<_> = requests.iter().map(|request| request.url.path()).collect();
    assert_eq!(paths.len(), 104);
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), requests.len(), "none twice");
    // The account may have become wrong since that success, so only a further one refuses a message
    // with two 404s.
    let own = Mock::given(path_regex(sid(501).as_str())).respond_with(taken);
    own.with_priority(1).mount(&harness.twilio).await;
    harness.confirm(501..502, 0).await;
    for _ in 0..200 {
        harness.pass(900);
        harness.step().await;
    }
    assert_eq!((harness.count(State::Refused), harness.count(State::Reported)), (103, 2));
}

/// Each step is a round of four posts, which Twilio answers after half a second.
#[tokio::test]
async fn a_good_message_behind_a_thousand_unknown_sids_waits_two_minutes_at_most() {
    for is_named in [false, true] {
        let mut harness = Harness::knowing(5000).await;
        harness.confirm_many(0..1000, 3600).await;
        harness.pass(1);
        if is_named {
            harness.name(5000..5001).await;
        }
        harness.confirm(5000..5001, 3600).await;
        harness.pass(1);
        if is_named {
            harness.confirm_many(1000..2000, 3600).await;
        }
        let mut rounds = 0;
        while harness.count(State::Reported) == 0 {
            harness.step().await;
            rounds += 1;
            assert!(rounds <= 240, "named: {is_named}");
        }
    }
}

#[tokio::test]
async fn messages_that_twilio_named_alternate_with_others_with_one_slot_and_with_four() {
    for concurrency in [1, 4] {
        let mut harness = Harness::new(WorkerConfig { concurrency, ..CONFIG }).await;
        harness.answer(taken).await;
        harness.confirm(0..20, 3600).await;
        harness.pass(1);
        harness.name(100..120).await;
        harness.confirm(100..120, 3600).await;
        while harness.posts().await < 16 {
            assert_eq!(harness.step().await.started, concurrency);
        }
        let posts = harness.twilio.received_requests().await.expect("recorded");
        let posted =
            |number| posts.iter().any(|post| post.url.path().contains(sid(number).as_str()));
        for numbers in [0..20, 100..120] {
            assert_eq!(numbers.clone().filter(|n| posted(*n)).count(), 8, "{numbers:?}");
        }
        assert!(posted(19) && posted(0), "the newest of the others, and the oldest");
    }
}

/// With fewer messages than a pause needs, with more, and for days.
#[tokio::test]
async fn a_wrong_account_or_region_refuses_no_message_however_long_it_lasts() {
    for messages in [1, 5, 40] {
        let mut harness = Harness::answering(status(404)).await;
        harness.confirm(0..messages, 3600).await;
        for _ in 0..200 {
            harness.pass(900);
            harness.step().await;
        }
        assert_eq!(harness.count(State::Confirmed), u64::from(messages));
        harness.answer(taken).await;
        for _ in 0..messages + 2 {
            harness.pass(900);
            harness.step().await;
        }
        assert_eq!(harness.count(State::Reported), u64::from(messages));
    }
}

#[tokio::test]
async fn messages_that_had_a_404_are_posted_one_at_a_time_until_the_account_succeeds() {
    let mut harness = Harness::answering(status(404)).await;
    harness.confirm(0..40, 3600).await;
    for _ in 0..10 {
        assert_eq!(harness.step().await.started, 4, "each for the first time");
    }
    harness.pass(900);
    for _ in 0..5 {
        assert_eq!(harness.step().await.started, 1);
    }
    harness.confirm(40..44, 0).await;
    assert_eq!(harness.step().await.started, 4, "new ones are not delayed");
    harness.answer(taken).await;
    assert_eq!(harness.step().await.started, 1);
    assert_eq!(harness.step().await.started, 4);
}

/// A configuration that was right before proves nothing about the new one.
#[tokio::test]
async fn after_a_reload_an_account_must_succeed_again_before_a_404_refuses() {
    let mut harness = Harness::answering(taken).await;
    harness.confirm(0..1, 3600).await;
    harness.step().await;
    harness.upstreams.replace(configured(&harness.twilio, &[ACCOUNT])).expect("clients");
    harness.answer(status(404)).await;
    harness.confirm(1..4, 3600).await;
    for _ in 0..5 {
        harness.pass(900);
        harness.step().await;
    }
    assert_eq!((harness.count(State::Reported), harness.count(State::Confirmed)), (1, 3));
}

#[tokio::test]
async fn a_401_and_a_redirect_pause_the_account_and_cost_no_attempt() {
    for code in [401, 403, 302] {
        let mut harness = Harness::answering(status(code)).await;
        harness.confirm(0..8, 0).await;
        assert_eq!(harness.step().await.started, 4);
        assert_eq!(harness.notes.count("lane paused 4"), 4, "once for each attempt under way");
        for number in 0..8 {
            let message = harness.message(number).await;
            assert_eq!((message.state, message.delivery.attempts), (State::Confirmed, 0));
        }
        let Tick { started: 0, again_in: Some(wait) } = harness.step().await else {
            panic!("not paused")
        };
        assert!(wait <= CONFIG.probe_every);
        tokio::time::sleep(wait).await;
        assert_eq!(harness.step().await.started, 1, "one probe");
        harness.answer(taken).await;
        harness.run_dry().await;
        assert_eq!(harness.count(State::Reported), 8);
    }
}

#[tokio::test]
async fn each_probe_is_made_with_another_message() {
    let mut harness = Harness::answering(status(401)).await;
    harness.confirm(0..8, 0).await;
    harness.step().await;
    for _ in 0..4 {
        tokio::time::sleep(CONFIG.probe_every).await;
        assert_eq!(harness.step().await.started, 1);
    }
    let requests = harness.twilio.received_requests().await.expect("recorded");
    let mut paths: Vec<_> = requests.iter().map(|request| request.url.path()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), 8);
}

#[tokio::test]
async fn a_message_that_gets_403_while_others_succeed_is_refused() {
    let harness = &mut Harness::new(CONFIG).await;
    let own = Mock::given(path_regex(sid(3).as_str())).respond_with(status(403)).with_priority(1);
    own.mount(&harness.twilio).await;
    Mock::given(any()).respond_with(taken).mount(&harness.twilio).await;
    harness.confirm(0..8, 0).await;
    harness.run_dry().await;
    assert_eq!(harness.message(3).await.state, State::Refused);
    assert_eq!(harness.count(State::Reported), 7);
}

#[tokio::test]
async fn a_429_costs_no_attempt_and_halves_the_concurrency() {
    let mut harness = Harness::answering(status(429)).await;
    harness.confirm(0..8, 0).await;
    let tick = harness.step().await;
    assert_eq!(tick.started, 4);
    assert!(harness.notes.count("lane throttled 2") > 0);
    let wait = harness.step().await.again_in.expect("held");
    assert!(!wait.is_zero() && wait <= Duration::from_millis(1500), "{wait:?}");
    assert_eq!(harness.message(0).await.delivery.attempts, 0);
    harness.answer(taken).await;
    harness.pass(2);
    tokio::time::sleep(wait).await;
    assert_eq!(harness.worker.tick().await.started, 2);
    harness.run_dry().await;
    assert_eq!(harness.count(State::Reported), 8);
}

#[tokio::test]
async fn a_paused_accounts_backlog_delays_no_other_accounts_messages() {
    let mut harness = Harness::new(CONFIG).await;
    let own = Mock::given(path_regex(ACCOUNT)).respond_with(status(401)).with_priority(1);
    own.mount(&harness.twilio).await;
    Mock::given(any()).respond_with(taken).mount(&harness.twilio).await;
    harness.upstreams.replace(configured(&harness.twilio, &[ACCOUNT, OTHER])).expect("clients");
    harness.confirm(0..50, 0).await;
    assert_eq!(harness.step().await.started, 4, "the lane is not paused yet");
    harness.pass(1);
    for number in 100..120 {
        confirm_for(OTHER, harness.store.as_ref(), number, at(1), at(1)).await;
    }
    let before = harness.posts().await;
    for _ in 0..5 {
        assert_eq!(harness.step().await.started, 4);
    }
    assert_eq!(harness.count(State::Reported), 20);
    let requests = harness.twilio.received_requests().await.expect("recorded");
    let probes = requests.iter().skip(before).filter(|post| post.url.path().contains(ACCOUNT));
    assert_eq!(probes.count(), 0, "no post of the account in between");
    assert_eq!(harness.message(10).await.delivery.attempts, 0);
    let again = harness.step().await.again_in.expect("the probe");
    assert!(again <= CONFIG.probe_every, "{again:?}");
}

#[tokio::test]
async fn an_account_whose_posts_hang_delays_no_message_of_another() {
    let mut harness = Harness::hanging().await;
    harness.confirm(0..100, 0).await;
    assert_eq!(harness.worker.tick().await.started, 4, "a single account may use all slots");
    harness.pass(1);
    for number in 1000..1005 {
        confirm_for(OTHER, harness.store.as_ref(), number, at(1), at(1)).await;
        assert_eq!(harness.worker.tick().await.started, 1, "{number}: its own slot");
        assert_eq!(harness.worker.tick().await, Tick { started: 0, again_in: None }, "{number}");
        assert!(harness.worker.finished().await);
        assert_eq!(harness.message(number).await.state, State::Reported);
    }
    assert_eq!(harness.count(State::Confirmed), 100);
}

#[tokio::test]
async fn no_account_has_more_than_its_share_of_the_slots_while_another_has_due_messages() {
    let mut harness = Harness::hanging().await;
    harness.confirm(0..100, 0).await;
    harness.pass(1);
    for number in 1000..1010 {
        confirm_for(OTHER, harness.store.as_ref(), number, at(1), at(1)).await;
    }
    assert_eq!(harness.worker.tick().await.started, 4);
    for number in 1000..1010 {
        assert!(harness.worker.finished().await, "{number}");
        harness.worker.tick().await;
    }
    assert_eq!(harness.count(State::Reported), 10);
    let requests = harness.twilio.received_requests().await.expect("recorded");
    let hung = requests.iter().take(11).filter(|post| post.url.path().contains(ACCOUNT));
    assert_eq!(hung.count(), 2, "half of the slots, until the other has nothing due");
}

#[tokio::test]
async fn more_accounts_than_own_slots_share_them_even_if_a_reload_added_the_accounts() {
    let mut harness = Harness::new(WorkerConfig { own_slots: 2, ..CONFIG }).await;
    harness.answer(|post: &Request| taken(post).set_delay(LONG * 9)).await;
    let accounts: Vec<_> = (0..8).map(|n| format!("AC{n:032x}")).collect();
    let known: Vec<_> = accounts.iter().map(String::as_str).collect();
    harness.upstreams.replace(configured(&harness.twilio, &known)).expect("clients");
    for (number, account) in (0..).zip(&known) {
        for message in [number, 100 + number] {
            confirm_for(account, harness.store.as_ref(), message, at(0), at(0)).await;
        }
    }
    assert_eq!(harness.worker.tick().await.started, 6, "four shared slots and two own ones");
    assert_eq!(harness.worker.tick().await, Tick { started: 0, again_in: None });
    let mut leased = 0;
    for number in (0..8).chain(100..108) {
        leased += usize::from(harness.message(number).await.delivery.lease.is_some());
    }
    assert_eq!(leased, 6, "no message waits with a lease");
}

#[tokio::test]
async fn for_an_account_that_is_no_longer_configured_nothing_is_posted_until_it_is_again() {
    let mut harness = Harness::answering(taken).await;
    harness.upstreams.replace(configured(&harness.twilio, &[OTHER])).expect("clients");
    harness.confirm(0..8, 0).await;
    confirm_for(OTHER, harness.store.as_ref(), 100, at(0), at(0)).await;
    harness.step().await;
    harness.step().await;
    assert_eq!(
        (harness.posts().await, harness.count(State::Reported)),
        (1, 1),
        "of the other account only"
    );
    assert!(harness.notes.count("lane paused 4") > 0, "the pause is recorded");
    assert_eq!(harness.message(0).await.delivery.attempts, 0, "no attempt is counted");
    harness.upstreams.replace(configured(&harness.twilio, &[ACCOUNT, OTHER])).expect("clients");
    harness.run_dry().await;
    assert_eq!(harness.count(State::Reported), 9);
    assert!(Upstreams::new(Vec::new(), Arc::new(|_| {})).is_err());
}

#[tokio::test]
async fn a_dry_run_posts_nothing() {
    let mut harness = Harness::new(WorkerConfig { dry_run: true, ..CONFIG }).await;
    harness.confirm(1..2, 0).await;
    assert_eq!(harness.step().await, Tick { started: 0, again_in: None });
    harness.worker.run(std::future::ready(())).await;
    assert_eq!(harness.twilio.received_requests().await.expect("recorded").len(), 0);
}

#[tokio::test]
async fn a_post_is_not_started_if_its_lease_could_end_before_it() {
    let mut harness = Harness::new(WorkerConfig { lease_margin: Duration::ZERO, ..CONFIG }).await;
    harness.confirm(1..2, 0).await;
    assert_eq!(harness.step().await.started, 0);
    assert_eq!((harness.posts().await, harness.message(1).await.delivery.attempts), (0, 0));
}

#[tokio::test]
async fn an_unavailable_store_is_queried_at_growing_intervals() {
    let mut harness = Harness::answering(taken).await;
    harness.confirm(1..2, 0).await;
    harness.store.close().await;
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let again_in = Some(Duration::from_secs(seconds));
        assert_eq!(harness.step().await, Tick { started: 0, again_in });
    }
}

#[tokio::test]
async fn the_loop_wakes_for_new_messages_and_finishes_posts_under_way_on_shutdown() {
    let harness =
        Harness::answering(|post: &Request| taken(post).set_delay(Duration::from_millis(100)))
            .await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(harness.worker.run(async move { drop(stopped.await) }));
    confirm(harness.store.as_ref(), 1, at(0), at(0)).await;
    harness.notes.settled.notified().await;
    confirm(harness.store.as_ref(), 2, at(0), at(0)).await;
    while harness.twilio.received_requests().await.expect("recorded").len() < 2 {
        tokio::task::yield_now().await;
    }
    stop.send(()).expect("running");
    running.await.expect("ended");
    assert_eq!(harness.store.counts().of(State::Reported), 2);
}

#[test]
fn a_lane_has_a_name_for_each_state() {
    let states = [LaneState::Posting, LaneState::Throttled, LaneState::Paused];
    assert_eq!(states.map(LaneState::as_str), ["open", "throttled", "paused"]);
}
