//! Laws for several receivers on one database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::feedback::{Claim, Settlement};
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::message::State;
use heardback::domain::signal::{MessageUpdate, Signal};
use heardback::store::postgres::{PostgresOpenError, PostgresOptions, PostgresStore};
use heardback::store::{Quotas, SettleOutcome, Store};

use crate::contract::Backend as _;
use crate::given::{
    Hands, SENDER, account, acted, clicked, direct, link, person, policy, reference, registered,
    shared, sid, token,
};
use crate::postgres::Postgres;
use crate::postgres::recount::assert_recount;

const LEASE: Duration = Duration::from_secs(30);

fn receivers(postgres: &Postgres<'_>, hands: &Hands) -> [Arc<dyn Store>; 3] {
    [(); 3].map(|()| postgres.usual(hands))
}

async fn claim(store: &Arc<dyn Store>, limit: usize) -> Vec<Claim> {
    store.claim(limit, LEASE, &Quotas::default()).await.expect("claimed")
}

/// Registers messages and confirms them.
async fn confirm(store: &Arc<dyn Store>, numbers: std::ops::RangeInclusive<u32>) {
    for n in numbers {
        store.remember(registered(n, 0)).await.expect("remembered");
        let observed = store.observe(direct(n, 0)).await.expect("observed");
        assert_eq!(observed, ObserveOutcome::Confirmed(sid(n)));
    }
}

