//! The environment and the file system, as functions, so that tests can pass their own.
//!
//! This is the only file of the program that reads the environment, with the exception of clap.

use std::io;
use std::path::Path;

pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// The names of the process's variables that are valid UTF-8.
pub(super) fn process_variables() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "the one file that reads the environment")]
    let variables = std::env::vars_os();
    variables.filter_map(|(name, _)| name.into_string().ok()).collect()
}

/// The value of a variable of the process, if it is valid UTF-8.
pub fn process_env(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one file that reads the environment")]
    std::env::var(name).ok()
}

/// Reads a file as text.
///
/// # Errors
/// The reason that the system gives.
pub fn process_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}
