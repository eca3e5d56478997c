//! The configured store: the check of its file system, its options, and the usage of its disk.

use std::sync::Arc;

use anyhow::bail;
use secrecy::ExposeSecret;

use crate::admin::scrape::ReadDisk;
use crate::config::{Settings, StoreUrl};
use crate::inbound::deferred;
use crate::store::ClockGuard;
use crate::store::sled::disk::placement::{StorePlacement, placement};
use crate::store::sled::{Options, SledStore, Usage, usage};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::store_gauges::Disk;

/// Refuses a file system on which acknowledged records can be lost, or logs a warning if the settings allow it. Returns
/// the store's placement; `None`: the system does not report it.
pub(super) fn check_placement(settings: &Settings) -> anyhow::Result<Option<StorePlacement>> {
    let StoreUrl::Sled(path) = &settings.store;
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

/// Opens the configured store. The metrics get each commit.
pub(super) fn open_store(
    settings: &Settings,
    clock: &Arc<ClockGuard>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<SledStore>> {
    let StoreUrl::Sled(path) = &settings.store;
    let wall = Arc::clone(clock);
    let mut options = Options::new(path, settings.policy(), Arc::new(move || wall.wall()));
    options.clock = Arc::clone(clock);
    options.marks_path = true;
    options.max_messages = settings.max_messages;
    options.max_parked = settings.max_parked;
    options.person_key =
        settings.phone_key.as_ref().map(|key| key.expose_secret().as_bytes().to_vec());
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

/// Reads the used and the free space of the store's disk.
pub(super) fn disk_of(settings: &Settings) -> ReadDisk {
    let StoreUrl::Sled(path) = settings.store.clone();
    Arc::new(move || usage(&path).map(|Usage { used, free }| Disk { used, free }))
}
