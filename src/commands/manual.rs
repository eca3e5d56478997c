//! `completions` and `man`: the command line, for shells and for `man`. Nothing comes from the environment.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

const NAME: &str = "heardback";

pub(super) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    script
}

pub(super) fn page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(Cli::command()).render(&mut page)?;
    Ok(plain(&String::from_utf8_lossy(&page)).into_bytes())
}

/// Writes one page for each command into a folder. Other files in it stay.
pub(super) fn pages(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create the folder {shown}"))?;
    // The command must not be built before, because then clap adds pages of `help`.
    clap_mangen::generate_to(Cli::command(), dir)
        .and_then(|()| escape(dir))
        .with_context(|| format!("cannot write the pages into {shown}"))
}

/// Escapes our pages in a folder.
fn escape(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(NAME) && name.ends_with(".1") {
            let page = std::fs::read_to_string(&path)?;
            std::fs::write(&path, plain(&page))?;
        }
    }
    Ok(())
}

/// Escapes characters beyond ASCII for roff, which without `-K` reads UTF-8 as Latin-1.
fn plain(page: &str) -> String {
    let mut out = String::new();
    for letter in page.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\[u{:04X}]", u32::from(letter));
        }
    }
    out
}
