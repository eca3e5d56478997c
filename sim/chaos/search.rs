//! The search: canaries in what is on disk, the store's raw files and a backup made of them, and in what
//! the commands say about it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::leaks::{listen, listen_in};
use crate::service::Place;

/// Every so many kills the store is searched as it was left.
pub(crate) const EVERY: u64 = 4;

/// What is on disk when all is over.
pub(crate) fn search(place: &Place, folder: &Path) -> anyhow::Result<()> {
    listen_in(&place.history, "the store", &place.store)?;
    let backup = folder.join("backup");
    command(place, &["backup", &backup.display().to_string()])?;
    let path = backup.join("heardback.backup");
    anyhow::ensure!(path.is_file(), "no backup was made");
    listen_in(&place.history, "the backup", &backup)?;
    command(place, &["verify-store", "--json"])?;
    // It is an error to restore where there is a store, and errors have words.
    command(place, &["restore", &backup.display().to_string()])
}

fn command(place: &Place, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(&place.binary);
    let store = format!("sled:{}", place.store.display());
    command.args(words).env_clear().env("HEARDBACK_STORE", store).stdin(Stdio::null());
    let output = command.output().context("cannot run a command")?;
    for said in [output.stdout, output.stderr] {
        listen(&place.history, &format!("what {} says", words.join(" ")), &said);
    }
    Ok(())
}
