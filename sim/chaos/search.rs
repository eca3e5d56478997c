//! Scans the store's files, a backup and the output of the commands for markers.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::leaks::{scan, scan_folder};
use crate::service::ServiceConfig;

/// The store is scanned after every fourth kill.
pub(crate) const EVERY: u64 = 4;

/// Scans everything on disk after the run.
pub(crate) fn search(config: &ServiceConfig, folder: &Path) -> anyhow::Result<()> {
    scan_folder(&config.history, "the store", &config.store)?;
    let backup = folder.join("backup");
    command(config, &["backup", &backup.display().to_string()])?;
    let path = backup.join("heardback.backup");
    anyhow::ensure!(path.is_file(), "the backup has no heardback.backup");
    scan_folder(&config.history, "the backup", &backup)?;
    command(config, &["verify-store", "--json"])?;
    // `restore` refuses an existing store; the scan covers that error.
    command(config, &["restore", &backup.display().to_string()])
}

fn command(config: &ServiceConfig, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(&config.binary);
    let store = format!("sled:{}", config.store.display());
    command.args(words).env_clear().env("HEARDBACK_STORE", store).stdin(Stdio::null());
    let output = command.output().context("cannot run a command")?;
    for said in [output.stdout, output.stderr] {
        scan(&config.history, &format!("the output of {}", words.join(" ")), &said);
    }
    Ok(())
}
