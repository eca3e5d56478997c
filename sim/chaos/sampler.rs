//! The sampler: what the process holds, and whether its metrics sing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::client::exchange;
use crate::history::{History, What};
use crate::leaks::listen;
use crate::support::process::operator_request;

const EVERY: Duration = Duration::from_millis(500);

/// The process that runs now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alive {
    pub(crate) run: u64,
    pub(crate) pid: i32,
    pub(crate) ops: SocketAddr,
}

/// Goes on until it is aborted.
pub(crate) async fn sample(alive: watch::Receiver<Option<Alive>>, history: Arc<History>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(Alive { run, pid, ops }) = *alive.borrow() else { continue };
        if let Some((rss_kib, fds)) = held(pid) {
            history.note(What::Sample { run, rss_kib, fds });
        }
        if let Ok(answer) = exchange(&mut None, ops, operator_request("/metrics")).await {
            listen(&history, "/metrics", answer.response.head.as_bytes());
            listen(&history, "/metrics", &answer.response.body);
        }
    }
}

/// Memory in KiB, and open files; `None` where it is gone.
fn held(pid: i32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let rss_kib = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((rss_kib, u64::try_from(fds).ok()?))
}
