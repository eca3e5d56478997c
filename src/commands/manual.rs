//! `completions` and `man`: the shapes of the command line once more, for shells and for `man`. Nothing is
//! read from the environment, so nothing of it can show.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

const NAME: &str = "heardback";

/// What that shell needs to complete the command line.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    script
}

/// The manual in one page: each command with what it is for.
///
/// # Errors
/// None in practice: it is written into memory.
pub fn page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(Cli::command()).render(&mut page)?;
    Ok(plain(&String::from_utf8_lossy(&page)).into_bytes())
}

/// The same with a page for each command. What else is in the folder stays.
///
/// # Errors
/// The folder cannot be made, or written into.
pub fn pages(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {shown}"))?;
    // As it is: whoever builds the command beforehand gets pages of `help` for each as well.
    clap_mangen::generate_to(Cli::command(), dir)
        .and_then(|()| escape(dir))
        .with_context(|| format!("cannot write the pages into {shown}"))
}

/// Makes our pages there plain.
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

/// As roff spells what is no ASCII: without being told (`-K`), it takes UTF-8 for Latin-1.
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
