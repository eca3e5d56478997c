//! The dump: the store, opened once more when all is over, by the library that will open it next time.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Filter, ListEntry, Store as _};

use crate::history::{History, What};
use crate::identities::SECRET;
use crate::requests::now;
use crate::support::store::{default_policy, list_all};

/// Writes down every message, and all evidence without one.
pub(crate) async fn dump(path: &Path, history: &History) -> anyhow::Result<()> {
    let mut options = Options::new(path, default_policy(), Arc::new(now));
    options.person_key = Some(format!("{SECRET} for phones").into_bytes());
    let store = SledStore::open(options).context("the store does not open")?;
    let mut messages = 0;
    for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
        for entry in list_all(&store, filter).await? {
            messages += u64::from(matches!(entry, ListEntry::Message(_)));
            history.note(kept(entry));
        }
    }
    store.close().await;
    history.note(What::Read { messages });
    Ok(())
}

fn kept(entry: ListEntry) -> What {
    match entry {
        ListEntry::Message(message) => What::Kept {
            sid: message.sid.to_string(),
            account: message.account.to_string(),
            state: message.state.as_str().to_owned(),
            status: message.refusal.as_ref().and_then(|refusal| refusal.status),
        },
        ListEntry::Parked(parked) => {
            What::Waiting { named: format!("{:?}", parked.evidence.named) }
        }
    }
}
