//! CPU time and memory of processes, bytes written to a disk, and CPU time that the host took.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Raises the priority of this session over other sessions, if this process may.
pub(crate) fn raise_priority() {
    // Only root may. Without it, other processes may disturb the measurement.
    let _ = fs::write("/proc/self/autogroup", "-20");
}

/// The CPU time of the processes and of their group members.
pub(crate) fn cpu_time(pids: &[u32]) -> Duration {
    let mut cpu_time = Duration::ZERO;
    for pid in with_group_members(pids) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split(' ').next().and_then(|text| text.parse().ok());
            cpu_time += Duration::from_nanos(nanos.unwrap_or_default());
        }
    }
    cpu_time
}

/// Bytes written to the disk below a file, by all processes. A process's own `write_bytes` counts whole folios of up to
/// megabytes, each time that a byte of them changes. 0 if there is no disk.
pub(crate) fn bytes_written(under: &Path) -> u64 {
    let device = fs::metadata(under).map(|found| found.dev()).unwrap_or_default();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    // The seventh field counts sectors of 512 bytes (Documentation/block/stat.rst).
    let sectors = text.unwrap_or_default().split_whitespace().nth(6).and_then(|n| n.parse().ok());
    512 * sectors.unwrap_or(0_u64)
}

/// Resident memory in KiB: now, and the maximum.
pub(crate) fn memory(pids: &[u32]) -> (u64, u64) {
    let all = with_group_members(pids);
    let sum = |name: &str| all.iter().map(|pid| field(&format!("/proc/{pid}/status"), name)).sum();
    (sum("VmRSS:"), sum("VmHWM:"))
}

/// The tasks of a process include its threads, but not its children.
fn with_group_members(pids: &[u32]) -> Vec<u32> {
    let mut all = pids.to_vec();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may contain any character: state, parent, group, session.
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

/// CPU time that the host took from all cores.
pub(crate) fn steal_time() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.split_whitespace().nth(8).and_then(|text| text.parse().ok());
    Duration::from_millis(10 * ticks.unwrap_or(0_u64))
}

/// The median time in microseconds to overwrite 4 KiB and sync them.
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
