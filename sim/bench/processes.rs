//! The processes of a measurement: each pinned to a core, with a log in a file, and killed when dropped.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::support::http::{Connection, Response};
use crate::support::process::{self, ChildProcess, LogFile, operator_request};
use crate::traffic::{ACCOUNT, BASE, TOKEN};

/// For a start, and for a backlog.
const TIMEOUT: Duration = Duration::from_mins(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The core for servers.
pub(crate) const SERVER_CORE: &str = "0";
/// The core for clients and for the fake Twilio.
pub(crate) const CLIENT_CORE: &str = "1";

/// A process and its children.
pub(crate) struct Process(ChildProcess);

impl Process {
    pub(crate) fn start(
        core: &str,
        words: &[&str],
        settings: &[(&str, &str)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = pinned(core, words);
        command.envs(settings.iter().copied()).stderr(fs::File::create(log)?);
        let process = ChildProcess::start(&mut command);
        Ok(Self(process.with_context(|| format!("cannot start {words:?}"))?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.child.id()
    }

    /// Starts a hidden subcommand of this program, and waits until it listens.
    pub(crate) fn own(core: &str, words: &[&str], log: &Path) -> anyhow::Result<(Self, u16)> {
        let port = free_port()?;
        let (own, at) = (std::env::current_exe()?.display().to_string(), port.to_string());
        let (subcommand, more) = words.split_first().context("no subcommand")?;
        let words = [&[own.as_str(), *subcommand, at.as_str()], more].concat();
        let mut process = Self::start(core, &words, &[], log)?;
        process.listens(port)?;
        Ok((process, port))
    }

    /// Waits until it listens.
    pub(crate) fn listens(&mut self, port: u16) -> anyhow::Result<()> {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(self.0.try_exit_status()?.is_none(), "the process ended at its start");
            ensure!(began.elapsed() < TIMEOUT, "the process does not listen");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// A command on one core, as the leader of a process group.
fn pinned(core: &str, words: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).args(words).process_group(0);
    command
}

/// Settings besides the defaults.
#[derive(Clone, Copy)]
pub(crate) struct HeardbackOptions<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) store: &'a Path,
    /// The URL of a database, in place of the folder.
    pub(crate) database: Option<&'a str>,
    /// The port of the fake Twilio.
    pub(crate) twilio: u16,
    pub(crate) concurrency: Option<u32>,
    /// Whether send through is on.
    pub(crate) sends: bool,
    /// A cgroup that limits memory.
    pub(crate) cgroup: Option<&'a Path>,
    /// A library that delays each sync by so many milliseconds.
    pub(crate) slow: Option<(&'a Path, u32)>,
}

/// Heardback with its default settings.
pub(crate) struct Heardback {
    process: ChildProcess,
    pub(crate) port: u16,
    ops: SocketAddr,
    /// The time from its start to its first `ready`.
    pub(crate) ready: Duration,
}

impl Heardback {
    pub(crate) fn start(options: &HeardbackOptions<'_>) -> anyhow::Result<Self> {
        let binary = options.binary.display().to_string();
        let join = options
            .cgroup
            .map(|path| format!("echo $$ > {}/cgroup.procs && exec \"$@\"", path.display()));
        let mut words = match &join {
            Some(join) => vec!["sh", "-c", join, "sh"],
            None => Vec::new(),
        };
        words.extend([binary.as_str(), "serve"]);
        let mut command = pinned(SERVER_CORE, &words);
        let twilio = SocketAddr::from(([127, 0, 0, 1], options.twilio));
        command.envs(process::settings(BASE, options.store, twilio)).envs([
            // The tables go up to ten million.
            ("HEARDBACK_MAX_MESSAGES", "20000000"),
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("TWILIO_AUTH_TOKEN", TOKEN),
        ]);
        if let Some(url) = options.database {
            command.envs(database_settings(url)).env("HEARDBACK_RUN_DIR", options.store);
        }
        if let Some(concurrency) = options.concurrency {
            command.env("HEARDBACK_UPSTREAM_CONCURRENCY", concurrency.to_string());
        }
        if options.sends {
            command.env("HEARDBACK_SEND", "on");
        }
        if let Some((library, milliseconds)) = options.slow {
            command.env("LD_PRELOAD", library).env("SLOW_SYNC_MS", milliseconds.to_string());
        }
        let began = Instant::now();
        let (mut process, log) = ChildProcess::logged(&mut command)?;
        let wait = |process: &mut ChildProcess, log: &LogFile| -> anyhow::Result<()> {
            ensure!(process.try_exit_status()?.is_none(), "the service ended: {}", log.text()?);
            ensure!(began.elapsed() < TIMEOUT, "the service is not ready: {}", log.text()?);
            std::thread::park_timeout(Duration::from_millis(1));
            Ok(())
        };
        let (public, ops) = loop {
            match log.addresses()? {
                Some(addresses) => break addresses,
                None => wait(&mut process, &log)?,
            }
        };
        while !get(ops, "/readyz").is_ok_and(|response| response.status == 200) {
            wait(&mut process, &log)?;
        }
        Ok(Self { process, port: public.port(), ops, ready: began.elapsed() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits until every confirmation is reported.
    pub(crate) fn reports_all(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.metric("heardback_outbox")? > 0 {
            ensure!(began.elapsed() < TIMEOUT, "confirmations are still not reported");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The value of a metric. A missing one is an error, not zero: the backlog is not empty because `/metrics` failed.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let metrics = get(self.ops, "/metrics")?.text();
        process::metric(&metrics, name).with_context(|| format!("no {name} in the metrics"))
    }
}

/// The settings of a store in a database.
fn database_settings(url: &str) -> [(&'static str, &str); 2] {
    [("HEARDBACK_STORE", url), ("HEARDBACK_PHONE_KEY", "0123456789abcdef0123456789abcdef")]
}

/// Gives a database the schema of a build.
pub(crate) fn migrate(binary: &Path, url: &str) -> anyhow::Result<()> {
    let mut command = Command::new(binary);
    let output = command.args(["store", "migrate"]).envs(database_settings(url)).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn get(ops: SocketAddr, path: &str) -> io::Result<Response> {
    Connection::open(ops, RESPONSE_TIMEOUT)?.exchange(&operator_request(path))
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs a hidden subcommand of this program to its end, on the core for servers. Returns its stdout.
pub(crate) fn output_of(words: &[&str]) -> anyhow::Result<String> {
    let own = std::env::current_exe()?.display().to_string();
    let output = pinned(SERVER_CORE, &[&[own.as_str()], words].concat()).output()?;
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{words:?} failed: {}", error());
    Ok(String::from_utf8(output.stdout)?)
}
