//! The settings that judgement depends on, for a command that has to open the store itself and lets it judge.
//! They come from the environment alone, as the service's do.

use crate::cli::settings::SettingsArgs;
use crate::config::problems::Problems;
use crate::config::reader::Reader;
use crate::config::{DAY, Env, ReadFile, rows, windows};
use crate::domain::matching::{DEFAULT_MAX_PARKED, Policy};

/// What a store is opened with to judge as the service would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// How it judges.
    pub policy: Policy,
    /// Above it, new messages are refused for now.
    pub max_messages: u64,
    /// The most parked evidence.
    pub max_parked: u64,
}

impl Judgement {
    /// Reads them.
    ///
    /// # Errors
    /// Every problem with them.
    pub fn gather(env: Env<'_>, read: ReadFile<'_>) -> Result<Self, Problems> {
        let args = SettingsArgs {
            pending_ttl: env("HEARDBACK_PENDING_TTL"),
            reply_window: env("HEARDBACK_REPLY_WINDOW"),
            event_window: env("HEARDBACK_EVENT_WINDOW"),
            retention: env("HEARDBACK_RETENTION"),
            max_messages: env("HEARDBACK_MAX_MESSAGES"),
            max_parked: env("HEARDBACK_MAX_PARKED"),
            read_confirms: env("HEARDBACK_READ_CONFIRMS"),
            resend: env("HEARDBACK_RESEND"),
            ..SettingsArgs::default()
        };
        let mut reader = Reader::new(env, read);
        let judgement = Self::read(&mut reader, &args);
        if reader.problems.is_empty() { Ok(judgement) } else { Err(reader.problems) }
    }

    /// The same, noting what is wrong.
    pub(super) fn read(reader: &mut Reader<'_>, args: &SettingsArgs) -> Self {
        let ttl = args.pending_ttl.as_ref();
        let pending_ttl = reader.duration("HEARDBACK_PENDING_TTL", ttl, 7 * DAY);
        let (reply_window, event_window) = windows::read(reader, args, pending_ttl);
        let retention = reader.duration("HEARDBACK_RETENTION", args.retention.as_ref(), 30 * DAY);
        let max_messages = reader
            .count("HEARDBACK_MAX_MESSAGES", args.max_messages.as_ref(), 1, u64::MAX)
            .unwrap_or(1_000_000);
        let max_parked = reader
            .count("HEARDBACK_MAX_PARKED", args.max_parked.as_ref(), 1, u64::MAX)
            .unwrap_or(DEFAULT_MAX_PARKED);
        let read_confirms = reader.switch("HEARDBACK_READ_CONFIRMS", args.read_confirms.as_ref());
        let resend = rows::resend(reader, args);
        let policy =
            Policy { pending_ttl, reply_window, event_window, retention, read_confirms, resend };
        Self { policy, max_messages, max_parked }
    }
}
