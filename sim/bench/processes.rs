//! A server under load: started in a session of its own on the first core, ended when dropped.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::traffic::{ACCOUNT, BASE, TOKEN};

const PATIENCE: Duration = Duration::from_mins(2);
/// The core for servers, and the one for clients and what stands for Twilio.
pub(crate) const SERVER: &str = "0";
pub(crate) const CLIENT: &str = "1";

/// A process on a core, with whatever it starts.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(
        core: &str,
        words: &[&str],
        more: &[(&str, &str)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", core]).args(words).envs(more.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log)?);
        command.process_group(0);
        let what = words.first().copied().unwrap_or_default();
        Ok(Self(command.spawn().with_context(|| format!("cannot start {what}"))?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }

    /// One of ours, and listens.
    pub(crate) fn own(core: &str, words: &[&str], log: &Path) -> anyhow::Result<(Self, u16)> {
        let port = free_port()?;
        let (own, at) = (std::env::current_exe()?.display().to_string(), port.to_string());
        let (what, more) = words.split_first().context("no words")?;
        let words: Vec<&str> = [&own, *what, &at].into_iter().chain(more.iter().copied()).collect();
        let mut process = Self::start(core, &words, &[], log)?;
        listens(&mut process, port)?;
        Ok((process, port))
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What Heardback is given beside its normal configuration.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) store: &'a Path,
    /// Where it posts to.
    pub(crate) twilio: u16,
    pub(crate) log: &'a Path,
    /// How many posts may be under way, if not as many as usual.
    pub(crate) concurrency: Option<u32>,
    /// Held to what that cgroup grants.
    pub(crate) cgroup: Option<&'a Path>,
    /// A library that makes each sync so many milliseconds longer.
    pub(crate) slow: Option<(&'a Path, u32)>,
}

/// Heardback in its normal configuration.
pub(crate) struct Heardback {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) ops: u16,
    /// From its start to its first `ready`.
    pub(crate) ready: Duration,
}

impl Heardback {
    pub(crate) fn start(given: &Given<'_>) -> anyhow::Result<Self> {
        let Given { binary, store, twilio, log, cgroup, .. } = *given;
        let (port, ops) = (free_port()?, free_port()?);
        let mut settings = vec![
            ("HEARDBACK_LISTEN", format!("127.0.0.1:{port}")),
            ("HEARDBACK_OPS_LISTEN", format!("127.0.0.1:{ops}")),
            ("HEARDBACK_PUBLIC_URL", BASE.to_owned()),
            ("HEARDBACK_STORE", format!("sled:{}", store.display())),
            ("HEARDBACK_UPSTREAM_URL", format!("http://127.0.0.1:{twilio}")),
            // The tables go up to ten million.
            ("HEARDBACK_MAX_MESSAGES", "20000000".to_owned()),
            // The bench measures its disk separately, and `serve` may refuse that file system.
            ("HEARDBACK_ALLOW_UNSAFE_STORE", "true".to_owned()),
            ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
            ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
        ];
        if let Some(concurrency) = given.concurrency {
            settings.push(("HEARDBACK_UPSTREAM_CONCURRENCY", concurrency.to_string()));
        }
        if let Some((library, milliseconds)) = given.slow {
            settings.push(("LD_PRELOAD", library.display().to_string()));
            settings.push(("SLOW_SYNC_MS", milliseconds.to_string()));
        }
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let began = Instant::now();
        let binary = binary.display().to_string();
        let joining =
            cgroup.map(|path| format!("echo $$ > {}/cgroup.procs && exec \"$@\"", path.display()));
        let mut words = match &joining {
            Some(joining) => vec!["sh", "-c", joining, "sh"],
            None => Vec::new(),
        };
        words.extend([binary.as_str(), "serve"]);
        let mut process = Process::start(SERVER, &words, &settings, log)?;
        while !ask(ops, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            ensure!(!process.has_ended(), "it ended: {}", fs::read_to_string(log)?);
            ensure!(began.elapsed() < PATIENCE, "it is not ready");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(Self { process, port, ops, ready: began.elapsed() })
    }

    /// Waits until Twilio has all that is confirmed.
    pub(crate) fn reports_all(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.metric("heardback_outbox")? > 0 {
            ensure!(began.elapsed() < PATIENCE, "it does not report what is confirmed");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// A number from its metrics. One that is not there is not zero: nobody has reported all because he did
    /// not answer.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let answer = ask(self.ops, "/metrics")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = line.and_then(|text| text.split('.').next()?.parse().ok());
        number.with_context(|| format!("no {name} in its metrics"))
    }
}

/// Waits until somebody listens.
pub(crate) fn listens(process: &mut Process, port: u16) -> anyhow::Result<()> {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(!process.has_ended(), "it ended at once");
        ensure!(began.elapsed() < PATIENCE, "nobody listens");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn ask(port: u16, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
