//! Groups: the commands of one transaction succeed or fail each on its own, and no command waits without an end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use heardback::domain::matching::{ObserveOutcome, RegisterOutcome};
use heardback::domain::signal::MessageUpdate;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use heardback::store::{QUEUE, Store, StoreError};
use sqlx::{Connection as _, PgConnection, raw_sql};
use tokio::task::JoinHandle;

use crate::contract::Backend as _;
use crate::event_budget::until;
use crate::given::{Hands, direct, person, policy, reference, registered, sid};
use crate::postgres::Postgres;

/// A connection that has locked the table of messages: each command waits for it.
struct Blocker(PgConnection);

impl Blocker {
    async fn of(postgres: &Postgres<'_>) -> Self {
        let options = postgres.options(&Hands::default(), policy());
        let mut connection = PgConnection::connect_with(&options.connect).await.expect("connected");
        raw_sql("BEGIN; LOCK TABLE message").execute(&mut connection).await.expect("locked");
        Self(connection)
    }

    async fn release(mut self) {
        raw_sql("COMMIT").execute(&mut self.0).await.expect("released");
    }
}

/// A message to a person of its own, so that no command waits for another one.
fn to_another(n: u32) -> MessageUpdate {
    MessageUpdate { recipient: Some(person(n)), ..registered(n, 0) }
}

type Remembered = JoinHandle<Result<RegisterOutcome, StoreError>>;

/// Gives a command to each writer, so that further commands stay in the queue.
async fn occupy_writers(postgres: &Postgres<'_>, store: &Arc<dyn Store>) -> Vec<Remembered> {
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'message'::regclass";
    let mut occupied = Vec::new();
    for n in [1001, 1002] {
        let store = Arc::clone(store);
        occupied.push(tokio::spawn(async move { store.remember(to_another(n)).await }));
        let expected = occupied.len() as u64;
        until("a writer waits", || postgres.numbers(&[waiting.to_owned()]) == [expected]).await;
    }
    occupied
}

fn label<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Unavailable { label, .. }) => label,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_the_database_refuses_fails_alone() {
    let Some(postgres) = Postgres::new() else { return };
    let store = postgres.usual(&Hands::default());
    let blocker = Blocker::of(&postgres).await;
    let occupied = occupy_writers(&postgres, &store).await;
    let commands = (1..=40).map(|n| {
        let mut update = to_another(n);
        if n == 20 {
            // PostgreSQL has no text with this character.
            update.reference = Some(reference("order\0 20"));
        }
        store.remember(update)
    });
    let group = join_all(commands);
    let release = async {
        until("the group waits", || store.queued() == 40).await;
        blocker.release().await;
    };
    let (outcomes, ()) = join(group, release).await;
    for (n, outcome) in (1..).zip(outcomes) {
        assert_eq!(outcome.is_ok(), n != 20, "{n}: {outcome:?}");
        let shown = store.show(sid(n)).await.expect("shown");
        assert_eq!(shown.is_some(), n != 20, "{n}");
    }
    for task in occupied {
        task.await.expect("no panic").expect("remembered");
    }
    assert_eq!(store.counts().total(), 41);
}

#[tokio::test]
async fn commands_of_a_group_see_those_before_them_and_a_refused_one_changes_nothing() {
    let Some(postgres) = Postgres::new() else { return };
    let store = postgres.usual(&Hands::default());
    let blocker = Blocker::of(&postgres).await;
    let occupied = occupy_writers(&postgres, &store).await;
    let mut contradiction = registered(1, 0);
    contradiction.recipient = Some(person(2));
    contradiction.reference = Some(reference("another"));
    let group = join(
        join_all(
            [registered(1, 0), contradiction, registered(2, 0)]
                .map(|update| store.remember(update)),
        ),
        join_all([1, 2, 1].map(|n| store.observe(direct(n, 0)))),
    );
    let release = async {
        until("the group waits", || store.queued() == 6).await;
        blocker.release().await;
    };
    let ((remembered, observed), ()) = join(group, release).await;
    let is_refused = |outcome: &Result<_, _>| matches!(outcome, Err(StoreError::Contradiction(_)));
    assert_eq!(remembered.iter().map(is_refused).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(observed[0], Ok(ObserveOutcome::Confirmed(sid(1))));
    assert_eq!(observed[1], Ok(ObserveOutcome::Confirmed(sid(2))));
    assert!(matches!(observed[2], Ok(ObserveOutcome::AlreadyConfirmed(_))), "{:?}", observed[2]);
    let message = store.show(sid(1)).await.expect("shown").expect("known");
    assert_eq!((message.recipient, message.reference), (registered(1, 0).recipient, None));
    for task in occupied {
        task.await.expect("no panic").expect("remembered");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_further_commands_at_once_and_every_queued_one_is_carried_out() {
    let Some(postgres) = Postgres::new() else { return };
    let store = postgres.usual(&Hands::default());
    let blocker = Blocker::of(&postgres).await;
    let occupied = occupy_writers(&postgres, &store).await;
    let queued = u32::try_from(QUEUE).expect("few");
    let queue = join_all((1..=queued).map(|n| store.remember(to_another(2000 + n))));
    let release = async {
        until("the queue is full", || store.queued() == QUEUE).await;
        let more = join_all((1..=20).map(|n| store.remember(registered(n, 0)))).await;
        assert!(more.into_iter().all(|outcome| label(outcome) == "busy"));
        blocker.release().await;
    };
    let (outcomes, ()) = join(queue, release).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    for task in occupied {
        task.await.expect("no panic").expect("remembered");
    }
    assert_eq!((store.queued(), store.counts().total()), (0, u64::from(queued) + 2));
}

#[tokio::test]
async fn a_command_on_a_slow_server_is_answered_in_time_and_the_next_one_succeeds() {
    let Some(postgres) = Postgres::new() else { return };
    let options = postgres.options(&Hands::default(), policy());
    let options = PostgresOptions { acquire_timeout: Duration::from_secs(1), ..options };
    let store = PostgresStore::open(options).expect("it opens");
    let blocker = Blocker::of(&postgres).await;
    // More commands than connections: some wait for a lock, some for a writer.
    let outcomes = join_all((1..=10).map(|n| store.remember(registered(n, 0)))).await;
    assert!(outcomes.into_iter().all(|outcome| label(outcome) == "slow"));
    assert_eq!(label(store.show(sid(1)).await), "slow");
    blocker.release().await;
    store.remember(registered(11, 0)).await.expect("remembered");
    store.show(sid(11)).await.expect("shown").expect("known");
}
