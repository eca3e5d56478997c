//! What the machine says: a process's CPU time, memory and writes, and what the host took away.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Before whatever else runs here, if we may: each session is a scheduling group of its own.
pub(crate) fn first_in_line() {
    // Only root may; the table then says what the others cost.
    let _ = fs::write("/proc/self/autogroup", "-20");
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// On a core.
    pub(crate) cpu: Duration,
    /// Bytes that it had written to the disk.
    pub(crate) written: u64,
}

/// The same for a process and those that it has started.
pub(crate) fn used(pids: &[u32]) -> Used {
    let mut used = Used::default();
    for pid in family(pids) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let told = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = told.split(' ').next().and_then(|text| text.parse().ok());
            used.cpu += Duration::from_nanos(nanos.unwrap_or_default());
        }
        used.written += field(&format!("/proc/{pid}/io"), "write_bytes:");
    }
    used
}

/// Resident memory in KiB: now, and at most.
pub(crate) fn memory(pids: &[u32]) -> (u64, u64) {
    let all = family(pids);
    let sum = |name: &str| all.iter().map(|pid| field(&format!("/proc/{pid}/status"), name)).sum();
    (sum("VmRSS:"), sum("VmHWM:"))
}

/// Threads are in a process's own tasks; children are not.
fn family(pids: &[u32]) -> Vec<u32> {
    let mut all = pids.to_vec();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent, group, session.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let group = fields.nth(2).and_then(|text| text.parse::<u32>().ok());
        if group.is_some_and(|group| pids.contains(&group)) && !all.contains(&pid) {
            all.push(pid);
        }
    }
    all
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// What the host took from all cores so far.
pub(crate) fn stolen() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.split_whitespace().nth(8).and_then(|text| text.parse().ok());
    Duration::from_millis(10 * ticks.unwrap_or(0_u64))
}

/// What the disk takes for 4 KiB over what is there already, and its sync, in microseconds: the median.
pub(crate) fn disk(folder: &Path) -> anyhow::Result<u64> {
    let file = fs::File::create(folder.join("probe"))?;
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let mut took: Vec<u64> = Vec::new();
    for at in 0..200 {
        let began = Instant::now();
        file.write_all_at(&[1; 4096], 4096 * at)?;
        file.sync_data()?;
        took.push(u64::try_from(began.elapsed().as_micros())?);
    }
    fs::remove_file(folder.join("probe"))?;
    took.sort_unstable();
    Ok(took.get(took.len() / 2).copied().unwrap_or_default())
}
