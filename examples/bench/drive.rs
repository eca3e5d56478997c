//! One measurement: so many seconds of load on so many connections.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::probe::{stolen, used};
use crate::service::CLIENT;

/// The share of the cores that the host may take before a measurement is repeated.
const STEAL: f64 = 0.05;
const TRIES: usize = 3;

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
    /// Where stores lie while it runs: on the disk to be measured
    #[arg(long, default_value = "target/bench")]
    pub(crate) folder: PathBuf,
    /// Heardback's binary
    #[arg(long, default_value = "target/release/heardback")]
    pub(crate) binary: PathBuf,
}

/// What wrk says.
#[derive(Debug, Deserialize)]
struct Told {
    requests: u64,
    us: f64,
    refused: u64,
    broken: u64,
    p50: f64,
    p99: f64,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
    /// The server's, in microseconds a request.
    pub(crate) cpu: f64,
    /// Bytes written to the disk, a request.
    pub(crate) written: f64,
    /// Requests that got no 2xx.
    pub(crate) refused: u64,
    pub(crate) requests: u64,
}

/// Requests for that many connections and seconds, and some more: each is to be sent once.
pub(crate) fn enough(connections: u32, seconds: u32) -> u32 {
    let a_second = if connections == 1 { 8_000 } else { 40_000 };
    a_second * seconds
}

/// `prepare` writes the requests, which are another lot at every try.
pub(crate) fn measure(
    servers: &[u32],
    port: u16,
    connections: u32,
    seconds: u32,
    file: &Path,
    mut prepare: impl FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let mut tries = 0;
    loop {
        prepare(file)?;
        let (before, took, began) = (used(servers), stolen(), Instant::now());
        let told = wrk(port, connections, seconds, file)?;
        let (after, took, lasted) = (used(servers), stolen().saturating_sub(took), began.elapsed());
        tries += 1;
        // Of two cores.
        let share = took.as_secs_f64() / (2.0 * lasted.as_secs_f64());
        if share > STEAL && tries < TRIES {
            eprintln!("  the host took {:.0} % of the cores; again", share * 100.0);
            continue;
        }
        ensure!(told.requests > 0 && told.broken == 0, "{told:?}");
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let each = |sum: Duration| sum.as_secs_f64() * 1e6 / told.requests as f64;
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        return Ok(Measured {
            rate: told.requests as f64 / (told.us / 1e6),
            p50: told.p50 / 1e3,
            p99: told.p99 / 1e3,
            cpu: each(after.cpu.saturating_sub(before.cpu)),
            written: (after.written - before.written) as f64 / told.requests as f64,
            refused: told.refused,
            requests: told.requests,
        });
    }
}

fn wrk(port: u16, connections: u32, seconds: u32, file: &Path) -> anyhow::Result<Told> {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENT, "wrk", "-t1", "--timeout", "10s", "-s", "bench/replay.lua"]);
    command.args([format!("-c{connections}"), format!("-d{seconds}s")]);
    command.arg(format!("http://127.0.0.1:{port}")).env("FILE", file);
    let output = command.output().context("cannot run taskset and wrk (apt-get install wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("JSON "));
    let line =
        line.with_context(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(serde_json::from_str(line)?)
}

/// The middle one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
