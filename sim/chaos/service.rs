//! The service under test: the real binary as a child, its settings in its environment as everywhere,
//! its log read for canaries. Whoever drops it kills it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::clock::Clock;
use crate::history::{History, What};
use crate::identities::{BASE, SECRET};
use crate::leaks::listen;
use crate::wire;

/// So many posts may be under way at a time.
pub(crate) const CONCURRENCY: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// So many lines of its log are kept to be shown.
const TAIL: usize = 30;

/// Where everything is that it is started with.
pub(crate) struct Place {
    pub(crate) binary: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) accounts: PathBuf,
    /// Shifts its wall clock, where that can be done.
    pub(crate) clock: Option<Clock>,
    pub(crate) history: Arc<History>,
}

#[derive(Default)]
struct Log {
    listens: Option<(SocketAddr, SocketAddr)>,
    tail: VecDeque<String>,
}

/// One start of it.
pub(crate) struct Service {
    pub(crate) run: u64,
    pub(crate) public: SocketAddr,
    pub(crate) ops: SocketAddr,
    child: Child,
    log: Arc<Mutex<Log>>,
    reader: Option<JoinHandle<()>>,
    history: Arc<History>,
    ended: bool,
}

impl Place {
    /// Starts it, and waits until it says where it listens. `None`: it ended instead, which is noted.
    pub(crate) async fn start(
        &self,
        run: u64,
        upstream: SocketAddr,
        may_fail: bool,
    ) -> anyhow::Result<Option<Service>> {
        let mut command = Command::new(&self.binary);
        let phone_key = format!("{SECRET} for phones");
        command.arg("serve").env_clear().envs([
            ("HEARDBACK_LISTEN", "127.0.0.1:0"),
            ("HEARDBACK_OPS_LISTEN", "127.0.0.1:0"),
            ("HEARDBACK_PUBLIC_URL", BASE),
            ("HEARDBACK_STORE", &format!("sled:{}", self.store.display())),
            ("HEARDBACK_UPSTREAM_URL", &format!("http://{upstream}")),
            ("HEARDBACK_UPSTREAM_CONCURRENCY", &CONCURRENCY.to_string()),
            ("HEARDBACK_ACCOUNTS_FILE", &self.accounts.display().to_string()),
            ("HEARDBACK_PHONE_KEY", &phone_key),
            // The temporary folder may be on tmpfs or overlayfs, which `serve` refuses.
            ("HEARDBACK_ALLOW_UNSAFE_STORE", "true"),
            ("HEARDBACK_LOG_FORMAT", "json"),
        ]);
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.history.note(What::Started { run });
        let mut child = command.spawn().context("cannot start the service")?;
        let stderr = child.stderr.take().context("piped")?;
        let log = Arc::new(Mutex::new(Log::default()));
        let (writing, history) = (Arc::clone(&log), Arc::clone(&self.history));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                listen(&history, &format!("the log: {line}"), line.as_bytes());
                if let Some(what) = deferral(run, &line) {
                    history.note(what);
                }
                let mut log = writing.lock().unwrap_or_else(PoisonError::into_inner);
                log.listens = log.listens.or_else(|| addresses(&line));
                log.tail.push_back(line);
                if log.tail.len() > TAIL {
                    log.tail.pop_front();
                }
            }
        });
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        let history = Arc::clone(&self.history);
        let mut service = Service {
            run,
            public: unbound,
            ops: unbound,
            child,
            log,
            reader: Some(reader),
            history,
            ended: false,
        };
        loop {
            let listens = service.log.lock().unwrap_or_else(PoisonError::into_inner).listens;
            if let Some((public, ops)) = listens {
                (service.public, service.ops) = (public, ops);
                self.history.note(What::Listens { run });
                return Ok(Some(service));
            }
            if service.has_ended(may_fail)? {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Service {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid(), signal).context("cannot signal the service")
    }

    /// Whether it is gone; the first time, that is noted.
    pub(crate) fn has_ended(&mut self, asked: bool) -> anyhow::Result<bool> {
        if self.ended {
            return Ok(true);
        }
        let Some(status) = self.child.try_wait()? else { return Ok(false) };
        self.ended = true;
        self.reader.take().map(JoinHandle::join);
        let how = if asked { status.to_string() } else { format!("{status}\n{}", self.tail()) };
        self.history.note(What::Ended { run: self.run, how, asked });
        Ok(true)
    }

    /// Waits for its end; an error if that takes too long.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.has_ended(true)? {
            anyhow::ensure!(began.elapsed() < patience, "it does not end:\n{}", self.tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Whether it says that it can take an event.
    pub(crate) async fn is_ready(&self) -> bool {
        self.ask("/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// What the operator's listener says.
    pub(crate) async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = wire::exchange(&mut None, self.ops, request.as_bytes()).await.ok()?;
        Some((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    /// The number behind a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<u64> {
        let (_, text) = self.ask("/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may be stopped; SIGKILL does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.reader.take().map(JoinHandle::join);
    }
}

/// Evidence that the service keeps in memory, or has lost from there.
fn deferral(run: u64, line: &str) -> Option<What> {
    if !line.contains("evidence ") {
        return None;
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let about = || text("signal").or_else(|| text("message_sid")).unwrap_or_default().to_owned();
    match text("message")? {
        said if said.starts_with("evidence deferred:") => {
            Some(What::Deferred { run, about: about() })
        }
        said if said.starts_with("evidence lost:") => {
            Some(What::EvidenceLost { run, about: about() })
        }
        _ => None,
    }
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line.get(name)?.as_str()?.parse().ok();
    Some((address("public_addr")?, address("ops_addr")?))
}
