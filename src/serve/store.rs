//! The store as the settings name it: how it opens, and whom it tells; how full its disk is.

use std::sync::Arc;

use secrecy::ExposeSecret;

use crate::config::{Settings, StoreUrl};
use crate::domain::matching::Policy;
use crate::inbound::stocktaking::AskDisk;
use crate::store::Clock;
use crate::store::sled::{Options, SledStore, Usage, usage};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::stock::Disk;

/// The store that the settings name, which tells the metrics of each commit.
pub(super) fn open_store(
    settings: &Settings,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<SledStore>> {
    let StoreUrl::Sled(path) = &settings.store;
    let policy = Policy {
        pending_ttl: settings.pending_ttl,
        reply_window: settings.reply_window,
        event_window: settings.event_window,
        retention: settings.retention,
        read_confirms: settings.read_confirms,
        resend: settings.resend,
    };
    let mut options = Options::new(path, policy, Arc::clone(clock));
    options.max_messages = settings.max_messages;
    options.person_key =
        settings.phone_key.as_ref().map(|key| key.expose_secret().as_bytes().to_vec());
    let metrics = Arc::clone(metrics);
    options.on_commit = Arc::new(move |commit| {
        metrics.commit(commit.entries, commit.took, commit.synced);
    });
    Ok(Arc::new(SledStore::open(options)?))
}

/// How much room the store takes up, and how much is left.
pub(super) fn disk_of(settings: &Settings) -> AskDisk {
    let StoreUrl::Sled(path) = settings.store.clone();
    Arc::new(move || usage(&path).map(|Usage { used, free }| Disk { used, free }))
}
