//! A slow disk: a library that makes each sync longer, built with the machine's C compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Builds it into that folder.
pub(crate) fn library(folder: &Path) -> anyhow::Result<PathBuf> {
    let library = folder.canonicalize()?.join("slow_sync.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg("bench/slow_sync.c");
    let ended = cc.arg("-ldl").status().context("cannot run cc (apt-get install gcc libc6-dev)")?;
    ensure!(ended.success(), "cc: {ended}");
    Ok(library)
}
