//! A synchronous standby that is gone: nothing is acknowledged that only the primary has.

use std::time::Duration;

use heardback::store::Store as _;
use heardback::store::postgres::{PostgresOptions, PostgresStore};

use crate::given::{Hands, policy, registered, sid};
use crate::postgres::{Postgres, cluster, installed};

/// Longer than any timeout of a statement.
const PATIENCE: Duration = Duration::from_secs(9);

#[tokio::test]
async fn without_its_synchronous_standby_a_database_acknowledges_neither_a_command_nor_its_repeat()
{
    let Some(cluster) = installed(cluster::own().await) else { return };
    let postgres = Postgres::on(&cluster);
    let hands = Hands::default();
    let open = || {
        let options = postgres.options(&hands, policy());
        PostgresStore::open(PostgresOptions { acquire_timeout: PATIENCE, ..options })
            .expect("opens")
    };
    let store = open();
    store.remember(registered(1, 0)).await.expect("remembered");
    let standbys = |names: &str| {
        cluster.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        cluster.sql("SELECT pg_reload_conf()");
    };
    standbys("absent");
    // The statement timeout of the server is shorter than the wait of the command.
    store.remember(registered(2, 0)).await.expect_err("the standby does not have it");
    drop(store);
    // After a crash the message is there, although no standby has it.
    cluster.restart();
    let store = open();
    assert!(store.show(sid(2)).await.expect("shown").is_some(), "the primary has it");
    store.remember(registered(2, 0)).await.expect_err("the standby still does not have it");
    standbys("");
    store.remember(registered(2, 0)).await.expect("remembered");
    store.close().await;
}
