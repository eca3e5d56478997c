//! The configured store: the check of its file system, its options, and the usage of its disk.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::admin::scrape::ReadDisk;
use crate::admin::socket::BeginBackup;
use crate::config::{Settings, StoreUrl};
use crate::inbound::deferred;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sled::backup::BackupLimits;
use crate::store::sled::disk::placement::{StorePlacement, placement};
use crate::store::sled::{Options, SledStore, usage};
use crate::store::{ClockGuard, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// Rejects a file system on which acknowledged records can be lost, or logs a warning if the settings allow it. Returns
/// the store's placement; `None`: the system does not report it.
pub(super) fn check_placement(settings: &Settings) -> anyhow::Result<Option<StorePlacement>> {
    let Some(path) = settings.store.folder() else { return Ok(None) };
    let placement = match placement(path) {
        Ok(placement) => placement,
        Err(error) => {
            // Opening the store succeeds, or reports a better error.
            tracing::debug!(%error, "cannot determine the file system of {}", path.display());
            return Ok(None);
        }
    };
    if let Some(warning) = placement.warning() {
        if !settings.allow_unsafe_store {
            bail!(
                "{warning}; or set HEARDBACK_ALLOW_UNSAFE_STORE=true to accept that acknowledged records can be lost"
            );
        }
        tracing::warn!(path = %path.display(), "{warning}");
    }
    Ok(Some(placement))
}

pub(super) enum OpenStore {
    Sled(Arc<SledStore>),
    Postgres(Arc<PostgresStore>),
}

impl OpenStore {
    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sled(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Postgres(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// Whether the last commits of an earlier process cannot be verified. A database verifies its own.
    pub(super) fn is_end_unverified(&self) -> bool {
        match self {
            Self::Sled(store) => store.is_end_unverified(),
            Self::Postgres(_) => false,
        }
    }

    /// Begins a backup. A database has its own tools for it.
    pub(super) fn begin_backup(&self) -> BeginBackup {
        let sled = match self {
            Self::Sled(store) => Some(Arc::clone(store)),
            Self::Postgres(_) => None,
        };
        Arc::new(move || {
            let sled = sled.clone();
            Box::pin(async move {
                let Some(sled) = sled else {
                    let reason = "the store is a database; use pg_dump".to_owned();
                    return Err(StoreError::Unavailable { reason, label: "unsupported" });
                };
                sled.backup(BackupLimits::default()).await
            })
        })
    }
}

/// Opens the configured store. The metrics get each commit.
pub(super) fn open_store(
    settings: &Settings,
    clock: &Arc<ClockGuard>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<OpenStore> {
    match &settings.store {
        StoreUrl::Sled(path) => Ok(OpenStore::Sled(open_sled(settings, path, clock, metrics)?)),
        StoreUrl::Postgres(url) => {
            create_run_dir(&settings.run_dir)?;
            let key = settings.recipient_hash_key();
            let (connect, pool) = (url.connect_options(), settings.pool);
            let options = PostgresOptions {
                max_messages: settings.max_messages,
                max_parked: settings.max_parked,
                max_connections: pool.connections,
                acquire_timeout: pool.acquire_timeout,
                max_lifetime: pool.lifetime,
                idle_timeout: pool.idle_timeout,
                pooler: pool.is_behind_pooler,
                clock_guard: Some(Arc::clone(clock)),
                ..PostgresOptions::new(connect, key.unwrap_or_default(), settings.policy)
            };
            Ok(OpenStore::Postgres(Arc::new(PostgresStore::open(options)?)))
        }
    }
}

/// Creates the folder of the control socket, for this user alone.
fn create_run_dir(folder: &Path) -> anyhow::Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| {
        format!(
            "cannot create HEARDBACK_RUN_DIR {}; name a folder that can be written",
            folder.display()
        )
    })
}

fn open_sled(
    settings: &Settings,
    path: &Path,
    clock: &Arc<ClockGuard>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<SledStore>> {
    let wall = Arc::clone(clock);
    let mut options = Options::new(path, settings.policy, Arc::new(move || wall.wall()));
    options.clock = Arc::clone(clock);
    options.marks_path = true;
    options.max_messages = settings.max_messages;
    options.max_parked = settings.max_parked;
    options.recipient_hash_key = settings.recipient_hash_key();
    let (metrics, at_end) = (Arc::clone(metrics), Arc::clone(metrics));
    options.on_commit = Arc::new(move |commit| {
        metrics.commit(commit.entries, commit.duration, commit.disk_time);
    });
    let end = Arc::clone(&options.on_fatal);
    options.on_fatal = Arc::new(move |failure| {
        deferred::log_lost(at_end.evidence_deferred());
        end(failure);
    });
    Ok(Arc::new(SledStore::open(options)?))
}

/// Reads the used and the free space of the store's disk. A database's server watches its own.
pub(super) fn disk_of(settings: &Settings) -> ReadDisk {
    let folder = settings.store.folder().map(Path::to_path_buf);
    Arc::new(move || {
        let folder = folder.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        usage(folder)
    })
}
