//! One measurement: so many seconds of load on so many connections.

use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::processes::{CLIENT_CORE, Heardback, Process};
use crate::system_stats::{bytes_written, cpu_time, steal_time};

/// The share of the cores that the host may take before a measurement is repeated.
const MAX_STEAL: f64 = 0.05;
const MAX_TRIES: usize = 3;

/// Where it happens.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// Where stores lie while it runs: on the disk to be measured
    #[arg(long, default_value = "target/bench")]
    pub(crate) folder: PathBuf,
    /// Heardback's binary
    #[arg(long, default_value = "target/release/heardback")]
    pub(crate) binary: PathBuf,
}

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u32,
    /// Rounds, sides in turn
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Connections
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    pub(crate) connections: Vec<u32>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What the load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// So many connections, each of which sends as soon as it was answered.
    Closed(u32),
    /// The same with requests that are not signed.
    Forged(u32),
    /// So many a second, come what may; latency from when each was due.
    Open { a_second: u32, connections: u32 },
}

impl Load {
    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Closed(connections)
            | Self::Forged(connections)
            | Self::Open { connections, .. } => connections,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(connections) => write!(f, "{connections}"),
            Self::Forged(connections) => write!(f, "{connections}, forged"),
            Self::Open { a_second, connections } => write!(f, "{connections}, {a_second}/s"),
        }
    }
}

/// Whom it hits.
pub(crate) struct Target<'a> {
    pub(crate) processes: &'a [Process],
    pub(crate) port: u16,
    /// It does something even after it has answered.
    pub(crate) service: Option<&'a Heardback>,
}

impl Target<'_> {
    pub(crate) fn pids(&self) -> Vec<u32> {
        let own = self.service.map(Heardback::id);
        self.processes.iter().map(Process::id).chain(own).collect()
    }

    /// How many groups it has synced, and how many entries these wrote.
    fn stored(&self) -> anyhow::Result<(u64, u64)> {
        let Some(service) = self.service else { return Ok((0, 0)) };
        let groups = service.metric("heardback_store_commits_total")?;
        Ok((groups, service.metric("heardback_store_commit_entries_sum")?))
    }
}

/// What the client says.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ClientReport {
    pub(crate) requests: u64,
    /// All in microseconds.
    pub(crate) us: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// When it said so, which is when the load was over.
    #[serde(skip, default = "Instant::now")]
    pub(crate) ended: Instant,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Requests a second, of the load's own seconds.
    pub(crate) rate: f64,
    /// The same, with the time counted in that it took to report what was confirmed.
    pub(crate) sustained: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
    /// The server's, in microseconds a request.
    pub(crate) cpu: f64,
    /// Bytes that the disk was options, a request.
    pub(crate) bytes_written: f64,
    /// Syncs a second, as far as they are known.
    pub(crate) syncs: f64,
    /// Entries that the store wrote, a request, what it notes of its reports included.
    pub(crate) entries: f64,
    /// Entries in a group, while the load lasted.
    pub(crate) grouped: f64,
    /// Requests that got no 2xx.
    pub(crate) refused: u64,
    pub(crate) requests: u64,
}

/// Requests for that load, and some more: each is to be sent once.
pub(crate) fn request_count(load: Load, seconds: u32) -> u32 {
    let a_second = match load {
        Load::Closed(1) => 8_000,
        Load::Closed(_) | Load::Forged(_) => 40_000,
        Load::Open { a_second, .. } => a_second,
    };
    a_second * seconds
}

/// `prepare` writes the requests, which are another lot at every try. What is to be done after the answers
/// counts towards the cost of a request, and is over before the next measurement.
pub(crate) fn measure(
    target: &Target<'_>,
    load: Load,
    seconds: u32,
    file: &Path,
    mut prepare: impl FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let mut tries = 0;
    let pids = target.pids();
    loop {
        prepare(file)?;
        // Its own writing is over before the server's is counted.
        File::open(file)?.sync_all()?;
        let (stored, before, wrote) = (target.stored()?, cpu_time(&pids), bytes_written(file));
        let (took, began) = (steal_time(), Instant::now());
        let report = send(target.port, load, seconds, file)?;
        let (took, lasted) = (steal_time().saturating_sub(took), began.elapsed());
        let loaded = target.stored()?;
        let (groups, grouped) = (loaded.0 - stored.0, loaded.1 - stored.1);
        let drained = match target.service {
            Some(service) => service.reports_all().map(|()| report.ended.elapsed())?,
            None => Duration::ZERO,
        };
        let cpu = cpu_time(&pids).saturating_sub(before);
        let wrote = bytes_written(file) - wrote;
        let entries = target.stored()?.1 - stored.1;
        tries += 1;
        // Of two cores.
        let share = took.as_secs_f64() / (2.0 * lasted.as_secs_f64());
        if share > MAX_STEAL && tries < MAX_TRIES {
            eprintln!("  the host took {:.0} % of the cores; again", share * 100.0);
            continue;
        }
        ensure!(report.requests > 0 && report.broken == 0, "{report:?}");
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        return Ok(Measured {
            rate: report.requests as f64 * 1e6 / report.us as f64,
            sustained: report.requests as f64 * 1e6
                / (report.us as f64 + drained.as_secs_f64() * 1e6),
            p50: report.p50 as f64 / 1e3,
            p99: report.p99 as f64 / 1e3,
            cpu: cpu.as_secs_f64() * 1e6 / report.requests as f64,
            bytes_written: wrote as f64 / report.requests as f64,
            syncs: groups as f64 * 1e6 / report.us as f64,
            entries: entries as f64 / report.requests as f64,
            grouped: grouped as f64 / groups.max(1) as f64,
            refused: report.refused,
            requests: report.requests,
        });
    }
}

fn send(port: u16, load: Load, seconds: u32, file: &Path) -> anyhow::Result<ClientReport> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT_CORE]);
    if let Load::Open { a_second, connections } = load {
        command.arg(std::env::current_exe()?).arg("pace").arg(file);
        command.args([port.into(), connections, a_second].map(|number: u32| number.to_string()));
    } else {
        let connections = load.connections();
        command.args(["wrk", "-t1", "--timeout", "10s", "-s", "bench/replay.lua"]);
        command.args([format!("-c{connections}"), format!("-d{seconds}s")]);
        command.arg(format!("http://127.0.0.1:{port}")).env("FILE", file);
    }
    report(&mut command)
}

/// What a client says on its one line, read as soon as it is there: it takes a while to end.
pub(crate) fn report(command: &mut Command) -> anyhow::Result<ClientReport> {
    let mut client = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run taskset and wrk (apt-get install wrk)")?;
    let (mut report, mut text) = (None, String::new());
    for line in BufReader::new(client.stdout.take().context("no stdout")?).lines() {
        let line = line?;
        match line.strip_prefix("JSON ") {
            Some(json) => report = Some(serde_json::from_str(json)?),
            None => text += &line,
        }
    }
    let output = client.wait_with_output()?;
    report.with_context(|| format!("the client: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The middle one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
