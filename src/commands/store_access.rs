//! The store of a command: a running service has it open, or the command opens it. The response to a request is the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

use crate::admin;
use crate::admin::{AdminContext, AdminRequest};
use crate::commands::control::{LOCK_TIMEOUT, RunningService};
use crate::config::{PostgresUrl, StoreUrl, Values};
use crate::recording::rotating_dir::RotatingDir;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sled::{OfflineStore, Options};
use crate::store::{ClockGuard, Store};

/// The connections of a command to a database.
const CONNECTIONS: u32 = 4;

/// Invalid arguments; the exit code is 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

pub(super) enum StoreAccess {
    Service(RunningService),
    Offline {
        store: Box<OfflineStore>,
        /// The folder of the recordings of refused requests.
        recordings: Option<PathBuf>,
    },
    /// A database, which receivers may have open as well.
    Database {
        store: Box<PostgresStore>,
        /// The folder of the recordings of refused requests.
        recordings: Option<PathBuf>,
    },
}

impl StoreAccess {
    /// Finds the service that has the store open, or opens the store.
    pub(super) fn begin(settings: &Values) -> anyhow::Result<Self> {
        let recordings = settings.record_refused.clone();
        match &settings.store {
            StoreUrl::Sled(folder) => {
                if let Some(service) = RunningService::find(folder)? {
                    return Ok(Self::Service(service));
                }
                let store = Box::new(OfflineStore::begin(options(settings, folder))?);
                Ok(Self::Offline { store, recordings })
            }
            StoreUrl::Postgres(url) => {
                let options = postgres_options(settings, url);
                let store = Box::new(PostgresStore::open(options)?);
                Ok(Self::Database { store, recordings })
            }
        }
    }

    /// Whether a service has the store open.
    pub(super) fn is_served(&self) -> bool {
        match self {
            Self::Service(_) => true,
            Self::Offline { .. } | Self::Database { .. } => false,
        }
    }

    /// Executes a request. `T` is the type of its response.
    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        request: AdminRequest,
    ) -> anyhow::Result<T> {
        match self {
            Self::Service(service) => service.request(request).await,
            Self::Offline { store, recordings } => {
                answer(store.store(), recordings.as_deref(), request).await
            }
            Self::Database { store, recordings } => {
                answer(&**store, recordings.as_deref(), request).await
            }
        }
    }

    pub(super) async fn end(self) {
        match self {
            Self::Service(_) => {}
            Self::Offline { store, .. } => store.end().await,
            Self::Database { store, .. } => store.close().await,
        }
    }
}

async fn answer<T: DeserializeOwned>(
    store: &dyn Store,
    recordings: Option<&Path>,
    request: AdminRequest,
) -> anyhow::Result<T> {
    let clear_recordings = || match recordings {
        Some(folder) if folder.try_exists()? => RotatingDir::open(folder)?.clear(),
        Some(_) | None => Ok(0),
    };
    let context = AdminContext { store, service: None, clear_recordings: &clear_recordings };
    let response = admin::answer(&context, request).await?;
    serde_json::from_slice(&response).context("the response has another type")
}

fn options(settings: &Values, store: &Path) -> Options {
    let mut options = Options::new(store, settings.policy, Arc::new(now));
    options.lock_timeout = LOCK_TIMEOUT;
    // A command is short: its clock is compared with the trusted time only when the store opens.
    options.clock =
        ClockGuard::disciplined(Arc::new(now), Arc::new(|| Duration::ZERO), Arc::new(|_| {}));
    options.max_messages = settings.max_messages;
    options.max_parked = settings.max_parked;
    options.recipient_hash_key = settings.recipient_hash_key();
    options
}

/// The options of a database. A command needs few connections.
pub(super) fn postgres_options(settings: &Values, url: &PostgresUrl) -> PostgresOptions {
    let key = settings.recipient_hash_key();
    PostgresOptions {
        max_messages: settings.max_messages,
        max_parked: settings.max_parked,
        max_connections: CONNECTIONS,
        acquire_timeout: settings.pool.acquire_timeout,
        pooler: settings.pool.is_behind_pooler,
        ..PostgresOptions::new(url.connect_options(), key.unwrap_or_default(), settings.policy)
    }
}

#[expect(clippy::disallowed_methods, reason = "a command reads the wall clock")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The time since `at` in the largest unit: `12m`, or `in 30s`.
pub(super) fn age(now: Timestamp, at: Timestamp) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let ago: SignedDuration = now.duration_since(at);
    let seconds = ago.as_secs().abs();
    let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "s"));
    let sign = if ago.is_negative() && seconds > 0 { "in " } else { "" };
    format!("{sign}{}{unit}", seconds / size)
}

/// A time to the second, in UTC.
pub(super) fn shown_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_largest_unit() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let ages =
            [(0, "0s"), (59, "59s"), (61, "1m"), (7_300, "2h"), (200_000, "2d"), (-30, "in 30s")];
        for (seconds, expected) in ages {
            assert_eq!(age(at(1_000_000), at(1_000_000 - seconds)), expected);
        }
    }
}
