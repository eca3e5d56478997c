//! PostgreSQL behind `PgBouncer` in transaction mode, with two connections to the server for each store.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use heardback::domain::matching::Policy;
use heardback::store::Store;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::contract::Backend;
use crate::given::Hands;
use crate::harness::LONG;
use crate::postgres::Postgres;
use crate::postgres::cluster::{self, as_server, give_to_server};
use crate::skip::skipped_unless_ci;

const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// The users of the stores, which `PgBouncer` has to know before.
const USERS: u32 = 1000;

/// A running pooler. It stops when this process ends.
struct Pooler {
    folder: PathBuf,
    _shell: Child,
}

fn start(server: &Path) -> Pooler {
    let folder = tempfile::tempdir().map(TempDir::keep).expect("a folder");
    give_to_server(&folder);
    let path = folder.display();
    let mut users = String::new();
    for number in 0..USERS {
        writeln!(users, "\"{}\" \"\"", Postgres::schema_name(number)).expect("written");
    }
    let config = format!(
        "[databases]
postgres = host={} dbname=postgres
[pgbouncer]
unix_socket_dir = {path}
listen_addr =
listen_port = 5432
auth_type = trust
auth_file = {path}/users
pool_mode = transaction
default_pool_size = 2
max_client_conn = 1000
server_idle_timeout = 5
",
        server.display()
    );
    for (name, text) in [("users", users), ("config", config)] {
        std::fs::write(folder.join(name), text).expect("written");
        give_to_server(&folder.join(name));
    }
    let script = "folder=$1; shift; \"$@\" >\"$folder/log\" 2>&1 </dev/null & cat >/dev/null; kill $!; rm -rf \"$folder\"";
    let shell = as_server("sh")
        .args(["-c", script, "sh"])
        .args([&folder, Path::new(PROGRAM), &folder.join("config")])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let deadline = Instant::now() + LONG;
    while !folder.join(".s.PGSQL.5432").exists() {
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "no pooler: {log}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    Pooler { folder, _shell: shell }
}

fn pooler() -> Option<&'static Pooler> {
    static POOLER: OnceLock<Option<Pooler>> = OnceLock::new();
    let is_there = || Command::new(PROGRAM).arg("--version").output().is_ok();
    let start = || cluster::shared().filter(|_| is_there()).map(|server| start(server.folder()));
    POOLER.get_or_init(start).as_ref()
}

/// A store behind the pooler, as a user with the rights of a receiver only.
pub(crate) struct Pooled {
    postgres: Postgres<'static>,
    pooler: &'static Pooler,
}

impl Pooled {
    /// `None`: PostgreSQL or `PgBouncer` is not installed.
    pub(crate) fn new() -> Option<Self> {
        let Some(pooler) = pooler() else {
            skipped_unless_ci("PgBouncer is not installed (apt install pgbouncer)");
            return None;
        };
        let postgres = Postgres::new()?;
        let schema = &postgres.schema;
        // The pooler hands on no `options` of a connection, so the schema belongs to the user.
        postgres.sql(&format!(
            "CREATE ROLE {schema} LOGIN; ALTER ROLE {schema} SET search_path TO {schema};
             GRANT USAGE ON SCHEMA {schema} TO {schema};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {schema}"
        ));
        Some(Self { postgres, pooler })
    }
}

impl Backend for Pooled {
    fn open(&self, hands: &Hands, policy: Policy, max_messages: u64) -> Arc<dyn Store> {
        let connect = PgConnectOptions::new_without_pgpass()
            .socket(&self.pooler.folder)
            .username(&self.postgres.schema)
            .database("postgres");
        let options = self.postgres.options(hands, policy);
        let options = PostgresOptions { connect, max_messages, pooler: true, ..options };
        Arc::new(PostgresStore::open(options).expect("it opens"))
    }
}
