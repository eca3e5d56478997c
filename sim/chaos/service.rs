//! The service under test: one start of the real binary, with a thread that scans its log.

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
use crate::history::{EventKind, History};
use crate::identities::{BASE, SECRET_PREFIX};
use crate::leaks::scan;
use crate::support::process::{self, ChildProcess, addresses, operator_request, settings};

/// The limit on concurrent posts.
pub(crate) const CONCURRENCY: usize = 16;
/// Shorter than the driver waits for an answer.
const FORWARD_TIMEOUT: &str = "2s";
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Lines of the log that an error shows.
const TAIL: usize = 30;

/// The files of a start.
pub(crate) struct ServiceConfig {
    pub(crate) binary: PathBuf,
    /// The folder of the store. Beside a database, of the control sockets.
    pub(crate) store: PathBuf,
    /// The URL of the database, if the store is one.
    pub(crate) database: Option<String>,
    pub(crate) accounts: PathBuf,
    /// The app's URLs for messages, calls and status callbacks.
    pub(crate) app_urls: [String; 3],
    pub(crate) has_fallback_url: bool,
    /// Shifts the wall clock, if that is possible.
    pub(crate) clock: Option<Clock>,
    pub(crate) history: Arc<History>,
}

#[derive(Default)]
struct Log {
    listens: Option<(SocketAddr, SocketAddr)>,
    tail: VecDeque<String>,
}

/// One start of the service. Drop kills it.
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

impl ServiceConfig {
    /// Starts the service and waits until it listens. `None`: it ended, which is recorded.
    pub(crate) async fn start(
        &self,
        (receiver, run): (usize, u64),
        upstream: SocketAddr,
        may_fail: bool,
    ) -> anyhow::Result<Option<Service>> {
        let mut command = Command::new(&self.binary);
        command.arg("serve").env_clear().envs(settings(BASE, &self.store, upstream)).envs([
            ("HEARDBACK_UPSTREAM_CONCURRENCY", &CONCURRENCY.to_string()),
            ("HEARDBACK_ACCOUNTS_FILE", &self.accounts.display().to_string()),
            ("HEARDBACK_SEND", &"on".to_owned()),
            ("HEARDBACK_PHONE_KEY", &format!("{SECRET_PREFIX} for phones")),
        ]);
        let [message, call, status] = &self.app_urls;
        command.envs([
            ("HEARDBACK_FORWARD_MESSAGE_URL", message.as_str()),
            ("HEARDBACK_FORWARD_CALL_URL", call),
            ("HEARDBACK_FORWARD_STATUS_URL", status),
            ("HEARDBACK_FORWARD_PRIVATE", "true"),
            ("HEARDBACK_FORWARD_TIMEOUT", FORWARD_TIMEOUT),
            ("HEARDBACK_FORWARD_FALLBACK", if self.has_fallback_url { "true" } else { "false" }),
        ]);
        if let Some(clock) = &self.clock {
            command.envs(clock.environment(receiver));
        }
        if let Some(url) = &self.database {
            command.env("HEARDBACK_STORE", url);
            command.env("HEARDBACK_RUN_DIR", self.store.with_extension(receiver.to_string()));
        }
        self.history.note(EventKind::Started { run });
        let process = ChildProcess::start(command.stderr(Stdio::piped()));
        let mut process = process.context("cannot start the service")?;
        let stderr = process.child.stderr.take().context("stderr is a pipe")?;
        let log = Arc::new(Mutex::new(Log::default()));
        let (writing, history) = (Arc::clone(&log), Arc::clone(&self.history));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                scan(&history, &format!("the log: {line}"), line.as_bytes());
                if let Some(kind) = deferral(run, &line) {
                    history.note(kind);
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
                self.history.note(EventKind::Listening { run });
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
    /// Whether the service has ended. The end is recorded once.
    pub(crate) fn has_ended(&mut self, expected: bool) -> anyhow::Result<bool> {
        if self.ended {
            return Ok(true);
        }
        let Some(status) = self.process.try_exit_status()? else { return Ok(false) };
        self.ended = true;
        self.reader.take().map(JoinHandle::join);
        let how = if expected { status.to_string() } else { format!("{status}\n{}", self.tail()) };
        self.history.note(EventKind::Ended { run: self.run, how, expected });
        Ok(true)
    }

    /// Waits for the end of the service.
    pub(crate) async fn ends_within(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.has_ended(true)? {
            anyhow::ensure!(
                began.elapsed() < timeout,
                "the service does not end:\n{}",
                self.tail()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// The last lines of the log.
    pub(crate) fn tail(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Whether the service reports that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        self.ask("/readyz").await.is_some_and(|(status, _)| status == 200)
    }

    /// A response of the operator's listener.
    pub(crate) async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let answer = exchange(&mut None, self.ops, operator_request(path)).await.ok()?;
        Some((answer.response.status, answer.response.text()))
    }

    /// The value of a metric without labels.
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

/// The event for a log line about deferred or lost evidence.
fn deferral(run: u64, line: &str) -> Option<EventKind> {
    if !line.contains("evidence ") {
        return None;
    }
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let about = || text("signal").or_else(|| text("message_sid")).unwrap_or_default().to_owned();
    match text("message")? {
        said if said.starts_with("evidence deferred:") => {
            Some(EventKind::Deferred { run, about: about() })
        }
        said if said.starts_with("evidence lost:") => {
            Some(EventKind::EvidenceLost { run, about: about() })
        }
        _ => None,
    }
}
