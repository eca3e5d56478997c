//! The running service: its addresses, its log, its end.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::twilio::Twilio;
use crate::harness::wire::{Answer, Line};
use crate::harness::{ACCOUNT, BASE, LONG, LOOK_EVERY, TOKEN, eventually};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_heardback");

/// The settings of a service on ports of its own, which posts to that Twilio.
pub(crate) fn settings(store: &Path, twilio: &Twilio) -> Vec<(String, String)> {
    let settings = [
        ("HEARDBACK_LISTEN", "127.0.0.1:0".to_owned()),
        ("HEARDBACK_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        ("HEARDBACK_PUBLIC_URL", BASE.to_owned()),
        ("HEARDBACK_STORE", format!("sled:{}", store.display())),
        ("HEARDBACK_UPSTREAM_URL", format!("http://{}", twilio.addr)),
        // Temporary folders may be on tmpfs or overlayfs, which `serve` refuses.
        ("HEARDBACK_ALLOW_UNSAFE_STORE", "true".to_owned()),
        ("HEARDBACK_LOG_FORMAT", "json".to_owned()),
        ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
        ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// `heardback serve` with these settings in addition to the defaults, and an empty environment
/// otherwise.
pub(crate) fn command(store: &Path, twilio: &Twilio, more: &[(&str, &str)]) -> Command {
    wrapped(&[BINARY, "serve"], store, twilio, more)
}

/// The same settings for another command line.
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

/// A listening process.
pub(crate) struct Running {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// A file, not a pipe: every line that the service logs before a response can be read after the
    /// response.
    logs: File,
    /// The service's own process id, which is not the child's if the command is wrapped.
    pid: Option<Pid>,
}

impl Running {
    /// Starts the service and waits until it logs its addresses.
    pub(crate) fn start(mut command: Command) -> Self {
        let logs = tempfile::tempfile().expect("a file");
        let stderr = logs.try_clone().expect("the same file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().expect("spawned");
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        let pid = Some(Pid::from_child(&child));
        let mut running = Self { child, public: unbound, ops: unbound, logs, pid };
        (running.public, running.ops) = running.bound();
        running
    }

    fn bound(&mut self) -> (SocketAddr, SocketAddr) {
        let began = Instant::now();
        loop {
            let gone = self.child.try_wait().expect("ours").is_some();
            let logs = self.logs();
            if let Some(found) = logs.lines().find_map(addresses) {
                return found;
            }
            let late = began.elapsed() > LONG;
            assert!(!gone && !late, "the service does not listen (ended: {gone}):\n{logs}");
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// The complete lines of its log so far.
    pub(crate) fn logs(&self) -> String {
        let size = usize::try_from(self.logs.metadata().expect("ours").len()).expect("a size");
        let mut bytes = vec![0; size];
        self.logs.read_exact_at(&mut bytes, 0).expect("readable");
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or_default());
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// Waits for this text in the log.
    pub(crate) fn says(&self, words: &str) {
        eventually(&format!("the log has {words:?}"), LONG, || self.logs().contains(words));
    }

    pub(crate) fn line(&self) -> Line {
        Line::open(self.public)
    }

    /// One request on a new connection.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut line = self.line();
        line.send(bytes);
        line.answer().expect("an answer")
    }

    /// A request to the operator's listener.
    pub(crate) fn operator(&self, path: &str) -> Answer {
        let mut line = Line::open(self.ops);
        line.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        line.answer().expect("an answer")
    }

    /// The value of a metric with its labels; 0 if it is missing.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.operator("/metrics").text();
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// The process id of the service.
    pub(crate) fn pid(&self) -> Pid {
        self.pid.expect("started")
    }

    /// Sets the process id of a service that runs inside another process.
    pub(crate) fn is_really(&mut self, pid: Pid) {
        self.pid = Some(pid);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signalled");
    }

    /// Whether the process still runs after this time.
    pub(crate) fn still_runs_after(&mut self, wait: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < wait {
            if self.child.try_wait().expect("ours").is_some() {
                return false;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        true
    }

    /// Waits for its end.
    pub(crate) fn ends_within(&mut self, deadline: Duration) -> ExitStatus {
        let mut end = None;
        eventually("the process ends", deadline, || {
            end = self.child.try_wait().expect("ours");
            end.is_some()
        });
        end.expect("ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), self.pid) {
            // A wrapper ends with the service.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let json: Option<Value> = serde_json::from_str(line).ok();
    let address = |name: &str| {
        if let Some(json) = &json {
            return json.get(name)?.as_str()?.split(',').next()?.parse().ok();
        }
        // A line of the human-readable format.
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split(' ').next()?.parse().ok()
    };
    Some((address("public_addr")?, address("ops_addr")?))
}
