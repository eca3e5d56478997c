//! A short run of `sim/chaos` with two receivers on one database and a synchronous standby (`docs/reliability.md`).

use std::path::Path;
use std::process::Command;

use crate::postgres::{cluster, installed};

/// The example of the same build.
fn built() -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_heardback")).parent().expect("a folder");
    let target = folder.parent().expect("the target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--example", "chaos", "--target-dir"]).arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "the example is not built");
    folder.join("examples/chaos")
}

#[test]
fn two_receivers_lose_nothing_while_their_database_is_killed_and_cut_off() {
    if installed(cluster::programs()).is_none() {
        return;
    }
    let mut chaos = Command::new(built());
    chaos.args(["--binary", env!("CARGO_BIN_EXE_heardback"), "--store", "postgres"]);
    chaos.args(["--seed", "2026", "--seconds", "10", "--rate", "30", "--drain", "0"]);
    let output = chaos.args(["--only", "database"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    assert!(said.contains("| of these lost | **0** |"), "{said}");
    let judged = said.lines().find_map(|line| {
        let count = line.strip_prefix("| message and evidence both acknowledged | ")?;
        count.trim_end_matches(" |").replace(',', "").parse::<u64>().ok()
    });
    assert!(judged.is_some_and(|judged| judged > 0), "nothing was judged\n{said}");
}
