//! One PostgreSQL server in a folder of its own: a primary or a standby. It listens on a Unix socket alone; `proxy` is the
//! way to it.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::process::ChildProcess;

/// The role of the tables' owner.
pub(crate) const OWNER: &str = "owner";
pub(crate) const DATABASE: &str = "heardback";
/// The name by which a primary knows its standby.
const STANDBY: &str = "standby";
/// A longer start is an error of the run. A server that crashed replays its log first.
const STARTED: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The folder of PostgreSQL's server programs.
pub(crate) fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.context("PostgreSQL is not installed (apt install postgresql)")?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let folders = folders.filter(|bin| bin.join("initdb").is_file());
    folders.max().context("PostgreSQL's server is not installed (apt install postgresql)")
}

/// The user and group that run the server, which refuses to run as root. `None`: this process is not root.
fn server_user() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.context("there is no user postgres")?.split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    Ok(number().zip(number()))
}

/// A server. Drop kills it.
pub(crate) struct Server {
    programs: PathBuf,
    /// Holds `data`, the socket and the log.
    folder: PathBuf,
    /// The options of each start.
    options: Vec<String>,
    process: Option<ChildProcess>,
}

impl Server {
    fn new(programs: &Path, folder: PathBuf, options: Vec<String>) -> anyhow::Result<Self> {
        std::fs::create_dir(&folder)?;
        if let Some((user, group)) = server_user()? {
            chown(&folder, Some(user), Some(group))?;
        }
        Ok(Self { programs: programs.to_owned(), folder, options, process: None })
    }

    /// A new cluster. `is_synchronous`: a commit waits for the standby.
    pub(crate) async fn primary(
        programs: &Path,
        folder: PathBuf,
        is_synchronous: bool,
    ) -> anyhow::Result<Self> {
        let mut server = Self::new(programs, folder, options(is_synchronous))?;
        let data = server.data();
        let user = format!("--username={OWNER}");
        server.program("initdb", &["--auth=trust", "--no-sync", &user, "-D", &data])?;
        server.start().await?;
        Ok(server)
    }

