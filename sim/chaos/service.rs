//! The service under test: the real binary as a child, its settings in its environment as everywhere,
//! its log read for canaries. Whoever drops it kills it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::client::exchange;
use crate::clock::Clock;
use crate::history::{History, What};
use crate::identities::{BASE, SECRET};
use crate::leaks::listen;
use crate::support::process::{self, ChildProcess, addresses, operator_request, settings};

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
    pub(crate) process: ChildProcess,
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
        command.arg("serve").env_clear().envs(settings(BASE, &self.store, upstream)).envs([
            ("HEARDBACK_UPSTREAM_CONCURRENCY", &CONCURRENCY.to_string()),
            ("HEARDBACK_ACCOUNTS_FILE", &self.accounts.display().to_string()),
            ("HEARDBACK_PHONE_KEY", &format!("{SECRET} for phones")),
        ]);
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        self.history.note(What::Started { run });
        let process = ChildProcess::start(command.stderr(Stdio::piped()));
        let mut process = process.context("cannot start the service")?;
        let stderr = process.child.stderr.take().context("stderr is a pipe")?;
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
            process,
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
    /// Whether it is gone; the first time, that is noted.
    pub(crate) fn has_ended(&mut self, asked: bool) -> anyhow::Result<bool> {
        if self.ended {
            return Ok(true);
        }
        let Some(status) = self.process.end()? else { return Ok(false) };
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
        let answer = exchange(&mut None, self.ops, operator_request(path)).await.ok()?;
        Some((answer.response.status, answer.response.text()))
    }

    /// The number behind a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<u64> {
        let (_, text) = self.ask("/metrics").await?;
        process::metric(&text, name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill();
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
