//! The servers of the load kit: ceilings, and typical servers. The kit starts and checks them with its own `drive.py`;
//! here they only get the traffic of the bench. The names are the kit's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::processes::{Process, SERVER_CORE, free_port};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Kit {
    /// The folder of the built load kit
    #[arg(long)]
    kit: Option<PathBuf>,
    /// The kit's servers
    #[arg(
        long,
        value_delimiter = ',',
        default_values = [CEILING, SQLITE, POSTGRESQL]
    )]
    peers: Vec<String>,
}

/// The durable ceiling: a signature, an append, a sync for each group; no matching, no reads.
pub(crate) const CEILING: &str = "actix-durable-local";
pub(crate) const SQLITE: &str = "express-sqlite";
pub(crate) const POSTGRESQL: &str = "express-pg";

impl Kit {
    /// The kit's folder and a server's name, for each server.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&Path, &str)> {
        let kit = self.kit.as_deref();
        kit.into_iter().flat_map(|kit| self.peers.iter().map(move |name| (kit, name.as_str())))
    }
}

/// A running server.
pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) processes: Vec<Process>,
}

pub(crate) fn start(kit: &Path, name: &str, folder: &Path, log: &Path) -> anyhow::Result<Peer> {
    let kit = kit.canonicalize().with_context(|| format!("no load kit in {}", kit.display()))?;
    let data = folder.join("peer");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data)?;
    let data = data.canonicalize()?.display().to_string();
    let port = free_port()?;
    let (postgres, postgres_port) = if name == POSTGRESQL {
        let (process, port) = postgres(&data, log)?;
        (Some(process), port)
    } else {
        (None, 0)
    };
    let postgres_port = postgres_port.to_string();
    let at = port.to_string();
    let rust = |mode: &str| -> Vec<String> {
        vec![text(&kit.join("rs/target/release/server")), mode.to_owned(), at.clone(), data.clone()]
    };
    let node = |mode: &str| -> Vec<String> {
        let script = text(&kit.join("node/server.js"));
        vec!["node".to_owned(), script, mode.to_owned(), at.clone(), data.clone()]
    };
    let words = match name {
        "actix-bare" => rust("bare"),
        "actix-verify" => rust("verify"),
        "actix-durable" => rust("durable"),
        "actix-durable-local" => rust("durable-local"),
        "express" | "express-sqlite" | "express-pg" => node(name),
        _ => bail!("unknown server {name}; see sim/bench/peers.rs"),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let settings = [("WORKERS", "1"), ("NODE_ENV", "production"), ("PGPORT", &postgres_port)];
    let mut process = Process::start(SERVER_CORE, &words, &settings, log)?;
    process.listens(port)?;
    Ok(Peer { port, processes: [process].into_iter().chain(postgres).collect() })
}

/// Debian's folder for all versions.
const POSTGRES: &str = "/usr/lib/postgresql";
/// The server refuses to run as root.
const AS: [&str; 4] = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
const TABLE: &str = "CREATE TABLE IF NOT EXISTS hook(id BIGSERIAL PRIMARY KEY, sid TEXT, path TEXT, \
                     at TIMESTAMPTZ, body JSONB)";

/// Starts the database as the kit does, on the core for servers.
pub(crate) fn postgres(data: &str, log: &Path) -> anyhow::Result<(Process, u16)> {
    let versions = fs::read_dir(POSTGRES).context("no PostgreSQL (apt-get install postgresql)")?;
    let newest = versions.flatten().map(|entry| entry.path()).max().context("no PostgreSQL")?;
    let tool = |name: &str| text(&newest.join("bin").join(name));
    let (folder, port) = (format!("{data}/pg"), free_port()?);
    fs::create_dir_all(&folder)?;
    done(&run(&["chown", "postgres:postgres", &folder])?)?;
    let initdb = tool("initdb");
    let initdb = [initdb.as_str(), "-D", &folder, "-U", "perf", "-A", "trust", "-E", "UTF8"];
    done(&run(&[&AS[..], &initdb].concat())?)?;
    let (server, at) = (tool("postgres"), port.to_string());
    let sockets = format!("unix_socket_directories={folder}");
    let own = [server.as_str(), "-D", &folder, "-p", &at, "-c", "listen_addresses=127.0.0.1"];
    let words = [&AS[..], &own, &["-c", &sockets]].concat();
    let mut process = Process::start(SERVER_CORE, &words, &[], log)?;
    process.listens(port)?;
    let psql = tool("psql");
    let psql = [psql.as_str(), "-h", "127.0.0.1", "-p", &at, "-U", "perf", "postgres", "-c", TABLE];
    // It listens before it accepts commands.
    for _ in 0..100 {
        if run(&psql)?.status.success() {
            return Ok((process, port));
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    bail!("PostgreSQL did not start; see {}", log.display())
}

fn run(words: &[&str]) -> anyhow::Result<Output> {
    let (program, more) = words.split_first().context("no words")?;
    let output = Command::new(program).args(more).current_dir("/").output();
    output.with_context(|| format!("cannot run {program}"))
}

fn done(output: &Output) -> anyhow::Result<()> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
