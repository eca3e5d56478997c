//! The dump: opens the store after the run, with the same library as the service, and records its content.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Filter, ListEntry, Store as _};

use crate::history::{EventKind, History};
use crate::identities::SECRET_PREFIX;
use crate::requests::now;
use crate::support::store::{default_policy, list_all};

/// Records every message and all parked evidence in the history.
pub(crate) async fn dump(path: &Path, history: &History) -> anyhow::Result<()> {
    let mut options = Options::new(path, default_policy(), Arc::new(now));
    options.person_key = Some(format!("{SECRET_PREFIX} for phones").into_bytes());
    let store = SledStore::open(options).context("cannot open the store")?;
    let mut messages = 0;
    for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
        for entry in list_all(&store, filter).await? {
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
            EventKind::ParkedEvidence { named: format!("{:?}", parked.evidence.named) }
        }
    }
}
