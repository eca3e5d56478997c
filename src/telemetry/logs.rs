//! The log on stderr: pretty lines for people, JSON lines for machines. stdout is for results.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Defaults for other crates, which a filter can override. actix logs an error for each client that does not speak HTTP,
/// such as a scanner, and a line for each thread. OpenTelemetry logs each lost batch; `collector.rs` logs the first.
const QUIET: &str = "actix_http=off,actix_server=warn,opentelemetry=off";

const OURS: &str = "heardback";
/// The most verbose level of other crates. At debug, sled logs every record, including the key of the recipient hashes,
/// and actix logs headers.
const OTHERS: Level = Level::INFO;

/// A bound on verbosity that no filter can raise, so that no setting puts a secret into the log.
struct Bounds;

impl<S: Subscriber> Layer<S> for Bounds {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= max_level(metadata.target())
    }
}

fn max_level(target: &str) -> Level {
    let is_ours = target.split("::").next() == Some(OURS);
    if is_ours { Level::TRACE } else { OTHERS }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One coloured line for each event, without colours where stderr is no terminal.
    Pretty,
    /// One JSON object for each event.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("the log filter {filter:?} is not valid: {reason}")]
    Filter { filter: String, reason: String },
    /// Another subscriber is set; a process has only one.
    #[error("logs cannot start: {0}")]
    Taken(String),
}

/// Starts the log of this process. `filter` has the directives of `EnvFilter`, such as `info,heardback=debug`. Other
/// crates never log more than info.
///
/// # Errors
/// [`LogsError`] if the filter is not valid or logs have already been started.
pub fn init(filter: &str, format: Format) -> Result<(), LogsError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|error| {
        LogsError::Filter { filter: filter.to_owned(), reason: error.to_string() }
    })?;
    let logs = tracing_subscriber::registry().with(filter).with(Bounds);
    let lines = fmt::layer().with_writer(io::stderr);
    let started = match format {
        // By default the subscriber colours unless NO_COLOR is set, terminal or not.
        Format::Pretty if !io::stderr().is_terminal() => {
            logs.with(lines.compact().with_ansi(false)).try_init()
        }
        Format::Pretty => logs.with(lines.compact()).try_init(),
        Format::Json => logs.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(|error| LogsError::Taken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_log_is_more_verbose_than_info() {
        for (target, most) in [
            ("heardback", Level::TRACE),
            (&[OURS, "store"].join("::"), Level::TRACE),
            ("heardback_other", Level::INFO),
            ("sled::tree", Level::INFO),
            ("sled", Level::INFO),
            ("actix_http::h1::decoder", Level::INFO),
            ("", Level::INFO),
        ] {
            assert_eq!(max_level(target), most, "{target}");
        }
    }

    // Never started here: the log is global, and the other tests share this process.
    #[test]
    fn an_invalid_filter_is_an_error_that_quotes_it() {
        let error = init("heardback=loud", Format::Json).expect_err("refused").to_string();
        assert!(error.contains("heardback=loud"), "{error}");
    }
}
