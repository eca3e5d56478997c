//! Logs go to stderr: pretty lines for people, JSON lines for machines. Results own stdout.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// What is heard only by who asks for it by name (what comes later in a filter wins): actix calls it
/// an error if a stranger does not speak HTTP, and a scanner would fill the logs with them; and it
/// tells of each of its threads, of which only trouble is worth a line. OpenTelemetry's tells of each
/// batch of spans that went astray; `collector.rs` says it once.
const QUIET: &str = "actix_http=off,actix_server=warn,opentelemetry=off";

/// The crate whose log is ours to answer for.
const OURS: &str = "heardback";
/// No other crate's log is heard beyond this: further down they tell of what passes through them. sled
/// prints every record that is written, the key that hashes recipients among them; actix quotes headers.
const OTHERS: Level = Level::INFO;

/// What no filter can make louder: nobody's setting may put into a log what must never be in one.
struct Bounds;

impl<S: Subscriber> Layer<S> for Bounds {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= loudest(metadata.target())
    }
}

/// The most that is heard of a target, whatever the filter says.
fn loudest(target: &str) -> Level {
    let is_ours = target.split("::").next() == Some(OURS);
    if is_ours { Level::TRACE } else { OTHERS }
}

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
/// `info,heardback=debug`. Other crates are heard up to info, whatever it says.
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
        // Left to itself the subscriber colours unless NO_COLOR is set, terminal or not.
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
    fn only_our_own_log_is_ever_heard_beyond_info() {
        for (target, most) in [
            ("heardback", Level::TRACE),
            (&[OURS, "store"].join("::"), Level::TRACE),
            ("heardback_other", Level::INFO),
            ("sled::tree", Level::INFO),
            ("sled", Level::INFO),
            ("actix_http::h1::decoder", Level::INFO),
            ("", Level::INFO),
        ] {
            assert_eq!(loudest(target), most, "{target}");
        }
    }

    // Logs are never started here: they are global, and the other tests share this process.
    #[test]
    fn a_bad_filter_is_refused_by_name() {
        let error = init("heardback=loud", Format::Json).expect_err("refused").to_string();
        assert!(error.contains("heardback=loud"), "{error}");
    }
}
