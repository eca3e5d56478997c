//! The dump: opens the store after the run, with the same library as the service, and records its content.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::Context as _;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Filter, ListEntry, Store};
use sqlx::postgres::PgConnectOptions;

use crate::history::{EventKind, History};
use crate::identities::SECRET_PREFIX;
use crate::requests::now;
use crate::support::store::{default_policy, list_all};

pub(crate) async fn dump_folder(path: &Path, history: &History) -> anyhow::Result<()> {
    let mut options = Options::new(path, default_policy(), Arc::new(now));
    options.recipient_hash_key = Some(recipient_hash_key());
    dump(&SledStore::open(options).context("cannot open the store")?, history).await
}

pub(crate) async fn dump_database(url: &str, history: &History) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(url)?;
    let options = PostgresOptions::new(options, recipient_hash_key(), default_policy());
    dump(&PostgresStore::open(options).context("cannot open the store")?, history).await
}

fn recipient_hash_key() -> Vec<u8> {
    format!("{SECRET_PREFIX} for phones").into_bytes()
}

/// Records every message and all parked evidence in the history.
async fn dump(store: &dyn Store, history: &History) -> anyhow::Result<()> {
    let mut messages = 0;
    for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
        for entry in list_all(store, filter).await? {
            messages += u64::from(matches!(entry, ListEntry::Message(_)));
            history.note(kept(entry));
        }
    }
    store.close().await;
    history.note(EventKind::StoreRead { messages });
    Ok(())
}

fn kept(entry: ListEntry) -> EventKind {
    match entry {
        ListEntry::Message(message) => EventKind::Stored {
            sid: message.sid.to_string(),
            account: message.account.to_string(),
            state: message.state.as_str().to_owned(),
            status: message.refusal.as_ref().and_then(|refusal| refusal.status),
        },
        ListEntry::Parked(parked) => {
            EventKind::ParkedEvidence { named: format!("{:?}", parked.evidence.target) }
        }
    }
}
