//! The sampler: records memory and open files of the service, and scans its metrics for markers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::client::exchange;
use crate::history::{EventKind, History};
use crate::leaks::scan;
use crate::support::process::operator_request;

const EVERY: Duration = Duration::from_millis(500);

/// The current process of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunningProcess {
    pub(crate) run: u64,
    pub(crate) pid: i32,
    pub(crate) ops: SocketAddr,
}

/// Runs until it is aborted.
pub(crate) async fn sample(
    running: watch::Receiver<Option<RunningProcess>>,
    history: Arc<History>,
) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(RunningProcess { run, pid, ops }) = *running.borrow() else { continue };
        if let Some((rss_kib, fds)) = usage(pid) {
            history.note(EventKind::Sample { run, rss_kib, fds });
        }
        if let Ok(answer) = exchange(&mut None, ops, operator_request("/metrics")).await {
            scan(&history, "/metrics", answer.response.head.as_bytes());
            scan(&history, "/metrics", &answer.response.body);
        }
    }
}

/// Memory in KiB, and open files; `None` after the end of the process.
fn usage(pid: i32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((rss_kib, u64::try_from(fds).ok()?))
}
