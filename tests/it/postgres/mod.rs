//! A PostgreSQL server for tests: one cluster for each test process, with a schema for each store.
//!
//! Needs PostgreSQL's server programs. Without them the tests run on sled alone; with `HEARDBACK_CI=1` they fail.

use std::io::Read as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use heardback::domain::matching::Policy;
use heardback::store::Store;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use crate::contract::Backend;
use crate::given::Hands;
use crate::harness::LONG;
use crate::skip::skipped_unless_ci;

/// A running cluster. It stops when this process ends: its shell then reads the end of its input.
struct Cluster {
    folder: TempDir,
    _shell: Child,
}

/// The folder of PostgreSQL's server programs, if it is installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut folders: Vec<PathBuf> = folders.filter(|bin| bin.join("initdb").is_file()).collect();
    folders.sort();
    folders.pop()
}

/// The user and group that run the server: it refuses to run as root.
fn server_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.expect("the user postgres").split(':').collect();
    Some((fields[2].parse().expect("a number"), fields[3].parse().expect("a number")))
}

fn start(programs: &Path) -> Cluster {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut shell = Command::new("sh");
    if let Some((user, group)) = server_user() {
        chown(folder.path(), Some(user), Some(group)).expect("the folder belongs to the server");
        shell = Command::new("setpriv");
        shell.args([
            format!("--reuid={user}"),
            format!("--regid={group}"),
            "--clear-groups".to_owned(),
        ]);
        shell.arg("sh");
    }
    let script = "set -e
        \"$1/initdb\" -D \"$2/data\" -U owner --auth=trust --no-sync >\"$2/log\" 2>&1
        \"$1/postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c max_connections=300 -c fsync=on \
            >>\"$2/log\" 2>&1 &
        server=$!
        until \"$1/pg_isready\" -q -h \"$2\" -d postgres; do kill -0 $server; done
        echo ready
        cat >/dev/null
        kill -INT $server";
    shell.args(["-c", script, "sh"]).arg(programs).arg(folder.path());
    let mut shell = shell
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut ready = [0; 5];
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let stdout = shell.stdout.as_mut().expect("piped");
    stdout.read_exact(&mut ready).unwrap_or_else(|_| panic!("no server: {}\n{data:?}", log()));
    Cluster { folder, _shell: shell }
}

/// The cluster of this process. `None`: PostgreSQL is not installed.
fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(|| programs().map(|programs| start(&programs))).as_ref()
}

/// A schema of its own in the cluster.
pub(crate) struct Postgres {
    schema: String,
}

impl Postgres {
    /// A migrated schema. `None`: PostgreSQL is not installed.
    pub(crate) fn new() -> Option<Self> {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        if cluster().is_none() {
            skipped_unless_ci("PostgreSQL's server is not installed (apt install postgresql)");
            return None;
        }
        let number = SCHEMAS.fetch_add(1, Ordering::SeqCst);
        let schema = format!("test_{}_{number}", std::process::id());
        let create = format!("CREATE SCHEMA {schema}");
        let folder = cluster().expect("a cluster").folder.path();
        let psql = Command::new(programs().expect("installed").join("psql"))
            .args(["-q", "-U", "owner", "-d", "postgres", "-c", &create, "-h"])
            .arg(folder)
            .status();
        assert!(psql.expect("psql runs").success(), "{create}");
        let this = Self { schema };
        PostgresStore::migrate(this.options(&Hands::default(), crate::given::policy()))
            .expect("migrated");
        Some(this)
    }

    pub(crate) fn connect(&self) -> PgConnectOptions {
        let folder = cluster().expect("a cluster").folder.path();
        PgConnectOptions::new_without_pgpass()
            .socket(folder)
            .username("owner")
            .database("postgres")
            .options([("search_path", &self.schema)])
    }

    /// The URL of the schema, for the program.
    pub(crate) fn url(&self) -> String {
        let folder = cluster().expect("a cluster").folder.path();
        let (folder, schema) = (folder.display(), &self.schema);
        format!("postgres://owner@localhost/postgres?host={folder}&options[search_path]={schema}")
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
}

impl Backend for Postgres {
    fn open(&self, hands: &Hands, policy: Policy, max_messages: u64) -> Arc<dyn Store> {
        let options = self.options(hands, policy);
        let options = PostgresOptions { max_messages, ..options };
        Arc::new(PostgresStore::open(options).expect("it opens"))
    }
}

/// The folder of the server's socket. `None`: PostgreSQL is not installed.
pub(crate) fn socket_folder() -> Option<&'static Path> {
    let cluster = cluster();
    if cluster.is_none() {
        skipped_unless_ci("PostgreSQL's server is not installed (apt install postgresql)");
    }
    cluster.map(|cluster| cluster.folder.path())
}

/// psql as the cluster's administrator, which ends at the first error and prints values only.
pub(crate) fn psql(database: &str) -> Command {
    let folder = cluster().expect("a cluster").folder.path();
    let mut psql = Command::new(programs().expect("installed").join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "owner", "-d", database]);
    psql.arg("-h").arg(folder);
    psql
}
