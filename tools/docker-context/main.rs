//! Copies the build context of the Dockerfile into an empty folder, and prints the Dockerfile's cargo commands. `.ci/run`
//! runs them there, so the image's build is tested on machines without a Docker daemon.
//!
//! Usage, from the root of the repository: `cargo run --example docker-context -- FOLDER`

mod context;
mod dockerfile;
mod ignore;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        bail!("usage: docker-context FOLDER");
    };
    let dockerfile = fs::read_to_string("Dockerfile").context("Dockerfile")?;
    let files = context::copy(Path::new("."), Path::new(&folder))?;
    for source in dockerfile::sources(&dockerfile) {
        let there = source == "." || files.iter().any(|file| file.starts_with(&source));
        ensure!(there, "the Dockerfile copies {source}, which .dockerignore leaves out");
    }
    eprintln!("{} files copied to {folder}", files.len());
    for command in dockerfile::cargo_commands(&dockerfile) {
        println!("{command}");
    }
    Ok(())
}
