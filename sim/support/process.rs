//! The runner for the real binary: its settings, its addresses, its log, signals and its end.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

/// Settings of a service on free ports of loopback, which posts to `upstream`.
pub(crate) fn settings(
    public_url: &str,
    store: &Path,
    upstream: SocketAddr,
) -> Vec<(String, String)> {
    let settings = [
        ("HEARDBACK_LISTEN", "127.0.0.1:0".to_owned()),
        ("HEARDBACK_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        ("HEARDBACK_PUBLIC_URL", public_url.to_owned()),
        ("HEARDBACK_STORE", format!("sled:{}", store.display())),
        ("HEARDBACK_UPSTREAM_URL", format!("http://{upstream}")),
        // `serve` refuses tmpfs and overlayfs, and the temporary folder may be on one of them.
        ("HEARDBACK_ALLOW_UNSAFE_STORE", "true".to_owned()),
        ("HEARDBACK_LOG_FORMAT", "json".to_owned()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// The public and the operator's address in a line of the log, in either format.
pub(crate) fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let json: Option<Value> = serde_json::from_str(line).ok();
    let address = |name: &str| {
        if let Some(json) = &json {
            return json.get(name)?.as_str()?.split(',').next()?.parse().ok();
        }
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split(' ').next()?.parse().ok()
    };
    Some((address("public_addr")?, address("ops_addr")?))
}

/// The value of a metric, named with its labels, in the text of `/metrics`.
pub(crate) fn metric(metrics: &str, name: &str) -> Option<u64> {
    let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.next()?.split('.').next()?.parse().ok()
}

/// A GET of the operator's listener.
pub(crate) fn operator_request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The log of a child process. A file, not a pipe: every line that the service logs before its response can be read
/// after the response.
pub(crate) struct LogFile(File);

impl LogFile {
    pub(crate) fn new() -> io::Result<Self> {
        tempfile::tempfile().map(Self)
    }

    /// The complete lines so far.
    pub(crate) fn text(&self) -> io::Result<String> {
        let mut bytes = vec![0; usize::try_from(self.0.metadata()?.len()).unwrap_or_default()];
        self.0.read_exact_at(&mut bytes, 0)?;
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or_default());
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    pub(crate) fn addresses(&self) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
        Ok(self.text()?.lines().find_map(addresses))
    }
}

/// A child process. Drop kills it, and its process group if it leads one.
pub(crate) struct ChildProcess {
    pub(crate) child: Child,
}

impl ChildProcess {
    /// Starts it without input and output. The caller decides about stderr.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok(Self { child })
    }

    /// Starts it with its stderr in a new file.
    pub(crate) fn logged(command: &mut Command) -> io::Result<(Self, LogFile)> {
        let log = LogFile::new()?;
        Ok((Self::start(command.stderr(log.0.try_clone()?))?, log))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// The exit status; `None` while the process runs.
    pub(crate) fn try_exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    pub(crate) fn kill(&mut self) {
        // SIGKILL ends a stopped process too.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
