//! How old a message may be for evidence that names only a person: two settings, read alike.

use std::time::Duration;

use crate::cli::settings::SettingsArgs;
use crate::config::problems::Problem;
use crate::config::reader::{Reader, text};

/// The reply window, at most the pending lifetime. The default shrinks with it; a given one does not.
pub(super) fn reply_window(
    reader: &mut Reader<'_>,
    args: &SettingsArgs,
    pending_ttl: Duration,
) -> Duration {
    window(
        reader,
        ("HEARDBACK_REPLY_WINDOW", Duration::from_hours(1)),
        args.reply_window.as_ref(),
        pending_ttl,
    )
}

/// The window of events that name only a person, likewise.
pub(super) fn event_window(
    reader: &mut Reader<'_>,
    args: &SettingsArgs,
    pending_ttl: Duration,
) -> Duration {
    window(
        reader,
        ("HEARDBACK_EVENT_WINDOW", Duration::from_mins(15)),
        args.event_window.as_ref(),
        pending_ttl,
    )
}

fn window(
    reader: &mut Reader<'_>,
    (name, default): (&'static str, Duration),
    given: Option<&String>,
    pending_ttl: Duration,
) -> Duration {
    let window = reader.duration_or(name, given, default);
    let Some(found) = text(given) else { return window.min(pending_ttl) };
    if window > pending_ttl {
        let expected = "longer than HEARDBACK_PENDING_TTL, for which a message waits at all";
        reader.problem(Problem::shown(name, found, expected));
    }
    window
}