/// A message, and evidence for it: by SID, reference, person, code or link.
fn pair(n: u32) -> (MessageUpdate, Signal) {
    let own = reference(&n.to_string());
    let update = MessageUpdate { recipient: Some(person(n)), ..registered(n, 0) };
    match n % 5 {
        0 => (update, direct(n, 1)),
        1 => (MessageUpdate { reference: Some(own), ..update }, shared(&n.to_string(), 1)),
        2 => (update, acted(person(n), Some(SENDER), 1)),
        3 => {
            let key = CodeKey::new(b"the app's key");
            let code = Probe::new("111111", std::slice::from_ref(&key));
            let update = MessageUpdate { code: Some(key.hmac(sid(n), "111111")), ..update };
            (update, Signal { code, ..acted(person(n), Some(SENDER), 1) })
        }
        _ => {
            let n = u8::try_from(n).expect("small");
            (MessageUpdate { link: Some(token(n).id()), ..update }, clicked(n, 1))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_registration_at_one_receiver_and_its_evidence_at_another_confirm_exactly_once() {
    let Some(postgres) = Postgres::new() else { return };
    let hands = Hands::default();
    race(&postgres, &hands, receivers(&postgres, &hands)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_database_with_another_isolation_level_loses_no_evidence_either() {
    let Some(postgres) = Postgres::new() else { return };
    let hands = Hands::default();
    let stores = [(); 3].map(|()| {
        let options = postgres.options(&hands, policy());
        let connect = options.connect.clone();
        let connect = connect.options([("default_transaction_isolation", "serializable")]);
        let store = PostgresStore::open(PostgresOptions { connect, ..options }).expect("it opens");
        Arc::new(store) as Arc<dyn Store>
    });
    race(&postgres, &hands, stores).await;
}

/// Registers messages at one receiver, and gives their evidence to another at the same time.
async fn race(postgres: &Postgres<'_>, hands: &Hands, stores: [Arc<dyn Store>; 3]) {
    for n in (4..=60_u8).step_by(5) {
        stores[0].keep_link(token(n).id(), link(None, 0)).await.expect("kept");
    }
    hands.set(1);
    let mut tasks = Vec::new();
    for n in 1..=60 {
        // No row of the message, its reference or its person is there.
        let (update, signal) = pair(n);
        for turn in 0..2_usize {
            let (store, update) = (Arc::clone(&stores[turn]), update.clone());
            tasks.push(tokio::spawn(async move {
                store.remember(update).await.expect("remembered").confirmed.len()
            }));
            let (store, signal) = (Arc::clone(&stores[turn + 1]), signal.clone());
            tasks.push(tokio::spawn(async move {
                let observed = store.observe(signal).await.expect("observed");
                usize::from(matches!(observed, ObserveOutcome::Confirmed(_)))
            }));
        }
    }
    let mut confirmations = 0;
    for task in tasks {
        confirmations += task.await.expect("no panic");
    }
    assert_eq!(confirmations, 60);
    let opened = postgres.usual(hands);
    assert_eq!((opened.counts().of(State::Confirmed), opened.counts().parked), (60, 0));
    assert_recount(postgres, &opened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_reply_at_one_receiver_and_a_newer_message_at_another_leave_it_open_which_is_meant() {
    let Some(postgres) = Postgres::new() else { return };
    let hands = Hands::default();
    let [first, second, _] = receivers(&postgres, &hands);
    for n in 1..=60 {
        let to = |message: u32, seconds: i64| MessageUpdate {
            recipient: Some(person(n)),
            ..registered(message, seconds)
        };
        first.remember(to(2 * n, -2400)).await.expect("remembered");
        // In either order the reply may mean both messages, so it confirms none of them.
        let reply = acted(person(n), Some(SENDER), -1800);
        let (observed, remembered) =
            tokio::join!(first.observe(reply), second.remember(to(2 * n + 1, -2000)));
        observed.expect("observed");
        remembered.expect("remembered");
        for message in [2 * n, 2 * n + 1] {
            let message = second.show(sid(message)).await.expect("shown").expect("there");
            assert_eq!(message.state, State::Pending, "{n}");
        }
    }
    let opened = postgres.usual(&hands);
    assert_eq!((opened.counts().of(State::Pending), opened.counts().parked), (120, 60));
    assert_recount(&postgres, &opened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn claims_of_several_receivers_never_meet_and_leave_nothing() {
    let Some(postgres) = Postgres::new() else { return };
    let hands = Hands::default();
    let stores = receivers(&postgres, &hands);
    confirm(&stores[0], 1..=40).await;
    let claimers = (0..12).map(|n| {
        let store = Arc::clone(&stores[n % 3]);
        tokio::spawn(async move {
            let mut all = Vec::new();
            loop {
                let claims = claim(&store, 3).await;
                if claims.is_empty() {
                    return all;
                }
                for claim in claims {
                    all.push(claim.lease);
                    if claim.lease.message.as_str().ends_with(['1', '3', '5', '7', '9']) {
                        let settled = store.settle(claim.lease, Settlement::Reported, None).await;
                        assert_eq!(settled.expect("settled"), SettleOutcome::Applied);
                    }
                }
            }
        })
    });
    let mut all = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        all.extend(claimer.await.expect("no panic"));
    }
    // A claim that met another one found fewer messages than were due.
    while let more @ [_, ..] = &claim(&stores[0], 10).await[..] {
        all.extend(more.iter().map(|claim| claim.lease));
    }
    let messages: BTreeSet<_> = all.iter().map(|lease| lease.message).collect();
    assert_eq!((messages.len(), all.len()), (40, 40), "each message once");
    let tokens: BTreeSet<_> = all.iter().map(|lease| lease.token).collect();
    assert_eq!(tokens.len(), 40, "no token twice");
    let opened = postgres.usual(&hands);
    assert_recount(&postgres, &opened).await;
}

#[tokio::test]
async fn the_claim_of_a_dead_receiver_lapses_and_its_late_settlement_changes_nothing() {
    let Some(postgres) = Postgres::new() else { return };
    let hands = Hands::default();
    let [first, second, third] = receivers(&postgres, &hands);
    confirm(&first, 1..=2).await;
    let claimed = claim(&first, 10).await;
    assert_eq!(claimed.len(), 2);
    drop(third);
    hands.set(29);
    assert!(claim(&second, 10).await.is_empty(), "the leases are valid");
    hands.set(30);
    let again = claim(&second, 1).await;
    assert_eq!((again.len(), again[0].attempts), (1, 2));
    let show = async || -> BTreeMap<_, _> {
        let shown = [1, 2].map(|n| second.show(sid(n)));
        let mut all = BTreeMap::new();
        for message in shown {
            let message = message.await.expect("shown").expect("there");
            all.insert(message.sid, message);
        }
        all
    };
    let before = show().await;
    let old = claimed.iter().find(|claim| claim.lease.message == again[0].lease.message);
    let late = first.settle(old.expect("claimed").lease, Settlement::Reported, None).await;
    assert_eq!(late.expect("settled"), SettleOutcome::LeaseLost);
    assert_eq!(show().await, before);
    // A lease that has lapsed and that no other claim replaced is still the only one.
    let other = claimed.iter().find(|claim| claim.lease.message != again[0].lease.message);
    let late = first.settle(other.expect("claimed").lease, Settlement::Reported, None).await;
    assert_eq!(late.expect("settled"), SettleOutcome::Applied);
    let settled = second.settle(again[0].lease, Settlement::Reported, None).await;
    assert_eq!(settled.expect("settled"), SettleOutcome::Applied);
    let opened = postgres.usual(&hands);
    assert_eq!(opened.counts().of(State::Reported), 2);
    assert_recount(&postgres, &opened).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hold_that_several_receivers_end_at_once_ends_once() {
    let Some(postgres) = Postgres::new() else { return };
    let hands = Hands::default();
    let stores = receivers(&postgres, &hands);
    for _ in 0..10 {
        let since = stores[0].hold(account()).await.expect("on hold");
        let resumed = stores.iter().map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.resume(account()).await.expect("resumed") })
        });
        let mut ended = Vec::new();
        for resumed in resumed.collect::<Vec<_>>() {
            ended.extend(resumed.await.expect("no panic"));
        }
        assert_eq!(ended, [since]);
    }
}

fn refused(options: PostgresOptions) -> PostgresOpenError {
    PostgresStore::open(options).err().expect("it does not open")
}

#[test]
fn a_receiver_with_another_phone_key_does_not_open() {
    let Some(postgres) = Postgres::new() else { return };
    let options = || postgres.options(&Hands::default(), policy());
    drop(PostgresStore::open(options()).expect("the first key is noted"));
    let error = refused(PostgresOptions { recipient_hash_key: b"another".to_vec(), ..options() });
    assert!(matches!(error, PostgresOpenError::OtherPersonKey), "{error}");
    assert!(error.to_string().contains("HEARDBACK_PHONE_KEY"), "{error}");
    drop(PostgresStore::open(options()).expect("the refusal changed nothing"));
}

#[test]
fn an_older_and_a_newer_schema_are_refused_with_the_command_that_helps() {
    let Some(postgres) = Postgres::without_tables() else { return };
    let options = || postgres.options(&Hands::default(), policy());
    let error = refused(options());
    assert!(matches!(error, PostgresOpenError::OlderSchema { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("heardback store migrate"), "{error}");
    PostgresStore::migrate(options()).expect("migrated");
    drop(PostgresStore::open(options()).expect("it opens"));
    postgres.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', true, '', 0)",
    );
    let error = refused(options());
    assert!(matches!(error, PostgresOpenError::NewerSchema { found: 9999, .. }), "{error}");
    assert!(error.to_string().contains("install the newer release"), "{error}");
    assert!(PostgresStore::migrate(options()).is_err(), "nothing is migrated back");
}
