//! Faults of the database under traffic: everything acknowledged is there, the repeat of an unacknowledged command is
//! recognised, and no act confirms two messages.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use heardback::domain::matching::{ObserveOutcome, Reason};
use heardback::domain::message::State;
use heardback::domain::signal::MessageUpdate;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use heardback::store::{Quotas, Store, StoreError};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::given::{Hands, SENDER, acted, direct, person, policy, registered, sid, texted};
use crate::harness::LONG;
use crate::postgres::cluster::{self, Cluster};
use crate::postgres::proxy::Proxy;
use crate::postgres::recount::assert_recount;
use crate::postgres::{Postgres, installed};

/// The wait of a client before it repeats a request.
const BACKOFF: Duration = Duration::from_millis(20);
/// A command fails within this time: the waits of the store, and of a busy machine.
const SOON: Duration = Duration::from_secs(6);

fn open(postgres: &Postgres<'_>, connect: PgConnectOptions) -> Arc<dyn Store> {
    let options = postgres.options(&Hands::default(), policy());
    let acquire_timeout = Duration::from_secs(2);
    let options = PostgresOptions { connect, acquire_timeout, ..options };
    Arc::new(PostgresStore::open(options).expect("it opens"))
}

fn opened(postgres: &Postgres<'_>) -> Arc<dyn Store> {
    open(postgres, postgres.connect())
}

