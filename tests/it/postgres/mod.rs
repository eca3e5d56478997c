//! The PostgreSQL store: a cluster for each test process, with a schema for each store.
//!
//! Needs PostgreSQL's server programs. Without them the tests run on sled alone; with `HEARDBACK_CI=1` they fail.

mod chaos;
mod clock;
mod cluster;
mod commands;
mod faults;
mod groups;
mod limits;
mod model;
mod pooler;
mod proxy;
mod recount;
mod serial;
mod several;
mod standby;
mod workers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use heardback::domain::matching::Policy;
use heardback::store::Store;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use sqlx::postgres::PgConnectOptions;

pub(crate) use crate::postgres::pooler::Pooled;

use crate::contract::Backend;
use crate::given::Hands;
use crate::harness::LONG;
use crate::postgres::cluster::Cluster;
use crate::skip::skipped_unless_ci;

/// Skips the test if there is no cluster.
fn installed<T>(cluster: Option<T>) -> Option<T> {
    if cluster.is_none() {
        skipped_unless_ci("PostgreSQL's server is not installed (apt install postgresql)");
    }
    cluster
}

/// A schema of its own in a cluster.
pub(crate) struct Postgres<'a> {
    cluster: &'a Cluster,
    schema: String,
}

impl Postgres<'static> {
    /// A migrated schema. `None`: PostgreSQL is not installed.
    pub(crate) fn new() -> Option<Self> {
        installed(cluster::shared()).map(Self::on)
    }

    /// A schema without tables. `None`: PostgreSQL is not installed.
    pub(crate) fn without_tables() -> Option<Self> {
        installed(cluster::shared()).map(Self::empty_on)
    }
}

impl<'a> Postgres<'a> {
    /// A migrated schema on a cluster.
    fn on(cluster: &'a Cluster) -> Self {
        let this = Self::empty_on(cluster);
        PostgresStore::migrate(this.options(&Hands::default(), crate::given::policy()))
            .expect("migrated");
        this
    }

    /// A schema without tables.
    fn empty_on(cluster: &'a Cluster) -> Self {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let number = SCHEMAS.fetch_add(1, Ordering::SeqCst);
        let schema = Self::schema_name(number);
        cluster.sql(&format!("CREATE SCHEMA {schema}"));
        Self { cluster, schema }
    }

    fn schema_name(number: u32) -> String {
        format!("test_{}_{number}", std::process::id())
    }

    fn connect_at(&self, folder: &Path) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(folder)
            .username("owner")
            .database("postgres")
            .options([("search_path", &self.schema)])
    }

    /// The URL of the schema, for the program.
    pub(crate) fn url(&self) -> String {
        let (folder, schema) = (self.cluster.folder().display(), &self.schema);
        format!("postgres://owner@localhost/postgres?host={folder}&options[search_path]={schema}")
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    fn connect(&self) -> PgConnectOptions {
        self.connect_at(self.cluster.folder())
    }

    pub(crate) fn options(&self, hands: &Hands, policy: Policy) -> PostgresOptions {
        PostgresOptions {
            clock: Some(hands.clock()),
            max_connections: 4,
            // The tests share two cores with the server.
            acquire_timeout: LONG,
            ..PostgresOptions::new(self.connect(), b"test".to_vec(), policy)
        }
    }

    /// Runs SQL on the schema. Returns the values, one a line.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&format!("SET search_path TO {}; {sql}", self.schema))
    }

    /// Removes all rows.
    fn clear(&self) {
        self.sql(
            "TRUNCATE message, parked, link, counted, sender, tied_name, automatic, hold, tally",
        );
    }

    /// The numbers that these queries return.
    fn numbers(&self, queries: &[String]) -> Vec<u64> {
        let lines = self.sql(&queries.join("; "));
        lines.lines().map(|line| line.parse().expect("a number")).collect()
    }
}

impl Backend for Postgres<'_> {
    fn open(&self, hands: &Hands, policy: Policy, max_messages: u64) -> Arc<dyn Store> {
        let options = self.options(hands, policy);
        let options = PostgresOptions { max_messages, ..options };
        Arc::new(PostgresStore::open(options).expect("it opens"))
    }
}

/// The folder of the server's socket. `None`: PostgreSQL is not installed.
pub(crate) fn socket_folder() -> Option<&'static Path> {
    installed(cluster::shared()).map(Cluster::folder)
}

/// psql as the cluster's administrator, which ends at the first error and prints values only.
pub(crate) fn psql(database: &str) -> std::process::Command {
    let mut psql = std::process::Command::new(cluster::programs().expect("installed").join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "owner", "-d", database]);
    psql.arg("-h").arg(cluster::shared().expect("a cluster").folder());
    psql
}