    /// A copy of the primary, which replays the log that it gets from `127.0.0.1:port`. Once promoted, it is a primary
    /// with the same options.
    pub(crate) async fn standby(
        primary: &Self,
        folder: PathBuf,
        port: u16,
        is_synchronous: bool,
    ) -> anyhow::Result<Self> {
        let mut server = Self::new(&primary.programs, folder, options(is_synchronous))?;
        let (socket, data) = (primary.folder.display().to_string(), server.data());
        let source = ["-h", &socket, "-U", OWNER, "-D", &data];
        server.program(
            "pg_basebackup",
            &[&source[..], &["--checkpoint=fast", "--no-sync"]].concat(),
        )?;
        std::fs::write(server.folder.join("data/standby.signal"), "")?;
        server.options.push(format!(
            "primary_conninfo=host=127.0.0.1 port={port} user={OWNER} application_name={STANDBY} sslmode=disable"
        ));
        server.start().await?;
        Ok(server)
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    /// The file of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// A program of PostgreSQL, as the user of the server.
    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let program = self.programs.join(program);
        let mut command = match server_user()? {
            None => Command::new(program),
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
                // The server ends with this process.
                command.args(["--clear-groups", "--pdeathsig=KILL"]).arg(program);
                command
            }
        };
        command.current_dir(&self.folder).stdin(Stdio::null());
        Ok(command)
    }

    fn program(&self, program: &str, words: &[&str]) -> anyhow::Result<String> {
        let output = self.command(program)?.args(words).output();
        let output = output.with_context(|| format!("cannot run {program}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts the server, and waits until it accepts connections. Remains of a killed server may refuse the first starts.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            if !self.is_running()? {
                let log = std::fs::File::options().create(true).append(true).open(self.log())?;
                let mut command = self.command("postgres")?;
                let data = self.data();
                command.args(["-D", &data, "-k"]).arg(&self.folder);
                for option in &self.options {
                    command.args(["-c", option]);
                }
                self.process = Some(ChildProcess::start(command.stderr(log))?);
            }
            if self.accepts()? {
                return Ok(());
            }
            ensure!(
                began.elapsed() < STARTED,
                "the server does not start; see {}",
                self.log().display()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn accepts(&self) -> anyhow::Result<bool> {
        let mut command = self.command("pg_isready")?;
        command.args(["-q", "-h"]).arg(&self.folder).args(["-d", "postgres"]);
        Ok(command.status()?.success())
    }

    fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(match &mut self.process {
            None => false,
            Some(process) => process.try_exit_status()?.is_none(),
        })
    }

    /// Ends the postmaster with a signal, and waits for its end.
    pub(crate) async fn end_by(&mut self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("the server is not running")?;
        process.signal(signal)?;
        let began = Instant::now();
        while self.is_running()? {
            ensure!(
                began.elapsed() < STARTED,
                "the server does not end; see {}",
                self.log().display()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.process = None;
        Ok(())
    }

    /// Runs a statement as the owner, and returns its output.
    pub(crate) fn query(&self, database: &str, statement: &str) -> anyhow::Result<String> {
        let folder = self.folder.display().to_string();
        let words = ["-X", "-q", "-A", "-t", "-h", &folder, "-U", OWNER, "-d", database, "-c"];
        self.program("psql", &[&words[..], &[statement]].concat())
    }

    pub(crate) fn dump(&self) -> anyhow::Result<String> {
        let folder = self.folder.display().to_string();
        self.program("pg_dump", &["-h", &folder, "-U", OWNER, DATABASE])
    }

    /// The processes that serve receivers.
    pub(crate) fn backends(&self) -> anyhow::Result<Vec<i32>> {
        let pids = self.query(
            "postgres",
            &format!("SELECT pid FROM pg_stat_activity WHERE datname = '{DATABASE}' AND backend_type = 'client backend'"),
        )?;
        Ok(pids.lines().filter_map(|pid| pid.parse().ok()).collect())
    }

    /// Kills one process of the server, which then restarts all others.
    pub(crate) fn kill_backend(pid: i32) -> anyhow::Result<()> {
        let pid = Pid::from_raw(pid).context("no process has this number")?;
        // The process may have ended already.
        let _ = kill_process(pid, Signal::KILL);
        Ok(())
    }

    /// Waits until the server has restarted after the death of a process.
    pub(crate) async fn recovers(&mut self) -> anyhow::Result<()> {
        // The postmaster notices the death within this time.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.start().await
    }

    /// Waits until the standby receives this primary's log.
    pub(crate) async fn is_followed(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let statement = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{STANDBY}' AND state = 'streaming'"
        );
        while self.query("postgres", &statement)? != "1" {
            ensure!(
                began.elapsed() < STARTED,
                "the standby does not follow; see {}",
                self.log().display()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Removes the files of a server that was killed.
    pub(crate) fn remove(self) {
        // Its last processes may still end. The folder of all servers is removed in any case.
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    /// Makes a standby the primary.
    pub(crate) fn promote(&self) -> anyhow::Result<()> {
        match self.query("postgres", "SELECT pg_promote(true, 60)")?.as_str() {
            "t" => Ok(()),
            said => bail!("the standby was not promoted: {said}"),
        }
    }
}

fn options(is_synchronous: bool) -> Vec<String> {
    let standby = if is_synchronous { STANDBY } else { "" };
    vec![
        "listen_addresses=".to_owned(),
        "fsync=on".to_owned(),
        "max_connections=60".to_owned(),
        "shared_buffers=32MB".to_owned(),
        "wal_retrieve_retry_interval=200ms".to_owned(),
        // After a crash, one sync instead of one for each file.
        "recovery_init_sync_method=syncfs".to_owned(),
        format!("synchronous_standby_names={standby}"),
    ]
}