/// Repeats a command until the store acknowledges it, as Twilio and the app do. Returns the outcome and the number of
/// failures before.
async fn acknowledged<T, F: Future<Output = Result<T, StoreError>>>(
    command: impl Fn() -> F,
) -> (T, usize) {
    let deadline = Instant::now() + 4 * LONG;
    let mut failures = 0;
    loop {
        match command().await {
            Ok(outcome) => return (outcome, failures),
            Err(StoreError::Unavailable { reason, .. }) => {
                assert!(Instant::now() < deadline, "the store does not recover: {reason}");
                failures += 1;
                tokio::time::sleep(BACKOFF).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The traffic of clients: each has two messages to one person, and the person replies once.
struct Traffic {
    clients: Vec<tokio::task::JoinHandle<()>>,
    /// The clients whose commands are all acknowledged.
    done: Arc<AtomicU32>,
    number: u32,
}

impl Traffic {
    /// Starts the clients, a few at a time.
    fn start(stores: &[Arc<dyn Store>], number: u32) -> Self {
        let (done, next) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(1)));
        let clients = (0..6).map(|at| {
            let store = Arc::clone(&stores[at % stores.len()]);
            let (done, next) = (Arc::clone(&done), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n > number {
                        return;
                    }
                    client(&store, n).await;
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        Self { clients: clients.collect(), done, number }
    }

    /// Waits until this part of the clients is done.
    async fn reaches(&self, part: u32, of: u32) {
        while self.done.load(Ordering::SeqCst) * of < self.number * part {
            assert!(
                !self.clients.iter().all(tokio::task::JoinHandle::is_finished),
                "a client panicked"
            );
            tokio::time::sleep(BACKOFF).await;
        }
    }

    /// Waits for all clients, and checks what a new receiver finds.
    async fn end(self, postgres: &Postgres<'_>) {
        for client in self.clients {
            client.await.expect("each command is acknowledged at last");
        }
        let opened = opened(postgres);
        let counts = opened.counts();
        let confirmed = u64::from(self.number);
        assert_eq!(counts.of(State::Confirmed), confirmed, "each reply confirms one message");
        assert_eq!(counts.of(State::Pending), confirmed, "and no other one");
        assert_eq!(counts.parked, 0);
        for n in 1..=self.number {
            let [first, second] = messages(n).map(|message| opened.show(sid(message)));
            let first = first.await.expect("shown").expect("acknowledged");
            let second = second.await.expect("shown").expect("acknowledged");
            assert_eq!((first.state, second.state), (State::Confirmed, State::Pending), "{n}");
        }
        let mut claimed = BTreeSet::new();
        while let claims @ [_, ..] =
            &opened.claim(100, LONG, &Quotas::default()).await.expect("claimed")[..]
        {
            for claim in claims {
                assert_eq!(claim.attempts, 1);
                assert!(claimed.insert(claim.lease.message), "no message is claimed twice");
            }
        }
        assert_eq!(claimed.len(), self.number as usize);
        let recounted = crate::postgres::faults::opened(postgres);
        assert_recount(postgres, &recounted).await;
    }
}

/// The message that the reply confirms, and one that is sent after it.
fn messages(n: u32) -> [u32; 2] {
    [2 * n, 2 * n + 1]
}

/// Registers a message, and finds it: acknowledged, so it is there.
async fn send(store: &Arc<dyn Store>, n: u32, message: u32, seconds: i64) {
    let update = || MessageUpdate { recipient: Some(person(n)), ..registered(message, seconds) };
    let (outcome, failures) = acknowledged(|| store.remember(update())).await;
    assert!(outcome.new || failures > 0, "only a repeat finds its own message");
    let (found, _) = acknowledged(|| store.show(sid(message))).await;
    assert!(found.is_some(), "acknowledged and lost: {message}");
}

async fn client(store: &Arc<dyn Store>, n: u32) {
    let [first, second] = messages(n);
    send(store, n, first, -2400).await;
    let reply = |seconds| texted(n, acted(person(n), Some(SENDER), seconds));
    let (outcome, failures) = acknowledged(|| store.observe(reply(-1800))).await;
    let is_repeat = failures > 0 && outcome == ObserveOutcome::NotConfirmed(Reason::Duplicate);
    assert!(is_repeat || outcome == ObserveOutcome::Confirmed(sid(first)), "{n}: {outcome:?}");
    send(store, n, second, -1200).await;
    // The same text once more. As another one it would confirm the second message.
    let (again, _) = acknowledged(|| store.observe(reply(-600))).await;
    assert_eq!(again, ObserveOutcome::NotConfirmed(Reason::Duplicate), "{n}");
}

fn terminate(postgres: &Postgres<'_>) {
    postgres.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_backends_restarts_and_crashes_lose_no_acknowledged_command() {
    let Some(cluster) = installed(cluster::own().await) else { return };
    let postgres = Postgres::on(&cluster);
    let stores = [opened(&postgres), opened(&postgres)];
    let traffic = Traffic::start(&stores, 160);
    let faults: [&dyn Fn(&Cluster); 6] = [
        &|_| terminate(&postgres),
        &Cluster::restart,
        &|_| terminate(&postgres),
        &|cluster| {
            cluster.crash();
            cluster.start_again();
        },
        &|_| terminate(&postgres),
        &|cluster| {
            cluster.stop();
            cluster.start_again();
        },
    ];
    for (part, fault) in (1..).zip(faults) {
        traffic.reaches(part, 8).await;
        tokio::task::block_in_place(|| fault(&cluster));
    }
    traffic.end(&postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_connection_that_is_lost_between_a_commit_and_its_answer_confirms_nothing_twice() {
    let Some(postgres) = Postgres::new() else { return };
    let proxy = Proxy::start(postgres.cluster.folder());
    let stores = [(); 2].map(|()| open(&postgres, postgres.connect_at(proxy.folder())));
    proxy.cut_every(5);
    let traffic = Traffic::start(&stores, 100);
    traffic.reaches(9, 10).await;
    proxy.cut_every(0);
    traffic.end(&postgres).await;
    assert!(proxy.cuts() > 10, "{}", proxy.cuts());
}

/// The label and the reason of a command that fails soon.
async fn failure(store: &Arc<dyn Store>, n: u32) -> (&'static str, String) {
    let began = Instant::now();
    let Err(StoreError::Unavailable { reason, label }) = store.observe(direct(n, 0)).await else {
        panic!("the database cannot carry it out");
    };
    assert!(began.elapsed() < SOON, "{label}: {reason}: {:?}", began.elapsed());
    (label, reason)
}

/// The store carries out commands again without help.
async fn recovers(store: &Arc<dyn Store>, n: u32) {
    acknowledged(|| store.health()).await;
    acknowledged(|| store.remember(registered(n, 0))).await;
    acknowledged(|| store.observe(direct(n, 0))).await;
    let (found, _) = acknowledged(|| store.show(sid(n))).await;
    assert_eq!(found.expect("there").state, State::Confirmed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_stopped_server_is_named_soon_and_the_store_recovers_by_itself() {
    let Some(cluster) = installed(cluster::own().await) else { return };
    let postgres = Postgres::on(&cluster);
    let store = opened(&postgres);
    recovers(&store, 1).await;
    for crash in [false, true] {
        tokio::task::block_in_place(|| if crash { cluster.crash() } else { cluster.stop() });
        // The first command may find the end of its connection.
        let _ = failure(&store, 2).await;
        let (label, reason) = failure(&store, 2).await;
        assert_eq!(label, "unreachable", "{reason}");
        assert!(reason.contains("check its address"), "{reason}");
        assert!(store.health().await.is_err());
        tokio::task::block_in_place(|| cluster.start_again());
        recovers(&store, 3 + u32::from(crash)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_read_only_server_is_named_and_left_for_the_primary() {
    let Some(cluster) = installed(cluster::own().await) else { return };
    let postgres = Postgres::on(&cluster);
    let store = open(&postgres, as_guest(&postgres));
    recovers(&store, 1).await;
    // Each connection from now on is one to a standby.
    cluster.sql("ALTER ROLE guest SET default_transaction_read_only = on");
    terminate(&postgres);
    let (mut label, mut reason) = failure(&store, 2).await;
    while label != "read_only" {
        (label, reason) = failure(&store, 2).await;
    }
    assert!(reason.contains("25006") && reason.contains("connect to the primary"), "{reason}");
    // The repeat of a confirmed message changes no row; a standby's rows may be older.
    let (label, reason) = failure(&store, 1).await;
    assert_eq!(label, "read_only", "{reason}");
    let health = store.health().await;
    assert!(
        matches!(health, Err(StoreError::Unavailable { label: "read_only", .. })),
        "{health:?}"
    );
    // The connections so far stay read-only, as after a failover. New ones reach the primary.
    cluster.sql("ALTER ROLE guest RESET default_transaction_read_only");
    recovers(&store, 3).await;
    forget_guest(&postgres);
}

/// Connects as a user without the connections that the server reserves for its owner.
fn as_guest(postgres: &Postgres<'_>) -> PgConnectOptions {
    let schema = &postgres.schema;
    postgres.sql(&format!(
        "CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA {schema} TO guest;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO guest"
    ));
    postgres.connect().username("guest")
}

fn forget_guest(postgres: &Postgres<'_>) {
    postgres.sql("DROP OWNED BY guest; DROP ROLE guest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_server_without_free_connections_is_named_soon_and_the_store_recovers_by_itself() {
    let Some(cluster) = installed(cluster::own().await) else { return };
    let postgres = Postgres::on(&cluster);
    let guest = as_guest(&postgres);
    let store = open(&postgres, guest.clone());
    recovers(&store, 1).await;
    terminate(&postgres);
    let mut others = Vec::new();
    while let Ok(other) = PgConnection::connect_with(&guest).await {
        others.push(other);
    }
    let _ = failure(&store, 2).await;
    let (label, reason) = failure(&store, 2).await;
    assert_eq!(label, "server_full", "{reason}");
    assert!(reason.contains("53300") && reason.contains("max_connections"), "{reason}");
    drop(others);
    recovers(&store, 3).await;
    forget_guest(&postgres);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_exhausted_pool_is_named_soon_and_the_store_recovers_by_itself() {
    let Some(postgres) = Postgres::new() else { return };
    let store = opened(&postgres);
    recovers(&store, 1).await;
    let mut other = PgConnection::connect_with(&postgres.connect()).await.expect("connected");
    sqlx::raw_sql("BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
        .execute(&mut other)
        .await
        .expect("locked");
    let readers = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let began = Instant::now();
            let error = store.show(sid(1)).await.expect_err("locked");
            assert!(began.elapsed() < SOON, "{error}: {:?}", began.elapsed());
            let StoreError::Unavailable { reason, label } = error else { panic!("{error}") };
            assert!(reason.contains("pg_stat_activity"), "{reason}");
            label
        })
    });
    let mut labels = BTreeSet::new();
    for reader in readers.collect::<Vec<_>>() {
        labels.insert(reader.await.expect("no panic"));
    }
    assert!(labels.iter().all(|label| ["slow", "pool_exhausted"].contains(label)), "{labels:?}");
    let (label, reason) = failure(&store, 2).await;
    assert!(["slow", "pool_exhausted", "busy"].contains(&label), "{label}: {reason}");
    other.close().await.expect("closed");
    recovers(&store, 3).await;
}
