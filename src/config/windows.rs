//! How old a message may be for evidence that names only a person: two settings, read alike.

use std::time::Duration;

use crate::cli::settings::SettingsArgs;
use crate::config::problems::Problem;
use crate::config::reader::{Reader, text};

const REPLY: (&str, Duration) = ("HEARDBACK_REPLY_WINDOW", Duration::from_hours(1));
const EVENT: (&str, Duration) = ("HEARDBACK_EVENT_WINDOW", Duration::from_mins(15));

/// The reply window and the event window, each at most the pending lifetime.
pub(super) fn read(
    reader: &mut Reader<'_>,
    args: &SettingsArgs,
    pending_ttl: Duration,
) -> (Duration, Duration) {
    let reply = window(reader, REPLY, args.reply_window.as_ref(), pending_ttl);
    let event = window(reader, EVENT, args.event_window.as_ref(), pending_ttl);
    (reply, event)
}

/// The default shrinks to the pending lifetime; a given window that exceeds it is a problem.
fn window(
    reader: &mut Reader<'_>,
    (name, default): (&str, Duration),
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
