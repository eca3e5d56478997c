//! Preloaded libraries (`LD_PRELOAD`), compiled with the machine's C compiler.

use std::io;
use std::path::Path;
use std::process::{Command, Output};

/// Compiles the C source into `library`. `Err`: there is no `cc`.
pub(crate) fn compile(source: &Path, library: &Path) -> io::Result<Output> {
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"]).arg(library).arg(source);
    cc.arg("-ldl").output()
}
