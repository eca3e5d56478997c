//! One measurement: a load for some seconds.

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

/// A measurement is repeated if the host took a larger share of the cores.
const MAX_STEAL: f64 = 0.05;
const MAX_TRIES: usize = 3;

/// The files of a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The folder for stores, on the disk to be measured
    #[arg(long, default_value = "target/bench")]
    pub(crate) folder: PathBuf,
    /// Heardback's binary
    #[arg(long, default_value = "target/release/heardback")]
    pub(crate) binary: PathBuf,
}

/// The amount of measurements.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Plan {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u32,
    /// Rounds; each has all sides in turn
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: u32,
    /// Connections
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    pub(crate) connections: Vec<u32>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Connections that send the next request after each response.
    Closed(u32),
    /// The same with invalid signatures.
    Forged(u32),
    /// A fixed rate. The latency counts from the due time.
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

impl Load {
    /// An equal part of the load.
    fn divided(self, parts: u32) -> Self {
        match self {
            Self::Closed(connections) => Self::Closed(connections.div_ceil(parts)),
            Self::Forged(connections) => Self::Forged(connections.div_ceil(parts)),
            Self::Open { a_second, connections } => Self::Open {
                a_second: a_second.div_ceil(parts),
                connections: connections.div_ceil(parts),
            },
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

/// The server under load.
pub(crate) struct Target<'a> {
    pub(crate) processes: &'a [Process],
    pub(crate) port: u16,
    /// The services get the load together, in place of `port`. They still work after their responses, so the
    /// measurement waits for them.
    pub(crate) services: &'a [&'a Heardback],
}

impl Target<'_> {
    pub(crate) fn pids(&self) -> Vec<u32> {
        let own = self.services.iter().map(|service| service.id());
        self.processes.iter().map(Process::id).chain(own).collect()
    }

    fn ports(&self) -> Vec<u16> {
        match self.services {
            [] => vec![self.port],
            services => services.iter().map(|service| service.port).collect(),
        }
    }

    /// The number of synced groups, and of their entries.
    fn stored(&self) -> anyhow::Result<(u64, u64)> {
        let mut sums = (0, 0);
        for service in self.services {
            sums.0 += service.metric("heardback_store_commits_total")?;
            sums.1 += service.metric("heardback_store_commit_entries_sum")?;
        }
        Ok(sums)
    }
}

/// The report of a load generator.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ClientReport {
    pub(crate) requests: u64,
    /// All in microseconds.
    pub(crate) us: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// The end of the load.
    #[serde(skip, default = "Instant::now")]
    pub(crate) ended: Instant,
}

/// The results of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Requests per second of load.
    pub(crate) rate: f64,
    /// Requests per second, including the time until everything was reported.
    pub(crate) sustained: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
    /// CPU of the server, in microseconds per request.
    pub(crate) cpu: f64,
    /// Bytes written to the disk per request.
    pub(crate) bytes_written: f64,
    /// Syncs per second; 0 if unknown.
    pub(crate) syncs: f64,
    /// Entries that the store wrote per request, including those of its report.
    pub(crate) entries: f64,
    /// Entries per group during the load.
    pub(crate) grouped: f64,
    /// Requests without a 2xx.
    pub(crate) refused: u64,
    pub(crate) requests: u64,
}

/// More requests than this load needs, because each is sent once.
pub(crate) fn request_count(load: Load, seconds: u32) -> u32 {
    let a_second = match load {
        Load::Closed(1) => 8_000,
        Load::Closed(_) | Load::Forged(_) => 40_000,
        Load::Open { a_second, .. } => a_second,
    };
    a_second * seconds
}

/// Measures a load. `prepare` writes new requests for each attempt. The work after the responses counts towards the
/// cost of a request, and is over before the next measurement.
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
        let files =
            target.ports().into_iter().map(|port| (port, file.with_extension(port.to_string())));
        let files: Vec<(u16, PathBuf)> = files.collect();
        for (_, file) in &files {
            prepare(file)?;
            // The client's own writes end before the server's are counted.
            File::open(file)?.sync_all()?;
        }
        let file = &files.first().context("no server")?.1;
        let (stored, before, wrote) = (target.stored()?, cpu_time(&pids), bytes_written(file));
        let (took, began) = (steal_time(), Instant::now());
        let report = send_all(&files, load, seconds)?;
        let (took, lasted) = (steal_time().saturating_sub(took), began.elapsed());
        let loaded = target.stored()?;
        let (groups, grouped) = (loaded.0 - stored.0, loaded.1 - stored.1);
        for service in target.services {
            service.reports_all()?;
        }
        let drained =
            if target.services.is_empty() { Duration::ZERO } else { report.ended.elapsed() };
        let cpu = cpu_time(&pids).saturating_sub(before);
        let wrote = bytes_written(file) - wrote;
        let entries = target.stored()?.1 - stored.1;
        tries += 1;
        // The machine has two cores.
        let share = took.as_secs_f64() / (2.0 * lasted.as_secs_f64());
        if share > MAX_STEAL && tries < MAX_TRIES {
            eprintln!(
                "  the host took {:.0} % of the cores; the measurement is repeated",
                share * 100.0
            );
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

/// Sends a load to all ports at once, an equal part to each. The slowest part counts.
fn send_all(files: &[(u16, PathBuf)], load: Load, seconds: u32) -> anyhow::Result<ClientReport> {
    let part = load.divided(u32::try_from(files.len())?);
    let reports = std::thread::scope(|scope| {
        let start = |(port, file): &(u16, PathBuf)| {
            let (to, requests) = (*port, file.clone());
            scope.spawn(move || send(to, part, seconds, &requests))
        };
        let started: Vec<_> = files.iter().map(start).collect();
        let ended = started
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect::<anyhow::Result<Vec<_>>>()
    })?;
    let total = |one: ClientReport, other: ClientReport| ClientReport {
        requests: one.requests + other.requests,
        us: one.us.max(other.us),
        refused: one.refused + other.refused,
        broken: one.broken + other.broken,
        p50: one.p50.max(other.p50),
        p99: one.p99.max(other.p99),
        ended: one.ended.max(other.ended),
    };
    reports.into_iter().reduce(total).context("no server")
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

/// Reads the one-line report of a load generator as soon as it appears, because the process ends later.
pub(crate) fn report(command: &mut Command) -> anyhow::Result<ClientReport> {
    let mut client = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run taskset and wrk (apt-get install wrk)")?;
    let (mut report, mut text) = (None, String::new());
    for line in BufReader::new(client.stdout.take().context("the client has no stdout")?).lines() {
        let line = line?;
        match line.strip_prefix("JSON ") {
            Some(json) => report = Some(serde_json::from_str(json)?),
            None => text += &line,
        }
    }
    let output = client.wait_with_output()?;
    report.with_context(|| format!("the client: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
