//! The real binary as a child of a test: its addresses, its log and its end, with assertions.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::http_client::{Answer, Line};
use crate::harness::twilio::Twilio;
use crate::harness::{ACCOUNT, BASE, LONG, POLL_INTERVAL, TOKEN, eventually};
use crate::support::process::{self, ChildProcess, LogFile, operator_request};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_heardback");

/// The settings of a service that posts to this Twilio.
pub(crate) fn settings(store: &Path, twilio: &Twilio) -> Vec<(String, String)> {
    let mut settings = process::settings(BASE, store, twilio.addr);
    for (name, value) in [("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_AUTH_TOKEN", TOKEN)] {
        settings.push((name.to_owned(), value.to_owned()));
    }
    settings
}

/// `heardback serve` with these settings and `more`, and without the environment of the test.
pub(crate) fn command(store: &Path, twilio: &Twilio, more: &[(&str, &str)]) -> Command {
    wrapped(&[BINARY, "serve"], store, twilio, more)
}

/// Another command line with the same environment, such as a wrapper around `heardback serve`.
pub(crate) fn wrapped(
    words: &[&str],
    store: &Path,
    twilio: &Twilio,
    more: &[(&str, &str)],
) -> Command {
    let (program, arguments) = words.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(settings(store, twilio)).envs(more.iter().copied());
    command
}

/// A service that listens. Drop kills it.
pub(crate) struct Running {
    process: ChildProcess,
    log: LogFile,
    pub(crate) public: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// The process of the service, which a wrapper may have started.
    pid: Pid,
}

impl Running {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let (mut process, log) = ChildProcess::logged(&mut command).expect("started");
        let began = Instant::now();
        let (public, ops) = loop {
            let is_gone = process.try_exit_status().expect("a child").is_some();
            if let Some(addresses) = log.addresses().expect("readable") {
                break addresses;
            }
            let is_late = began.elapsed() > LONG;
            let text = || log.text().expect("readable");
            assert!(!is_gone && !is_late, "it does not listen (ended: {is_gone}):\n{}", text());
            std::thread::park_timeout(POLL_INTERVAL);
        };
        let pid = process.pid();
        Self { process, log, public, ops, pid }
    }

    /// The complete lines of its log so far.
    pub(crate) fn logs(&self) -> String {
        self.log.text().expect("readable")
    }

    /// Waits until its log contains this text.
    pub(crate) fn says(&self, words: &str) {
        eventually(&format!("the log has {words:?}"), LONG, || self.logs().contains(words));
    }

    pub(crate) fn line(&self) -> Line {
        Line::open(self.public)
    }

    /// Sends one request on a new connection.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut line = self.line();
        line.send(bytes);
        line.answer().expect("an answer")
    }

    /// Sends a GET to the operator's listener.
    pub(crate) fn operator(&self, path: &str) -> Answer {
        let mut line = Line::open(self.ops);
        line.send(&operator_request(path));
        line.answer().expect("an answer")
    }

    /// The value of a metric, named with its labels; 0 if it is absent.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        process::metric(&self.operator("/metrics").text(), name).unwrap_or_default()
    }

    /// The process id of the service.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sets the process id of a service that a wrapper started.
    pub(crate) fn is_really(&mut self, pid: Pid) {
        self.pid = pid;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("signalled");
    }

    /// Whether it still runs after this time.
    pub(crate) fn still_runs_after(&mut self, wait: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < wait {
            if self.process.try_exit_status().expect("a child").is_some() {
                return false;
            }
            std::thread::park_timeout(POLL_INTERVAL);
        }
        true
    }

    /// Waits for its end.
    pub(crate) fn ends_within(&mut self, deadline: Duration) -> ExitStatus {
        let mut end = None;
        eventually("it ends", deadline, || {
            end = self.process.try_exit_status().expect("a child");
            end.is_some()
        });
        end.expect("ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_exit_status() {
            // A wrapper ends with its service.
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}
