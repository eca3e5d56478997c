//! Logs go to stderr: pretty lines for people, JSON lines for machines. Results own stdout.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// What is heard only by who asks for it by name (what comes later in a filter wins): actix calls it
/// an error if a stranger does not speak HTTP, and a scanner would fill the logs with them; and it
/// tells of each of its threads, of which only trouble is worth a line.
const QUIET: &str = "actix_http=off,actix_server=warn";

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One coloured line for each event, without colours where stderr is no terminal.
    Pretty,
    /// One JSON object for each event.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter is not one.
    #[error("the log filter {filter:?} is not valid: {reason}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Someone else was quicker; a process has only one.
    #[error("logs cannot start: {0}")]
    Taken(String),
}

impl Format {
    /// What suits stderr as it is: pretty on a terminal, JSON otherwise.
    #[must_use]
    pub fn for_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Pretty } else { Self::Json }
    }
}

/// Starts the logs of this process. `filter` has the directives of `EnvFilter`, e.g. `info` or
/// `info,heardback=debug`.
///
/// # Errors
/// [`LogsError`] if the filter is not valid or logs have already been started.
pub fn init(filter: &str, format: Format) -> Result<(), LogsError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| {
        LogsError::Filter { filter: filter.to_owned(), reason: error.to_string() }
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        Format::Pretty => {
            // Left to itself the subscriber colours unless NO_COLOR is set, terminal or not.
            if io::stderr().is_terminal() {
                logs.compact().try_init()
            } else {
                logs.compact().with_ansi(false).try_init()
            }
        }
        Format::Json => logs.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| LogsError::Taken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Logs are never started here: they are global, and the other tests share this process.
    #[test]
    fn a_bad_filter_is_refused_by_name() {
        let error = init("heardback=loud", Format::Json).expect_err("refused").to_string();
        assert!(error.contains("heardback=loud"), "{error}");
    }
}
